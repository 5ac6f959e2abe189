"""Orders in trouble: requests that cross, answers that come late, reports that nobody can apply."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from ops.invariants import violations
from service.accounts.move import PositionMismatch
from service.core.clock import ManualClock
from service.core.errors import Conflict, NotFound
from service.core.money import Won
from service.core.secret import AccountNumber
from service.executions.sweep import Sweeper, sweep_account
from service.gateway import (
    BrokerProfile,
    CallClass,
    Complete,
    ExecType,
    InstrumentRef,
    NotSent,
    OrderMessage,
    OrderRow,
    Refused,
    RequestKind,
    SendOutcome,
    Side,
)
from service.infra.db import Books, Database, Whose
from service.orders.advance import Cause, hold_more
from service.orders.intents import carry_out
from service.orders.model import ROWS_ARE_LATE, Order
from service.orders.rules import Reserve
from service.orders.send_store import Picked, look
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.makers import BROKER, CODE, ISIN, TODAY, FakeGateway, fetch, make_desk, make_world, report


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def acknowledged(life: Life) -> tuple[UUID, str]:
    """An order the broker has taken, and its ClOrdID."""
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    return order_id, cl


async def test_an_amendment_that_was_refused_leaves_nothing_to_send(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    await fetch(life.urls.superuser, "update cash set opening = reserved where account_id = $1", life.world.account)
    answer = await life.amend(order_id, "a1", price=Decimal(72_000))
    assert orjson.loads(answer.body)["type"] == "/problems/insufficient-cash"
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    assert len(await life.requests()) == 1


@pytest.mark.parametrize(
    ("price", "slug"), [(73_500, None), (73_600, "price-deviation"), (66_400, "price-deviation")], ids=["just", "up", "down"]
)
async def test_p16_an_amendment_keeps_the_mandates_distance_from_the_reference_price(
    life: Life, price: int, slug: str | None
) -> None:
    """5 % of 70,000 won: what a new order may not ask for, an amendment may not either."""
    await fetch(life.urls.superuser, 'update mandate set limits = \'{"price_deviation_percent": "5"}\'')
    order_id, _ = await acknowledged(life)
    answer = await life.amend(order_id, "a1", price=Decimal(price))
    await life.dispatch()
    assert len(life.gateway.sends) == (1 if slug else 2)
    assert orjson.loads(answer.body).get("type") == (f"/problems/{slug}" if slug else None)


@pytest.mark.parametrize(("price", "slug"), [(77_000, None), (77_100, "turnover-exceeded")], ids=["just", "beyond"])
async def test_p16_a_dearer_amendment_counts_against_the_mandates_turnover(life: Life, price: int, slug: str | None) -> None:
    """10 and 9 shares at 70,000 won under a limit of 1,400,000: 70,000 are left, 7,000 for each of ten."""
    await fetch(life.urls.superuser, 'update mandate set limits = \'{"daily_turnover": "1400000"}\'')
    order_id, _ = await acknowledged(life)
    await life.submit(key="k2", quantity=9)
    await life.dispatch()
    answer = await life.amend(order_id, "a1", price=Decimal(price))
    await life.dispatch()
    assert len(life.gateway.sends) == (2 if slug else 3)
    assert orjson.loads(answer.body).get("type") == (f"/problems/{slug}" if slug else None)
    counted = (await fetch(life.urls.superuser, "select turnover from mandate_day"))[0][0]
    assert (counted, len(await life.requests())) == ((1_330_000, 2) if slug else (1_400_000, 3))


async def test_p16_what_an_amendment_claims_is_counted_before_the_mandate_limits_it(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    assert (await life.amend(order_id, "a1", price=Decimal(71_000))).status == 201
    assert (await fetch(life.urls.superuser, "select turnover from mandate_day"))[0][0] == 710_000


@pytest.mark.parametrize(
    ("asked", "meanwhile", "reason"),
    [
        ({"quantity": 5}, {"last_quantity": 6, "cumulative_quantity": 6}, "quantity-not-above-executed"),
        ({"quantity": 5}, {"last_quantity": 4, "cumulative_quantity": 4}, None),
        ({"quantity": 5}, {"order_quantity": 4, "leaves_quantity": 4, "restatement_reason": "5"}, "order-changed"),
        ({"quantity": 5}, {"order_quantity": 6, "leaves_quantity": 6, "restatement_reason": "5"}, None),
        ({"price": Decimal(69_000)}, {"order_quantity": 6, "leaves_quantity": 6, "restatement_reason": "5"}, "order-changed"),
    ],
    ids=["more-executed", "fewer-executed", "fewer-left", "still-fewer", "repriced-and-declined"],
)  # fmt: skip
async def test_p14_an_amendment_that_the_broker_overtook_does_not_go_out(
    life: Life, asked: dict[str, Any], meanwhile: dict[str, Any], reason: str | None
) -> None:
    """It waited while the stream was not seen, say: then it would raise the quantity, or ask for less than nothing where a
    broker wants the remainder."""
    order_id, cl = await acknowledged(life)
    await life.amend(order_id, "a1", **asked)
    kind = ExecType.TRADE if "last_quantity" in meanwhile else ExecType.RESTATED
    await life.receive(
        report(
            kind,
            "1" if kind is ExecType.TRADE else "0",
            cl,
            **{"cumulative_quantity": 0, "last_price": Decimal(70_000)} | meanwhile,
        )
    )
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends[1:]] == ([] if reason else [RequestKind.AMENDMENT])
    assert (await life.requests())[1]["reason"] == reason
    assert await violations(life.urls.superuser) == []


async def test_a_cancellation_names_what_the_broker_knows_and_the_waiting_amendment_stays_here(life: Life) -> None:
    order_id, cl = await acknowledged(life)
    await life.amend(order_id, "a1", price=Decimal(72_000))
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert [(one.kind, one.orig_cl_ord_id) for one in life.gateway.sends[1:]] == [(RequestKind.CANCELLATION, cl)]
    states = {row["kind"]: (row["state"], row["reason"]) for row in await life.requests()}
    assert states["amendment"] == ("refused", "cancellation-requested")
    assert (await life.cash())["reserved"] == 700_105


async def test_a_cancellation_does_not_overtake_the_order_it_cancels(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await fetch(life.urls.superuser, "update attempt set outcome = null")
    await fetch(life.urls.superuser, "update order_request set state = 'sending'")  # as a sender in the midst of its call
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    await fetch(life.urls.superuser, "update attempt set overdue_at = now() - interval '1 s'")
    await life.dispatcher.orphans()
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.CANCELLATION]


class Held(FakeGateway):
    """A sender that is held up before its first byte until everybody has given it up."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life

    async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
        await fetch(self.life.urls.superuser, "update attempt set overdue_at = now() - interval '1 s'")
        await self.life.dispatcher.orphans()
        assert [row["state"] for row in await self.life.requests()] == ["unknown"]
        return NotSent("deadline-passed")


