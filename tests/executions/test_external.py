"""Orders and fills nobody here sent (P13): adopted once, booked like any other, and never mistaken for one of ours."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.sweep import sweep_account
from service.gateway import (
    Accepted,
    CallClass,
    CancelReject,
    ExecType,
    ExecutionRow,
    RawReport,
    Report,
    RequestKind,
    Side,
    Unknown,
)
from service.infra.db import Books, Database
from service.orders import store as orders
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack
from tests.executions.test_order_trouble import Asked, row
from tests.makers import ISIN, MORNING, TODAY, fetch, make_world, report


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


def theirs(exec_type: ExecType = ExecType.NEW, status: str = "0", **given: Any) -> Report:
    """A report of the client's own sale: no ClOrdID, a number of its own."""
    values: dict[str, Any] = {
        "side": Side.SELL, "order_id": "7001", "order_quantity": 100, "price": Decimal(70_000), "cumulative_quantity": 0,
        "leaves_quantity": 100,
    }  # fmt: skip
    return replace(report(exec_type, status, ""), cl_ord_id=None, **(values | given))


def sold(quantity: int, cumulative: int, **given: Any) -> Report:
    said: dict[str, Any] = {
        "last_quantity": quantity, "last_price": Decimal(70_000), "cumulative_quantity": cumulative,
        "leaves_quantity": 100 - cumulative,
    }  # fmt: skip
    return theirs(ExecType.TRADE, "1", **(said | given))


async def all_orders(life: Life) -> list[Any]:
    return await fetch(life.urls.superuser, "select * from orders order by id")


async def states(life: Life) -> list[tuple[str, str | None]]:
    rows = await fetch(life.urls.superuser, "select state, reason from inbox order by arrived")
    return [(one["state"], one["reason"]) for one in rows]


async def test_p13_a_clients_own_sale_is_adopted_and_holds_its_shares(life: Life) -> None:
    await life.receive(theirs(), sold(40, 40))
    (order,) = await all_orders(life)
    assert (order["manager_id"], order["mandate_id"], order["status"], order["quantity"]) == (None, None, "partially_filled", 100)
    holding = await life.holding()
    assert (holding["sold"], holding["reserved_sell"]) == (40, 60)
    assert (await life.cash())["sold"] == 2_800_000
    assert await states(life) == [("applied", None)] * 2
    assert await violations(life.urls.superuser) == []


async def test_p13_it_is_adopted_and_alarmed_once(life: Life) -> None:
    await life.receive(theirs())
    await life.receive(sold(40, 40), sold(40, 40), theirs(ExecType.CANCELED, "4", cumulative_quantity=40, leaves_quantity=0))
    (order,) = await all_orders(life)
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("canceled", 40, True)
    kinds = await fetch(life.urls.superuser, "select kind from audit.record where kind = 'order.adopted'")
    assert len(kinds) == 1
    assert (await life.holding())["reserved_sell"] == 0


async def test_p13_its_first_report_need_not_be_its_first(life: Life) -> None:
    """A fill that names no ordered quantity, then the acknowledgement of a larger one."""
    await life.receive(sold(40, 40, order_quantity=None, leaves_quantity=None))
    (order,) = await all_orders(life)
    assert (order["quantity"], order["status"]) == (40, "filled")
    await life.receive(theirs())
    (order,) = await all_orders(life)
    assert (order["quantity"], order["status"], order["remaining_quantity"]) == (100, "partially_filled", 60)
    assert await violations(life.urls.superuser) == []


async def test_p13_what_may_be_an_order_of_ours_is_held_until_that_is_known(life: Life) -> None:
    """The answer was lost; a report without our name comes with the same terms. It must not become somebody else's."""
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    nameless = theirs(side=Side.BUY, order_quantity=10, leaves_quantity=10)
    filled = replace(nameless, exec_type=ExecType.TRADE, ord_status="1", last_quantity=4, last_price=Decimal(70_000),
                     cumulative_quantity=4, leaves_quantity=6)  # fmt: skip
    await life.receive(nameless, filled)
    assert await states(life) == [("unmatched", "may-be-ours")] * 2
    assert len(await all_orders(life)) == 1
    await life.receive(ack(cl, order_id="7001"))
    (order,) = await all_orders(life)
    assert (order["filled_quantity"], order["status"]) == (4, "partially_filled")
    assert await states(life) == [("applied", None)] * 3


