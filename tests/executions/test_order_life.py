"""An order through dispatch, answers and reports, on a real database with a gateway of prepared answers."""

import asyncio
import json
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.accounts.synchronise_accounts import synchronise_accounts
from service.audit.evidence import Vault
from service.controls.lock_broker import lock_broker
from service.core.clock import ManualClock
from service.executions.apply import Applier
from service.executions.inbox import Inbox
from service.gateway import Accepted, CancelReject, ExecType, NotSent, RawReport, Refused, Report, RequestKind, Unknown
from service.infra import idempotency
from service.infra.db import Database
from service.infra.processes import identity
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.model import MandateStatus
from service.market.book import MarketBook
from service.orders import send_store
from service.orders.amend import amend
from service.orders.cancel import cancel
from service.orders.dispatch import Dispatcher
from service.orders.recheck import Recheck
from tests.accounts.platform import Platform, complete
from tests.conftest import DatabaseUrls
from tests.makers import BROKER, ISIN, TODAY, FakeGateway, World, fetch, make_desk, make_world, report
from tests.orders.test_submit import place
from tests.waiting import until

VAULT = Vault(bytes(32))


class Life:
    """One order's surroundings: the service, the worker, and the broker we play."""

    def __init__(self, app: Database, worker: Database, urls: DatabaseUrls, clock: ManualClock, world: World) -> None:
        self.app, self.worker, self.urls, self.clock, self.world = app, worker, urls, clock, world
        self.gateway = FakeGateway()
        gateway: Any = self.gateway
        self.dispatcher = Dispatcher(
            hot=worker.hot, gateway=gateway, clock=clock, vault=VAULT,
            recheck=Recheck(lambda _day: True), sender="test", poke=lambda _channel: None,
        )  # fmt: skip
        self.inbox = Inbox(worker.transaction, worker.hot, VAULT, clock, "F0001", lambda _channel: None)
        market = MarketBook(worker.transaction, fresh_s=0)
        self.applier = Applier(worker.transaction, gateway, clock, VAULT, market, lambda _channel: None)
        self.seq = 0

    async def submit(self, **changes: Any) -> UUID:
        answer = await place(self.app, self.clock, self.world, **changes)
        assert answer.status == 201, answer.body
        return UUID(orjson.loads(answer.body)["id"])

    async def lost(self, **changes: Any) -> UUID:
        """An order whose answer never came."""
        order_id = await self.submit(**changes)
        self.gateway.answers = [Unknown("read-timeout")]
        await self.dispatch()
        return order_id

    async def queue(self, *, cancels: bool) -> int:
        """A new order that waits, or a cancellation of one that went out; the sends so far."""
        order_id = await self.submit()
        if cancels:
            await self.dispatch()
            await self.cancel(order_id, "c1")
        return len(self.gateway.sends)

    async def dispatch(self) -> None:
        while await self.dispatcher.dispatch_one([BROKER]):
            pass

    async def receive(self, *reports: Report, seqs: list[int] | None = None) -> None:
        for i, one in enumerate(reports):
            self.seq += 1
            seq = seqs[i] if seqs else self.seq
            body = f"message {seq}".encode()
            self.gateway.reports[body] = one
            await self.inbox.store([RawReport("F0001", TODAY, seq, body)])
        while await self.applier.apply_waiting():
            pass

    async def order(self) -> Any:
        return (await fetch(self.urls.superuser, "select * from orders"))[0]

    async def requests(self) -> list[Any]:
        return await fetch(self.urls.superuser, "select * from order_request order by number")

    async def fills(self) -> list[Any]:
        return await fetch(self.urls.superuser, "select * from fill order by number")

    async def cash(self) -> Any:
        return (await fetch(self.urls.superuser, "select * from cash where account_id = $1", self.world.account))[0]

    async def holding(self) -> Any:
        wanted = "select * from holding where account_id = $1 and isin = $2"
        return (await fetch(self.urls.superuser, wanted, self.world.account, ISIN))[0]

    def intent(self, key: str, **body: Any) -> idempotency.Intent:
        return idempotency.intent(user_id=self.world.manager.user_id, route="POST test", key=key, body=body)

    async def amend(self, order_id: UUID, key: str, price: Decimal | None = None, quantity: int | None = None) -> Any:
        return await amend(
            make_desk(self.app, self.clock), order_id, price=price, quantity=quantity, principal=self.world.manager,
            intent=self.intent(key, price=str(price), quantity=quantity), request_id="r",
        )  # fmt: skip

    async def cancel(self, order_id: UUID, key: str) -> Any:
        return await cancel(
            make_desk(self.app, self.clock), order_id, principal=self.world.manager, intent=self.intent(key), request_id="r"
        )


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