async def test_a_sender_given_up_that_sends_nothing_says_so(life: Life) -> None:
    await life.submit()
    held: Any = Held(life)
    sender = replace(life.dispatcher, gateway=held)
    assert await sender.dispatch_one([BROKER])
    assert [(row["state"], row["reason"]) for row in await life.requests()] == [("refused", "not-sent")]
    assert (await life.order())["status"] == "rejected"
    assert (await life.cash())["reserved"] == 0
    assert not await sender.dispatch_one([BROKER])


class CancelledMeanwhile(FakeGateway):
    """The order is cancelled while its sender still tries to connect, and then no byte leaves."""

    def __init__(self, life: Life, order_id: UUID) -> None:
        super().__init__()
        self.life, self.order_id = life, order_id

    async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
        await self.life.cancel(self.order_id, "c1")
        return NotSent("connect")


async def test_p02_an_order_cancelled_while_a_sender_had_it_never_leaves_when_that_one_wrote_nothing(life: Life) -> None:
    order_id = await life.submit()
    gateway: Any = CancelledMeanwhile(life, order_id)
    assert await replace(life.dispatcher, gateway=gateway).dispatch_one([BROKER])
    assert [row["state"] for row in await life.requests()] == ["queued", "queued"]
    await fetch(life.urls.superuser, "update order_request set retry_at = null")
    await life.dispatch()
    assert life.gateway.sends == []
    states = [(row["state"], row["reason"]) for row in await life.requests()]
    assert states == [("refused", "withdrawn"), ("acknowledged", "withdrawn before it was sent")]
    assert ((await life.order())["status"], (await life.cash())["reserved"]) == ("canceled", 0)
    assert await violations(life.urls.superuser) == []