async def test_p13_ours_may_have_been_lowered_before_its_acknowledgement_is_heard(life: Life) -> None:
    """Its broker took three of ten shares back by itself, and what he says of it does not name us."""
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    lowered: dict[str, Any] = {"side": Side.BUY, "order_quantity": 7, "leaves_quantity": 7}
    await life.receive(theirs(ExecType.RESTATED, **lowered), sold(4, 4, **(lowered | {"leaves_quantity": 3})))
    assert await states(life) == [("unmatched", "may-be-ours")] * 2
    await life.receive(ack(cl, order_id="7001"))
    (order,) = await all_orders(life)
    assert (order["quantity"], order["filled_quantity"], order["remaining_quantity"]) == (7, 4, 3)
    assert ((await life.holding())["bought"], (await life.cash())["bought"]) == (4, 280_000)
    assert await violations(life.urls.superuser) == []


async def test_p13_what_may_be_ours_is_adopted_when_its_day_is_over(life: Life) -> None:
    """Nobody can tell any more, and the next opening contains it: it waits for no person."""
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    await life.receive(sold(4, 4, side=Side.BUY, order_quantity=7, leaves_quantity=3))
    life.clock.advance(timedelta(hours=13))
    await life.applier.look_again()
    assert len(await all_orders(life)) == 1
    life.clock.moment = MORNING + timedelta(days=1)
    await life.applier.look_again()
    mine, other = await all_orders(life)
    assert (mine["filled_quantity"], mine["closed"]) == (0, False)
    assert (other["manager_id"], other["filled_quantity"], other["business_date"]) == (None, 4, TODAY)
    assert await states(life) == [("applied", None)]
    assert await violations(life.urls.superuser) == []


async def test_p13_what_was_held_is_adopted_when_it_proves_not_to_be_ours(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(theirs(side=Side.BUY, order_quantity=10, leaves_quantity=10))
    await life.receive(ack(cl, order_id="1001"))
    await life.applier.look_again()
    mine, other = await all_orders(life)
    assert (mine["broker_order_number"], other["broker_order_number"]) == ("1001", "7001")
    assert other["manager_id"] is None
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize(
    "terms",
    [
        {"order_quantity": 11, "leaves_quantity": 11},
        {"price": Decimal(69_900)},
        {"side": Side.SELL},
        {"transact_time": MORNING - timedelta(minutes=5)},
    ],
    ids=["quantity", "price", "side", "before we sent"],
)
async def test_p13_other_terms_than_ours_are_not_waited_for(life: Life, terms: dict[str, Any]) -> None:
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    same: dict[str, Any] = {"side": Side.BUY, "order_quantity": 10, "leaves_quantity": 10}
    await life.receive(theirs(**(same | terms)))
    assert len(await all_orders(life)) == 2


async def test_p13_it_belongs_to_no_manager_and_is_neither_amended_nor_cancelled(life: Life) -> None:
    await life.receive(theirs())
    order_id = (await all_orders(life))[0]["id"]
    async with life.app.transaction(books=life.world.manager.user_id) as connection:
        seen = await orders.load(connection, order_id)
    assert seen is not None  # the account is in the manager's book, so what it holds back is seen
    async with life.app.transaction(books=life.world.other_manager.user_id) as connection:
        assert await orders.load(connection, order_id) is None
    for refused in (await life.cancel(order_id, "c1"), await life.amend(order_id, "a1", price=Decimal(70_100))):
        assert (refused.status, orjson.loads(refused.body)["type"]) == (409, "/problems/external-order")
    async with life.app.transaction(books=Books.ALL) as connection:
        assert await orders.load(connection, order_id) is not None


async def test_p13_before_the_day_is_open_it_waits_and_is_counted_once(life: Life) -> None:
    """A balance read later would contain what it did; one read before the market opened cannot."""
    await fetch(life.urls.superuser, "update cash set opened_on = opened_on - 1")
    await fetch(life.urls.superuser, "update holding set opened_on = opened_on - 1")
    await life.receive(sold(40, 40))
    assert await states(life) == [("unmatched", "no-opening-balance")]
    await fetch(life.urls.superuser, "update cash set opened_on = opened_on + 1")
    await fetch(life.urls.superuser, "update holding set opened_on = opened_on + 1")
    await life.applier.look_again()
    assert await states(life) == [("applied", None)]
    assert ((await life.holding())["sold"], (await life.cash())["sold"]) == (40, 2_800_000)


async def test_p13_one_of_yesterday_changes_yesterday_and_not_todays_counters(life: Life) -> None:
    """The opening balance contains it; the day it belongs to is told differently now (P12)."""
    life.clock.advance(timedelta(days=1))
    await fetch(life.urls.superuser, "update cash set opened_on = opened_on + 1")
    await fetch(life.urls.superuser, "update holding set opened_on = opened_on + 1")
    await life.receive(sold(40, 40))
    (order,) = await all_orders(life)
    assert (order["business_date"], order["filled_quantity"]) == (TODAY, 40)
    assert ((await life.holding())["sold"], (await life.cash())["sold"]) == (0, 0)
    days = await fetch(life.urls.superuser, "select business_date, kind from restatement")
    assert [tuple(one) for one in days] == [(TODAY, "late")]


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        (theirs(order_id=None), "unmatched", "no-broker-number"),
        (theirs(side=None), "quarantined", "no-side"),
        (theirs(account=None), "quarantined", "unknown-account"),
        (CancelReject("0", "7001", "X1", "X0", RequestKind.CANCELLATION, "1", None, None), "quarantined",
         "refuses-a-request-that-is-not-ours"),
    ],
    ids=["number", "side", "account", "reject"],
)  # fmt: skip
async def test_p13_what_cannot_be_adopted_is_kept_and_told(life: Life, said: Report, state: str, reason: str) -> None:
    await life.receive(said)
    assert await states(life) == [(state, reason)]
    assert await all_orders(life) == []


