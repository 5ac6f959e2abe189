"""The feed of changes: complete for each caller, whoever commits late, whoever numbers, whoever reads."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from random import Random
from uuid import UUID

import asyncpg
import pytest

from service.core.errors import Conflict
from service.infra import feed, leases
from service.infra.db import Books, Database, Whose
from service.infra.feed import Event, Reader
from service.infra.notify import Wake
from tests.conftest import DatabaseUrls
from tests.makers import World, make_world

HOLDER = UUID(int=7)


async def lease(worker: Database) -> leases.Lease:
    async with worker.transaction() as connection:
        taken = await leases.acquire(connection, "feed", HOLDER, 600)
    assert taken is not None
    return taken


@asynccontextmanager
async def writer(urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(urls.superuser)
    try:
        yield connection
    finally:
        await connection.close()


async def tell(connection: asyncpg.Connection, mark: int, account: UUID | None = None, user: UUID | None = None) -> None:
    """A change, as a trigger writes it."""
    await connection.execute(
        "insert into event_pending (kind, subject_id, account_id, user_id, document) values ('test', $1, $2, $3, $4)",
        UUID(int=mark), account, user, json.dumps({"mark": mark}),
    )  # fmt: skip


async def read(app: Database, books: Whose = Books.ALL, last: int | None = 0) -> list[Event]:
    async def entitled() -> bool:
        return True

    reader = Reader(app.transaction, books, entitled, lambda: False)
    return [one async for one in reader.follow(Wake(), await reader.begin(last), wait=False)]


def marks(events: list[Event]) -> list[int]:
    return [one.document["mark"] for one in events]


def chained(events: list[Event]) -> bool:
    return all(later.previous_id == earlier.id for earlier, later in pairwise(events))


async def test_a_change_that_commits_late_is_told_late_and_not_lost(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    held = await lease(worker_database)
    async with writer(database_urls) as slow, writer(database_urls) as quick:
        late = slow.transaction()
        await late.start()
        await tell(slow, 1)
        await tell(quick, 2)
        assert await feed.number(worker_database.hot, held) == 1
        first = await read(database)
        assert marks(first) == [2]
        await late.commit()
    assert await feed.number(worker_database.hot, held) == 1
    second = await read(database, last=first[-1].id)
    assert marks(second) == [1]
    assert second[0].id > first[0].id
    assert second[0].previous_id == first[0].id


async def test_who_lost_the_lease_numbers_nothing(worker_database: Database, database_urls: DatabaseUrls) -> None:
    held = await lease(worker_database)
    async with writer(database_urls) as connection:
        await tell(connection, 1)
        await connection.execute("update lease set epoch = epoch + 1")
    assert await feed.number(worker_database.hot, held) == 0


async def test_each_caller_hears_of_his_own_books_in_an_unbroken_chain(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    world = await make_world(database_urls.superuser)
    held = await lease(worker_database)
    mine, theirs = world.manager.user_id, world.other_manager.user_id
    async with writer(database_urls) as connection:
        for mark, (account, user) in enumerate(
            [(world.account, None), (world.other_account, None), (None, None), (None, theirs), (world.account, None)]
        ):
            await tell(connection, mark, account, user)
    await feed.number(worker_database.hot, held)
    seen = {name: await read(database, books) for name, books in (("mine", mine), ("theirs", theirs), ("all", Books.ALL))}
    assert {name: marks(events) for name, events in seen.items()} == {
        "mine": [0, 2, 4],
        "theirs": [1, 2, 3],
        "all": [0, 1, 2, 3, 4],
    }
    assert all(events[0].previous_id is None and chained(events) for events in seen.values())
    resumed = await read(database, mine, last=seen["mine"][0].id)
    assert [one.id for one in resumed] == [one.id for one in seen["mine"][1:]]
    assert resumed[0].previous_id == seen["mine"][0].id


async def test_who_begins_without_an_id_hears_only_what_comes(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    held = await lease(worker_database)
    async with writer(database_urls) as connection:
        await tell(connection, 1)
        await feed.number(worker_database.hot, held)
        assert await read(database, last=None) == []


async def test_nothing_is_told_once_the_right_to_hear_it_has_ended(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    """A stream lives long: a key revoked since it began hears of no change after that, not even for some seconds."""
    held, good = await lease(worker_database), True

    async def entitled() -> bool:
        return good

    reader = Reader(database.transaction, Books.ALL, entitled, lambda: False)
    async with writer(database_urls) as connection:
        await tell(connection, 1)
        await feed.number(worker_database.hot, held)
        following = reader.follow(Wake(), await reader.begin(0), wait=True)
        assert (await anext(following)).document == {"mark": 1}
        good = False
        await tell(connection, 2)
        await feed.number(worker_database.hot, held)
    assert [one async for one in following] == []


async def test_an_event_from_a_feed_that_was_set_back_is_refused(database: Database) -> None:
    with pytest.raises(Conflict) as refused:
        await read(database, last=10)
    assert refused.value.slug == "event-not-reached"


async def test_no_number_is_told_twice_where_a_fail_over_lost_the_last_events(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    """A reader who holds a lost one sees the gap: else the new event of its number would seem to be the one he has."""
    held = await lease(worker_database)
    async with writer(database_urls) as connection:
        for mark in (1, 2):
            await tell(connection, mark)
        await feed.number(worker_database.hot, held)
        told = await read(database)
        await connection.execute("set session_replication_role = replica")  # no trigger stops what a fail-over does
        await connection.execute("delete from event where id = $1", told[-1].id)
        await connection.execute("set session_replication_role = origin")
        await connection.execute("update halt_gate set cluster_epoch = cluster_epoch + 1")
        for mark in (3, 4):
            await tell(connection, mark)
    assert await feed.number(worker_database.hot, held) == 2
    later = await read(database, last=told[-1].id)
    assert marks(later) == [3, 4]
    assert chained(later)
    assert later[0].previous_id == told[0].id != told[-1].id


async def test_no_login_of_the_service_can_write_or_change_an_event(
    database: Database, worker_database: Database, database_urls: DatabaseUrls
) -> None:
    held = await lease(worker_database)
    async with writer(database_urls) as connection:
        await tell(connection, 1)
    await feed.number(worker_database.hot, held)
    insert = "insert into {} (kind, subject_id, document) values ('forged', gen_random_uuid(), '{{}}')"
    for url in (database_urls.app, database_urls.worker, database_urls.owner):
        connection = await asyncpg.connect(url)
        try:
            for statement in ("update event set kind = 'x'", "delete from event", "truncate event"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            if url != database_urls.owner:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(insert.format("event_pending"))
        finally:
            await connection.close()


@pytest.mark.parametrize("seed", range(6))
async def test_readers_that_come_and_go_miss_nothing_while_many_commit_in_any_order(
    database: Database, worker_database: Database, database_urls: DatabaseUrls, seed: int
) -> None:
    """20 transactions at a time, committed or rolled back in a drawn order, numbered in between; two readers resume after
    every step with what they had. At the end each has all that was committed in his books, once, in one chain."""
    dice = Random(seed)
    world = await make_world(database_urls.superuser)
    held = await lease(worker_database)
    readers: dict[UUID | Books, list[Event]] = {world.manager.user_id: [], Books.ALL: []}
    committed: dict[int, UUID] = {}
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(writer(database_urls)) for _ in range(20)]
        await _storm(dice, idle, committed, world, held, worker_database, database, readers)
    for books, events in readers.items():
        expected = {mark for mark, account in committed.items() if books is Books.ALL or account == world.account}
        assert sorted(marks(events)) == sorted(expected)
        assert chained(events)
        assert events[0].previous_id is None
    assert len(committed) > 30


async def _storm(
    dice: Random, idle: list[asyncpg.Connection], committed: dict[int, UUID], world: World, held: leases.Lease,
    worker: Database, app: Database, readers: dict[UUID | Books, list[Event]],
) -> None:  # fmt: skip
    open_ones: list[tuple[asyncpg.Connection, asyncpg.transaction.Transaction, int, UUID]] = []
    for mark in range(80):
        if idle and dice.random() < 0.7:
            connection = idle.pop()
            transaction = connection.transaction()
            await transaction.start()
            account = dice.choice([world.account, world.other_account])
            await tell(connection, mark, account)
            open_ones.append((connection, transaction, mark, account))
        if open_ones and (mark > 60 or dice.random() < 0.5):
            await _end(dice, open_ones.pop(dice.randrange(len(open_ones))), idle, committed)
        await _look(worker, held, app, readers)
    for one in open_ones:
        await _end(dice, one, idle, committed)
    await _look(worker, held, app, readers)


async def _end(
    dice: Random, one: tuple[asyncpg.Connection, asyncpg.transaction.Transaction, int, UUID], idle: list[asyncpg.Connection],
    committed: dict[int, UUID],
) -> None:  # fmt: skip
    connection, transaction, mark, account = one
    if dice.random() < 0.2:
        await transaction.rollback()
    else:
        await transaction.commit()
        committed[mark] = account
    idle.append(connection)


async def _look(worker: Database, held: leases.Lease, app: Database, readers: dict[UUID | Books, list[Event]]) -> None:
    await feed.number(worker.hot, held)
    found = await asyncio.gather(*[read(app, books, had[-1].id if had else 0) for books, had in readers.items()])
    for had, more in zip(readers.values(), found, strict=True):
        had.extend(more)
