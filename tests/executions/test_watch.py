"""The gate of the stream: shut with the reader's word, opened when nothing is missing any more, shut again by silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.controls import store as controls
from service.core.clock import ManualClock
from service.executions.watch import Watch
from service.gateway import CallClass, Complete, Incomplete, Inquiry, OrderRow
from service.infra import leases
from service.infra.db import Database
from service.infra.leases import Lease
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack
from tests.makers import BROKER, COM_ID, MORNING, FakeGateway, fetch, make_world
from tests.waiting import until


class Inquired(FakeGateway):
    """Inquiries with answers given beforehand; without one, a complete empty one."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CallClass] = []
        self.inquiries: list[Inquiry[OrderRow]] = []
        self.wait: asyncio.Event | None = None

    async def orders(self, broker: str, account: Any, day: Any, call_class: CallClass) -> Inquiry[OrderRow]:
        self.asked.append(call_class)
        if self.wait is not None:
            await self.wait.wait()
        return self.inquiries.pop(0) if self.inquiries else Complete((), (b"{}",), MORNING)


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    made = Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))
    gateway: Any = Inquired()
    made.gateway = gateway
    made.applier = replace(made.applier, gateway=gateway)
    made.dispatcher = replace(made.dispatcher, gateway=gateway)
    return made


async def lease(life: Life) -> Lease:
    async with life.worker.transaction() as connection:
        taken = await leases.acquire(connection, "stream", life.world.manager.user_id, 600)
    assert taken is not None
    return taken


@asynccontextmanager
async def watching(life: Life) -> AsyncIterator[Watch]:
    watch = Watch(life.applier, COM_ID, await lease(life))
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def blind(life: Life) -> bool:
    async with life.worker.transaction() as connection:
        return (await controls.gate(connection, COM_ID)).blind


async def seen(life: Life) -> bool:
    return not await blind(life)


async def live_order(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))


@pytest.mark.parametrize("state", ["connected", "resending", "lost"])
async def test_p18_blind_with_the_readers_word(life: Life, state: str) -> None:
    async with watching(life) as watch:
        await watch.on_state("live")
        await until(lambda: seen(life))
        await watch.on_state(state)
        assert await blind(life)


async def test_p18_live_is_not_yet_seen_while_an_account_was_not_shown_whole(life: Life) -> None:
    await live_order(life)
    gateway: Any = life.gateway
    gateway.inquiries = [Incomplete("page-repeated", "2"), Incomplete("timeout", "")]
    gateway.wait = asyncio.Event()
    async with watching(life) as watch:
        await watch.on_state("live")
        assert await blind(life)
        gateway.wait.set()
        await until(lambda: seen(life))
    assert gateway.asked == [CallClass.RESOLVE] * 3


async def test_p21_a_broker_that_shows_nothing_whole_does_not_use_up_the_days_inquiries(life: Life) -> None:
    """They are counted over all brokers. What is asked for in vain is asked for less and less often, until the reader has a
    word to say, or it is shown."""
    await live_order(life)
    gateway: Any = life.gateway
    gateway.inquiries = [Incomplete("code-3012", "") for _ in range(10)]
    rests: list[float] = []

    async def rest(news: asyncio.Event, seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 9:
            await news.wait()

    watch = Watch(life.applier, COM_ID, await lease(life), rest=rest)
    task = asyncio.create_task(watch.run())
    try:
        await watch.on_state("live")
        await until(lambda: _yes(len(rests) == 9))
        await watch.on_state("live")  # wakes it, and it begins anew
        await until(lambda: seen(life))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert rests == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5]


async def test_p18_a_loss_during_the_inquiries_keeps_the_gate_shut(life: Life) -> None:
    await live_order(life)
    gateway: Any = life.gateway
    gateway.wait = asyncio.Event()
    async with watching(life) as watch:
        await watch.on_state("live")
        await until(lambda: _yes(bool(gateway.asked)))
        await watch.on_state("lost")
        gateway.wait.set()
        await watch.on_state("resending")
        assert await blind(life)
        await watch.on_state("live")
        await until(lambda: seen(life))
    assert len(gateway.asked) == 2  # what was found out before the loss counts no more


async def _yes(value: bool) -> bool:
    return value


async def test_p18_what_was_never_sent_needs_no_inquiry(life: Life) -> None:
    await life.submit()
    async with watching(life) as watch:
        await watch.on_state("live")
        await until(lambda: seen(life))
    gateway: Any = life.gateway
    assert gateway.asked == []


async def test_p18_a_holder_that_was_overtaken_opens_nothing(life: Life) -> None:
    async with watching(life) as watch:
        await fetch(life.urls.superuser, "update lease set epoch = epoch + 1 where name = 'stream'")
        await fetch(life.urls.superuser, "update stream_gate set open = false, lease = 'stream', lease_epoch = 2")
        await watch._open()
        assert await blind(life)


async def test_p18_a_reader_that_was_killed_shuts_the_gate_by_its_lease(life: Life) -> None:
    async with watching(life) as watch:
        await watch.on_state("live")
        await until(lambda: seen(life))
    await fetch(life.urls.superuser, "update lease set until = now() where name = 'stream'")
    assert await blind(life)


async def test_p18_an_order_waits_for_the_gate(life: Life) -> None:
    sender = replace(life.dispatcher, recheck=replace(life.dispatcher.recheck, com_id=COM_ID))
    async with watching(life) as watch:
        await watch.on_state("lost")
        await life.submit()
        assert not await sender.dispatch_one([BROKER])
        await watch.on_state("live")
        await until(lambda: seen(life))
        assert await sender.dispatch_one([BROKER])
    assert len(life.gateway.sends) == 1