async def test_p13_nothing_stays_unmatched_for_ever(life: Life) -> None:
    """Its day is over and nothing more was learned: a person has to look."""
    await life.receive(theirs(order_id=None))
    life.clock.advance(timedelta(days=1))
    await life.applier.look_again()
    assert await states(life) == [("quarantined", "no-broker-number")]


# --- seen first by an inquiry ------------------------------------------------------------------------------------------


def their_row(life: Life, **given: Any) -> Any:
    values: dict[str, Any] = {"order_number": "0007001", "side": Side.SELL, "quantity": 100, "executed_quantity": 40,
                              "executions": (ExecutionRow(40, Decimal(70_000), "1", MORNING),)}  # fmt: skip
    return row(life, **(values | given))


async def ask(life: Life, *rows: Any) -> None:
    gateway: Any = Asked(life, list(rows))
    gateway.reports = life.gateway.reports
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)


async def test_p13_push_and_inquiry_show_the_same_stranger_once(life: Life) -> None:
    await ask(life, their_row(life))
    (order,) = await all_orders(life)
    assert (order["filled_quantity"], order["remaining_quantity"]) == (40, 60)
    await life.receive(theirs(), sold(40, 40))
    await ask(life, their_row(life))
    (order,) = await all_orders(life)
    assert (order["filled_quantity"], order["status"]) == (40, "partially_filled")
    assert (await life.holding())["sold"] == 40
    assert await violations(life.urls.superuser) == []


async def test_p13_an_amended_and_cancelled_stranger_is_one_order(life: Life) -> None:
    rows = [
        their_row(life, executed_quantity=0, executions=()),
        their_row(life, order_number="7002", original_number="0007001", is_amend=True, quantity=100),
        their_row(
            life, order_number="7003", original_number="7002", is_cancel=True, quantity=60, executed_quantity=0, executions=()
        ),
    ]
    await ask(life, *rows)
    (order,) = await all_orders(life)
    assert order["filled_quantity"] == 40
    await life.receive(theirs(ExecType.CANCELED, "4", order_id="7003", cumulative_quantity=40, leaves_quantity=0))
    (order,) = await all_orders(life)
    assert (order["status"], order["closed"]) == ("canceled", True)


async def test_p13_a_row_that_may_be_ours_is_left_alone(life: Life) -> None:
    """Two rows fit the order whose answer was lost: neither is taken, neither is adopted."""
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    await ask(life, row(life, order_number="7001"), row(life, order_number="7002"))
    (order,) = await all_orders(life)
    assert order["broker_order_number"] is None


