"""A worker's sending: nothing it has begun is cut off, and no more is begun than it may."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.core.clock import ManualClock
from service.gateway import OrderMessage, SendOutcome
from service.infra.db import Database
from service.orders.pace import Pace
from service.orders.sender import Sender
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.makers import BROKER, FakeGateway, make_world


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


class Slow(FakeGateway):
    """Answers when told to, and counts how many wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.told, self.asked = 0, asyncio.Event(), asyncio.Event()

    async def send(self, message: OrderMessage, not_after: float) -> SendOutcome:
        self.waiting += 1
        self.asked.set()
        await self.told.wait()
        self.waiting -= 1
        return await super().send(message)


def sending(life: Life, gateway: Any, most: int = 8) -> Sender:
    pace = Pace(lambda _broker: 1000, lambda: 0.0, burst=8)
    return Sender(replace(life.dispatcher, gateway=gateway), pace, (BROKER,), most)


async def states(life: Life) -> list[str]:
    return sorted(row["state"] for row in await life.requests())


async def test_a_worker_that_stops_carries_to_its_end_what_it_has_begun(life: Life) -> None:
    await life.submit()
    gateway = Slow()
    sender = sending(life, gateway)
    claiming = asyncio.create_task(sender.send_some())
    await asyncio.sleep(0)  # it has begun, and is cut off at whatever it does first
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    async with asyncio.timeout(10):
        await gateway.asked.wait()
    gateway.told.set()
    await sender.finish()
    assert (await states(life), len(gateway.sends)) == (["sent"], 1)


async def test_p02_a_worker_that_stops_while_it_claims_sends_what_it_claims(life: Life) -> None:
    """Given up between its claim and its first byte an order would be unknown until two people close it in the evening."""
    await life.submit()
    sender = sending(life, life.gateway)
    claiming = asyncio.create_task(sender.send_some())
    await asyncio.sleep(0)
    claiming.cancel()
    await sender.finish()
    sender.abandon()
    assert (await states(life), len(life.gateway.sends)) == (["sent"], 1)


async def test_no_more_calls_at_once_than_it_may(life: Life) -> None:
    for i in range(4):
        await life.submit(key=f"k{i}", quantity=1 + i)
    gateway = Slow()
    sender = sending(life, gateway, most=3)
    assert await sender.send_some()
    await gateway.asked.wait()
    assert await states(life) == ["queued", "sending", "sending", "sending"]
    gateway.told.set()
    while await sender.send_some():
        pass
    await sender.finish()
    assert await states(life) == ["sent"] * 4


async def test_what_is_abandoned_is_unknown_and_never_sent_again(life: Life) -> None:
    await life.submit()
    gateway = Slow()
    sender = sending(life, gateway)
    assert not await sender.send_some()  # nothing waits any more
    await gateway.asked.wait()
    sender.abandon()
    await sender.finish()
    assert await states(life) == ["sending"]
    assert not await sender.send_some()
