"""P3: what nobody knows is looked into in the stated order, each try shows, and absence closes nothing without two people."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from service.console.status import named, status
from service.core.clock import KST, ManualClock
from service.core.principal import Principal, Role
from service.core.secret import AccountNumber
from service.executions.sweep import Sweeper, sweep_account
from service.gateway import (
    CallClass,
    CancelReject,
    Complete,
    ExecType,
    Incomplete,
    Inquiry,
    OrderRow,
    Refused,
    RequestKind,
    Side,
    Unknown,
)
from service.infra.db import Books, Database
from service.infra.idempotency import Answer
from service.market.store import close_days
from service.orders import store
from service.orders.resolutions import decide, propose
from service.orders.shown import shown
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.executions.test_order_trouble import acknowledged, row
from tests.makers import TODAY, FakeGateway, fetch, make_desk, make_world, principal, report

AFTER_THE_DAY = datetime(2026, 11, 23, 20, 5, tzinfo=KST)


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


class Inquired(FakeGateway):
    """Answers order inquiries with what is prepared, the last again and again."""

    def __init__(self, life: Life, *answers: Sequence[OrderRow] | str) -> None:
        super().__init__()
        self.life, self.prepared, self.asked = life, list(answers), 0

    async def orders(self, _broker: str, _account: AccountNumber, _day: object, _class: object) -> Inquiry[OrderRow]:
        answer = self.prepared[min(self.asked, len(self.prepared) - 1)]
        self.asked += 1
        if isinstance(answer, str):
            return Incomplete(answer, "told so")
        return Complete(tuple(answer), (b"page one", b"page two"), self.life.clock.now())


def sweeper(life: Life, *answers: Sequence[OrderRow] | str) -> tuple[Sweeper, Inquired]:
    gateway = Inquired(life, *answers)
    prepared: Any = gateway
    return Sweeper(replace(life.applier, gateway=prepared)), gateway


async def seen(life: Life, order_id: UUID) -> Any:
    """The order as its manager sees it."""
    async with life.app.transaction(books=life.world.manager.user_id) as connection:
        order = await store.load(connection, order_id)
        assert order is not None
        return (await shown(connection, [order]))[0]


async def someone(life: Life, name: str, *roles: Role) -> Principal:
    made = principal(name, *roles)
    await fetch(
        life.urls.superuser, "insert into app_user (id, name, roles, created_at) values ($1, $2, $3, now())",
        made.user_id, name, [str(one) for one in roles],
    )  # fmt: skip
    return made


async def proposed(life: Life, order_id: UUID, who: Principal, key: str = "p1", conclusion: str = "not_sent") -> Answer:
    doubtful = (await life.requests())[0]["id"]
    intent = replace(life.intent(key), user_id=who.user_id)
    return await propose(
        make_desk(life.app, life.clock), order_id, doubtful=doubtful, conclusion=conclusion, reason="the broker has none",
        principal=who, intent=intent, request_id="r",
    )  # fmt: skip


async def decided(life: Life, order_id: UUID, resolution: str, who: Principal, key: str, confirm: bool = True) -> Answer:
    intent = replace(life.intent(key), user_id=who.user_id)
    return await decide(
        make_desk(life.app, life.clock), order_id, UUID(resolution), confirm=confirm, reason="asked the broker too",
        principal=who, intent=intent, request_id="r",
    )  # fmt: skip


def slug(answer: Answer) -> str:
    return str(orjson.loads(answer.body)["type"]).removeprefix("/problems/")


async def finally_absent(life: Life) -> UUID:
    """An order nobody knows about, its day over and its final inquiry without it."""
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, [])
    assert await asking.sweep() == 1
    return order_id


# --- what is tried, and what the order shows ------------------------------------------------------------------------------


async def test_p03_a_report_is_waited_for_then_the_resend_is_asked_for_then_somebody_inquires(life: Life) -> None:
    order_id = await life.lost()
    pokes: list[str] = []
    asking, gateway = sweeper(life, [])
    asking.applier = replace(asking.applier, poke=pokes.append)
    assert await asking.sweep() == 0
    doubt = (await seen(life, order_id))["in_doubt"]
    assert (doubt["tried"], doubt["owner"], doubt["safe_to_resubmit"]) == ([], "worker", False)
    assert doubt["next_check_at"] == "2026-11-23T10:00:05.000+09:00"
    life.clock.advance(timedelta(seconds=5))
    assert await asking.sweep() == 1
    assert pokes.index("resend") < pokes.index("orders.changed")
    doubt = (await seen(life, order_id))["in_doubt"]
    assert [one["what"] for one in doubt["tried"]] == ["push", "resend", "inquiry"]
    assert doubt["tried"][0]["first_at"] == "2026-11-23T10:00:00.000+09:00"
    looked = doubt["tried"][-1]
    assert (looked["complete"], looked["final"], looked["detail"]) == (True, False, "not listed")
    assert looked["evidence"] in doubt["missing_evidence"]
    assert len(looked["sha256"]) == 64
    assert doubt["next_check_at"] == "2026-11-23T10:00:15.000+09:00"
    assert gateway.asked == 1


async def test_p03_an_incomplete_inquiry_proves_nothing_even_after_the_day(life: Life) -> None:
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, "http-500")
    for _ in range(3):
        assert await Sweeper(asking.applier).sweep() == 1
    doubt = (await seen(life, order_id))["in_doubt"]
    last = doubt["tried"][-1]
    assert (last["detail"], last["times"], last["complete"], last["final"]) == ("http-500", 3, False, False)
    assert "http-500" in doubt["missing_evidence"]
    answer = await proposed(life, order_id, life.world.manager)
    assert (answer.status, slug(answer)) == (409, "final-inquiry-missing")
    assert b"http-500" in answer.body


async def test_p03_a_row_settles_it_and_says_by_which_inquiry(life: Life) -> None:
    order_id = await life.lost()
    life.clock.advance(timedelta(seconds=5))
    asking, _ = sweeper(life, [row(life)])
    await asking.sweep()
    assert (await seen(life, order_id))["in_doubt"] is None
    outcome = (await fetch(life.urls.superuser, "select * from doubt_step where kind = 'outcome'"))[0]
    sighting = (await fetch(life.urls.superuser, "select raw_id from order_sighting"))[0]
    assert (outcome["detail"], outcome["evidence"]) == ("inquiry", sighting["raw_id"])


@pytest.mark.parametrize("resent", [False, True], ids=["push", "resend"])
async def test_p03_a_report_settles_it_and_says_whether_it_was_resent(life: Life, resent: bool) -> None:
    await life.lost()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl, possible_duplicate=resent))
    asking, _ = sweeper(life, [])
    await asking.sweep()
    await asking.sweep()
    rows = await fetch(life.urls.superuser, "select detail from doubt_step where kind = 'outcome'")
    assert [one["detail"] for one in rows] == ["resend" if resent else "push"]


async def test_p03_two_rows_that_could_be_it_prove_neither_presence_nor_absence(life: Life) -> None:
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, [row(life, order_number="7"), row(life, order_number="8")])
    await asking.sweep()
    last = (await seen(life, order_id))["in_doubt"]["tried"][-1]
    assert (last["detail"], last["final"]) == ("2 rows could be it, none for certain", False)
    assert slug(await proposed(life, order_id, life.world.manager)) == "final-inquiry-missing"


async def test_p03_a_row_of_fewer_shares_proves_no_absence(life: Life) -> None:
    """A broker may have lowered the order, or list what was left of it."""
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, [row(life, quantity=7)])
    await asking.sweep()
    last = (await seen(life, order_id))["in_doubt"]["tried"][-1]
    assert (last["detail"], last["final"]) == ("1 rows could be it, none for certain", False)
    assert slug(await proposed(life, order_id, life.world.manager)) == "final-inquiry-missing"


@pytest.mark.parametrize(
    "changes",
    [{"quantity": 11}, {"price": Decimal(69_900)}, {"side": Side.SELL}, {"is_cancel": True, "state_text": "취소거부"}],
    ids=["quantity", "price", "side", "a-refused-cancellation"],
)
async def test_p03_a_row_with_other_terms_is_not_it(life: Life, changes: dict[str, Any]) -> None:
    order_id = await life.lost()
    life.clock.advance(timedelta(seconds=5))
    asking, _ = sweeper(life, [row(life, **changes)])
    await asking.sweep()
    assert (await seen(life, order_id))["in_doubt"]["tried"][-1]["detail"] == "not listed"


async def test_p03_an_order_taken_and_never_acknowledged_is_in_doubt_too(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    assert (await seen(life, order_id))["in_doubt"] is None
    life.clock.advance(timedelta(seconds=30))
    asking, _ = sweeper(life, [])
    assert await asking.sweep() == 1
    doubt = (await seen(life, order_id))["in_doubt"]
    assert doubt["reason"] == "the platform took it and nobody has acknowledged it"
    assert [one["what"] for one in doubt["tried"]] == ["push", "resend", "inquiry"]


async def test_i08_who_waits_for_people_is_asked_less_and_less_often(life: Life) -> None:
    order_id = await finally_absent(life)
    asking, gateway = sweeper(life, [])
    waits = []
    for _ in range(4):
        doubt = (await seen(life, order_id))["in_doubt"]
        assert doubt["owner"] == "person"
        due = datetime.fromisoformat(doubt["next_check_at"])
        waits.append((due - life.clock.moment) // timedelta(minutes=1))
        life.clock.moment = due - timedelta(seconds=1)
        assert await Sweeper(asking.applier).sweep() == 0
        life.clock.moment = due
        assert await Sweeper(asking.applier).sweep() == 1
    assert waits == [10, 20, 40, 80]
    assert gateway.asked == 4


async def test_p03_the_worst_case_stays_held_back_while_nobody_knows(life: Life) -> None:
    await finally_absent(life)
    order = await life.order()
    assert (order["status"], order["closed"], order["reserved_cash"]) == ("pending_new", False, 700_105)
    assert (await life.cash())["reserved"] == 700_105


async def test_p03_an_unknown_amendment_holds_back_the_dearer_price(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    life.gateway.answers = [Unknown("reset")]
    await life.amend(order_id, "a1", price=Decimal(72_000))
    await life.dispatch()
    assert [one["state"] for one in await life.requests()] == ["acknowledged", "unknown"]
    order = await life.order()
    assert (order["price"], order["reserved_cash"]) == (70_000, 720_108)


# --- closing on absence -----------------------------------------------------------------------------------------------------


async def test_p03_two_people_close_it_and_what_was_held_is_free(life: Life) -> None:
    order_id = await finally_absent(life)
    second = await someone(life, "approver", Role.APPROVER)
    answer = await proposed(life, order_id, life.world.manager)
    assert answer.status == 201, answer.body
    waiting = orjson.loads(answer.body)["in_doubt"]
    assert waiting["missing_evidence"].startswith("the confirmation of a second person")
    assert (await life.order())["status"] == "pending_new"
    done = await decided(life, order_id, waiting["resolutions"][0]["id"], second, "d1")
    assert done.status == 201, done.body
    order = orjson.loads(done.body)
    assert (order["status"], order["requests"][0]["state"]) == ("rejected", "refused")
    assert order["requests"][0]["reason"] == "closed-on-absence"
    assert (order["in_doubt"]["safe_to_resubmit"], order["in_doubt"]["missing_evidence"][:4]) == (True, "none")
    assert (await life.cash())["reserved"] == 0
    assert (await life.order())["closed"]
    ledger = await fetch(
        life.urls.superuser, "select kind, body from audit.record where subject_id = $1 order by subject_seq", str(order_id)
    )
    assert [one["kind"] for one in ledger][-2:] == ["resolution.proposed", "resolution.confirmed"]
    evidence = waiting["resolutions"][0]["evidence"]
    assert all(evidence.encode() in one["body"] for one in ledger[-2:])
    asking, gateway = sweeper(life, [])
    await asking.sweep()
    assert gateway.asked == 0
    rows = await fetch(life.urls.superuser, "select detail from doubt_step where kind = 'outcome'")
    assert [one["detail"] for one in rows] == ["person"]


async def test_p03_absence_counts_for_nothing_before_the_last_session_has_ended(life: Life) -> None:
    order_id = await life.lost()
    for at in ("15:31", "20:00"):
        life.clock.moment = AFTER_THE_DAY.replace(hour=int(at[:2]), minute=int(at[3:]))
        asking, _ = sweeper(life, [])
        await asking.sweep()
        answer = await proposed(life, order_id, life.world.manager, key=at)
        assert (answer.status, slug(answer)) == (409, "day-not-over")
        assert b"20:01:00" in answer.body
    life.clock.moment = AFTER_THE_DAY
    assert slug(await proposed(life, order_id, life.world.manager, key="late")) == "final-inquiry-missing"


async def test_p03_a_day_that_the_exchange_closed_after_an_order_was_sent_ends_at_midnight(life: Life) -> None:
    """Its list of closed days is read every half hour. What waits for evidence is still asked about, and can be closed."""
    order_id = await life.lost()
    async with life.worker.transaction() as connection:
        await close_days(connection, [TODAY], known_since=TODAY, source="test")
    for at, final in (AFTER_THE_DAY, False), (AFTER_THE_DAY.replace(hour=0, minute=1) + timedelta(days=1), True):
        life.clock.moment = at
        asking, _ = sweeper(life, [])
        await asking.sweep()
        rows = await fetch(life.urls.superuser, "select final from doubt_step where complete order by n")
        assert [row["final"] for row in rows][-1:] == [final]
    assert (await proposed(life, order_id, life.world.manager)).status == 201


async def test_p03_neither_the_proposer_nor_the_maker_is_the_second_person(life: Life) -> None:
    order_id = await finally_absent(life)
    operations = await someone(life, "operations", Role.OPERATIONS)
    answer = await proposed(life, order_id, operations)
    resolution = orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"]
    maker = Principal(life.world.manager.user_id, "kim", frozenset({Role.MANAGER, Role.APPROVER}))
    for key, who in (("own", operations), ("maker", maker)):
        refused = await decided(life, order_id, resolution, who, key)
        assert (refused.status, slug(refused)) == (403, "second-person-required")
    assert slug(await proposed(life, order_id, life.world.manager, key="p2")) == "resolution-pending"
    approver = await someone(life, "approver", Role.APPROVER)
    assert (await decided(life, order_id, resolution, approver, "no", confirm=False)).status == 201
    assert slug(await decided(life, order_id, resolution, approver, "yes")) == "resolution-decided"
    assert (await life.order())["status"] == "pending_new"
    assert (await proposed(life, order_id, life.world.manager, key="p3")).status == 201


async def test_p03_what_a_report_has_shown_cannot_be_closed(life: Life) -> None:
    order_id = await finally_absent(life)
    approver = await someone(life, "approver", Role.APPROVER)
    answer = await proposed(life, order_id, life.world.manager)
    resolution = orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"]
    await life.receive(report(ExecType.PENDING_NEW, "A", life.gateway.sends[0].cl_ord_id))
    refused = await decided(life, order_id, resolution, approver, "d1")
    assert (refused.status, slug(refused)) == (409, "evidence-shows-order")


@pytest.mark.parametrize("ord_status", ["8", "A"])
async def test_p03_who_refuses_to_cancel_an_order_he_does_not_know_has_not_shown_it(life: Life, ord_status: str) -> None:
    """Else whoever tried the cancellation that `what_now` names could never have the order closed."""
    order_id = await life.lost()
    await life.cancel(order_id, "c1")
    await life.dispatch()
    new, cancel = (one.cl_ord_id for one in life.gateway.sends)
    await life.receive(CancelReject(ord_status, None, cancel, new, RequestKind.CANCELLATION, "1", "원주문 없음", None))
    assert [one["state"] for one in await life.requests()] == ["unknown", "refused"]
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, [])
    await asking.sweep()
    answer = await proposed(life, order_id, life.world.manager)
    assert answer.status == 201, answer.body
    resolution = orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"]
    approver = await someone(life, "approver", Role.APPROVER)
    assert (await decided(life, order_id, resolution, approver, "d1")).status == 201
    assert (await life.order())["status"] == "rejected"
    assert (await life.cash())["reserved"] == 0


async def test_p03_who_refuses_to_cancel_an_order_as_executed_has_shown_it(life: Life) -> None:
    order_id = await life.lost()
    await life.cancel(order_id, "c1")
    await life.dispatch()
    new, cancel = (one.cl_ord_id for one in life.gateway.sends)
    life.clock.moment = AFTER_THE_DAY
    asking, _ = sweeper(life, [])
    await asking.sweep()
    await life.receive(CancelReject("2", "1001", cancel, new, RequestKind.CANCELLATION, "0", "too late", None))
    assert (await proposed(life, order_id, life.world.manager)).status == 409


@pytest.mark.parametrize(
    "broken",
    [
        "update doubt_decision set decision = 'confirmed', decided_at = now(), decided_by = proposed_by",
        "update doubt_decision set decision = 'confirmed', decided_at = now(), decided_by = maker",
        "update doubt_decision set evidence = null, evidence_final = null",
        "update doubt_decision set evidence_final = false",
        "update order_request set state = 'refused', reason = 'closed-on-absence'",
        "update doubt_step set complete = false where final",
    ],
    ids=["alone", "by-the-maker", "no-evidence", "evidence-not-final", "nobody-decided", "incomplete-and-final"],
)
async def test_p03_the_database_closes_nothing_on_absence_alone(life: Life, broken: str) -> None:
    order_id = await finally_absent(life)
    operations = await someone(life, "operations", Role.OPERATIONS)
    assert (await proposed(life, order_id, operations)).status == 201
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch(life.urls.superuser, broken)


async def test_p03_late_evidence_revives_the_order_and_raises_an_alarm(life: Life) -> None:
    order_id = await finally_absent(life)
    approver = await someone(life, "approver", Role.APPROVER)
    answer = await proposed(life, order_id, life.world.manager)
    await decided(life, order_id, orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"], approver, "d1")
    cl = life.gateway.sends[0].cl_ord_id
    asking, _ = sweeper(life, [])
    await asking.sweep()
    await life.receive(ack(cl), trade(cl, 4, 4))
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("partially_filled", 4, False)
    assert (await life.cash())["bought"] == 280_000
    await asking.sweep()
    decision = (await fetch(life.urls.superuser, "select overturned_at from doubt_decision"))[0]
    assert decision["overturned_at"] == life.clock.moment
    kinds = [one["kind"] for one in await fetch(life.urls.superuser, "select kind from audit.record")]
    assert kinds.count("doubt.overturned") == 1
    await asking.sweep()
    assert len(await fetch(life.urls.superuser, "select 1 from audit.record where kind = 'doubt.overturned'")) == 1


async def test_p03_a_row_that_turns_up_after_the_closing_revives_the_order_too(life: Life) -> None:
    """Not as a stranger's: the same terms, and nobody owns its number."""
    order_id = await finally_absent(life)
    approver = await someone(life, "approver", Role.APPROVER)
    answer = await proposed(life, order_id, life.world.manager)
    await decided(life, order_id, orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"], approver, "d1")
    prepared: Any = Inquired(life, [row(life)])
    applier = replace(life.applier, gateway=prepared)
    assert await sweep_account(applier, (life.world.account, TODAY), CallClass.NIGHT)
    await Sweeper(applier).sweep()
    orders = await fetch(life.urls.superuser, "select status, broker_order_number from orders")
    assert [tuple(one) for one in orders] == [("expired", "1001")]
    assert len(await fetch(life.urls.superuser, "select 1 from audit.record where kind = 'doubt.overturned'")) == 1


async def test_p01_a_resolution_is_proposed_once_under_its_key(life: Life) -> None:
    order_id = await finally_absent(life)
    first = await proposed(life, order_id, life.world.manager)
    again = await proposed(life, order_id, life.world.manager)
    assert (again.replayed, again.body) == (True, first.body)
    assert len(await fetch(life.urls.superuser, "select 1 from doubt_decision")) == 1


# --- P8 ---------------------------------------------------------------------------------------------------------------------


async def test_p08_a_refused_cancellation_is_looked_into_and_never_repeated_by_us(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await life.cancel(order_id, "c1")
    life.gateway.answers = [Refused("7000", "too late", b"{}")]
    await life.dispatch()
    asking, gateway = sweeper(life, [row(life)])
    for _ in range(10):
        life.clock.advance(timedelta(seconds=10))
        await asking.sweep()
        await life.dispatch()
    assert gateway.asked >= 1
    assert len(life.gateway.sends) == 2
    assert [one["kind"] for one in await life.requests()] == ["new", "cancellation"]


async def test_i07_no_try_turns_unknown_into_a_verdict(life: Life) -> None:
    """Whatever is asked, in any order, only evidence moves the request."""
    order_id = await life.lost()
    for answer in ([], "timeout", "page-repeated", []):
        life.clock.advance(timedelta(hours=3))
        asking, _ = sweeper(life, answer)
        await asking.sweep()
        order = await seen(life, order_id)
        assert (order["status"], order["requests"][0]["state"]) == ("pending_new", "unknown")
    async with life.worker.transaction(books=Books.ALL) as connection:
        found = await store.load(connection, order_id)
    assert found is not None
    assert not found.closed


async def test_p12_the_status_page_names_an_order_whose_day_is_over_and_whose_end_nobody_told(life: Life) -> None:
    await acknowledged(life)

    async def left() -> dict[str, dict[str, int]]:
        return {}

    async def said() -> Any:
        async with life.app.transaction(books=Books.ALL) as connection:
            names = await named(connection, life.clock)
            parts = await status(connection, clock=life.clock, brokers=[], budgets=left, licensed=True, names=names)
        return parts["orders"]

    assert (await said())["outlived"] == []
    life.clock.advance(timedelta(days=1))
    part = await said()
    assert (part["ok"], part["outlived"]) == (False, [str((await life.order())["id"])])
    assert part["what_now"].startswith("Ask the broker")


async def test_p03_the_status_page_counts_what_waits_for_a_second_person(life: Life) -> None:
    order_id = await life.lost()

    async def left() -> dict[str, dict[str, int]]:
        return {}

    async def waits() -> Any:
        async with life.app.transaction(books=Books.ALL) as connection:
            names = await named(connection, life.clock)
            parts = await status(connection, clock=life.clock, brokers=[], budgets=left, licensed=True, names=names)
        return parts["orders"]["waiting_for_second_person"]

    assert await waits() == 0
    answer = await proposed(life, order_id, life.world.manager, conclusion="twin_allowed")
    assert (answer.status, await waits()) == (201, 1)
    resolution = orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"]
    await decided(life, order_id, resolution, await someone(life, "park", Role.APPROVER), "d1", confirm=False)
    assert await waits() == 0