async def test_p13_the_row_of_an_order_of_which_only_its_cancellation_told_a_number_is_no_stranger(life: Life) -> None:
    """Found by the simulated day 60206: the acknowledgement was lost, and an inquiry lacked the cancellation's row."""
    order_id = await life.submit()
    await life.dispatch()
    await life.cancel(order_id, "c1")
    await life.dispatch()
    new, cancellation = [one.cl_ord_id for one in life.gateway.sends]
    said: dict[str, Any] = {"orig_cl_ord_id": new, "order_id": "7002", "cumulative_quantity": 0, "leaves_quantity": 0}
    await life.receive(report(ExecType.CANCELED, "4", cancellation, **said))
    await ask(life, row(life, order_number="7001"))
    (order,) = await all_orders(life)
    assert (order["broker_order_number"], order["closed"]) == ("7002", True)
    other = row(life, order_number="7009", quantity=11)
    withdrawn = row(life, order_number="7002", original_number="7001", is_cancel=True)
    await ask(life, row(life, order_number="7001"), withdrawn, other)
    assert [one["broker_order_number"] for one in await all_orders(life)] == ["7002", "7009"]


async def lowered(life: Life) -> str:
    """Of ten shares three were taken back by the broker, four bought; we have heard of none of it. The ClOrdID."""
    await life.submit()
    await life.dispatch()
    await ask(life, lowered_row(life))
    return life.gateway.sends[0].cl_ord_id


def lowered_row(life: Life) -> Any:
    return row(life, 4, order_number="7001", quantity=7, executions=(ExecutionRow(4, Decimal(70_000), "1", MORNING),))


async def test_p13_the_row_of_an_order_the_broker_lowered_is_no_stranger(life: Life) -> None:
    """Found by the simulated days 54, 143 and 152: it was adopted, and merged when its acknowledgement came."""
    cl = await lowered(life)
    assert [one["manager_id"] for one in await all_orders(life)] == [life.world.manager.user_id]
    restated = report(ExecType.RESTATED, "0", cl, order_id="7001", order_quantity=7, leaves_quantity=7, cumulative_quantity=0)
    await life.receive(ack(cl, order_id="7001"), restated)
    await ask(life, lowered_row(life))
    (order,) = await all_orders(life)
    assert (order["quantity"], order["filled_quantity"], order["remaining_quantity"]) == (7, 4, 3)
    assert (await life.holding())["bought"] == 4
    assert await fetch(life.urls.superuser, "select from audit.record where kind in ('order.adopted', 'order.merged')") == []


async def test_p13_it_is_ours_when_its_session_is_over(life: Life) -> None:
    """The platform took our order, so the broker must list it by now, and lists nothing else that it could be."""
    await lowered(life)
    life.clock.moment = (await life.order())["session_ends"] + timedelta(seconds=59)
    await ask(life, lowered_row(life))
    assert (await life.order())["filled_quantity"] == 0
    life.clock.advance(timedelta(seconds=1))
    await ask(life, lowered_row(life))
    (order,) = await all_orders(life)
    assert (order["broker_order_number"], order["filled_quantity"], order["status"]) == ("7001", 4, "expired")
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("is_lowered", [False, True], ids=["as-sent", "lowered"])
async def test_p13_an_order_that_only_a_refused_cancellation_shows_alive_has_its_row_too(life: Life, is_lowered: bool) -> None:
    """Found by a simulated day: its fills were lost for ever."""
    order_id = await life.submit()
    await life.dispatch()
    await life.cancel(order_id, "c1")
    await life.dispatch()
    new, cancellation = [one.cl_ord_id for one in life.gateway.sends]
    await life.receive(CancelReject("0", None, cancellation, new, RequestKind.CANCELLATION, "3", "처리중", None))
    order = await life.order()
    assert (order["status"], order["broker_order_number"]) == ("new", None)
    await ask(life, lowered_row(life))
    (order,) = await all_orders(life)
    assert (order["broker_order_number"], order["filled_quantity"]) == (None, 0)
    life.clock.moment = order["session_ends"] + timedelta(minutes=1) if is_lowered else life.clock.now()
    await ask(life, lowered_row(life) if is_lowered else row(life, order_number="7001"))
    (order,) = await all_orders(life)
    assert (order["broker_order_number"], order["filled_quantity"], order["closed"]) == ("7001", 4 * is_lowered, is_lowered)


