"""Settings: frozen, read once at the root, handed down as plain arguments.

Environment variables `ILIM_…` win over the file `.env`. What is wrong is said all at once, each with the name of the
setting and how to mend it. Secrets are values that cannot be rendered.
"""

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from service.core.secret import Secret

PREFIX = "ILIM_"
# Not settings of a process: fault tests, one command's superuser, and which Python the scripts take.
READ_ELSEWHERE = {"ILIM_FAILPOINTS", "ILIM_DATABASE_SUPERUSER_URL", "ILIM_PYTHON"}


class SettingsError(Exception):
    """The settings do not allow a start. `problems` has one line each: which setting, what is wrong, how to mend it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the settings do not allow a start:\n" + "\n".join(f"  - {line}" for line in problems))
        self.problems = problems


def _as_secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(str(value))


def _as_names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _as_date(value: object) -> object:
    return None if value == "" else value


SecretText = Annotated[Secret, BeforeValidator(_as_secret)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_as_names)]
OptionalDate = Annotated[date | None, BeforeValidator(_as_date)]
Port = Annotated[int, Field(ge=1, le=65535)]
NOTHING = Secret("")


class Settings(BaseSettings):
    """Every setting, with its meaning. Made by `load` only."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True)

    deployment: Literal["local", "production"] = Field(
        "local", description="local allows the embedded database, the sandbox and plain HTTP; production refuses them"
    )
    host: str = Field("127.0.0.1", description="address the service, the worker's health page and the sandbox listen on")
    port: Port = Field(8000, description="port of the service")
    sandbox_port: Port = Field(8001, description="port of the sandbox")
    worker_port: Port = Field(8002, description="port of the worker's health and metrics")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe log line written")
    max_body_bytes: int = Field(65536, ge=1024, description="longest request body in bytes; above it 413")

    data_dir: Path = Field(Path("var"), description="directory of the embedded database, exports and start.json")
    data_key: SecretText = Field(
        NOTHING, description="key that encrypts ci and raw messages at rest: 32 bytes as base64; keep a copy elsewhere"
    )
    clock: str = Field("system", description="business time: system, or the URL of the sandbox's /_sandbox/clock")

    database_url: SecretText = Field(
        NOTHING, description="PostgreSQL for login ilim_app; empty starts the embedded one (local only)"
    )
    database_worker_url: SecretText = Field(NOTHING, description="the same database for login ilim_worker")
    database_admin_url: SecretText = Field(
        NOTHING, description="the same database for login ilim_owner; used for migrations only"
    )
    database_pool: int = Field(10, ge=1, le=200, description="connections of a process for plain work")
    database_hot_pool: int = Field(10, ge=1, le=200, description="connections of a process for orders and reports")
    postgres_bin: str = Field("", description="bin directory of another PostgreSQL (15 or newer) for the embedded mode")

    koscom_base_url: str = Field("", description="inquiries and linkage of the platform; empty locally: the sandbox")
    koscom_order_url: str = Field("", description="orders; empty locally: the sandbox")
    koscom_stream_url: str = Field("", description="report stream (wss://…/v1/order/stream); empty locally: the sandbox")
    koscom_linkage_url: str = Field("", description="linkage, if it has a host of its own; else as KOSCOM_BASE_URL")
    koscom_market_url: str = Field("", description="market data, if it has a host of its own; else as KOSCOM_BASE_URL")
    koscom_api_key: SecretText = Field(NOTHING, description="API key issued by the platform")
    koscom_secret: SecretText = Field(NOTHING, description="secret issued with the API key")
    koscom_com_id: str = Field("", max_length=5, description="company code of this firm (comId)")
    koscom_srv_id: str = Field("", max_length=20, description="service id of this firm (srvId)")
    koscom_sender_comp_id: str = Field("", description="FIX SenderCompID issued for orders")
    brokers: Names = Field((), description="brokers in use, short names separated by commas; their profiles are data")

    sends_per_second: int = Field(
        0, ge=0, le=10_000, description="orders a second and broker a worker sends; 0: as each broker's profile says"
    )
    orders_a_day: int = Field(0, ge=0, description="order calls a day agreed with the platform; 0: the published 20,000")

    licence_number: str = Field("", description="number of the discretionary-investment licence (투자일임업)")
    licence_valid_until: OptionalDate = Field(
        None, description="last day of the licence, YYYY-MM-DD; without a valid one orders are refused"
    )

    oidc_issuer: str = Field("", description="issuer of the firm's identity provider; empty: API keys only")
    oidc_audience: str = Field("", description="audience a token must name")
    oidc_jwks_url: str = Field("", description="where the provider's signing keys are")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` reads the environment it is given; nothing reads the process's own behind a test's back.
        return (init_settings,)

    def licence_valid(self, on: date) -> bool:
        """Whether the firm may give discretionary orders on this business date, its last day included."""
        return bool(self.licence_number) and self.licence_valid_until is not None and on <= self.licence_valid_until

    @property
    def embedded_database(self) -> bool:
        return not self.database_url

    @property
    def drives_clock(self) -> bool:
        """Whether business time comes from the sandbox."""
        return self.clock != "system"


@dataclass(frozen=True)
class SettingRow:
    """One line of `ilim settings`."""

    name: str
    meaning: str
    default: str
    value: str


def load(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Settings from the environment over `.env`. Raises SettingsError with every problem."""
    given = {name: value for name, value in _merged(environ, dotenv).items() if name.startswith(PREFIX)}
    values = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    unknown = {name for name in values if name not in Settings.model_fields} - _names_read_elsewhere()
    problems = [_typo(name) for name in sorted(unknown)]
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    try:
        settings = Settings(**_with_sandbox(known))
    except ValidationError as error:
        raise SettingsError(problems + [_said(dict(found)) for found in error.errors()]) from None
    problems += _inconsistencies(settings)
    if settings.deployment == "production":
        problems += _unfit_for_production(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def rows(settings: Settings) -> list[SettingRow]:
    """Every setting with meaning, default and present value; secrets show their mask."""
    return [
        SettingRow(variable(name), field.description or "", _shown(field.default), _shown(getattr(settings, name)))
        for name, field in Settings.model_fields.items()
    ]


def variable(field: str) -> str:
    """`port` → `ILIM_PORT`."""
    return PREFIX + field.upper()


def _merged(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    from_file = dotenv_values(dotenv) if dotenv is not None and dotenv.exists() else {}
    return {name: value for name, value in from_file.items() if value is not None} | dict(environ)


def _names_read_elsewhere() -> set[str]:
    return {name.removeprefix(PREFIX).lower() for name in READ_ELSEWHERE}


def _with_sandbox(values: dict[str, str]) -> dict[str, Any]:
    """A newcomer's machine has one platform: the sandbox beside it."""
    if values.get("deployment", "local") != "local":
        return dict(values)
    place = f"127.0.0.1:{values.get('sandbox_port', Settings.model_fields['sandbox_port'].default)}"
    http = dict.fromkeys(("koscom_base_url", "koscom_order_url"), f"http://{place}")
    sandbox = http | {"koscom_stream_url": f"ws://{place}/v1/order/stream"}
    return sandbox | {name: value for name, value in values.items() if value or name not in sandbox}


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None or (isinstance(value, Secret) and not value) else str(value)


def _typo(field: str) -> str:
    nearest = difflib.get_close_matches(field, Settings.model_fields, n=1, cutoff=0.5)
    hint = f"did you mean {variable(nearest[0])}?" if nearest else "`ilim settings` lists those that exist"
    return f"{variable(field)} is not a setting: {hint}"


def _said(found: dict[str, Any]) -> str:
    field = str(found["loc"][0])
    meaning = Settings.model_fields[field].description
    given = "" if isinstance(Settings.model_fields[field].default, Secret) else f" (given: {found['input']!r})"
    return f"{variable(field)}: {found['msg']}{given}. It is: {meaning}"


def _inconsistencies(settings: Settings) -> list[str]:
    problems = []
    oidc = {name: getattr(settings, name) for name in ("oidc_issuer", "oidc_audience", "oidc_jwks_url")}
    if any(oidc.values()) and not all(oidc.values()):
        missing = ", ".join(variable(name) for name, value in oidc.items() if not value)
        problems.append(f"{missing}: set all three of issuer, audience and jwks_url, or none")
    if bool(settings.licence_number) != (settings.licence_valid_until is not None):
        problems.append("ILIM_LICENCE_NUMBER and ILIM_LICENCE_VALID_UNTIL: set both, or neither")
    if settings.drives_clock and urlsplit(settings.clock).scheme not in {"http", "https"}:
        problems.append("ILIM_CLOCK: set it to system, or to the http:// address of the sandbox's /_sandbox/clock")
    if settings.database_url and not settings.database_worker_url:
        problems.append("ILIM_DATABASE_WORKER_URL: set it beside ILIM_DATABASE_URL, with login ilim_worker")
    return problems + _plain_urls(settings)


def _plain_urls(settings: Settings) -> list[str]:
    """Without TLS only on this machine: credentials go with every call."""
    schemes = {"koscom_stream_url": ("wss", "ws")}
    problems = []
    for name in (*UPSTREAMS, "koscom_linkage_url", "koscom_market_url", "oidc_jwks_url"):
        url, (safe, plain) = getattr(settings, name), schemes.get(name, ("https", "http"))
        parts = urlsplit(url)
        if url and parts.scheme != safe and not (parts.scheme == plain and _is_this_machine(parts.hostname)):
            problems.append(f"{variable(name)}: must begin with {safe}:// ({plain}:// is for this machine only)")
    return problems


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


UPSTREAMS = ("koscom_base_url", "koscom_order_url", "koscom_stream_url")
NEEDED_IN_PRODUCTION = (
    "database_url", "data_key", *UPSTREAMS, "koscom_api_key", "koscom_secret", "koscom_com_id", "koscom_srv_id",
    "koscom_sender_comp_id", "brokers",
)  # fmt: skip


def _unfit_for_production(settings: Settings) -> list[str]:
    problems = [
        f"{variable(name)}: needed in production. It is: {Settings.model_fields[name].description}"
        for name in NEEDED_IN_PRODUCTION
        if not getattr(settings, name)
    ]
    if settings.drives_clock:
        problems.append("ILIM_CLOCK: must be system in production; a driven clock belongs to the sandbox")
    return problems
