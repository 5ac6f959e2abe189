"""Wake-ups reach who waits, are coalesced, and come back after the connection was lost."""

from collections.abc import AsyncIterator

import pytest

from service.infra.db import Database
from service.infra.notify import Listener, Notifier
from tests.waiting import until

SOON = 5.0  # real seconds; a wake-up takes milliseconds


@pytest.fixture
async def notifier(database: Database) -> AsyncIterator[Notifier]:
    made = Notifier(database.connect_alone)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def listener(database: Database) -> AsyncIterator[Listener]:
    made = Listener(database.connect_alone)
    await made.start()
    yield made
    await made.stop()


async def test_a_poke_wakes_every_subscriber_of_its_channel(notifier: Notifier, listener: Listener) -> None:
    async with listener.subscribe("orders") as one, listener.subscribe("orders") as two, listener.subscribe("fills") as other:
        for wake in (one, two, other):
            assert await wake.wait(SOON)  # the first ring says that we listen now
        notifier.poke("orders")
        assert await one.wait(SOON)
        assert await two.wait(SOON)
        assert not await other.wait(0.05)


async def test_many_pokes_become_few_notifications(notifier: Notifier, listener: Listener, database: Database) -> None:
    heard: list[str] = []
    ear = await database.connect_alone()
    await ear.add_listener("orders", lambda *said: heard.append(said[2]))
    async with listener.subscribe("orders") as wake:
        assert await wake.wait(SOON)
        for _ in range(1000):
            notifier.poke("orders")
        assert await wake.wait(SOON)
    await until(lambda: _any(heard))
    await ear.close()
    assert len(heard) < 10


async def _any(heard: list[str]) -> bool:
    """The server tells each listener when it comes to it: one may hear before another."""
    return bool(heard)


async def test_a_wait_ends_without_a_poke(listener: Listener) -> None:
    async with listener.subscribe("orders") as wake:
        assert await wake.wait(SOON)
        assert not await wake.wait(0.02)


async def test_both_come_back_after_their_connections_were_cut(
    notifier: Notifier, listener: Listener, database: Database, owner_database: Database
) -> None:
    async with listener.subscribe("orders") as wake:
        assert await wake.wait(SOON)
        notifier.poke("orders")
        assert await wake.wait(SOON)
        async with database.raw() as connection:  # the same login may end its own sessions
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
                " and (query like 'LISTEN%' or query like '%pg_notify%')"
            )
        assert await wake.wait(SOON)  # rung on reconnect: something may have been missed
        notifier.poke("orders")
        assert await wake.wait(SOON)


async def test_a_subscriber_that_left_is_not_rung(listener: Listener) -> None:
    async with listener.subscribe("orders") as wake:
        assert await wake.wait(SOON)
    async with listener.subscribe("orders") as second:
        listener._ring("orders")
        assert await second.wait(SOON)
        assert not await wake.wait(0.02)
