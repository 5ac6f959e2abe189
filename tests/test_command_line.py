"""The command line as a person meets it: in a process of its own, with an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.infra.postgres import SUPERUSER, EmbeddedPostgres
from service.infra.roles import APP, OWNER, WORKER
from service.settings import Settings, variable

ROOT = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ilim(tmp_path: Path) -> Run:
    """Run `ilim` in an empty directory; keywords are settings."""

    def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        bare = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")}
        given = {variable(name): value for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "service", *words],
            cwd=tmp_path, env={**bare, "PYTHONPATH": str(ROOT), **given}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    return run


def external(postgres: EmbeddedPostgres, name: str) -> dict[str, str]:
    """Settings of an operator who runs a PostgreSQL of his own."""
    logins = {"database_url": APP, "database_worker_url": WORKER, "database_admin_url": OWNER}
    return {setting: postgres.url(login, name) for setting, login in logins.items()}


def test_help_names_every_command(ilim: Run) -> None:
    said = ilim("--help").stdout
    for command in ("settings", "serve", "worker", "sandbox", "doctor", "database", "users"):
        assert f" {command} " in said


def test_settings_explains_every_one_and_shows_no_secret(ilim: Run) -> None:
    done = ilim("settings", koscom_secret="canary", port="8123")
    assert done.returncode == 0
    for name in Settings.model_fields:
        assert variable(name) in done.stdout
    assert "8123" in done.stdout
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["doctor"], ["database", "upgrade"]])
def test_nothing_starts_with_wrong_settings(ilim: Run, command: list[str]) -> None:
    done = ilim(*command, port="many", kosscom_secret="canary")
    assert done.returncode == 2
    assert "ILIM_PORT" in done.stderr
    assert "did you mean ILIM_KOSCOM_SECRET?" in done.stderr
    assert "canary" not in done.stderr


def test_an_operators_own_postgresql_from_prepare_to_doctor(ilim: Run, postgres: EmbeddedPostgres, template: str) -> None:
    own = external(postgres, "operators")
    refused = ilim("database", "prepare", **own)
    assert (refused.returncode, "--superuser-url" in refused.stderr) == (2, True)
    prepared = ilim("database", "prepare", "--superuser-url", postgres.url(SUPERUSER, "postgres"), **own)
    assert prepared.returncode == 0, prepared.stderr
    early = ilim("doctor", **own)
    assert early.returncode == 1
    assert "ilim database upgrade" in early.stdout
    assert ilim("database", "upgrade", **own).returncode == 0
    assert ilim("database", "check", **own).returncode == 0
    healthy = ilim("doctor", **own)
    assert healthy.returncode == 0, healthy.stdout
    for part in ("settings", "data directory", "durability", "migrations", "database clock"):
        assert f"ok   {part}" in healthy.stdout


def test_the_doctor_says_how_to_mend(ilim: Run, postgres: EmbeddedPostgres) -> None:
    wrong = external(postgres, "ilim") | {"database_worker_url": postgres.url(APP, "ilim")}
    done = ilim("doctor", clock="http://127.0.0.1:1/_sandbox/clock", **wrong)
    assert done.returncode == 1
    assert "FAIL database as ilim_worker: the URL names another login" in done.stdout
    assert "FAIL business clock" in done.stdout
    assert done.stdout.count("→") >= 2


NOWHERE = {
    f"database_{name}": f"postgresql://{login}:canary@127.0.0.1:1/ilim"
    for name, login in (("url", APP), ("worker_url", WORKER), ("admin_url", OWNER))
}


@pytest.mark.parametrize("words", ["messages list", "users list", "database fence --complete", "database upgrade", "worker"])
def test_a_database_that_does_not_answer_is_said_in_a_line(ilim: Run, words: str) -> None:
    done = ilim(*words.split(), **NOWHERE)
    assert done.returncode == 2
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("The database does not answer (")
    assert "ilim doctor" in said
    assert "Traceback" not in done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_what_stands_in_the_way_is_said_in_a_line(ilim: Run, postgres: EmbeddedPostgres, template: str) -> None:
    own = external(postgres, template)
    empty = external(postgres, "postgres")
    wrong = {name: url.replace("ilim_owner:", "ilim_owner:x") for name, url in own.items()}
    ways = [
        (ilim("database", "upgrade", "nonsense", **own), "Can't locate revision identified by 'nonsense'"),
        (ilim("database", "upgrade", **wrong), "password authentication failed"),
        (ilim("users", "list", **empty), "ilim database upgrade"),
        (ilim("users", "list", data_dir="/proc/nothing"), "/proc/nothing"),
        (ilim("database", "fence"), "say --commits-missing, which is safe always, or --complete"),
        (ilim("serve"), "ILIM_DATABASE_URL"),
        (ilim("worker"), "ILIM_DATABASE_WORKER_URL"),
    ]
    for done, said in ways:
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_refusal_names_the_field(ilim: Run, postgres: EmbeddedPostgres, template: str) -> None:
    done = ilim("users", "create", "", "--role", "operations", **external(postgres, template))
    assert done.returncode == 1
    assert "  - name: " in done.stderr


def test_the_sandbox_takes_its_own_options(ilim: Run) -> None:
    assert "--seed" in ilim("sandbox", "--help").stdout
