"""What no broker can mean is quarantined with its word, and changes nothing of the order or of what it reserves (P11)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.differ import QUIET
from service.executions.impossible import LONGEST_TEXT
from service.executions.sweep import sweep_account
from service.executions.timeline import line
from service.gateway import CallClass, CancelReject, ExecType, ExecutionReport, ExecutionRow, RequestKind
from service.infra.db import Database
from service.orders.model import SHOWS_MORE
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.executions.test_order_trouble import Asked, acknowledged, row
from tests.makers import TODAY, fetch, make_world, report

MILLION = 1_000_000
ENDLESS = "x" * (LONGEST_TEXT + 1)


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


def changed(told: Any, **fields: Any) -> Any:
    return replace(told, **fields)


def impossible(cl: str) -> dict[str, tuple[Any, str]]:
    replaced = report(ExecType.REPLACED, "0", cl, cumulative_quantity=0)
    rejected = report(ExecType.REJECTED, "8", cl, cumulative_quantity=0)
    refused = CancelReject(
        ord_status="0", order_id="1001", cl_ord_id="Z", orig_cl_ord_id=cl, response_to=RequestKind.CANCELLATION, reason="1",
        text=None, sender="cyber", possible_duplicate=False,
    )  # fmt: skip
    return {
        "an-overfill-that-excuses-itself": (changed(trade(cl, 1, MILLION), order_quantity=MILLION), "overfill"),
        "an-acknowledgement-of-more": (changed(ack(cl), cumulative_quantity=MILLION, order_quantity=MILLION), "overfill"),
        "an-amendment-that-enlarges": (changed(replaced, order_quantity=MILLION), "enlarged"),
        "a-price-no-table-holds": (changed(trade(cl, 1, 1), last_price=Decimal("70000.00001")), "price-too-fine"),
        "an-endless-reason": (changed(rejected, reject_reason=ENDLESS), "endless-text"),
        "an-endless-refusal": (changed(refused, reason=ENDLESS), "endless-text"),
        "an-endless-name": (changed(refused, cl_ord_id=ENDLESS), "endless-text"),
    }


async def nothing_but_a_mark(life: Life, before: Any, reserved: int, mark: str) -> None:
    """The order and what it holds back are as they were; a person is asked to look."""
    after = await life.order()
    shown = ("status", "quantity", "price", "filled_quantity", "reported_quantity", "remaining_quantity", "closed")
    assert [after[one] for one in shown] == [before[one] for one in shown]
    assert after["needs_review"] == mark
    assert (await life.cash())["reserved"] == reserved
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("name", list(impossible("")))
async def test_p11_what_cannot_be_is_quarantined_and_changes_nothing(life: Life, name: str) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    before, reserved = await life.order(), (await life.cash())["reserved"]
    told, word = impossible(cl)[name]
    await life.receive(told)
    aside = await fetch(life.urls.superuser, "select state, reason from inbox where state <> 'applied'")
    assert [tuple(row) for row in aside] == [("quarantined", word)]
    await nothing_but_a_mark(life, before, reserved, word)


async def test_p11_the_line_that_tells_of_a_quarantine_names_its_evidence(life: Life) -> None:
    await acknowledged(life)
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(changed(trade(cl, 1, MILLION), order_quantity=MILLION))
    aside = (await fetch(life.urls.superuser, "select raw_id from inbox where state = 'quarantined'"))[0]["raw_id"]
    entry = await fetch(
        life.urls.superuser, "select convert_from(body, 'UTF8')::jsonb body from audit.record where kind = 'order.needs_review'"
    )
    told = line(5, "", orjson.loads(entry[0]["body"]))
    assert told.evidence == (str(aside),)
    assert str(aside) in told.text


async def test_p13_what_we_did_not_send_may_be_larger_than_its_first_report_said(life: Life) -> None:
    first = report(ExecType.TRADE, "1", None, order_id="77", last_quantity=1, last_price=Decimal(70_000), cumulative_quantity=1)
    assert isinstance(first, ExecutionReport)
    small = replace(first, order_quantity=5, leaves_quantity=4)
    large = replace(small, order_quantity=50, cumulative_quantity=11, last_quantity=10, exec_id="E2", leaves_quantity=39)
    await life.receive(small, large)
    order = (await fetch(life.urls.superuser, "select quantity, filled_quantity from orders"))[0]
    assert tuple(order) == (50, 11)


ROWS: dict[str, tuple[dict[str, Any], str | None]] = {
    "more-than-ordered": ({"executed": MILLION}, SHOWS_MORE),
    "a-larger-order": ({"executed": MILLION, "quantity": MILLION}, SHOWS_MORE),
    "a-price-no-table-holds": (
        {"executed": 5, "executions": (ExecutionRow(5, Decimal("70000.00001"), "1", None),)},
        None,
    ),
    "less-than-nothing": ({"executed": -5}, None),
    "less-than-nothing-beside-more": (
        {
            "executed": 5,
            "executions": (ExecutionRow(8, Decimal(70_000), "1", None), ExecutionRow(-3, Decimal(70_000), "2", None)),
        },
        None,
    ),
    "shares-for-nothing": ({"executed": 5, "executions": (ExecutionRow(5, Decimal(0), "1", None),)}, None),
    "shares-and-money": ({"executed": 5, "executions": (ExecutionRow(5, Decimal(-70_000), "1", None),)}, None),
}


WORDS = {
    "a-price-no-table-holds": "price-too-fine",
    "less-than-nothing": "negative-quantity",
    "less-than-nothing-beside-more": "negative-quantity",
    "shares-for-nothing": "no-price",
    "shares-and-money": "no-price",
}


@pytest.mark.parametrize("name", list(ROWS))
async def test_p11_an_inquiry_that_cannot_be_books_nothing_and_asks_for_a_person(life: Life, name: str) -> None:
    await acknowledged(life)
    before, reserved = await life.order(), (await life.cash())["reserved"]
    told, review = ROWS[name]
    life.clock.advance(QUIET)
    with capture_logs() as lines:
        await sweep_account(
            replace(life.applier, gateway=Asked(life, [row(life, **told)])), (life.world.account, TODAY), CallClass.ROUTINE
        )
    assert [line["what"] for line in lines if line["event"] == "sweep.impossible"] == [WORDS.get(name, "overfill")]
    await nothing_but_a_mark(life, before, reserved, review)
    await sweep_account(replace(life.applier, gateway=Asked(life, [row(life)])), (life.world.account, TODAY), CallClass.ROUTINE)
    life.clock.advance(QUIET)
    await sweep_account(replace(life.applier, gateway=Asked(life, [row(life)])), (life.world.account, TODAY), CallClass.ROUTINE)
    assert (await life.order())["needs_review"] is None
