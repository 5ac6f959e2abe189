"""What runs: the database, the platform's stand-in, an api and a worker, each ended by the process id it was started with."""

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any

import httpx
from sqlalchemy import text

from service.core.clock import monotonic
from service.core.principal import Role
from service.core.secret import Secret
from service.infra import migrations
from service.infra.db import Books, Database
from service.infra.local_key import local_data_key
from service.infra.postgres import EmbeddedPostgres, start
from service.infra.roles import APP, OWNER, WORKER
from service.market.store import load_calendar
from service.people import rules as people_rules
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.store import user_by_name
from service.settings import Settings

FIRST_DAY = date(2026, 11, 23)
READY_WITHIN_S = 60.0
INVENTED = {  # nothing of this opens a door outside the sandbox
    "ILIM_KOSCOM_API_KEY": "sandbox-key",
    "ILIM_KOSCOM_SECRET": "sandbox-secret",
    "ILIM_KOSCOM_COM_ID": "F0001",
    "ILIM_KOSCOM_SRV_ID": "ILIM-SANDBOX",
    "ILIM_KOSCOM_SENDER_COMP_ID": "ILIMSANDBOX",
    "ILIM_BROKERS": "cyber,diamond,star",
    "ILIM_LICENCE_NUMBER": "INVENTED-0000",
    "ILIM_LICENCE_VALID_UNTIL": "2027-12-31",
}
USERS: dict[str, tuple[Role, ...]] = {
    "kim": (Role.MANAGER,),
    "lee": (Role.MANAGER,),
    "approver": (Role.APPROVER,),
    "operations": (Role.OPERATIONS,),
    "compliance": (Role.COMPLIANCE,),
    "administrator": (Role.ADMINISTRATOR,),
}


class StartError(Exception):
    """Something did not come up; the message says what and where its log is."""


@dataclass(frozen=True)
class House:
    """What runs and how to reach it."""

    api_url: str
    worker_url: str
    sandbox_url: str
    business_date: date
    users: dict[str, dict[str, str]]  # name: id, key, roles
    logs: Path
    database_urls: dict[str, Secret]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict, repr=False)  # theirs; it holds secrets
    server: EmbeddedPostgres | None = None  # when the database is of this house

    def ended(self) -> str | None:
        """The name of a process that has ended by itself, if one has."""
        return next((name for name, one in self.processes.items() if one.poll() is not None), None)

    def start_again(self, name: str) -> None:
        """A part that has ended, as whatever looks after processes would: the service promises to bear that at any time."""
        self.processes[name] = _spawn([name], name, self.environ, self.logs)

    async def ready(self) -> bool:
        """Whether api and worker both can do their work now."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            with contextlib.suppress(httpx.HTTPError):
                answers = [await client.get(f"{url}/readyz") for url in (self.api_url, self.worker_url)]
                return all(one.status_code == httpx.codes.OK for one in answers)
        return False


@asynccontextmanager
async def house(settings: Settings, environ: dict[str, str], *, seed: int = 7) -> AsyncIterator[House]:
    """Everything, started and ready; ended in reverse. Raises StartError."""
    with ExitStack() as stack:
        urls, server = await asyncio.to_thread(stack.enter_context, _database(settings))
        environ = environ | _environment(settings, urls)
        day = await _next_day(urls[OWNER])
        logs = settings.data_dir / "log"
        logs.mkdir(parents=True, exist_ok=True)
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_end, processes)
        sandbox = ["sandbox", "--date", day.isoformat(), "--seed", str(seed)]
        processes["sandbox"] = _spawn(sandbox, "sandbox", environ, logs)
        base = f"http://{settings.host}:{settings.sandbox_port}"
        await _ready(f"{base}/_sandbox/clock", "sandbox", processes, logs)
        for name in ("serve", "worker"):
            processes[name] = _spawn([name], name, environ, logs)
        built = House(
            api_url=f"http://{settings.host}:{settings.port}",
            worker_url=f"http://{settings.host}:{settings.worker_port}",
            sandbox_url=base,
            business_date=day,
            users=await _users(urls[APP], environ["ILIM_DATA_KEY"]),
            logs=logs,
            database_urls=urls,
            processes=processes,
            environ=environ,
            server=server,
        )
        await _ready(f"{built.api_url}/readyz", "serve", processes, logs)
        await _ready(f"{built.worker_url}/readyz", "worker", processes, logs)
        yield built


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[dict[str, Secret], EmbeddedPostgres | None]]:
    """URLs by login, migrated: of the database in the settings, or of an embedded one with its server."""
    if not settings.embedded_database:
        urls = {APP: settings.database_url, WORKER: settings.database_worker_url, OWNER: settings.database_admin_url}
        if not all(urls.values()):
            raise StartError("set ILIM_DATABASE_URL, ILIM_DATABASE_WORKER_URL and ILIM_DATABASE_ADMIN_URL, or none of them")
        migrations.upgrade(urls[OWNER].reveal())
        yield urls, None
        return
    with start(settings.data_dir, binaries=settings.postgres_bin or None) as server:
        migrations.upgrade(server.url(OWNER))
        yield {login: Secret(server.url(login)) for login in (APP, WORKER, OWNER)}, server


def _environment(settings: Settings, urls: dict[str, Secret]) -> dict[str, str]:
    key = (settings.data_key or local_data_key(settings.data_dir)).reveal()
    return INVENTED | {
        "ILIM_DATABASE_URL": urls[APP].reveal(),
        "ILIM_DATABASE_WORKER_URL": urls[WORKER].reveal(),
        "ILIM_DATABASE_ADMIN_URL": urls[OWNER].reveal(),
        "ILIM_DATA_KEY": key,
        "ILIM_DATA_DIR": str(settings.data_dir),
        "ILIM_CLOCK": f"http://{settings.host}:{settings.sandbox_port}/_sandbox/clock",
    }


def write_private(path: Path, content: str) -> None:
    """A file only its owner may read, replaced as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    draft.replace(path)