async def test_what_cannot_be_sent_lets_others_pass(life: Life) -> None:
    """A cancellation goes first, but one that nobody can take must not stand in the door for ever."""

    class Blocked(FakeGateway):
        async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
            outcome = await super().send(message, not_after)
            return NotSent("connect") if message.kind is RequestKind.CANCELLATION else outcome

    order_id, _ = await acknowledged(life)
    await life.cancel(order_id, "c1")
    await life.submit(key="k2", quantity=3)
    gateway: Any = Blocked()
    sender = replace(life.dispatcher, gateway=gateway)
    for _ in range(10):
        await sender.dispatch_one([BROKER])
    assert RequestKind.NEW in [one.kind for one in gateway.sends]


async def test_i08_a_request_that_cannot_be_written_holds_up_nobody(life: Life) -> None:
    """Counters that do not bear its refusal: it is the oldest, and is met first each time."""
    await life.submit()
    await life.submit(key="k2", quantity=3)
    await fetch(life.urls.superuser, "update order_request set send_by = queued_at where quantity = 10")
    spoilt = "update cash set reserved = (select reserved_cash from orders where quantity = 3) where account_id = $1"
    await fetch(life.urls.superuser, spoilt, life.world.account)
    with pytest.raises(PositionMismatch):
        await life.dispatcher.claim([BROKER], 8)
    taken = await life.dispatcher.claim([BROKER], 8)
    assert [one.request.quantity for one in taken.claims] == [3]
    assert {row["quantity"]: row["state"] for row in await life.requests()} == {10: "queued", 3: "sending"}


async def test_i08_an_attempt_that_cannot_be_given_up_holds_up_nobody(life: Life) -> None:
    """A report of its order was stored in a form that nobody reads any more."""
    await life.submit()
    await life.submit(key="k2", quantity=3)
    taken = await life.dispatcher.claim([BROKER], 8)
    first = next(one for one in taken.claims if one.request.quantity == 10)
    await life.receive(ack(first.request.cl_ord_id))
    await fetch(life.urls.superuser, 'update order_report set document = \'{"kind": "strange"}\'')
    await fetch(life.urls.superuser, "update attempt set overdue_at = claimed_at - case when request_id = $1 then interval '2 s'"
                " else interval '1 s' end", first.request.id)  # fmt: skip
    assert await life.dispatcher.orphans() == 2
    assert {row["quantity"]: row["state"] for row in await life.requests()} == {10: "acknowledged", 3: "unknown"}


async def test_i08_an_attempt_at_a_broker_that_was_taken_out_of_the_settings_holds_up_nobody(life: Life) -> None:
    """Else what a killed sender left behind stays `sending` everywhere: nobody inquires, and it bars no twin."""

    class Without(FakeGateway):
        def profile(self, broker: str) -> BrokerProfile:
            if broker == "00098":
                raise NotFound("unknown-broker", f"broker {broker} is not configured")
            return super().profile(broker)

    await life.submit()
    await life.submit(key="k2", quantity=3)
    taken = await life.dispatcher.claim([BROKER], 8)
    first = next(one for one in taken.claims if one.request.quantity == 10)
    await fetch(life.urls.superuser, "with moved as (update orders set broker = '00098' where id = $1 returning id)"
                " update order_request set broker = '00098' from moved where order_id = moved.id", first.order.id)  # fmt: skip
    await fetch(life.urls.superuser, "update attempt set overdue_at = claimed_at - case when request_id = $1 then interval '2 s'"
                " else interval '1 s' end", first.request.id)  # fmt: skip
    gateway: Any = Without()
    assert await replace(life.dispatcher, gateway=gateway).orphans() == 2
    assert {row["quantity"]: row["state"] for row in await life.requests()} == {10: "sending", 3: "unknown"}


