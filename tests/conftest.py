"""What tests stand on: a real PostgreSQL, an empty migrated database each, and business time as a value.

`database` is what the service has (login `ilim_app`), `worker_database` what the worker has, `owner_database` may look
at everything but is held by row-level security like anybody else. Each test has a database of its own, copied from a
migrated template in about 0.1 s, so it commits for real and needs no clean-up.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.pool import QueuePool

from service.core.clock import KST, ManualClock
from service.infra import migrations
from service.infra.db import Database
from service.infra.postgres import SUPERUSER, EmbeddedPostgres, attach, start
from service.infra.roles import APP, OWNER, WORKER, prepare

TEMPLATE = "ilim_template"
LENT = os.environ.get("ILIM_TEST_POSTGRES")  # the files of a server whose template is there already


@dataclass(frozen=True)
class DatabaseUrls:
    """One fresh database through the eyes of each login."""

    name: str
    owner: str
    app: str
    worker: str
    superuser: str


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[Path]:
    """Where this test process's server has its files: in /tmp, for an unprivileged user must be able to enter."""
    home = Path(tempfile.mkdtemp(prefix="ilim-tests-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(postgres_home: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test process's own; that of the process which judges a mutant, when it lends one."""
    if LENT:
        yield attach(Path(LENT))
        return
    with start(postgres_home, max_connections=120) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that tests copy."""
    if LENT:
        return TEMPLATE
    asyncio.run(prepare(postgres.url(SUPERUSER, "postgres"), TEMPLATE, postgres.passwords))
    migrations.upgrade(postgres.url(OWNER, TEMPLATE))
    return TEMPLATE


_numbers = iter(range(1, 1_000_000))


@pytest.fixture
async def database_urls(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[DatabaseUrls]:
    """URLs of a fresh, migrated, empty database. It is dropped afterwards, with whoever is still connected."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.url(SUPERUSER, "postgres"))
    try:
        await admin.execute(f'create database {name} template "{template}" owner {OWNER}')
        await admin.execute(f"revoke all on database {name} from public")
        await admin.execute(f"grant connect on database {name} to {APP}, {WORKER}")
        yield DatabaseUrls(name, *(postgres.url(login, name) for login in (OWNER, APP, WORKER, SUPERUSER)))
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@asynccontextmanager
async def opened(url: str, application: str) -> AsyncIterator[Database]:
    """A Database, opened; at the end no connection may still be out of its pools."""
    made = Database(url, application=application, pool_size=8, hot_pool_size=8)
    await made.open()
    try:
        yield made
        assert isinstance(made.engine.pool, QueuePool)
        assert made.engine.pool.checkedout() == 0, "a connection was not given back: some transaction never ended"
    finally:
        await made.close()


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The database as the service sees it (`ilim_app`)."""
    async with opened(database_urls.app, "test-app") as made:
        yield made


@pytest.fixture
async def worker_database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The database as the worker sees it (`ilim_worker`)."""
    async with opened(database_urls.worker, "test-worker") as made:
        yield made


@pytest.fixture
async def owner_database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The database as its owner sees it; FORCE ROW LEVEL SECURITY holds here too."""
    async with opened(database_urls.owner, "test-owner") as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    """Business time: Monday 2026-11-23, 10:00 KST, an ordinary trading morning."""
    return ManualClock(datetime(2026, 11, 23, 10, 0, tzinfo=KST))


@pytest.fixture
def open_database(database_urls: DatabaseUrls) -> Callable[[str], Database]:
    """For tests that need a second process's connections: an unopened Database for a URL."""
    return lambda url: Database(url, application="test-other", pool_size=4, hot_pool_size=4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, the campaigns before all: begun last they would leave a core idle."""
    longest = ("/faults/", "sandbox/test_properties", "/ops/", "executions/test_differ")
    items.sort(key=lambda one: next((i for i, name in enumerate(longest) if name in one.nodeid), len(longest)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Figures that tests measured (`record_property("figure", …)`), each with its number of trials."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    figures = [text for one in reports for name, text in one.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(text)