async def _next_day(owner: Secret) -> date:
    """The trading day after the last one that was played here: each run adds a day to the books."""
    database = Database(owner.reveal(), application="ilim-up")
    try:
        async with database.transaction(books=Books.ALL) as connection:
            newest = (await connection.execute(text("select max(business_date) from orders"))).scalar()
            if newest is None:
                return FIRST_DAY
            return (await load_calendar(connection)).next_trading_day(newest)
    finally:
        await database.close()


async def _users(app: Secret, key: str) -> dict[str, dict[str, str]]:
    """A user of each role, with a fresh key."""
    pepper = people_rules.pepper_from(base64.b64decode(key))
    database = Database(app.reveal(), application="ilim-up")
    try:
        return {name: await _user(database, pepper, name, roles) for name, roles in USERS.items()}
    finally:
        await database.close()


async def _user(database: Database, pepper: bytes, name: str, roles: tuple[Role, ...]) -> dict[str, str]:
    async with database.transaction() as connection:
        user = await user_by_name(connection, name)
    if user is None:
        user = await create_user(transaction=database.transaction, name=name, roles=roles)
    _, token = await issue_key(transaction=database.transaction, pepper=pepper, user_id=user.id)
    return {"id": str(user.id), "key": token.reveal(), "roles": ",".join(roles)}


def _spawn(words: list[str], name: str, environ: dict[str, str], logs: Path) -> subprocess.Popen[bytes]:
    log: IO[bytes]
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program with our own words
            [sys.executable, "-m", "service", *words], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


async def _ready(url: str, name: str, processes: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    until = monotonic() + READY_WITHIN_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while monotonic() < until:
            if processes[name].poll() is not None:
                raise StartError(f"{name} ended with status {processes[name].returncode}; its log is {logs / name}.log")
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(url)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)
    raise StartError(f"{name} was not ready within {READY_WITHIN_S:.0f} s; its log is {logs / name}.log")


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """In reverse: first those that send, last the platform they send to."""
    for name in ("worker", "serve", "sandbox"):
        process = processes.get(name)
        if process is None or process.poll() is not None:
            continue
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def describe(built: House) -> dict[str, Any]:
    """What `start.json` says: where everything is, and a key for each role."""
    return {
        "api": built.api_url,
        "docs": f"{built.api_url}/docs",
        "worker": built.worker_url,
        "sandbox": built.sandbox_url,
        "business_date": built.business_date.isoformat(),
        "users": built.users,
        "invented": "brokers, accounts, people, licence and credentials of the sandbox are invented",
    }
