"""A sender whose clock is wrong sends nothing new; one whose code was written for other tables sends nothing at all."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog

from ops.invariants import violations
from service.controls import store as controls
from service.controls.fitness import CLOCK_AHEAD, UNFIT, Fitness
from service.controls.model import Gate
from service.core import clock as clocks
from service.core.clock import ManualClock
from service.core.errors import Unavailable
from service.executions.sweep import Sweeper, sweep_account
from service.gateway import CallClass
from service.infra import migrations
from service.infra.db import Database
from service.orders.model import ROWS_ARE_LATE
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack
from tests.executions.test_order_trouble import Asked, row
from tests.makers import BROKER, TODAY, make_world
from tests.orders.test_submit import place

SKEWS = {"six-seconds-slow": timedelta(seconds=-6), "ten-minutes-fast": timedelta(minutes=10)}


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


@pytest.fixture(autouse=True)
def _right_again() -> Iterator[None]:
    yield
    clocks.stand_in()


def step(skew: timedelta) -> None:
    clocks.stand_in(wall=lambda: datetime.now(UTC) + skew)


@pytest.mark.parametrize("name", SKEWS)
async def test_row_19_p02_while_the_clocks_are_apart_only_cancellations_pass(life: Life, name: str) -> None:
    resting = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await life.submit(key="k2", quantity=7)
    step(SKEWS[name])
    await life.cancel(resting, "c1")
    await life.dispatch()
    assert [(row["kind"], row["state"]) for row in await life.requests()] == [
        ("new", "acknowledged"), ("new", "queued"), ("cancellation", "sent"),
    ]  # fmt: skip
    clocks.stand_in()
    await life.dispatch()
    assert [row["state"] for row in await life.requests()] == ["acknowledged", "sent", "sent"]
    assert await violations(life.urls.superuser) == []


async def test_row_19_p15_a_sender_whose_clock_is_fast_does_not_take_the_session_for_over(life: Life) -> None:
    """By its own clock the cancellation comes too late; by everybody else's the order still trades."""
    resting = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    ends = (await life.order())["session_ends"]
    life.clock.advance(ends - timedelta(minutes=5) - life.clock.now())
    await life.cancel(resting, "c1")
    step(timedelta(minutes=10))
    fast = replace(life.dispatcher, clock=ManualClock(ends + timedelta(minutes=5)))
    assert await fast.dispatch_one([BROKER])
    assert [row["state"] for row in await life.requests()] == ["acknowledged", "sent"]


async def test_row_19_p02_whose_clock_is_right_sends_no_cancellation_after_the_session(life: Life) -> None:
    resting = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await life.cancel(resting, "c1")
    life.clock.advance((await life.order())["session_ends"] - life.clock.now())
    await life.dispatch()
    assert [(row["state"], row["reason"]) for row in await life.requests()][1] == ("refused", "too-late")


async def test_row_19_an_order_whose_time_runs_out_meanwhile_says_why(life: Life) -> None:
    await life.submit()
    step(timedelta(seconds=6))
    life.clock.advance(timedelta(seconds=31))
    await life.dispatch()
    assert [(row["state"], row["reason"]) for row in await life.requests()] == [("refused", "clock-wrong")]


@pytest.mark.parametrize("name", SKEWS)
async def test_row_19_nothing_new_is_taken_and_the_same_key_is_free_afterwards(life: Life, name: str) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    step(SKEWS[name])
    with pytest.raises(Unavailable) as order:
        await place(life.app, life.clock, life.world, key="k2", quantity=7)
    with pytest.raises(Unavailable) as amendment:
        await life.amend(order_id, "a1", price=Decimal(70_100))
    assert (order.value.slug, amendment.value.slug) == ("clock-wrong", "clock-wrong")
    assert len(await life.requests()) == 1
    clocks.stand_in()
    assert (await place(life.app, life.clock, life.world, key="k2", quantity=7)).status == 201
    assert (await life.amend(order_id, "a1", price=Decimal(70_100))).status == 201


async def test_row_19_four_seconds_are_borne(life: Life) -> None:
    step(timedelta(seconds=4))
    await life.submit()
    await life.dispatch()
    assert len(life.gateway.sends) == 1


@pytest.mark.parametrize("cancels", [False, True])
async def test_row_29_p02_a_sender_beside_other_tables_sends_nothing(life: Life, cancels: bool) -> None:
    before = await life.queue(cancels=cancels)
    old = replace(life.dispatcher, schema="the one before")
    assert not await old.dispatch_one([BROKER])
    assert len(life.gateway.sends) == before
    present = replace(life.dispatcher, schema=migrations.named(await asyncio.to_thread(migrations.heads)))
    assert await present.dispatch_one([BROKER])
    assert len(life.gateway.sends) == before + 1


async def test_a_person_is_told_once_that_the_clock_is_off_and_once_that_it_is_not(life: Life) -> None:
    fitness = Fitness(migrations.named(await asyncio.to_thread(migrations.heads)))
    with structlog.testing.capture_logs() as lines:
        for skew in (0, 2, 2, 6, 0):
            step(timedelta(seconds=skew))
            fitness.look(await _gate(life))
            assert round(_figure(CLOCK_AHEAD)) == skew
            assert _figure(UNFIT.labels("clock")) == (skew == 6)
    assert [one["event"] for one in lines] == ["worker.clock_off", "worker.clock_off_no_more"]


async def test_a_person_is_told_that_the_tables_are_of_another_version(life: Life) -> None:
    with structlog.testing.capture_logs() as lines:
        Fitness("the one before").look(await _gate(life))
    assert [(one["event"], one["wanted"]) for one in lines] == [("worker.other_tables", "the one before")]
    assert _figure(UNFIT.labels("tables")) == 1


async def _gate(life: Life) -> Gate:
    async with life.worker.transaction() as connection:
        return await controls.gate(connection, None)


def _figure(metric: Any) -> float:
    return float(metric.collect()[0].samples[0].value)


async def test_row_19_i3_whose_clock_is_fast_ends_no_order_that_still_trades(life: Life) -> None:
    """By its own clock the session was over, so a list that shows the remainder standing ended the order as expired."""
    await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    over = (await life.order())["session_ends"] + ROWS_ARE_LATE
    step(over - life.clock.now())
    gateway: Any = Asked(life, [row(life)])
    applier = replace(life.applier, clock=ManualClock(over), gateway=gateway)
    life.clock.moment, morning = over, life.clock.now()
    await Sweeper(applier, plenty).sweep()
    assert not await sweep_account(applier, (life.world.account, TODAY), CallClass.RESOLVE)
    assert ((await life.order())["status"], gateway.asked) == ("new", [])
    clocks.stand_in()
    life.clock.moment = morning
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.RESOLVE)
    assert (await life.order())["status"] == "new"


async def plenty() -> int:
    return 1000
