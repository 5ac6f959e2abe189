"""An end that nobody told of: in session two inquiries must agree on it, and nothing may be left that could mean otherwise."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.sighting import LOOKS_APART, Sighted
from service.executions.sweep import sweep_account
from service.gateway import CallClass, ExecType, ExecutionRow, OrderRow, RequestKind, Unknown
from service.infra.db import Database
from service.orders import store
from service.orders.known import Look, Sightings
from service.orders.model import Order, RequestState, Status
from tests.conftest import DatabaseUrls
from tests.executions.sandboxed import Sandboxed
from tests.executions.test_order_life import Life, trade
from tests.executions.test_order_trouble import Asked, acknowledged, row
from tests.makers import MORNING, TODAY, fetch, make_world, report


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


async def stored(life: Life) -> Order:
    async with life.worker.transaction() as connection:
        (order,) = await store.orders_of_day(connection, life.world.account, TODAY)
    return order


def second(row_: OrderRow, **given: Any) -> OrderRow:
    """A row that acts on `row_`."""
    return replace(row_, order_number="1002", original_number=row_.order_number, **given)


def chains(life: Life) -> dict[str, tuple[tuple[OrderRow, ...], Status | None]]:
    """Rows of an order of 10, and the end they claim."""
    first = row(life)
    amended = replace(first, state_text="정정확인")
    later = second(first, is_amend=True)
    withdrawn = replace(second(first, is_cancel=True), order_number="1003")
    return {
        "alive": ((first,), None),
        "no-word": ((row(life, state=""),), None),
        "cancelled": ((row(life, state="취소확인"),), Status.CANCELED),
        "cancelled-in-other-words": ((row(life, state=" 취소 완료 "),), Status.CANCELED),
        "cancelled-in-one-word": ((row(life, state="취소"),), Status.CANCELED),
        "part-of-it-cancelled": ((row(life, state="일부취소"),), None),
        "cancellation-received": ((row(life, state="취소접수"),), None),
        "cancellation-refused": ((row(life, state="취소거부"),), None),
        "rejected": ((row(life, state="거부"),), Status.REJECTED),
        "rejected-by-the-broker": ((row(life, state="접수거부"),), Status.REJECTED),
        "amendment-refused": ((row(life, state="정정거부"),), None),
        "rejected-though-it-traded": ((row(life, 4, "거부"),), None),
        "expired-in-session": ((row(life, state="만료"),), None),
        "amended": ((amended, later), None),
        "amended-and-cancelled": ((amended, replace(later, state_text="취소확인")), Status.CANCELED),
        "the-same-the-other-way-round": ((replace(later, state_text="취소확인"), amended), Status.CANCELED),
        "only-what-was-replaced-says-cancelled": ((replace(first, state_text="취소확인"), later), None),
        "the-rest-of-a-part-amended-lives": ((first, replace(later, quantity=4, state_text="취소확인")), None),
        "cancelled-in-a-row-of-its-own": ((first, replace(withdrawn, state_text="취소확인")), Status.CANCELED),
        "a-row-of-its-own-for-a-part": ((first, replace(withdrawn, quantity=4, state_text="취소확인")), None),
        "a-row-of-its-own-in-a-bare-word": ((first, replace(withdrawn, state_text="취소")), None),
        "cancelled-after-an-amendment-was-refused": (
            (replace(first, state_text="취소확인"), replace(later, state_text="정정거부")), Status.CANCELED,
        ),
        "a-row-of-its-own-refused": ((first, replace(withdrawn, state_text="거부")), None),
        "two-rows-live": ((first, replace(first, order_number="1009", state_text="취소확인")), None),
    }  # fmt: skip


async def test_p03_which_words_claim_an_end_in_session(life: Life) -> None:
    await acknowledged(life)
    order = await stored(life)
    said = {name: Sighted(order, tuple(enumerate(rows)), "1001").claimed() for name, (rows, _) in chains(life).items()}
    assert said == {name: end for name, (_, end) in chains(life).items()}


REQUESTS: dict[str, tuple[RequestKind, RequestState, str, Status | None]] = {
    "amendment-under-way": (RequestKind.AMENDMENT, RequestState.SENT, "취소확인", None),
    "amendment-unknown": (RequestKind.AMENDMENT, RequestState.UNKNOWN, "취소확인", None),
    "cancellation-queued": (RequestKind.CANCELLATION, RequestState.QUEUED, "취소확인", None),
    "cancellation-leaving": (RequestKind.CANCELLATION, RequestState.SENDING, "취소확인", None),
    "cancellation-sent-and-confirmed": (RequestKind.CANCELLATION, RequestState.SENT, "취소확인", Status.CANCELED),
    "cancellation-unknown-and-confirmed": (RequestKind.CANCELLATION, RequestState.UNKNOWN, "취소완료", Status.CANCELED),
    "cancellation-sent-in-a-bare-word": (RequestKind.CANCELLATION, RequestState.SENT, "취소", None),
    "amendment-refused-before": (RequestKind.AMENDMENT, RequestState.REFUSED, "취소확인", Status.CANCELED),
    "refused-change-may-be-the-refused": (RequestKind.CANCELLATION, RequestState.REFUSED, "거부", None),
}


@pytest.mark.parametrize("name", list(REQUESTS))
async def test_p03_a_request_under_way_may_be_what_the_row_speaks_of(life: Life, name: str) -> None:
    kind, state, word, end = REQUESTS[name]
    await acknowledged(life)
    order = await stored(life)
    more = replace(order.requests[0], kind=kind, state=state, number=2, cl_ord_id="other")
    order = replace(order, requests=(*order.requests, more))
    assert Sighted(order, ((0, row(life, state=word)),), "1001").claimed() is end


async def test_p03_rows_older_than_what_is_known_claim_nothing(life: Life) -> None:
    _, cl = await acknowledged(life)
    await life.receive(trade(cl, 4, 4))
    assert Sighted(await stored(life), ((0, row(life, state="취소확인")),), "1001").claimed() is None


LOOKS: dict[str, tuple[Look | None, bool]] = {
    "never-seen": (None, False),
    "just-before": (Look(MORNING - LOOKS_APART + timedelta(seconds=1), 0, "canceled"), False),
    "some-time-before": (Look(MORNING - LOOKS_APART, 0, "canceled"), True),
    "alive-since": (Look(MORNING - LOOKS_APART, 0, None), False),
    "rejected-before": (Look(MORNING - LOOKS_APART, 0, "rejected"), False),
    "other-figures": (Look(MORNING - LOOKS_APART, 4, "canceled"), False),
}


@pytest.mark.parametrize("name", list(LOOKS))
async def test_p03_two_looks_some_time_apart_must_agree(life: Life, name: str) -> None:
    last, ends = LOOKS[name]
    await acknowledged(life)
    found = Sighted(await stored(life), ((0, row(life, state="취소확인")),), "1001")
    assert found.ended(MORNING, Sightings(last is not None, 0, None, (), last)) is (Status.CANCELED if ends else None)


async def asked(life: Life, *rows: OrderRow) -> Any:
    """The order after an inquiry that shows these rows, and twenty-one seconds."""
    gateway: Any = Asked(life, list(rows))
    gateway.reports = life.gateway.reports
    await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    life.clock.advance(timedelta(seconds=21))
    return await life.order()


async def test_p03_a_list_without_the_orders_present_row_does_not_end_it(life: Life) -> None:
    """Found by the simulation: a row was missing from the list after the close, the order ended as expired, and then came the
    report of what the closing auction had executed."""
    order_id, cl = await acknowledged(life)
    await life.amend(order_id, "a1", quantity=6)
    await life.dispatch()
    names = {"orig_cl_ord_id": cl, "order_id": "1002", "order_quantity": 6, "cumulative_quantity": 0}
    await life.receive(report(ExecType.REPLACED, "0", life.gateway.sends[-1].cl_ord_id, **names))
    life.clock.moment = life.clock.moment.replace(hour=16, minute=2)
    first = row(life, state="정정확인")
    order = await asked(life, first)
    assert (order["status"], order["closed"], order["broker_order_number"]) == ("new", False, "1002")
    order = await asked(life, first, second(first, is_amend=True, quantity=6, state_text=""))
    assert (order["status"], order["closed"]) == ("expired", True)


async def test_p03_a_list_that_says_amended_and_lacks_the_amendment_does_not_end_it(life: Life) -> None:
    """The amendment's answer and its report were lost, and then its row: the order lives under a number nobody told."""
    order_id, _ = await acknowledged(life)
    life.gateway.answers = [Unknown("read-timeout")]
    await life.amend(order_id, "a1", price=Decimal(70_100))
    await life.dispatch()
    life.clock.moment = life.clock.moment.replace(hour=16, minute=2)
    first = row(life, state="정정확인")
    order = await asked(life, first)
    assert (order["status"], order["closed"]) == ("new", False)
    assert [one["state"] for one in await life.requests()] == ["acknowledged", "unknown"]
    order = await asked(life, first, second(first, is_amend=True, price=Decimal(70_100), state_text=""))
    assert (order["status"], order["closed"], order["price"]) == ("expired", True, Decimal(70_100))


