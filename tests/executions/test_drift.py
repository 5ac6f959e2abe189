"""A broker whose messages are not what its profile says gets no new orders; what is merely broken locks nobody."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from service.core.clock import ManualClock
from service.executions.drift import Drift, of_answer, of_report, of_side
from service.executions.sweep import sweep_account
from service.gateway import CallClass, Complete, ExecutionRow, Incomplete, Inquiry, OrderRow, RawReport, Side, Unknown
from service.infra.db import Database
from service.koscom.dialect import read_report
from tests.conftest import DatabaseUrls
from tests.executions.test_doubt import AFTER_THE_DAY
from tests.executions.test_order_life import Life
from tests.executions.test_order_trouble import acknowledged, row
from tests.makers import BROKER, COM_ID, MORNING, TODAY, FakeGateway, fetch, make_world

GOOD = {
    "ExecType": "F", "OrdStatus": "1", "OrderID": "1001", "ClOrdID": "A1", "Side": "1", "OrderQty": 10, "LastQty": 4,
    "LastPx": 70_000, "LeavesQty": 6, "CumQty": 4, "TransactTime": "20261123-01:00:00.000",
}  # fmt: skip


def message(sender: str | None = "CYBER", **changes: Any) -> bytes:
    """A trade of the maker's broker, changed; a change to `...` leaves the field out."""
    body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    header = {"MsgType": "8"} | ({"SenderCompID": sender} if sender else {})
    return json.dumps({"Header": header, "Body": body}).encode()


DRIFTS: dict[str, tuple[bytes, str, str]] = {
    "cumulative-renamed": (message(CumQty=..., CumQuantity=4), "CumQty", "missing-field"),
    "leaves-missing": (message(LeavesQty=...), "LeavesQty", "missing-field"),
    "last-quantity-missing": (message(LastQty=...), "LastQty", "missing-field"),
    "last-price-null": (message(LastPx="null"), "LastPx", "missing-field"),
    "status-missing": (message(OrdStatus=...), "OrdStatus", "missing-field"),
    "status-unknown": (message(OrdStatus="Z"), "OrdStatus Z", "unknown-code"),
    "type-unknown": (message(ExecType="Z"), "ExecType Z", "unknown-code"),
    "side-in-words": (message(Side="매수"), "Side 매수", "unknown-code"),
    "quantity-an-object": (message(CumQty={"value": 4}), "CumQty", "unreadable-number"),
    "quantity-in-words": (message(CumQty="4주"), "CumQty", "unreadable-number"),
    "half-a-share": (message(CumQty="4.5"), "CumQty", "unreadable-quantity"),
    "time-in-another-shape": (message(TransactTime="23/11/2026"), "TransactTime", "unreadable-time"),
}
NO_DRIFTS = {
    "as-it-should-be": message(),
    "a-new-field": message(NewField={"a": 1}),
    "numbers-as-text": message(CumQty="4", LastPx="70000"),
    "an-acknowledgement": message(ExecType="0", OrdStatus="0", LastQty=..., LastPx=..., CumQty=0, LeavesQty=10),
    "cut": message()[:40],
    "html": b"<html>busy</html>",
    "not-utf8": "체결".encode("euc-kr"),
    "no-object": b"[]",
    "nothing": b"",
    "another-kind-of-message": b'{"Header": {"MsgType": "B", "SenderCompID": "CYBER"}, "Body": {}}',
}


@pytest.mark.parametrize("name", list(DRIFTS))
def test_p20_a_report_that_lost_its_shape_is_a_drift(name: str) -> None:
    body, field, what = DRIFTS[name]
    assert of_report(read_report(RawReport(COM_ID, TODAY, 1, body))) == Drift("report", field, what)


@pytest.mark.parametrize("name", list(NO_DRIFTS))
def test_p20_new_fields_and_broken_lines_are_no_drift(name: str) -> None:
    assert of_report(read_report(RawReport(COM_ID, TODAY, 1, NO_DRIFTS[name]))) is None