@pytest.mark.parametrize("second", ["row", "order", "answer"])
async def test_p13_it_stays_undecided_while_it_could_be_something_else(life: Life, second: str) -> None:
    """Another row, another order of ours, or no answer that the platform took ours."""
    if second == "answer":
        life.gateway.answers = [Unknown("read-timeout")]
    if second == "order":
        await life.submit(key="another", quantity=9)
        await life.dispatch()
    await lowered(life)
    life.clock.moment = (await all_orders(life))[0]["session_ends"] + timedelta(minutes=2)
    more = [row(life, order_number="7002", quantity=3)] if second == "row" else []
    await ask(life, lowered_row(life), *more)
    assert {(one["broker_order_number"], one["filled_quantity"]) for one in await all_orders(life)} == {(None, 0)}


async def test_p07_the_row_of_an_order_the_broker_lowered_is_not_taken_for_a_smaller_one_in_doubt(life: Life) -> None:
    """Found by the simulation: two orders of ours got one number, and its fill was counted for both."""
    cl = await lowered(life)
    life.gateway.answers = [Unknown("read-timeout")]
    await life.submit(key="another", quantity=7)
    await life.dispatch()
    await ask(life, lowered_row(life))
    assert {(one["broker_order_number"], one["filled_quantity"]) for one in await all_orders(life)} == {(None, 0)}
    restated = report(ExecType.RESTATED, "0", cl, order_id="7001", order_quantity=7, leaves_quantity=7, cumulative_quantity=0)
    await life.receive(ack(cl, order_id="7001"), restated)
    await ask(life, lowered_row(life))
    found = sorted((one["quantity"], one["broker_order_number"] or "", one["filled_quantity"]) for one in await all_orders(life))
    assert found == [(7, "", 0), (7, "7001", 4)]
    assert (await life.holding())["bought"] == 4
    await ask(life, lowered_row(life), row(life, order_number="7002", quantity=7))
    assert sorted(one["broker_order_number"] for one in await all_orders(life)) == ["7001", "7002"]


async def test_p13_what_the_broker_rejected_was_never_alive(life: Life) -> None:
    await ask(life, their_row(life, executed_quantity=0, executions=(), state_text="거부"))
    assert await all_orders(life) == []


async def test_p13_a_cancellation_by_the_exchange_ends_our_order(life: Life) -> None:
    """Nobody asked for it: no ClOrdID of a cancellation, only the order's own (fix: unsolicited cancel)."""
    await life.submit()
    life.gateway.answers = [Accepted(None, b"{}")]
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), report(ExecType.CANCELED, "4", cl, cumulative_quantity=0, leaves_quantity=0))
    order = await life.order()
    assert (order["status"], order["closed"], order["reserved_cash"]) == ("canceled", True, 0)


async def test_p13_two_workers_adopt_one_order(life: Life) -> None:
    """Both take up a report of the same stranger at once; the number is claimed under one lock."""
    await life.receive(ack("nobody", account=None))  # a batch of its own, so that the next two are not settled together
    first, second = theirs(), sold(40, 40)
    for i, one in enumerate((first, second)):
        body = f"at once {i}".encode()
        life.gateway.reports[body] = one
        await life.inbox.store([RawReport("F0001", TODAY, 100 + i, body)])
    await asyncio.gather(life.applier.apply_waiting(), replace(life.applier).apply_waiting())
    while await life.applier.apply_waiting():
        pass
    found = [one for one in await all_orders(life) if one["isin"] == ISIN]
    assert len(found) == 1
    assert found[0]["filled_quantity"] == 40