async def test_only_what_goes_out_counts_against_the_pace(life: Life) -> None:
    spent: list[str] = []
    sender = replace(life.dispatcher, spend=spent.append)
    await life.submit()
    await life.submit(key="k2", quantity=3)
    await fetch(life.urls.superuser, "update order_request set send_by = queued_at where quantity = 3")
    while await sender.dispatch_one([BROKER]):
        pass
    assert (spent, len(life.gateway.sends)) == ([BROKER], 1)


async def test_a_request_somebody_else_settled_meanwhile_is_left_alone(life: Life) -> None:
    """Read committed: a look may find a request queued whose order was withdrawn before the lock was ours."""
    order_id = await life.submit()
    request = (await life.requests())[0]["id"]
    await life.cancel(order_id, "c1")
    before = await life.order()
    world = life.world
    picked = Picked(order_id, request, False, world.account, world.manager.user_id, ISIN, TODAY)
    async with life.worker.hot() as connection:
        looks = [(picked, await look(connection, picked, None))]
        assert await life.dispatcher._claim(connection, looks, life.clock.now(), 0.0) == (False, ())
    after = await life.order()
    assert (after["status"], after["version"]) == ("canceled", before["version"])
    assert (await life.requests())[0]["reason"] == "withdrawn"


@pytest.mark.parametrize("away", [ConnectionResetError, asyncpg.InternalClientError], ids=lambda one: str(one.__name__))
async def test_a_known_answer_survives_a_database_that_was_away(life: Life, away: type[Exception]) -> None:
    """Refused by the platform, and the connection breaks while that is written: it must not end as unknown."""
    calls = 0

    @asynccontextmanager
    async def breaking(*, books: Whose = Books.NONE) -> AsyncIterator[asyncpg.Connection]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise away("the server went away")
        async with life.worker.hot(books=books) as connection:
            yield connection

    await life.submit()
    life.gateway.answers = [Refused("3012", "account unknown at broker", b"{}")]
    await replace(life.dispatcher, hot=breaking).dispatch_one([BROKER])
    assert (await life.requests())[0]["state"] == "refused"
    assert (await life.order())["status"] == "rejected"


MANY_AMENDMENTS = """insert into order_request
  (id, order_id, broker, kind, number, cl_ord_id, quantity, price, state, user_id, send_by, queued_at, sent_at, answered_at)
  select gen_random_uuid(), r.order_id, r.broker, 'amendment', r.number + i, lpad(i::text, 20, '0'), r.quantity, r.price,
         'acknowledged', r.user_id, r.send_by, r.queued_at, r.queued_at, r.queued_at
  from order_request r, generate_series(1, 1700) i"""  # an algorithm that follows the market, one every fifteen seconds


async def test_p28_an_order_amended_all_day_is_still_written_down(life: Life) -> None:
    """What happens to it must fit a ledger entry however much has happened before: else it could not be cancelled, its fills
    would end in quarantine, and its queued request would keep everybody's from being sent."""
    order_id, cl = await acknowledged(life)
    await fetch(life.urls.superuser, MANY_AMENDMENTS)
    assert (await life.cancel(order_id, "c1")).status == 201
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.CANCELLATION]
    await life.receive(trade(cl, 4, 4))
    assert [row["quantity"] for row in await life.fills()] == [4]
    said = await fetch(life.urls.superuser, "select body from audit.record where subject_id = $1 order by arrived", str(order_id))
    moved = [orjson.loads(row["body"])["data"]["requests"] for row in said[-4:]]
    cancelling = life.gateway.sends[1].cl_ord_id
    assert moved == [[[cancelling, "queued"]], [[cancelling, "sending"]], [[cancelling, "sent"]], [[cancelling, "sent"]]]


