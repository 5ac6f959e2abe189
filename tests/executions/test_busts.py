"""Busts and corrections (P12): a linked reversal, the money and the shares given back with the same costs, the day marked."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.sweep import sweep_account
from service.gateway import CallClass, ExecType, ExecutionRow, Report, Side
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.executions.test_order_trouble import Asked, row
from tests.makers import TODAY, fetch, make_world, report


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def acknowledged(life: Life, **changes: Any) -> str:
    await life.submit(**changes)
    await life.dispatch()
    cl: str = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    return cl


def bust(cl: str, ref: str | None, cumulative: int, **given: Any) -> Report:
    return report(ExecType.TRADE_CANCEL, "1", cl, exec_id="B1", exec_ref_id=ref, cumulative_quantity=cumulative, **given)


def correction(cl: str, number: str, ref: str, quantity: int, price: int, cumulative: int) -> Report:
    return report(
        ExecType.TRADE_CORRECT, "1", cl, exec_id=number, exec_ref_id=ref, last_quantity=quantity, last_price=Decimal(price),
        cumulative_quantity=cumulative,
    )  # fmt: skip


async def whole(life: Life) -> dict[str, Any]:
    """What a bust must put back: cash, holding, costs, and what the order has executed."""
    cash, holding, order = await life.cash(), await life.holding(), await life.order()
    costs = await fetch(life.urls.superuser, "select coalesce(sum(commission + taxes), 0) as n from trade_cost")
    assert await violations(life.urls.superuser) == []
    return {
        "bought": cash["bought"], "sold": cash["sold"], "costs": cash["costs"], "accrued": int(costs[0]["n"]),
        "shares": holding["bought"] - holding["sold"], "filled": order["filled_quantity"], "amount": order["filled_amount"],
    }  # fmt: skip


@pytest.mark.parametrize("side", list(Side))
async def test_p12_a_bust_gives_back_what_its_fill_took_costs_and_all(life: Life, side: Side) -> None:
    cl = await acknowledged(life, side=side)
    given = {"side": side}
    await life.receive(trade(cl, 4, 4, exec_id="E1", **given))
    before = await whole(life)
    await life.receive(trade(cl, 3, 7, exec_id="E2", **given))
    assert await whole(life) != before
    await life.receive(bust(cl, "E2", 4, **given))
    assert await whole(life) == before
    fills = await life.fills()
    assert [(one["quantity"], one["reverses"]) for one in fills] == [(4, None), (3, None), (-3, fills[1]["id"])]
    marks = await fetch(life.urls.superuser, "select kind, business_date, fill_id from restatement")
    assert [tuple(one) for one in marks] == [("reversal", TODAY, fills[2]["id"])]


async def test_p12_a_correction_of_a_correction_refers_to_the_first(life: Life) -> None:
    cl = await acknowledged(life)
    await life.receive(
        trade(cl, 4, 4, exec_id="D"), correction(cl, "F", "D", 4, 69_900, 4), correction(cl, "H", "F", 3, 69_800, 3)
    )
    standing = [(one["quantity"], int(one["price"])) for one in await life.fills()]
    assert standing == [(4, 70_000), (4, 69_900), (3, 69_800), (-4, 70_000), (-4, 69_900)]
    assert (await whole(life))["bought"] == 3 * 69_800


async def test_p12_a_bust_before_its_fill_and_again_undoes_it_once(life: Life) -> None:
    cl = await acknowledged(life)
    await life.receive(bust(cl, "E1", 0), seqs=[5])
    assert (await life.order())["needs_review"] == "bust-of-an-unknown-execution"
    await life.receive(trade(cl, 4, 4, exec_id="E1"), seqs=[4])
    await life.receive(bust(cl, "E1", 0), seqs=[7])
    assert [one["quantity"] for one in await life.fills()] == [4, -4]
    order = await life.order()
    assert (order["filled_quantity"], order["needs_review"]) == (0, None)
    assert (await whole(life))["bought"] == 0


async def test_p12_a_bust_of_a_fill_an_inquiry_showed_first(life: Life) -> None:
    cl = await acknowledged(life)
    gateway: Any = Asked(life, [row(life, executed=4, executions=(ExecutionRow(4, Decimal(70_000), "1", None),))])
    gateway.reports = life.gateway.reports
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    assert (await life.order())["filled_quantity"] == 4
    life.clock.advance(timedelta(minutes=1))
    await life.receive(trade(cl, 4, 4, exec_id="X-1"))
    await life.receive(bust(cl, "X-1", 0, transact_time=life.clock.now()))
    assert [one["quantity"] for one in await life.fills()] == [4, -4]
    assert (await whole(life))["bought"] == 0


async def test_p07_a_correction_of_a_fill_that_only_an_unnumbered_list_showed_is_counted_once(life: Life) -> None:
    """Found by the simulation: its report was lost, the list gives no numbers, and what it became was booked beside it."""
    cl = await acknowledged(life)
    gateway: Any = Asked(life, [row(life, executed=4, executions=(ExecutionRow(4, Decimal(70_000), "0", None),))])
    gateway.reports = life.gateway.reports
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    life.clock.advance(timedelta(minutes=1))
    await life.receive(correction(cl, "F", "E1", 4, 69_900, 4), seqs=[7])
    assert [(one["quantity"], int(one["price"])) for one in await life.fills()] == [(4, 70_000), (4, 69_900), (-4, 70_000)]
    order = await life.order()
    assert (order["filled_quantity"], order["needs_review"]) == (4, None)
    await life.receive(trade(cl, 4, 4, exec_id="E1"), seqs=[6])
    assert (await whole(life))["bought"] == 4 * 69_900


async def test_p07_a_correction_that_could_mean_either_of_two_executions_waits_and_nothing_exceeds_the_count(life: Life) -> None:
    cl = await acknowledged(life)
    listed = (ExecutionRow(5, Decimal(70_000), "0", None), ExecutionRow(5, Decimal(69_800), "0", None))
    gateway: Any = Asked(life, [row(life, executed=10, executions=listed)])
    gateway.reports = life.gateway.reports
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    life.clock.advance(timedelta(minutes=1))
    await life.receive(correction(cl, "F", "E1", 5, 69_900, 10), seqs=[7])
    assert [(one["quantity"], int(one["price"])) for one in await life.fills()] == [(5, 70_000), (5, 69_800)]
    order = await life.order()
    assert (order["filled_quantity"], order["needs_review"]) == (10, "bust-of-an-unknown-execution")
    await life.receive(trade(cl, 5, 5, exec_id="E1"), seqs=[6])
    held = [(one["quantity"], int(one["price"])) for one in await life.fills()]
    assert held == [(5, 70_000), (5, 69_800), (5, 69_900), (-5, 70_000)]
    order = await life.order()
    assert (order["filled_quantity"], order["needs_review"]) == (10, None)
    assert (await whole(life))["bought"] == 5 * 69_800 + 5 * 69_900


async def test_p12_a_bust_after_the_cancel_leaves_the_order_cancelled(life: Life) -> None:
    cl = await acknowledged(life)
    await life.receive(trade(cl, 4, 4, exec_id="E1"))
    await life.receive(report(ExecType.CANCELED, "4", cl, cumulative_quantity=4, leaves_quantity=0))
    await life.receive(bust(cl, "E1", 0))
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"], order["reserved_cash"]) == ("canceled", 0, True, 0)
    assert (await whole(life))["bought"] == 0


async def test_p12_a_bust_of_yesterday_marks_its_day_and_leaves_todays_counters(life: Life) -> None:
    cl = await acknowledged(life)
    await life.receive(trade(cl, 10, 10, exec_id="E1"))
    life.clock.advance(timedelta(days=1))
    await fetch(life.urls.superuser, "update cash set opened_on = opened_on + 1, bought = 0, costs = 0")
    await fetch(life.urls.superuser, "update holding set opened_on = opened_on + 1, bought = 0, bought_cost = 0")
    await life.receive(bust(cl, "E1", 0, transact_time=life.clock.now()))
    assert ((await life.cash())["bought"], (await life.holding())["bought"]) == (0, 0)
    marks = await fetch(life.urls.superuser, "select business_date, kind, restated_at from restatement")
    assert [tuple(one) for one in marks] == [(TODAY, "reversal", life.clock.now())]