async def test_p13_an_adopted_order_that_proves_to_be_ours_is_counted_once(life: Life) -> None:
    """The broker's clock was far behind and the acknowledgement lost, so that nothing spoke for us; then our name comes."""
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    early: dict[str, Any] = {"side": Side.BUY, "order_quantity": 10, "transact_time": MORNING - timedelta(minutes=5)}
    await life.receive(theirs(leaves_quantity=10, **early), sold(4, 4, **(early | {"leaves_quantity": 6})))
    mine, other = await all_orders(life)
    assert (mine["filled_quantity"], other["filled_quantity"]) == (0, 4)
    await life.receive(ack(cl, order_id="7001"))
    mine, other = await all_orders(life)
    assert (mine["filled_quantity"], mine["status"], mine["reported_quantity"]) == (4, "partially_filled", 4)
    assert (other["filled_quantity"], other["status"], other["closed"], other["reserved_cash"]) == (0, "canceled", True, 0)
    assert ((await life.holding())["bought"], (await life.cash())["bought"]) == (4, 280_000)
    nameless = sold(2, 6, **(early | {"leaves_quantity": 4}))
    await life.receive(nameless, replace(nameless, cl_ord_id=cl))
    mine, other = await all_orders(life)
    assert (mine["filled_quantity"], other["filled_quantity"]) == (6, 0)
    assert await violations(life.urls.superuser) == []


async def adopted(life: Life) -> str:
    """As above: an order of ours of which four are executed, adopted as 7001 since nothing spoke for us. The ClOrdID."""
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    early: dict[str, Any] = {"side": Side.BUY, "order_quantity": 10, "transact_time": MORNING - timedelta(minutes=5)}
    await life.receive(theirs(leaves_quantity=10, **early), sold(4, 4, **(early | {"leaves_quantity": 6})))
    assert [one["filled_quantity"] for one in await all_orders(life)] == [0, 4]
    return life.gateway.sends[0].cl_ord_id


async def withdrawn(life: Life, cl: str) -> None:
    """Our cancellation is confirmed under a number of its own."""
    (mine, _) = await all_orders(life)
    await life.cancel(mine["id"], "c1")
    await life.dispatch()
    said: dict[str, Any] = {"orig_cl_ord_id": cl, "order_id": "7002", "cumulative_quantity": 4, "leaves_quantity": 0}
    await life.receive(report(ExecType.CANCELED, "4", life.gateway.sends[-1].cl_ord_id, **said))


async def one_of_them(life: Life) -> None:
    mine, other = await all_orders(life)
    assert (mine["filled_quantity"], mine["status"], mine["closed"]) == (4, "canceled", True)
    assert (other["filled_quantity"], other["closed"], other["reserved_cash"]) == (0, True, 0)
    assert ((await life.holding())["bought"], (await life.cash())["bought"]) == (4, 280_000)
    assert await violations(life.urls.superuser) == []


async def test_p13_an_adopted_order_is_ours_though_our_change_told_its_number_first(life: Life) -> None:
    cl = await adopted(life)
    await withdrawn(life, cl)
    await life.receive(ack(cl, order_id="7001"))
    await one_of_them(life)


@pytest.mark.parametrize("turned", [False, True], ids=["as given", "the change first"])
async def test_p13_an_adopted_order_is_ours_when_a_row_of_ours_changes_it(life: Life, turned: bool) -> None:
    cl = await adopted(life)
    await withdrawn(life, cl)
    executed = ExecutionRow(4, Decimal(70_000), "1", None)
    rows = [
        row(life, order_number="7001", executed_quantity=4, executions=(executed,)),
        row(life, order_number="7002", original_number="07001", is_cancel=True),
    ]
    await ask(life, *(rows[::-1] if turned else rows))
    await one_of_them(life)


async def test_p13_what_the_client_made_of_our_order_under_another_number_is_our_order(life: Life) -> None:
    """By telephone he lowered it: the report knows only the new number, the row also the one it replaced."""
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl, order_id="7001"))
    lowered: dict[str, Any] = {"order_id": "7005", "side": Side.BUY, "order_quantity": 6, "leaves_quantity": 6}
    await life.receive(theirs(ExecType.REPLACED, **lowered))
    assert len(await all_orders(life)) == 2
    rows = [row(life, order_number="7001"), row(life, order_number="7005", original_number="7001", is_amend=True, quantity=6)]
    await ask(life, *rows)
    mine, other = await all_orders(life)
    assert (mine["quantity"], mine["remaining_quantity"], mine["broker_order_number"]) == (6, 6, "7005")
    assert (other["closed"], other["reserved_cash"]) == (True, 0)
    assert await violations(life.urls.superuser) == []
