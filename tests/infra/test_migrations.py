"""Migrations run up, down and up, as the owner, and leave what the tables in the code describe."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from sqlalchemy import text

from service.audit.append import record
from service.infra import migrations
from service.infra.db import Database
from service.infra.postgres import SUPERUSER, EmbeddedPostgres
from service.infra.roles import APP, OWNER, WORKER, prepare
from tests.conftest import DatabaseUrls
from tests.waiting import until

ROOT = Path(__file__).parents[2]


async def test_the_tables_in_the_code_are_those_in_the_database(database_urls: DatabaseUrls) -> None:
    assert await asyncio.to_thread(migrations.differences, database_urls.owner) == []


async def test_up_down_up_on_an_empty_database(database_urls: DatabaseUrls, owner_database: Database) -> None:
    await asyncio.to_thread(migrations.downgrade, database_urls.owner, "base")
    async with owner_database.transaction() as connection:
        left = await connection.scalars(text("select relname from pg_class where relnamespace = 'public'::regnamespace"))
        assert {name for name in left if not name.startswith("alembic_version")} == set()
    await asyncio.to_thread(migrations.upgrade, database_urls.owner)
    async with owner_database.transaction() as connection:
        assert await migrations.present(connection) == migrations.heads()


async def test_nothing_is_dropped_that_cannot_be_had_again(database_urls: DatabaseUrls, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("insert into job_run (job, slot, holder) values ('x', now(), gen_random_uuid())"))
    with pytest.raises(RuntimeError, match="job_run has rows"):
        await asyncio.to_thread(migrations.downgrade, database_urls.owner, "base")


async def test_p28_an_entry_that_is_being_written_is_not_dropped_with_the_ledger(
    database_urls: DatabaseUrls, database: Database, owner_database: Database
) -> None:
    """Its writer has not committed when the ledger is taken down: whoever counts before holding the lock sees none."""

    async def waits() -> bool:
        async with owner_database.transaction() as connection:
            return bool(await connection.scalar(text("select exists (select from pg_locks where not granted)")))

    async with database.transaction() as connection:
        await record(connection, kind="test.written", subject=("test", "1"), body={})
        down = asyncio.create_task(asyncio.to_thread(migrations.downgrade, database_urls.owner, "accounts"))
        await until(waits)
    with pytest.raises(RuntimeError, match=r"audit\.record has rows"):
        await down


def test_there_is_one_head() -> None:
    assert len(migrations.heads()) == 1


async def test_two_migrators_wait_for_each_other(postgres: EmbeddedPostgres) -> None:
    """Two replicas that start together: one migrates, the other finds it done."""
    await prepare(postgres.url(SUPERUSER, "postgres"), "twice", postgres.passwords)
    environment = {
        **os.environ,
        "ILIM_DATABASE_URL": postgres.url(APP, "twice"),
        "ILIM_DATABASE_WORKER_URL": postgres.url(WORKER, "twice"),
        "ILIM_DATABASE_ADMIN_URL": postgres.url(OWNER, "twice"),
        "ILIM_DATA_DIR": str(postgres.place.parent),
    }
    command = (sys.executable, "-m", "service", "database", "upgrade")
    both = [await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=PIPE) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
