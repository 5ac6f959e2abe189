"""Executions that an inquiry lists otherwise than the stream tells them, as one sum or at an average price: each counts once,
whichever came first (P7). The cumulative quantity arbitrates."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.sweep import sweep_account
from service.gateway import CallClass, ExecutionRow
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_busts import acknowledged, bust
from tests.executions.test_order_life import Life, trade
from tests.executions.test_order_trouble import Asked, row
from tests.makers import TODAY, make_world

Listed = list[tuple[int, str]]


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def look(life: Life, *listed: tuple[int, str], number: str | None = None) -> None:
    executions = tuple(ExecutionRow(quantity, Decimal(price), number, None) for quantity, price in listed)
    shown = row(life, executed=sum(quantity for quantity, _ in listed), executions=executions)
    gateway: Any = Asked(life, [shown])
    gateway.reports = life.gateway.reports
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)


async def counted(life: Life) -> tuple[int, int, int]:
    """Of the order, its fills and its account."""
    assert await violations(life.urls.superuser) == []
    fills = sum(one["quantity"] for one in await life.fills())
    return (await life.order())["filled_quantity"], fills, (await life.holding())["bought"]


OTHERWISE: dict[str, Listed] = {
    "one sum": [(7, "70000")],
    "at its average": [(4, "70000.1429"), (3, "70000.1429")],
    "split further": [(2, "70000"), (2, "70000"), (3, "70000")],
    "joined otherwise": [(5, "70000"), (2, "70000")],
}


@pytest.mark.parametrize("turn", list(permutations((0, 1, 2))), ids=str)
@pytest.mark.parametrize("listed", OTHERWISE.values(), ids=list(OTHERWISE))
async def test_p07_what_an_inquiry_lists_otherwise_before_the_stream_tells_it_counts_once(
    life: Life, listed: Listed, turn: tuple[int, ...]
) -> None:
    """The last fill is made after the look, and counts beside what was listed."""
    cl = await acknowledged(life)
    await look(life, *listed)
    told = [(4, 4), (3, 7), (1, 8)]
    for one in turn:
        quantity, cumulative = told[one]
        await life.receive(trade(cl, quantity, cumulative, exec_id=f"E{one}"), seqs=[4 + one])
    assert await counted(life) == (8, 8, 8)
    assert (await life.order())["needs_review"] is None


async def test_p07_told_first_and_listed_otherwise_then_counts_once(life: Life) -> None:
    cl = await acknowledged(life)
    await life.receive(trade(cl, 4, 4, exec_id="E1"), trade(cl, 3, 7, exec_id="E2"))
    await look(life, (7, "70000.1429"))
    assert await counted(life) == (7, 7, 7)


async def test_p07_p12_a_bust_of_what_was_listed_otherwise_does_not_bring_it_back_and_hides_no_later_fill(life: Life) -> None:
    cl = await acknowledged(life)
    made_at = life.clock.now()
    await look(life, (4, "70000.3333"), number="1")
    await life.receive(trade(cl, 4, 4, exec_id="X1", transact_time=made_at), seqs=[4])
    life.clock.advance(timedelta(minutes=1))
    await life.receive(bust(cl, "X1", 0, transact_time=life.clock.now()), seqs=[5])
    assert await counted(life) == (0, 0, 0)
    life.clock.advance(timedelta(minutes=1))
    await life.receive(trade(cl, 3, 3, exec_id="X2", transact_time=life.clock.now()), seqs=[6])
    assert await counted(life) == (3, 3, 3)
