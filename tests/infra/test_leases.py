"""One holder at a time, by the database's clock; an epoch that only rises; writers that can tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from asyncpg import InterfaceError, InternalClientError
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.ids import uuid7
from service.infra import leases
from service.infra.db import Books, Database, Whose
from service.infra.leases import Lease
from service.infra.processes import identity
from tests.waiting import until

ONE, TWO = UUID(int=1), UUID(int=2)


async def take(database: Database, holder: UUID, seconds: float = 30) -> Lease | None:
    async with database.transaction() as connection:
        return await leases.acquire(connection, "reports", holder, seconds)


async def lapse(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("update lease set until = now() - interval '1 second'"))


async def is_held(database: Database, lease: Lease) -> bool:
    async with database.transaction() as connection:
        return await leases.held(connection, lease)


async def test_a_free_lease_is_taken_and_a_held_one_is_not(worker_database: Database) -> None:
    assert await take(worker_database, ONE) == Lease("reports", ONE, 1)
    assert await take(worker_database, TWO) is None
    assert await take(worker_database, ONE) is None  # a second life of the same process is another holder


async def test_a_lapsed_lease_changes_hands_and_the_epoch_rises(worker_database: Database) -> None:
    first = await take(worker_database, ONE)
    await lapse(worker_database)
    second = await take(worker_database, TWO)
    assert first is not None
    assert second == Lease("reports", TWO, 2)
    assert not await is_held(worker_database, first)
    assert await is_held(worker_database, second)
    async with worker_database.transaction() as connection:
        assert not await leases.renew(connection, first, 30)


async def test_the_lease_of_a_process_that_has_died_is_free_at_once(worker_database: Database) -> None:
    first = await take(worker_database, ONE)
    host, world, pid, started = identity().split("/")
    async with worker_database.transaction() as connection:
        await connection.execute(text("update lease set who = :who"), {"who": f"{host}/{world}/{pid}/{int(started) - 1}"})
    second = await take(worker_database, TWO)
    assert second == Lease("reports", TWO, 2)
    assert first is not None
    assert not await is_held(worker_database, first)
    assert await take(worker_database, ONE) is None  # this one lives


async def test_a_released_lease_is_free_at_once_and_keeps_its_epoch(worker_database: Database) -> None:
    first = await take(worker_database, ONE)
    assert first is not None
    async with worker_database.transaction() as connection:
        await leases.release(connection, first)
    second = await take(worker_database, TWO)
    assert second is not None
    assert second.epoch == 2


async def test_only_one_of_many_gets_it(worker_database: Database) -> None:
    taken = await asyncio.gather(*(take(worker_database, uuid7()) for _ in range(20)))
    assert len([lease for lease in taken if lease is not None]) == 1


async def test_a_successor_waits_for_a_write_that_asked(worker_database: Database) -> None:
    """`held` locks the row: between the question and the commit nobody else becomes holder."""
    first = await take(worker_database, ONE, seconds=0.2)
    assert first is not None
    async with worker_database.transaction() as connection:
        assert await leases.held(connection, first)
        await connection.execute(text("select pg_sleep(0.25)"))  # by the database's clock the lease has lapsed now
        successor = asyncio.create_task(take(worker_database, TWO))
        waiting = text("select count(*) from pg_locks where not granted and locktype in ('transactionid', 'tuple')")
        await until(lambda: connection.scalar(waiting))
        assert not successor.done()
    assert await successor == Lease("reports", TWO, 2)


async def test_holding_renews_and_lets_go(worker_database: Database) -> None:
    async with leases.hold(worker_database.transaction, "reports", ONE, 0.3) as held:
        assert held is not None
        async with worker_database.raw() as connection:
            first = await connection.fetchval("select until from lease")
            await until(lambda: connection.fetchval("select until > $1 from lease", first))
        async with leases.hold(worker_database.transaction, "reports", TWO, 0.3) as other:
            assert other is None
    assert await take(worker_database, TWO) is not None


async def test_a_holder_hears_that_it_lost(worker_database: Database) -> None:
    async with leases.hold(worker_database.transaction, "reports", ONE, 0.3) as held:
        assert held is not None
        await lapse(worker_database)
        assert await take(worker_database, TWO) is not None
        async with asyncio.timeout(5):
            await held.lost.wait()
        assert not await is_held(worker_database, held.lease)


@pytest.mark.parametrize(
    "away", [ConnectionRefusedError, PoolTimeout, InterfaceError, InternalClientError], ids=lambda one: str(one.__name__)
)
async def test_a_holder_cut_off_from_the_database_stops_believing(worker_database: Database, away: type[Exception]) -> None:
    reachable = True

    @asynccontextmanager
    async def transaction(*, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        if not reachable:
            raise away("away")
        async with worker_database.transaction(books=books) as connection:
            yield connection

    async with leases.hold(transaction, "reports", ONE, 0.3) as held:
        assert held is not None
        reachable = False
        async with asyncio.timeout(5):
            await held.lost.wait()


@pytest.mark.parametrize("seconds", [0.001, 30, 86400])
async def test_any_length_is_said_exactly(worker_database: Database, seconds: float) -> None:
    assert await take(worker_database, ONE, seconds) is not None
    async with worker_database.raw() as connection:
        left = await connection.fetchval("select extract(epoch from until - clock_timestamp())::float8 from lease")
    assert seconds - 5 < left <= seconds