REFUSING = """create function refuse() returns trigger language plpgsql as $$
begin raise exception 'not like this' using errcode = 'check_violation'; end $$;
create trigger refuse before update on attempt for each row execute function refuse()"""


async def test_p19_an_answer_that_cannot_be_recorded_is_kept(life: Life) -> None:
    """What it says about its order is refused by the database; what was said is evidence all the same."""
    await life.submit()
    life.gateway.answers = [Refused("3012", "account unknown at broker", b'{"resp": "3012"}')]
    connection = await asyncpg.connect(life.urls.superuser)
    await connection.execute(REFUSING)
    await connection.close()
    with pytest.raises(asyncpg.CheckViolationError):
        await life.dispatch()
    assert (await life.requests())[0]["state"] == "sending"
    (raw,) = await fetch(life.urls.superuser, "select id, sealed from audit.raw_message where source = 'answer'")
    assert life.dispatcher.vault.open(raw["sealed"], raw["id"]) == b'{"resp": "3012"}'


# --- changes of an order that ended meanwhile -----------------------------------------------------------------------------


async def test_a_change_nobody_answers_ends_with_its_order(life: Life) -> None:
    """The broker never speaks of the cancellation, and the order fills: nothing may stay on its way for ever."""
    order_id, cl = await acknowledged(life)
    await life.cancel(order_id, "c1")
    await life.dispatch()
    await life.receive(trade(cl, 10, 10))
    assert (await life.order())["closed"]
    assert [(row["state"], row["reason"]) for row in await life.requests()][1] == ("refused", "order-closed")
    cancel_id = (await life.requests())[1]["cl_ord_id"]
    await life.receive(report(ExecType.CANCELED, "4", cancel_id, orig_cl_ord_id=cl, cumulative_quantity=10))
    assert (await life.requests())[1]["state"] == "acknowledged"  # evidence still outranks it


async def test_a_cancelled_order_answers_its_cancellation_without_naming_it(life: Life) -> None:
    order_id, cl = await acknowledged(life)
    await life.cancel(order_id, "c1")
    await life.dispatch()
    await life.receive(report(ExecType.CANCELED, "4", cl, cumulative_quantity=0, leaves_quantity=0))
    assert [row["state"] for row in await life.requests()] == ["acknowledged", "acknowledged"]


async def test_a_waiting_cancellation_of_an_order_that_filled_is_not_sent(life: Life) -> None:
    order_id, cl = await acknowledged(life)
    await life.cancel(order_id, "c1")
    await life.receive(trade(cl, 10, 10))
    await life.dispatch()
    assert len(life.gateway.sends) == 1


# --- messages that cannot be applied, and messages whose order is not known yet -----------------------------------------


@pytest.mark.parametrize(
    "poison",
    [
        {"last_quantity": 10**30, "last_price": Decimal(70_000)},
        {"last_quantity": 1, "last_price": Decimal(10) ** 30},
        {"text": "a\x00b"},
        {"orig_cl_ord_id": "\x00", "cl_ord_id": None},
    ],
)
async def test_p19_a_message_that_breaks_its_reader_stops_nobody(life: Life, poison: dict[str, Any]) -> None:
    _, cl = await acknowledged(life)
    await life.receive(
        report(ExecType.TRADE, "1", **({"cl_ord_id": cl} | poison)), trade(cl, 4, 4),
    )  # fmt: skip
    order = await life.order()
    assert (order["status"], order["filled_quantity"]) == ("partially_filled", 4)
    aside = await fetch(life.urls.superuser, "select state, reason from inbox where state <> 'applied'")
    assert len(aside) == 1
    assert aside[0]["state"] in ("parked", "quarantined")


