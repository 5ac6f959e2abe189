"""Settings say everything that is wrong at once, and never a secret."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.core.secret import Secret
from service.settings import Settings, SettingsError, load, rows, variable

PRODUCTION = {
    "ILIM_DEPLOYMENT": "production",
    "ILIM_DATABASE_URL": "postgresql://ilim_app:x@db/ilim",
    "ILIM_DATABASE_WORKER_URL": "postgresql://ilim_worker:x@db/ilim",
    "ILIM_DATA_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    "ILIM_KOSCOM_BASE_URL": "https://platform.example",
    "ILIM_KOSCOM_ORDER_URL": "https://orders.example",
    "ILIM_KOSCOM_STREAM_URL": "wss://orders.example/v1/order/stream",
    "ILIM_KOSCOM_API_KEY": "key",
    "ILIM_KOSCOM_SECRET": "secret",
    "ILIM_KOSCOM_COM_ID": "00999",
    "ILIM_KOSCOM_SRV_ID": "srv",
    "ILIM_KOSCOM_SENDER_COMP_ID": "ILIM",
    "ILIM_BROKERS": "kiwoom,samsung",
}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    return refused.value.problems


def test_a_newcomer_needs_no_setting_and_talks_to_the_sandbox() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.worker_port) == ("127.0.0.1", 8000, 8002)
    assert settings.embedded_database
    assert settings.koscom_order_url == "http://127.0.0.1:8001"
    assert settings.koscom_stream_url == "ws://127.0.0.1:8001/v1/order/stream"


def test_the_sandbox_is_found_on_its_own_port() -> None:
    assert load({"ILIM_SANDBOX_PORT": "9001"}).koscom_base_url == "http://127.0.0.1:9001"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("ILIM_PORT=9100\nILIM_LOG_LEVEL=DEBUG\nOTHER=1\n")
    settings = load({"ILIM_PORT": "9200"}, file)
    assert (settings.port, settings.log_level) == (9200, "DEBUG")


def test_every_problem_is_said_at_once_with_the_settings_name() -> None:
    said = problems({"ILIM_PORT": "many", "ILIM_LOG_LEVEL": "LOUD", "ILIM_LICENCE_VALID_UNTIL": "soon"})
    assert [line.split(":")[0] for line in said] == ["ILIM_PORT", "ILIM_LOG_LEVEL", "ILIM_LICENCE_VALID_UNTIL"]


def test_a_misspelt_setting_is_refused_with_the_nearest_name() -> None:
    assert problems({"ILIM_KOSCOM_APIKEY": "x"}) == ["ILIM_KOSCOM_APIKEY is not a setting: did you mean ILIM_KOSCOM_API_KEY?"]


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"ILIM_OIDC_ISSUER": "https://id.example"}, "ILIM_OIDC_AUDIENCE"),
        ({"ILIM_LICENCE_NUMBER": "7"}, "ILIM_LICENCE_NUMBER"),
        ({"ILIM_CLOCK": "tomorrow"}, "ILIM_CLOCK"),
        ({"ILIM_KOSCOM_ORDER_URL": "http://platform.example"}, "ILIM_KOSCOM_ORDER_URL"),
        ({"ILIM_KOSCOM_STREAM_URL": "ws://platform.example"}, "ILIM_KOSCOM_STREAM_URL"),
        ({"ILIM_DATABASE_URL": "postgresql://ilim_app@db/ilim"}, "ILIM_DATABASE_WORKER_URL"),
    ],
)
def test_settings_that_do_not_fit_together(changed: dict[str, str], setting: str) -> None:
    [said] = problems(changed)
    assert said.startswith(setting)


def test_production_names_all_it_lacks() -> None:
    said = problems({"ILIM_DEPLOYMENT": "production"})
    lacking = {name for name in PRODUCTION if name not in {"ILIM_DEPLOYMENT", "ILIM_DATABASE_WORKER_URL"}}
    assert {line.split(":")[0] for line in said} == lacking


@pytest.mark.parametrize(
    "changed",
    [{"ILIM_CLOCK": "http://127.0.0.1:8001/_sandbox/clock"}, {"ILIM_KOSCOM_BASE_URL": "http://platform.example"}],
)
def test_production_refuses_what_belongs_to_the_sandbox(changed: dict[str, str]) -> None:
    assert len(problems(PRODUCTION | changed)) == 1


def test_production_starts_when_complete() -> None:
    assert load(PRODUCTION).brokers == ("kiwoom", "samsung")


def test_the_licence_holds_on_its_last_day_and_not_after() -> None:
    settings = load({"ILIM_LICENCE_NUMBER": "2026-7", "ILIM_LICENCE_VALID_UNTIL": "2026-12-31"})
    assert settings.licence_valid(date(2026, 12, 31))
    assert not settings.licence_valid(date(2027, 1, 1))
    assert not load({}).licence_valid(date(2026, 1, 1))


def test_no_rendering_shows_a_secret() -> None:
    settings = load(PRODUCTION | {"ILIM_KOSCOM_SECRET": "canary", "ILIM_DATABASE_URL": "postgresql://u:canary@db/x"})
    for rendering in (repr(settings), str(settings), repr(settings.model_dump()), repr(rows(settings))):
        assert "canary" not in rendering


def test_a_wrong_value_of_a_secret_is_not_repeated() -> None:
    assert "canary" not in str(problems({"ILIM_KOSCOM_SECRE": "canary"}))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load({}).port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_means_and_secrets_are_typed_so() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if name.endswith(("secret", "key")):
            assert isinstance(field.default, Secret), name
    assert {row.name for row in rows(load({}))} == {variable(name) for name in Settings.model_fields}
