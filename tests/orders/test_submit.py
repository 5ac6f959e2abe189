"""Submission: what is written together, what is refused, and that a key makes one order."""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from service.core.clock import ManualClock
from service.core.errors import Busy, Invalid, NotFound
from service.core.money import Won
from service.gateway import OrderType, Session, Side, TimeInForce
from service.infra import idempotency
from service.infra.db import Database
from service.infra.idempotency import Answer
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.model import Limits
from service.orders.checks import Wish
from service.orders.decide import Asked
from service.orders.desk import session_facts
from service.orders.submit import ROUTE, submit
from tests.conftest import DatabaseUrls
from tests.makers import HALTED_ISIN, ISIN, OTHER_ISIN, World, fetch, make_desk, make_world
from tests.market.test_calendar import CALENDAR
from tests.waiting import until


def wish(**changes: Any) -> Wish:
    values: dict[str, Any] = {
        "isin": ISIN,
        "symbol": None,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": 10,
        "price": Decimal(70_000),
        "time_in_force": TimeInForce.DAY,
        "session": None,
    }
    return Wish(**(values | changes))


async def place(
    database: Database,
    clock: ManualClock,
    world: World,
    key: str = "k1",
    licensed: bool = True,
    left: bool = True,
    **changes: Any,
) -> Answer:
    account = changes.pop("account", world.account)
    asked = Asked(account, wish(**changes), changes.pop("client_order_id", None), None)
    body = {"account": str(asked.account_id), "wish": str(asked.wish)}
    intent = idempotency.intent(user_id=world.manager.user_id, route=ROUTE, key=key, body=body)
    return await submit(
        make_desk(database, clock, licensed=licensed, left=left), asked, principal=world.manager, intent=intent, request_id="r"
    )