def trade(cl: str, quantity: int, cumulative: int, price: int = 70_000, **given: Any) -> Report:
    return report(
        ExecType.TRADE, "1", cl, last_quantity=quantity, last_price=Decimal(price), cumulative_quantity=cumulative, **given
    )


def ack(cl: str, **given: Any) -> Report:
    return report(ExecType.NEW, "0", cl, cumulative_quantity=0, **given)


async def test_sent_acknowledged_filled_and_booked_once(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    assert [row["state"] for row in await life.requests()] == ["sent"]
    await life.receive(ack(cl), trade(cl, 4, 4), trade(cl, 6, 10))
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("filled", 10, True)
    assert order["broker_order_number"] == "1001"
    cash = await life.cash()
    assert (cash["bought"], cash["reserved"]) == (700_000, 0)
    assert (await life.holding())["bought"] == 10
    assert [row["settles_on"].isoformat() for row in await life.fills()] == ["2026-11-25"] * 2


async def test_p02_a_lost_answer_leaves_unknown_and_nothing_is_sent_again(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [Unknown("read-timeout")]
    await life.dispatch()
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    order = await life.order()
    assert order["status"] == "pending_new"
    assert [row["state"] for row in await life.requests()] == ["unknown"]
    assert (await life.cash())["reserved"] > 0


async def test_p02_evidence_by_report_settles_an_unknown_request(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [Unknown("reset")]
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    assert [row["state"] for row in await life.requests()] == ["acknowledged"]
    assert (await life.order())["status"] == "new"


async def test_not_sent_goes_out_again_under_the_same_id(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [NotSent("connect"), Accepted(None, b"{}")]
    await life.dispatch()
    assert len(life.gateway.sends) == 1  # left alone for a moment: a platform that is down is not knocked at in a loop
    await fetch(life.urls.superuser, "update order_request set retry_at = now() - interval '1 s'")
    await life.dispatch()
    assert [one.cl_ord_id for one in life.gateway.sends] == [life.gateway.sends[0].cl_ord_id] * 2
    attempts = await fetch(life.urls.superuser, "select outcome from attempt order by n")
    assert [row["outcome"] for row in attempts] == ["not_sent", "accepted"]


async def test_p02_the_database_refuses_a_second_send(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    with pytest.raises(Exception, match="uq_attempt_one_send"):
        await fetch(
            life.urls.superuser,
            "insert into attempt (request_id, n, sender, epoch, overdue_at) select request_id, 2, 'thief', 0, now() from attempt",
        )


async def test_a_definite_refusal_rejects_and_gives_back_the_reservation(life: Life) -> None:
    await life.submit()
    life.gateway.answers = [Refused("3012", "account unknown at broker", b"{}")]
    await life.dispatch()
    order = await life.order()
    assert (order["status"], order["closed"]) == ("rejected", True)
    assert (await life.requests())[0]["reason"] == "3012: account unknown at broker"
    assert (await life.cash())["reserved"] == 0


async def test_p06_a_fill_before_its_acknowledgement_implies_it(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(trade(cl, 4, 4))
    await life.receive(ack(cl))
    order = await life.order()
    assert (order["status"], order["filled_quantity"]) == ("partially_filled", 4)
    assert [row["state"] for row in await life.requests()] == ["acknowledged"]


async def test_p06_p07_a_message_again_changes_nothing(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), trade(cl, 4, 4))
    await life.receive(trade(cl, 4, 4), seqs=[2])
    await life.receive(trade(cl, 4, 4))  # the same execution under a new sequence number
    assert len(await life.fills()) == 1


async def test_p07_two_identical_fills_in_one_second_both_count(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(trade(cl, 3, 3), trade(cl, 3, 6))
    assert [row["quantity"] for row in await life.fills()] == [3, 3]


async def test_p07_a_gap_shows_as_unaccounted_and_is_never_invented(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), trade(cl, 1, 5))
    order = await life.order()
    assert (order["filled_quantity"], order["reported_quantity"], order["remaining_quantity"]) == (1, 5, 5)
    assert order["reserved_cash"] >= 9 * 70_000  # the remainder and what has executed without a fill
    refused = await life.amend(order_id, "a1", price=Decimal(70_100))
    assert orjson.loads(refused.body)["type"] == "/problems/fills-unaccounted"
    await life.receive(trade(cl, 4, 4), seqs=[90])
    assert (await life.order())["filled_quantity"] == 5


async def test_p08_a_fill_that_crosses_a_cancel_is_accepted(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.cancel(order_id, "c1")
    await life.dispatch()
    cancel_id = life.gateway.sends[1].cl_ord_id
    assert life.gateway.sends[1].orig_cl_ord_id == cl
    await life.receive(
        report(ExecType.PENDING_CANCEL, "6", cancel_id, orig_cl_ord_id=cl, cumulative_quantity=0),
        trade(cl, 4, 4),
        report(ExecType.CANCELED, "4", cancel_id, orig_cl_ord_id=cl, cumulative_quantity=4, leaves_quantity=0),
    )
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("canceled", 4, True)
    assert (await life.cash())["reserved"] == 0


async def test_a_cancel_refused_as_too_late_leaves_the_fill(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.cancel(order_id, "c1")
    await life.dispatch()
    late = CancelReject("2", "1001", life.gateway.sends[1].cl_ord_id, cl, RequestKind.CANCELLATION, "0", "too late", None)
    await life.receive(trade(cl, 10, 10), late)
    assert (await life.order())["status"] == "filled"
    assert [row["state"] for row in await life.requests()] == ["acknowledged", "refused"]


async def test_p09_an_amended_quantity_counts_from_fills(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), trade(cl, 4, 4))
    answer = await life.amend(order_id, "a1", quantity=6)
    assert answer.status == 201
    await life.dispatch()
    replace_id = life.gateway.sends[1].cl_ord_id
    await life.receive(
        report(ExecType.REPLACED, "1", replace_id, orig_cl_ord_id=cl, order_quantity=6, cumulative_quantity=4, order_id="1002")
    )
    order = await life.order()
    assert (order["quantity"], order["remaining_quantity"], order["broker_order_number"]) == (6, 2, "1002")


async def test_a_price_amend_holds_back_the_dearer_price(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.amend(order_id, "a1", price=Decimal(72_000))
    assert (await life.cash())["reserved"] == 720_108
    await life.dispatch()
    reject = CancelReject("0", "1001", life.gateway.sends[1].cl_ord_id, cl, RequestKind.AMENDMENT, "2", "no", None)
    await life.receive(reject)
    order = await life.order()
    assert (order["status"], order["price"]) == ("new", 70_000)
    assert (await life.cash())["reserved"] == 700_105


async def resting(life: Life, limits: dict[str, Any], **changes: Any) -> UUID:
    """An acknowledged order, under a mandate with these limits, of an account that holds no shares."""
    await fetch(life.urls.superuser, "delete from holding")
    await fetch(life.urls.superuser, "update mandate set limits = $1", json.dumps(limits))
    order_id = await life.submit(**changes)
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    return order_id


async def test_p16_a_dearer_price_counts_in_the_mandates_turnover(life: Life) -> None:
    """10 shares at 70,000 won, and 15,000 won more may be traded. What was claimed once is not claimed again."""
    order_id = await resting(life, {"daily_turnover": "715000"})
    refused = await life.amend(order_id, "a1", price=Decimal(71_600))
    assert orjson.loads(refused.body)["type"] == "/problems/turnover-exceeded"
    assert (len(await life.requests()), (await life.cash())["reserved"]) == (1, 700_105)
    for key, price in (("a2", 71_500), ("a3", 69_000), ("a4", 71_500)):
        assert (await life.amend(order_id, key, price=Decimal(price))).status == 201
        await life.dispatch()
        sent = life.gateway.sends
        await life.receive(report(ExecType.REPLACED, "5", sent[-1].cl_ord_id, price=Decimal(price), cumulative_quantity=0))
    assert len(life.gateway.sends) == 4
    assert (await fetch(life.urls.superuser, "select turnover from mandate_day"))[0]["turnover"] == 715_000


async def test_p16_a_dearer_price_may_not_make_one_name_too_heavy(life: Life) -> None:
    """400 shares at 70,000 won are 28 of 100 million, at 76,000 they are 30.4: more than the mandate's 30 %."""
    order_id = await resting(life, {"single_name_weight_percent": "30"}, quantity=400)
    refused = await life.amend(order_id, "a1", price=Decimal(76_000))
    assert orjson.loads(refused.body)["type"] == "/problems/single-name-weight-exceeded"
    assert len(await life.requests()) == 1
    assert (await life.amend(order_id, "a2", price=Decimal(74_000))).status == 201


async def test_p23_an_amendment_goes_by_no_limits_that_do_not_follow_from_the_base_price(life: Life) -> None:
    """The master was read again meanwhile: 70,000 won, and an upper limit of 700,000."""
    order_id = await resting(life, {})
    await fetch(life.urls.superuser, "update instrument_day set upper_limit = 700000 where isin = $1", ISIN)
    refused = await life.amend(order_id, "a1", price=Decimal(698_000))
    assert orjson.loads(refused.body)["type"] == "/problems/price-limits-disagree"
    assert len(await life.requests()) == 1


async def test_p14_no_increase_no_partial_reprice(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    more = await life.amend(order_id, "a1", quantity=11)
    part = await life.amend(order_id, "a2", price=Decimal(70_100), quantity=5)
    assert orjson.loads(more.body)["type"] == "/problems/quantity-increase-not-supported"
    assert orjson.loads(part.body)["type"] == "/problems/partial-price-amend-not-supported"
    assert len(await life.requests()) == 1
    assert len(life.gateway.sends) == 1


async def test_cancelling_what_was_never_sent_withdraws_it_here(life: Life) -> None:
    order_id = await life.submit()
    answer = await life.cancel(order_id, "c1")
    assert answer.status == 201
    await life.dispatch()
    assert life.gateway.sends == []
    order = await life.order()
    assert (order["status"], order["closed"]) == ("canceled", True)
    assert (await life.cash())["reserved"] == 0
    again = await life.cancel(order_id, "c2")
    assert orjson.loads(again.body)["type"] == "/problems/order-closed"


async def test_p11_an_overfill_is_quarantined_and_changes_nothing(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl), trade(cl, 11, 11), trade(cl, 4, 4))
    order = await life.order()
    assert (order["status"], order["filled_quantity"]) == ("partially_filled", 4)
    states = await fetch(life.urls.superuser, "select state, reason from inbox where state <> 'applied'")
    assert [(row["state"], row["reason"]) for row in states] == [("quarantined", "overfill")]


async def test_p12_a_bust_reverses_its_fill_once(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    bust = report(ExecType.TRADE_CANCEL, "1", cl, exec_id="E3", exec_ref_id="E1", last_quantity=0, cumulative_quantity=6)
    await life.receive(ack(cl), trade(cl, 4, 4, exec_id="E1"), trade(cl, 6, 10, exec_id="E2"), bust)
    await life.receive(bust)
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["remaining_quantity"]) == ("partially_filled", 6, 4)
    assert [row["quantity"] for row in await life.fills()] == [4, 6, -4]
    assert (await life.holding())["bought"] == 6
    assert (await life.cash())["bought"] == 420_000


async def test_p16_a_mandate_withdrawn_after_submission_stops_the_send(life: Life) -> None:
    await life.submit()
    await fetch(life.urls.superuser, "update mandate_manager set revoked_at = now() where mandate_id = $1", life.world.mandate)
    await life.dispatch()
    assert life.gateway.sends == []
    assert (await life.order())["status"] == "rejected"
    assert (await life.requests())[0]["reason"] == "manager-not-assigned"


@pytest.mark.parametrize("change", ["active = false", "roles = array['compliance']"])
async def test_p16_a_manager_who_is_none_any_more_sends_nothing(life: Life, change: str) -> None:
    await life.submit()
    await fetch(life.urls.superuser, f"update app_user set {change} where id = $1", life.world.manager.user_id)
    await life.dispatch()
    assert life.gateway.sends == []
    assert (await life.requests())[0]["reason"] == "manager-not-entitled"


async def test_whoever_picks_hears_whether_more_is_waiting(life: Life) -> None:
    """Told too little, a sender would look again for nothing after each send; told too much, a request would wait for a poll."""
    await life.submit()
    await life.submit(quantity=7, key="another")
    for most, found in ((8, (2, True)), (2, (2, False)), (1, (1, False))):
        async with life.worker.hot() as connection:
            picked, emptied = await send_store.pick(connection, [BROKER], most, None, life.clock.now())
        assert (len(picked), emptied) == found


async def test_p16_a_withdrawal_waits_for_the_claim_that_has_looked_and_stops_every_later_one(life: Life) -> None:
    """The withdrawal must not commit before the claim, or a send would follow it."""
    await life.submit(quantity=7, key="another")
    withdrawn = Changes(status=MandateStatus.SUSPENDED)
    await _waits_for_a_claim(
        life, amend_mandate(transaction=life.app.transaction, mandate_id=life.world.mandate, changes=withdrawn)
    )
    assert life.gateway.sends == []
    assert {row["reason"] for row in await life.requests()} == {"mandate-not-in-force"}


async def test_p20_a_broker_is_not_locked_before_the_claim_that_has_looked_is_over(life: Life) -> None:
    async def drift() -> None:
        async with life.worker.transaction() as connection:
            await lock_broker(
                connection, BROKER, message="report", field="39", what="no such word", evidence=None, now=life.clock.now()
            )

    await _waits_for_a_claim(life, drift())
    assert life.gateway.sends == []


async def test_p16_an_account_that_is_listed_no_more_stops_every_send_after_its_commit(life: Life) -> None:
    async def list_nobody() -> None:
        gateway: Any = Platform(account_lists={BROKER: complete()}, balances={})
        await synchronise_accounts(
            transaction=life.app.transaction, clock=life.clock, gateway=gateway, vault=VAULT, brokers=[BROKER]
        )

    await _waits_for_a_claim(life, list_nobody())
    assert life.gateway.sends == []
    assert {row["reason"] for row in await life.requests()} == {"contract-not-in-force"}


async def _waits_for_a_claim(life: Life, withdrawal: Coroutine[Any, Any, object]) -> None:
    """The claim has looked and not committed; what takes its right away waits. Then everything that still waits is tried."""
    await life.submit()
    async with life.worker.hot() as connection:
        await send_store.pick(connection, [BROKER], 1, None, life.clock.now())
        withdrawing = asyncio.create_task(withdrawal)
        await until(lambda: waiting_for_the_gate(life))
        assert not withdrawing.done()
    await withdrawing
    await life.dispatch()


async def waiting_for_the_gate(life: Life) -> bool:
    question = "select 1 from pg_locks where relation = 'halt_gate'::regclass and not granted"
    return bool(await fetch(life.urls.superuser, question))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_order_value": "699999"}, "order-value-exceeded"),
        ({"max_order_value": "700000"}, None),
        ({"daily_turnover": "699999"}, "turnover-exceeded"),
        ({"daily_turnover": "700000"}, None),
        ({"four_eyes_threshold": "700000"}, "four-eyes-required"),
        ({"universe": {"exclude": [ISIN]}}, "instrument-not-in-mandate"),
    ],
    ids=["value", "value-just-within", "turnover", "turnover-just-within", "four-eyes", "universe"],
)
async def test_p16_limits_drawn_tighter_after_submission_stop_the_send(
    life: Life, limits: dict[str, Any], reason: str | None
) -> None:
    """10 shares at 70,000 won under a mandate with a turnover limit, so that the day's turnover is counted."""
    await fetch(life.urls.superuser, 'update mandate set limits = \'{"daily_turnover": "100000000"}\'')
    await life.submit()
    await fetch(life.urls.superuser, "update mandate set limits = $1", json.dumps(limits))
    await life.dispatch()
    assert (await life.requests())[0]["reason"] == reason
    assert len(life.gateway.sends) == (0 if reason else 1)


async def test_p16_a_day_that_the_exchange_closed_after_submission_stops_the_send(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await life.submit(key="k2", quantity=9)
    await life.amend(order_id, "a1", quantity=5)
    await fetch(life.urls.superuser, "update trading_day set open = false, regular_open = null, regular_close = null")
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    told = "select kind, reason from order_request where state = 'refused' order by kind"
    assert [tuple(row) for row in await fetch(life.urls.superuser, told)] == [
        ("amendment", "session-closed"), ("new", "session-closed"),
    ]  # fmt: skip
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert len(life.gateway.sends) == 2  # a cancellation always passes


async def test_p16_an_order_of_one_mandate_does_not_go_out_under_another(life: Life) -> None:
    """The account moved to a mandate of the same manager, whose limits and turnover have not seen the order."""
    await life.submit()
    world = life.world
    theirs = (
        await fetch(life.urls.superuser, "select mandate_id from mandate_account where account_id = $1", world.other_account)
    )[0][0]
    assign = "update mandate_manager set user_id = $1 where mandate_id = $2"
    await fetch(life.urls.superuser, assign, world.manager.user_id, theirs)
    await fetch(life.urls.superuser, "update mandate_account set mandate_id = $1 where account_id = $2", theirs, world.account)
    await life.dispatch()
    assert life.gateway.sends == []
    assert (await life.requests())[0]["reason"] == "mandate-not-in-force"


async def test_too_late_is_refused_without_a_send(life: Life) -> None:
    await life.submit()
    life.clock.moment = life.clock.moment.replace(minute=1)
    await life.dispatch()
    assert life.gateway.sends == []
    assert (await life.requests())[0]["reason"] == "too-late"
    assert (await life.cash())["reserved"] == 0


async def test_p19_what_cannot_be_read_is_parked_and_the_rest_goes_on(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.inbox.store([RawReport("F0001", TODAY, 50, b"\xff\xfe not a report")])
    await life.receive(ack(cl))
    assert (await life.order())["status"] == "new"
    states = await fetch(life.urls.superuser, "select state from inbox order by arrived")
    assert [row["state"] for row in states] == ["parked", "applied"]


async def test_an_attempt_without_answer_becomes_unknown(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    await fetch(life.urls.superuser, "update attempt set outcome = null, overdue_at = now() - interval '1 s'")
    await fetch(life.urls.superuser, "update order_request set state = 'sending'")
    assert await life.dispatcher.orphans() == 1
    assert (await life.requests())[0]["state"] == "unknown"


async def test_an_attempt_of_a_process_that_has_died_is_given_up_at_once(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    host, world, pid, started = identity().split("/")
    for who, lost in ((identity(), 0), ("/".join((host, world, pid, str(int(started) - 1))), 1)):
        await fetch(life.urls.superuser, "update attempt set outcome = null, sender = $1", who)
        await fetch(life.urls.superuser, "update order_request set state = 'sending'")
        assert await life.dispatcher.orphans() == lost


async def test_one_amendment_at_a_time(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await life.amend(order_id, "a1", price=Decimal(70_100))
    second = await life.amend(order_id, "a2", price=Decimal(70_200))
    assert orjson.loads(second.body)["type"] == "/problems/request-in-flight"