async def test_p07_a_row_that_does_not_count_what_it_lists_does_not_end_it(life: Life) -> None:
    """Found by the simulation: a list whose total was behind its own executions ended the order, and its fill was lost."""
    await acknowledged(life)
    behind = row(life, 0, executions=(ExecutionRow(4, Decimal(70_000), "1", None),))
    for hour in (10, 16):
        life.clock.moment = life.clock.moment.replace(hour=hour, minute=2)
        for _ in range(2):
            order = await asked(life, replace(behind, state_text="취소확인"))
            assert (order["status"], order["closed"], order["reserved_cash"] > 0) == ("new", False, True)
    order = await asked(life, replace(behind, executed_quantity=4))
    assert (order["status"], order["closed"], order["filled_quantity"], order["reserved_cash"]) == ("expired", True, 4, 0)


async def test_p12_a_list_that_rejects_what_traded_is_told_once_and_asks_for_a_person(life: Life) -> None:
    """Found by the simulation: the bust was lost, each look said the same again, and the order was never quiet enough to ask."""
    _, cl = await acknowledged(life)
    await life.receive(trade(cl, 4, 4))
    life.clock.moment = life.clock.moment.replace(hour=16, minute=2)
    for _ in range(5):
        await asked(life, row(life, 0, "거부"))
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"], order["closed"]) == ("inquiry-shows-less", 4, False)
    told = await fetch(life.urls.superuser, "select kind from audit.record where subject_kind = 'order' order by subject_seq")
    assert [one[0] for one in told][-2:] == ["order.sighted", "order.needs_review"]
    assert [one[0] for one in told].count("order.sighted") == 1