class Reading(FakeGateway):
    """Reads reports as the real gateway does, and answers one prepared inquiry."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Inquiry[OrderRow] = Complete((), (b"{}",), MORNING)

    def read_report(self, raw: RawReport) -> Any:
        return self.reports.get(raw.body) or read_report(raw)

    async def orders(self, *_asked: Any) -> Inquiry[OrderRow]:
        return self.answer


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    made = Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))
    gateway: Any = Reading()
    made.gateway = gateway
    made.applier = replace(made.applier, gateway=gateway, brokers={"cyber": BROKER, "other": "00992"})
    made.dispatcher = replace(made.dispatcher, gateway=gateway)
    return made


async def received(life: Life, *bodies: bytes) -> list[tuple[str, str]]:
    """The locks that stand after these messages: broker and field."""
    for body in bodies:
        life.seq += 1
        await life.inbox.store([RawReport(COM_ID, TODAY, life.seq, body)])
    while await life.applier.apply_waiting():
        pass
    rows = await fetch(life.urls.superuser, "select * from broker_lock where released_at is null order by broker")
    assert all(one["evidence"] is not None for one in rows)
    return [(one["broker"], one["field"]) for one in rows]


async def test_p20_the_first_drift_locks_its_broker_and_no_other(life: Life) -> None:
    assert await received(life, message(sender="OTHER"), message()) == []
    assert await received(life, message(CumQty=..., ClOrdID="A2"), message(LeavesQty=..., ClOrdID="A3")) == [(BROKER, "CumQty")]
    kinds = await fetch(life.urls.superuser, "select kind from audit.record where kind like 'broker.%'")
    assert [one["kind"] for one in kinds] == ["broker.locked"]
    assert await received(life, message("OTHER", OrdStatus="Z")) == [(BROKER, "CumQty"), ("00992", "OrdStatus Z")]


async def test_p20_what_nobody_we_know_has_signed_locks_nobody(life: Life) -> None:
    garbage = [NO_DRIFTS[name] for name in ("cut", "html", "not-utf8", "no-object", "nothing")]
    assert await received(life, *garbage, message(None, OrdStatus="Z"), message("STRANGER", OrdStatus="Z")) == []
    parked = await fetch(life.urls.superuser, "select 1 from inbox where state = 'parked'")
    assert len(parked) >= len(garbage)  # kept whole, with an alarm


async def test_p20_a_released_broker_that_still_drifts_is_locked_again(life: Life) -> None:
    await received(life, message(CumQty=...))
    await fetch(
        life.urls.superuser, "update broker_lock set released_by = $1, released_at = now(), release_reason = 'x'",
        life.world.manager.user_id,
    )  # fmt: skip
    assert await received(life, message(ClOrdID="A9")) == []
    assert await received(life, message(LeavesQty=..., ClOrdID="A8")) == [(BROKER, "LeavesQty")]


INQUIRIES: dict[str, tuple[bool, Any]] = {
    "field-missing": (True, Incomplete("missing-field", "row 1 of page 1: execSumQty", (), (b"page",))),
    "field-retyped": (True, Incomplete("unreadable-number", "row 1 of page 1: orderQty", (), (b"page",))),
    "page-unreadable": (True, Incomplete("unreadable-page", "page", (), (b"page",))),
    "number-renamed": (True, "orderNo"),
    "side-codes": (True, "sellBuyType"),
    "side-code-without-end": (True, "sellBuyType" + "매" * 70_000),
    "as-it-should-be": (False, None),
    "timeout": (False, Incomplete("timeout", "")),
    "busy": (False, Incomplete("http-500", "", (), (b"<html>",))),
    "torn": (False, Incomplete("not-json", "ValueError", (), (b"{",))),
    "page-repeated": (False, Incomplete("page-repeated", "content", (), (b"a", b"a"))),
    "total-mismatch": (False, Incomplete("total-mismatch", "3 announced, 2 read", (), (b"a",))),
}


@pytest.mark.parametrize("name", list(INQUIRIES))
async def test_p20_an_inquiry_that_lost_its_shape_locks_the_broker(life: Life, name: str) -> None:
    locks, given = INQUIRIES[name]
    await acknowledged(life)
    gateway: Any = life.gateway
    shown = row(life, order_number=None) if given == "orderNo" else row(life)
    remarks = (f"unknown-code: {given}",) if str(given).startswith("sellBuyType") else ("side-disagrees: 1",)
    gateway.answer = given if isinstance(given, Incomplete) else Complete((shown,), (b"page",), MORNING, remarks)
    await sweep_account(life.applier, (life.world.account, TODAY), CallClass.ROUTINE)
    assert bool(await received(life)) == locks
    assert (of_answer(gateway.answer) is not None) == locks


SIDES: dict[str, tuple[Side | None, tuple[str, ...], str | None]] = {
    "in-a-code-nobody-knows": (None, ("unknown-code: sellBuyType B",), "unknown-code"),
    "the-other-one": (Side.SELL, (), "contradicts-an-order"),
    "its-own": (Side.BUY, (), None),
    "not-given": (None, ("unknown-code: sellBuyType None",), None),
}


@pytest.mark.parametrize("name", list(SIDES))
async def test_p20_nothing_is_booked_from_rows_whose_side_is_unclear(life: Life, name: str) -> None:
    side, remarks, locked = SIDES[name]
    await acknowledged(life)
    gateway: Any = life.gateway
    shown = row(life, 4, side=side, executions=(ExecutionRow(4, Decimal(70_000), "1", None),))
    gateway.answer = Complete((shown,), (b"page",), MORNING, remarks)
    await sweep_account(life.applier, (life.world.account, TODAY), CallClass.ROUTINE)
    assert [one["quantity"] for one in await life.fills()] == ([] if locked else [4])
    locks = await fetch(life.urls.superuser, "select what from broker_lock where released_at is null and broker = $1", BROKER)
    assert [one["what"] for one in locks] == ([locked] if locked else [])


async def test_p17_an_answer_in_unknown_codes_proves_no_absence(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    life.clock.moment = AFTER_THE_DAY
    gateway: Any = life.gateway
    gateway.answer = Complete((row(life, side=None),), (b"page",), AFTER_THE_DAY, ("unknown-code: sellBuyType B",))
    await sweep_account(life.applier, (life.world.account, TODAY), CallClass.RESOLVE)
    steps = await fetch(life.urls.superuser, "select complete, final from doubt_step where kind = 'inquiry'")
    assert [tuple(one) for one in steps] == [(False, False)]


async def test_p20_a_row_without_a_side_is_no_contradiction_where_another_row_lacks_its_number(life: Life) -> None:
    rows = [row(life, side=None)]
    assert of_side(Side.BUY, rows, Drift("order inquiry", "orderNo", "missing-field")) is None
    assert of_side(Side.BUY, rows, Drift("order inquiry", "sellBuyType", "unknown-code")) is not None