async def test_p06_a_report_that_knows_only_a_number_finds_its_order_later(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    nameless = trade(cl, 4, 4)
    await life.receive(replace(nameless, cl_ord_id=None))
    assert [row["state"] for row in await fetch(life.urls.superuser, "select state from inbox")] == ["unmatched"]
    await life.receive(ack(cl))
    order = await life.order()
    assert (order["status"], order["filled_quantity"]) == ("partially_filled", 4)
    await life.receive(replace(trade(cl, 2, 6), cl_ord_id=None), ack(cl))
    assert (await life.order())["filled_quantity"] == 6


async def test_p10_a_late_fill_of_a_former_number_belongs_to_its_order(life: Life) -> None:
    order_id, cl = await acknowledged(life)
    await life.amend(order_id, "a1", price=Decimal(70_100))
    await life.dispatch()
    changed = report(
        ExecType.REPLACED, "0", life.gateway.sends[1].cl_ord_id, orig_cl_ord_id=cl, order_id="1002",
        order_quantity=10, price=Decimal(70_100), cumulative_quantity=0,
    )  # fmt: skip
    await life.receive(changed)
    await life.receive(replace(trade(cl, 4, 4), cl_ord_id=None))
    order = await life.order()
    assert (order["filled_quantity"], order["price"]) == (4, 70_100)


# --- inquiries ------------------------------------------------------------------------------------------------------------


def row(life: Life, executed: int = 0, state: str = "접수", **given: Any) -> OrderRow:
    values: dict[str, Any] = {
        "account": AccountNumber(life.world.number), "order_number": "1001", "original_number": None, "is_amend": False,
        "is_cancel": False, "side": Side.BUY, "order_type_text": None, "quantity": 10, "price": Decimal(70_000),
        "executed_quantity": executed, "state_text": state, "reject_reason": None, "order_time": None,
        "instrument": InstrumentRef(ISIN, CODE, None), "executions": (),
    }  # fmt: skip
    return OrderRow(**(values | given))


class Asked(FakeGateway):
    """Answers an order inquiry with prepared rows, `late` after it was asked."""

    def __init__(self, life: Life, rows: list[OrderRow], late: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.life, self.rows, self.late = life, rows, late
        self.asked: list[str] = []

    async def orders(self, _broker: str, account: AccountNumber, _day: object, _class: object) -> Complete[OrderRow]:
        asked_at = self.life.clock.now()
        self.asked.append(account.reveal())
        self.life.clock.advance(self.late)
        return Complete(tuple(self.rows), (b"page",), asked_at)


async def test_p03_a_rejection_that_only_an_inquiry_shows_refuses_the_request_too(life: Life) -> None:
    """Found by the simulated day 73: the order was rejected and its request stood as sent for ever."""
    await life.submit()
    await life.dispatch()
    life.clock.moment = (await life.order())["session_ends"] + ROWS_ARE_LATE
    gateway: Any = Asked(life, [row(life, state="거부")])
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    assert (await life.order())["status"] == "rejected"
    assert [(one["state"], one["reason"]) for one in await life.requests()] == [
        ("refused", "rejected, as the order inquiry shows")
    ]


async def test_p13_the_cancel_row_of_an_order_recognised_by_its_terms_is_no_strangers(life: Life) -> None:
    """Found by the simulated day 132: nothing but the inquiry told of the order and of its cancellation, and the row of the
    cancellation was adopted as an order of the client's."""
    await life.submit()
    await life.dispatch()
    life.clock.moment = (await life.order())["session_ends"] + ROWS_ARE_LATE
    rows = [row(life, order_number="5"), row(life, order_number="6", original_number="0005", is_cancel=True, state="취소확인")]
    gateway: Any = Asked(life, rows)
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    found = await fetch(life.urls.superuser, "select status, broker_order_number from orders")
    assert [(one["status"], one["broker_order_number"]) for one in found] == [("canceled", "5")]


async def test_p13_the_row_of_an_order_known_by_its_cancellations_number_alone_is_no_strangers(life: Life) -> None:
    """Found by the simulated day 82: the acknowledgement was lost, the cancellation told its own number only, and the row of
    the order itself was adopted as an order of the client's. Here with an amendment between them."""
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(report(ExecType.NEW, "0", cl, cumulative_quantity=0, order_id="7"))
    rows = [
        row(life, order_number="5"),
        row(life, order_number="6", original_number="5", is_amend=True, state="정정확인"),
        row(life, order_number="7", original_number="6", is_cancel=True, state="취소확인"),
    ]
    life.clock.moment = (await life.order())["session_ends"] + ROWS_ARE_LATE
    gateway: Any = Asked(life, rows)
    assert await sweep_account(replace(life.applier, gateway=gateway), (life.world.account, TODAY), CallClass.ROUTINE)
    found = await fetch(life.urls.superuser, "select status from orders")
    assert [one["status"] for one in found] == ["canceled"]


async def test_an_answer_that_outlives_the_session_does_not_end_the_order(life: Life) -> None:
    """Asked at 15:29:59, read after the close: what the rows show is the time before the closing auction."""
    await acknowledged(life)
    life.clock.moment = (await life.order())["session_ends"] - timedelta(seconds=1)
    gateway: Any = Asked(life, [row(life)], late=timedelta(seconds=5))
    applier = replace(life.applier, gateway=gateway)
    assert await sweep_account(applier, (life.world.account, TODAY), CallClass.ROUTINE)
    assert (await life.order())["status"] == "new"
    life.clock.moment = (await life.order())["session_ends"] + ROWS_ARE_LATE
    assert await sweep_account(applier, (life.world.account, TODAY), CallClass.ROUTINE)
    assert (await life.order())["status"] == "expired"
    assert (await life.cash())["reserved"] == 0


async def test_p18_a_list_older_than_the_close_ends_no_order_and_the_closing_fill_is_found(life: Life) -> None:
    """The closing auction fills it and the fill's report is lost. Lists lag: one read right after the close shows the time before
    it. An order ended by that would never be looked at again."""
    await acknowledged(life)
    ends = (await life.order())["session_ends"]
    gateway: Any = Asked(life, [row(life)])
    sweeper = Sweeper(replace(life.applier, gateway=gateway), routine)
    await sweeper.sweep()
    for seconds, rows, status in ((1, 0, "new"), (59, 10, "filled")):
        life.clock.moment, gateway.rows = ends + timedelta(seconds=seconds), [row(life, rows)]
        await sweeper.sweep()
        assert (await life.order())["status"] == status
    assert (await life.order())["reported_quantity"] == 10


async def routine() -> int:
    return 1000


async def test_a_sent_order_without_acknowledgement_is_asked_about(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    gateway: Any = Asked(life, [row(life)])
    sweeper = Sweeper(replace(life.applier, gateway=gateway))
    assert await sweeper.sweep() == 0
    life.clock.advance(timedelta(seconds=31))
    assert await sweeper.sweep() == 1
    assert (await life.order())["status"] == "new"
    assert (await life.order())["broker_order_number"] == "1001"


async def test_p08_a_refused_cancellation_leads_to_an_inquiry(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    await life.cancel(order_id, "c1")
    life.gateway.answers = [Refused("3999", "too late", b"{}")]
    await life.dispatch()
    gateway: Any = Asked(life, [row(life)])
    sweeper = Sweeper(replace(life.applier, gateway=gateway))
    assert await sweeper.sweep() == 1
    life.clock.advance(timedelta(seconds=90))
    assert await Sweeper(replace(life.applier, gateway=gateway)).sweep() == 0


async def test_an_impossible_row_of_one_account_does_not_hide_another(life: Life) -> None:
    """The first account's sale does not fit its holding; the other account is asked and applied all the same."""

    class Broken(Asked):
        async def orders(self, *given: Any) -> Complete[OrderRow]:
            if len(self.asked) == 0:
                self.asked.append("first")
                raise ValueError("a broker's answer nobody thought of")
            return await super().orders(*given)

    await acknowledged(life)
    await fetch(life.urls.superuser, "update orders set reported_quantity = 1")
    other = replace(life.world, manager=life.world.other_manager, account=life.world.other_account)
    life.world = other
    await life.submit(key="k2", account=other.account)
    await fetch(life.urls.superuser, "update orders set reported_quantity = 1")
    gateway: Any = Broken(life, [])
    assert await Sweeper(replace(life.applier, gateway=gateway)).sweep() == 2
    assert len(gateway.asked) == 2


# --- claims of several at once --------------------------------------------------------------------------------------------


async def test_p02_a_batch_gives_each_request_an_attempt_of_its_own(life: Life) -> None:
    for i in range(3):
        await life.submit(key=f"k{i}", quantity=1 + i)
    await fetch(life.urls.superuser, "update order_request set send_by = queued_at where quantity = 2")
    taken = await life.dispatcher.claim([BROKER], 8)
    assert sorted(one.message.quantity for one in taken.claims) == [1, 3]
    attempts = await fetch(life.urls.superuser, "select request_id, n, outcome from attempt")
    assert {row["request_id"]: (row["n"], row["outcome"]) for row in attempts} == {
        one.request.id: (1, None) for one in taken.claims
    }
    assert sorted(row["state"] for row in await life.requests()) == ["refused", "sending", "sending"]
    assert not (await life.dispatcher.claim([BROKER], 8)).found
    for one in taken.claims:
        await life.dispatcher.carry(one)
    assert sorted(row["state"] for row in await life.requests()) == ["refused", "sent", "sent"]


async def test_a_batch_takes_one_request_of_an_order_and_the_cancellation_first(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    await life.amend(order_id, "a1", price=Decimal(72_000))
    await life.cancel(order_id, "c1")
    taken = await life.dispatcher.claim([BROKER], 8)
    assert [one.request.kind for one in taken.claims] == [RequestKind.CANCELLATION]


async def test_a_report_that_overtakes_the_answer_is_not_lost_with_it(life: Life) -> None:
    """The order has moved since its claim: the answer is written on what is true now."""
    await life.submit()
    (claim,) = (await life.dispatcher.claim([BROKER], 1)).claims
    await life.receive(ack(claim.request.cl_ord_id), trade(claim.request.cl_ord_id, 4, 4))
    await life.dispatcher.carry(claim)
    assert [row["state"] for row in await life.requests()] == ["acknowledged"]
    order = await life.order()
    assert (order["status"], order["filled_quantity"]) == ("partially_filled", 4)
    attempts = await fetch(life.urls.superuser, "select outcome from attempt")
    assert [row["outcome"] for row in attempts] == ["accepted"]
    entries = await fetch(life.urls.superuser, "select subject_seq from audit.record where subject_kind = 'order'")
    assert sorted(row["subject_seq"] for row in entries) == [1, 2, 3, 4]


async def test_racing_senders_share_the_queue_and_send_nothing_twice(life: Life) -> None:
    for i in range(12):
        await life.submit(key=f"k{i}", quantity=1 + i)
    taken = await asyncio.gather(*(life.dispatcher.claim([BROKER], 4) for _ in range(4)))
    claims = [one.request.id for each in taken for one in each.claims]
    assert len(claims) == len(set(claims))
    await asyncio.gather(*(life.dispatcher.carry(one) for each in taken for one in each.claims))
    await life.dispatch()
    assert sorted(one.quantity for one in life.gateway.sends) == list(range(1, 13))


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "taken"])
async def test_p28_a_book_taken_away_in_the_middle_of_a_change_leaves_nothing_of_it(life: Life, refused: bool) -> None:
    """The order is in the caller's books when it is locked and no more when its change is written: it is not there, and no
    ledger entry without its order bars what comes after."""
    order_id = await life.submit()
    await life.dispatch()

    async def effect(connection: AsyncConnection, order: Order) -> Order:
        taken = "update mandate_manager set revoked_at = now() where user_id = $1"
        await fetch(life.urls.superuser, taken, life.world.manager.user_id)
        if refused:
            raise Conflict("order-closed", "Nothing of it can trade any more.")
        held = Reserve(Won(order.reserved_cash), order.reserved_quantity)
        return await hold_more(connection, order, held, Cause("cancellation.submitted", {}), life.clock.now())

    with pytest.raises(NotFound):
        await carry_out(
            make_desk(life.app, life.clock), order_id, effect, what="cancellation", asked={}, principal=life.world.manager,
            intent=life.intent("c1"), request_id="r",
        )  # fmt: skip
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), trade(cl, 10, 10))
    assert (await life.order())["status"] == "filled"