async def test_p03_a_look_between_that_shows_it_alive_begins_anew(life: Life) -> None:
    await acknowledged(life)
    gone, alive = row(life, state="취소확인"), row(life)
    for shown in (gone, alive, gone):
        assert (await asked(life, shown))["status"] == "new"
    order = await asked(life, gone)
    assert (order["status"], order["closed"], order["reserved_cash"]) == ("canceled", True, 0)
    kept = await fetch(life.urls.superuser, "select ended, document->>'claim' as claim from order_sighting order by seen_at")
    assert [tuple(one) for one in kept] == [(None, "canceled"), (None, None), (None, "canceled"), ("canceled", "canceled")]
    await asked(life, gone)
    assert len(await fetch(life.urls.superuser, "select 1 from order_sighting")) == 4


async def test_p07_a_fill_that_crossed_the_end_still_counts(life: Life) -> None:
    _, cl = await acknowledged(life)
    for _ in range(2):
        await asked(life, row(life, state="취소확인"))
    await life.receive(trade(cl, 4, 4))
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("canceled", 4, True)


@pytest.mark.parametrize("busted", [False, True], ids=["nobody told", "told and busted"])
async def test_p07_a_fill_that_crossed_the_end_counts_when_only_a_list_shows_it(life: Life, busted: bool) -> None:
    """A list may lag, and the report be lost. What was busted stays so, however long a list shows it."""
    _, cl = await acknowledged(life)
    if busted:
        await life.receive(
            trade(cl, 4, 4, exec_id="E1"), report(ExecType.TRADE_CANCEL, "0", cl, exec_ref_id="E1", cumulative_quantity=0)
        )
    await life.receive(report(ExecType.CANCELED, "4", cl, cumulative_quantity=0, leaves_quantity=0))
    assert (await life.order())["closed"]
    life.clock.advance(timedelta(minutes=2))
    late = row(life, 4, "취소확인", executions=(ExecutionRow(4, Decimal(70_000), "1", None),))
    for _ in range(2):
        order = await asked(life, late)
    expected = 0 if busted else 4
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("canceled", expected, True)
    assert sum(one["quantity"] for one in await life.fills()) == expected
    assert await violations(life.urls.superuser) == []


async def test_p03_the_fills_come_with_the_end(life: Life) -> None:
    await acknowledged(life)
    part = row(life, 4, "취소확인", executions=(ExecutionRow(4, Decimal(70_000), "1", None),))
    assert (await asked(life, part))["status"] == "partially_filled"
    order = await asked(life, part)
    assert (order["status"], order["filled_quantity"], order["reserved_cash"]) == ("canceled", 4, 0)


# --- at the sandbox's brokers ---------------------------------------------------------------------------------------------

UNTOLD = {"client-cancel": ("4", "canceled"), "late-reject": ("8", "rejected")}


@pytest.mark.parametrize("what", list(UNTOLD))
@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p03_an_end_whose_report_is_lost_is_found_in_session(life: Life, broker: str, what: str) -> None:
    exec_type, status = UNTOLD[what]
    house = Sandboxed(life, broker)
    cl = await house.place()
    assert (await house.look())["status"] == "new"
    await house.lose(exec_type)
    await house.control(what, {"order": cl})
    await house.step(50)
    first = await house.look()
    assert (first["status"], first["reserved_cash"] > 0) == ("new", True)
    await house.step(50)
    order = await house.look()
    assert (order["status"], order["closed"], order["reserved_cash"]) == (status, True, 0)
    assert (await house.kinds())[-2:] == ["order.sighted", "order.sighted"]


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unknown"])
@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p03_our_own_cancellation_whose_report_is_lost_is_found_in_session(life: Life, broker: str, answered: bool) -> None:
    """Found by the campaign of kills: a broker whose word for it is the bare one had the order pending until the close."""
    house = Sandboxed(life, broker)
    await house.place()
    await house.lose("4")
    if not answered:
        await house.control("faults", {"fault": "answer_lost_after", "count": 1})
    await house.cancel()
    await house.step(50)
    assert not (await house.look())["closed"]
    await house.step(50)
    order = await house.look()
    assert (order["status"], order["closed"], order["reserved_cash"]) == ("canceled", True, 0)