async def test_an_order_is_on_disk_with_request_ledger_entry_and_reservation(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    answer = await place(database, clock, world)
    assert answer.status == 201
    document = orjson.loads(answer.body)
    assert document["status"] == "pending_new"
    assert document["requests"][0]["cl_ord_id"].startswith("20261123")
    rows = await fetch(database_urls.superuser, "select * from orders")
    assert len(rows) == 1
    assert rows[0]["reserved_cash"] == 700_105
    cash = await fetch(database_urls.superuser, "select reserved from cash where account_id = $1", world.account)
    assert cash[0]["reserved"] == 700_105
    ledger = await fetch(database_urls.superuser, "select * from audit.record where subject_id = $1", document["id"])
    assert [row["kind"] for row in ledger] == ["order.submitted"]
    assert len(await fetch(database_urls.superuser, "select * from audit.pending")) == len(
        await fetch(database_urls.superuser, "select * from audit.record")
    )


async def test_p01_the_same_key_and_body_is_one_order_and_the_same_bytes(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    first = await place(database, clock, world)
    again = await place(database, clock, world)
    assert again.replayed
    assert again.body == first.body
    assert len(await fetch(database_urls.superuser, "select 1 from orders")) == 1


async def test_p01_the_same_key_with_another_body_is_refused(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    await place(database, clock, world)
    with pytest.raises(Invalid) as refused:
        await place(database, clock, world, quantity=11)
    assert refused.value.slug == "idempotency-key-reused"
    assert len(await fetch(database_urls.superuser, "select 1 from orders")) == 1


async def test_p01_parallel_twins_make_one_order(database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> None:
    world = await make_world(database_urls.superuser)
    answers = await asyncio.gather(*[place(database, clock, world) for _ in range(16)])
    assert {one.status for one in answers} == {201}
    assert len({one.body for one in answers}) == 1
    assert sum(not one.replayed for one in answers) == 1
    assert len(await fetch(database_urls.superuser, "select 1 from orders")) == 1


async def test_parallel_orders_never_reserve_more_than_there_is(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser, shares=100)
    answers = await asyncio.gather(*[place(database, clock, world, key=f"k{i}", side=Side.SELL, quantity=30) for i in range(8)])
    assert sorted(one.status for one in answers) == [201] * 3 + [422] * 5
    held = await fetch(
        database_urls.superuser, "select reserved_sell from holding where account_id = $1 and isin = $2", world.account, ISIN
    )
    assert held[0]["reserved_sell"] == 90


REFUSALS = [
    ("price-off-tick", {"price": Decimal(70_050)}),
    ("price-above-limit", {"price": Decimal(91_100)}),
    ("price-below-limit", {"price": Decimal(48_900)}),
    ("instrument-halted", {"isin": HALTED_ISIN}),
    ("instrument-unknown", {"isin": "KR7999999999"}),
    ("insufficient-cash", {"quantity": 1_500}),
    ("insufficient-holding", {"quantity": 1_001, "side": Side.SELL}),
    ("session-closed", {"session": Session.AFTER_MARKET}),
]


@pytest.mark.parametrize(("slug", "changes"), REFUSALS, ids=[slug for slug, _ in REFUSALS])
async def test_a_refusal_names_the_rule_and_changes_nothing_but_the_ledger(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, slug: str, changes: dict[str, Any]
) -> None:
    world = await make_world(database_urls.superuser)
    answer = await place(database, clock, world, **changes)
    document = orjson.loads(answer.body)
    assert answer.status == 422
    assert document["type"] == f"/problems/{slug}"
    assert document["violations"][0]["code"] == slug
    assert document["violations"][0]["field"]
    assert not await fetch(database_urls.superuser, "select 1 from orders")
    assert (await fetch(database_urls.superuser, "select sum(reserved) as r from cash"))[0]["r"] == 0
    ledger = await fetch(database_urls.superuser, "select kind from audit.record")
    assert [row["kind"] for row in ledger] == ["order.refused"]
    replay = await place(database, clock, world, **changes)
    assert replay.replayed
    assert replay.body == answer.body


NO_LIMIT = [
    ("liquidation", "update instrument_day set liquidation = true, upper_limit = null, lower_limit = null"),
    ("liquidation-with-limits-given", "update instrument_day set liquidation = true, upper_limit = 999999999, lower_limit = 1"),
    ("elw", "update instrument set product = 'elw'"),
]


@pytest.mark.parametrize("change", [change for _, change in NO_LIMIT], ids=[name for name, _ in NO_LIMIT])
async def test_a_market_buy_of_a_paper_without_price_limit_is_refused(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, change: str
) -> None:
    """Twice the base price was held back: in 정리매매 it could fill at ten times that, with cash the client has not got."""
    world = await make_world(database_urls.superuser)
    await fetch(database_urls.superuser, change)
    refused = await place(database, clock, world, order_type=OrderType.MARKET, price=None)
    assert (refused.status, orjson.loads(refused.body)["type"]) == (422, "/problems/market-buy-without-limit")
    sold = await place(database, clock, world, key="k2", order_type=OrderType.MARKET, price=None, side=Side.SELL)
    limited = await place(database, clock, world, key="k3", price=Decimal(90_000))
    assert (sold.status, limited.status) == (201, 201)


async def test_every_failed_check_is_listed(database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> None:
    world = await make_world(database_urls.superuser, contract="1", mandate_status="suspended")
    answer = await place(database, clock, world, price=Decimal(91_150), quantity=2_000)
    codes = [one["code"] for one in orjson.loads(answer.body)["violations"]]
    assert codes == ["contract-not-in-force", "mandate-not-in-force", "price-off-tick", "price-above-limit", "insufficient-cash"]


async def test_another_managers_account_is_not_there(database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> None:
    world = await make_world(database_urls.superuser)
    with pytest.raises(NotFound):
        await place(database, clock, world, account=world.other_account)
    assert not await fetch(database_urls.superuser, "select 1 from orders")
    assert not await fetch(database_urls.superuser, "select 1 from idempotency_key")


async def test_p21_without_calls_left_nothing_is_queued_and_a_replay_is_still_answered(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    first = await place(database, clock, world, key="k1")
    with pytest.raises(Busy):
        await place(database, clock, world, key="k2", left=False)
    assert (await place(database, clock, world, key="k1", left=False)).body == first.body
    assert len(await fetch(database_urls.superuser, "select 1 from orders")) == 1


async def test_without_licence_orders_are_refused(database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> None:
    world = await make_world(database_urls.superuser)
    answer = await place(database, clock, world, licensed=False)
    assert answer.status == 403
    assert orjson.loads(answer.body)["type"] == "/problems/licence-required"


async def test_a_market_buy_is_held_back_at_the_upper_limit(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    await place(database, clock, world, order_type=OrderType.MARKET, price=None)
    rows = await fetch(database_urls.superuser, "select reserved_cash, limit_price from orders")
    assert rows[0]["limit_price"] == 91_000
    assert rows[0]["reserved_cash"] == 910_137


async def test_the_days_turnover_of_a_mandate_is_guarded(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser, limits={"daily_turnover": "1500000"})
    answers = await asyncio.gather(*[place(database, clock, world, key=f"k{i}") for i in range(4)])
    assert sorted(one.status for one in answers) == [201, 201, 422, 422]


async def test_p16_a_limit_of_turnover_set_in_the_midst_of_a_day_is_about_the_whole_day(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    """1,400,000 won were ordered before, and nothing had counted them."""
    world = await make_world(database_urls.superuser)
    answers = await asyncio.gather(*[place(database, clock, world, key=f"k{i}") for i in range(2)])
    limits = Changes(limits=Limits(daily_turnover=Won(2_099_999)))
    await amend_mandate(transaction=database.transaction, mandate_id=world.mandate, changes=limits)
    answers.append(await place(database, clock, world, key="k3"))
    answers.append(await place(database, clock, world, key="k4", price=Decimal(69_900)))
    assert [one.status for one in answers] == [201, 201, 422, 201]
    assert orjson.loads(answers[2].body)["type"] == "/problems/turnover-exceeded"


async def test_p23_price_limits_that_do_not_follow_from_the_base_price_stop_the_order(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    await fetch(database_urls.superuser, "update instrument_day set upper_limit = 92000 where isin = $1", ISIN)
    answer = await place(database, clock, world)
    assert orjson.loads(answer.body)["type"] == "/problems/price-limits-disagree"


@pytest.mark.parametrize(("day", "takes"), [("2027-12-28", True), ("2027-12-29", False), ("2027-12-30", False)])
@pytest.mark.parametrize("wanted", [None, Session.REGULAR])
def test_p23_no_orders_on_a_day_whose_trades_settle_on_nobody_knows_which_day(
    day: str, takes: bool, wanted: Session | None
) -> None:
    """The calendar ends with 2027. A fill of its last two days could be given no settlement date, and would be set aside."""
    session, words = session_facts(CALENDAR, datetime.fromisoformat(f"{day}T10:00+09:00"), wanted)
    assert (session is not None) is takes
    assert takes or "2028-01-01" in words


async def test_one_name_may_not_weigh_more_than_the_mandate_allows(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    """170 million in all (100 in cash, 70 in the name): 50 % leaves room for 15 million, 214 shares; an open
    order counts as bought."""
    world = await make_world(database_urls.superuser, limits={"single_name_weight_percent": "50"})
    await fetch(database_urls.superuser, "delete from holding where isin <> $1", ISIN)
    assert (await place(database, clock, world, key="k1", quantity=214)).status == 201
    answer = await place(database, clock, world, key="k2", quantity=1)
    assert orjson.loads(answer.body)["type"] == "/problems/single-name-weight-exceeded"


async def test_p34_two_buys_at_once_do_not_pass_the_weight_of_one_name_together(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    """Both have read 100 million of cash when the first is placed; what that holds back is not there twice for the second:
    twice 17.5 million are above 30 % of 100, and below 30 % of 117.5."""
    world = await make_world(database_urls.superuser, limits={"single_name_weight_percent": "30"})
    await fetch(database_urls.superuser, "delete from holding")
    alone = await asyncpg.connect(database_urls.superuser)
    async with alone.transaction():
        await alone.execute("select 1 from cash where account_id = $1 for update", world.account)
        both = asyncio.gather(*[place(database, clock, world, key=key, quantity=250) for key in ("k1", "k2")])
        held_up = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

        async def both_have_read() -> bool:
            return len(await fetch(database_urls.superuser, held_up)) == 2

        await until(both_have_read)
    await alone.close()
    assert sorted(one.status for one in await both) == [201, 422]


async def test_what_an_order_of_yesterday_held_back_makes_no_name_lighter(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    """It is open because nobody told its end; this morning's cash holds nothing back for it. 32 of 100 million are above 30 %."""
    world = await make_world(database_urls.superuser, limits={"single_name_weight_percent": "30"})
    await fetch(database_urls.superuser, "delete from holding")
    assert (await place(database, clock, world, key="k1", isin=OTHER_ISIN, quantity=400)).status == 201
    await fetch(database_urls.superuser, "update orders set business_date = business_date - 3")
    await fetch(database_urls.superuser, "update cash set reserved = 0")
    answer = await place(database, clock, world, key="k2", quantity=457)
    assert orjson.loads(answer.body)["type"] == "/problems/single-name-weight-exceeded"


async def test_from_the_four_eyes_threshold_on_nothing_goes_out_alone(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser, limits={"four_eyes_threshold": "700000"})
    assert (await place(database, clock, world, key="k1", quantity=9)).status == 201
    answer = await place(database, clock, world, key="k2", quantity=10)
    assert orjson.loads(answer.body)["type"] == "/problems/four-eyes-required"


async def test_without_an_opening_of_today_nothing_may_be_ordered(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser, opened_on=clock.now().date().replace(day=20))
    answer = await place(database, clock, world)
    assert orjson.loads(answer.body)["type"] == "/problems/no-opening-balance"


async def test_p28_when_the_ledger_cannot_be_written_there_is_no_order(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    world = await make_world(database_urls.superuser)
    await fetch(database_urls.superuser, "revoke insert on audit.record from ilim_app")
    with pytest.raises(Exception, match="permission denied"):
        await place(database, clock, world)
    assert not await fetch(database_urls.superuser, "select 1 from orders")
    assert (await fetch(database_urls.superuser, "select sum(reserved) as r from cash"))[0]["r"] == 0


async def test_a_client_order_id_of_a_book_that_was_taken_away_is_still_used(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock
) -> None:
    """The order that has it is not seen any more, so only the constraint tells: a refusal, not "repeat in a second" for ever."""
    world, url = await make_world(database_urls.superuser), database_urls.superuser

    async def named(key: str, account: UUID) -> Answer:
        asked = Asked(account, wish(), "mine-1", None)
        intent = idempotency.intent(user_id=world.manager.user_id, route=ROUTE, key=key, body={"account": str(account)})
        return await submit(make_desk(database, clock), asked, principal=world.manager, intent=intent, request_id="r")

    assert (await named("k1", world.account)).status == 201
    held = "select mandate_id from mandate_account where account_id = $1"
    moved = f"update mandate_manager set mandate_id = ({held}) where user_id = $2"
    await fetch(url, moved, world.other_account, world.manager.user_id)
    refused = await named("k2", world.other_account)
    assert (refused.status, orjson.loads(refused.body)["type"]) == (422, "/problems/client-order-id-used")
    again = await named("k2", world.other_account)
    assert (again.replayed, again.body) == (True, refused.body)
    assert len(await fetch(url, "select 1 from orders")) == 1
