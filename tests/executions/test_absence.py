"""P3, P17: a list proves by what it does not show only where it is whole, and each of its rows certainly another order's."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.core.clock import ManualClock
from service.core.principal import Role
from service.executions.sweep import Shown, sweep_account
from service.gateway import CallClass, ExecType, InstrumentRef, OrderRow, Side, Unknown
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_doubt import AFTER_THE_DAY, Inquired, decided, proposed, seen, slug, someone
from tests.executions.test_order_life import Life, ack
from tests.executions.test_order_trouble import row
from tests.makers import TODAY, fetch, make_world, report

UNREAD = InstrumentRef(None, None, None)
MAYBE = "1 rows could be it, none for certain"


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


async def known(life: Life, **given: Any) -> UUID:
    """An order that the broker acknowledged as 1001, of other terms than the one that gets lost."""
    order_id = await life.submit(key="known", **({"quantity": 3} | given))
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[-1].cl_ord_id, order_quantity=3))
    return order_id


async def look(life: Life, *rows: OrderRow) -> Shown:
    prepared: Any = Inquired(life, list(rows))
    return await sweep_account(replace(life.applier, gateway=prepared), (life.world.account, TODAY), CallClass.RESOLVE)


async def last_step(life: Life, order_id: UUID) -> tuple[bool, bool, str]:
    doubt = (await seen(life, order_id))["in_doubt"]
    return doubt["tried"][-1]["complete"], doubt["tried"][-1]["final"], doubt["tried"][-1]["detail"]


# --- a list that is not whole -----------------------------------------------------------------------------------------------


async def test_p17_a_list_that_lacks_an_order_the_broker_has_proves_no_absence(life: Life) -> None:
    """Else a list that came back empty would have an order closed as never sent that trades at the broker."""
    await known(life)
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    assert await look(life) is Shown.NOTHING
    assert await last_step(life, order_id) == (False, False, "lacks-known-order")
    await look(life, row(life, quantity=3, state="취소확인"))
    assert await last_step(life, order_id) == (True, True, "not listed")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59, Shown.ALL), (61, Shown.NOTHING)], ids=["rows may be late", "rows are late no more"]
)
async def test_p18_a_list_that_lacks_a_live_order_has_not_shown_the_account(life: Life, seconds: int, shown: Shown) -> None:
    """The gate that a gap of the stream shut is opened by it no more."""
    await known(life)
    life.clock.advance(timedelta(seconds=seconds))
    assert await look(life) is shown


async def test_p13_p18_a_strangers_order_that_a_list_lacks_shuts_no_gate_and_leaves_absence_unproven(life: Life) -> None:
    await look(life, row(life, order_number="7001"))
    life.clock.advance(timedelta(minutes=2))
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    assert await look(life) is Shown.ALL
    assert await last_step(life, order_id) == (False, False, "lacks-known-order")


async def test_p18_an_order_that_came_to_nothing_need_not_be_listed(life: Life) -> None:
    await known(life)
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(report(ExecType.REJECTED, "8", cl, order_quantity=3))
    life.clock.advance(timedelta(minutes=2))
    assert await look(life) is Shown.ALL


async def test_p03_an_unknown_amendment_is_not_absent_from_a_list_without_its_order(life: Life) -> None:
    order_id = await known(life)
    life.gateway.answers = [Unknown("read-timeout")]
    await life.amend(order_id, "a1", price=Decimal(71_000))
    await life.dispatch()
    life.clock.moment = AFTER_THE_DAY
    await look(life)
    assert await last_step(life, order_id) == (False, False, "lacks-known-order")


# --- rows that could be it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unread", "complete"),
    [({"side": None}, True), ({"instrument": UNREAD}, True), ({"order_number": None}, False), ({"is_cancel": True}, True)],
    ids=["side", "instrument", "number", "a cancellation of nobody's order"],
)
async def test_p03_a_row_that_cannot_be_read_is_not_provably_another_order(life: Life, unread: Any, complete: bool) -> None:
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    await look(life, row(life, **unread))
    assert await last_step(life, order_id) == (complete, False, MAYBE if complete else "missing-field")
    assert slug(await proposed(life, order_id, life.world.manager)) == "final-inquiry-missing"


async def test_p03_an_unreadable_row_with_other_terms_is_not_it(life: Life) -> None:
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    await look(life, row(life, side=None, quantity=11), row(life, instrument=UNREAD, side=Side.SELL))
    assert await last_step(life, order_id) == (True, True, "not listed")


async def test_p03_what_was_adopted_because_its_day_was_over_may_still_be_it(life: Life) -> None:
    """After midnight a row that could be ours is adopted as external; that gives it a name, and proves nothing."""
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    lowered = row(life, executed=7, quantity=7, order_number="7001")
    await look(life, lowered)
    assert await last_step(life, order_id) == (True, False, MAYBE)
    life.clock.moment = AFTER_THE_DAY + timedelta(hours=5)
    await look(life, lowered)
    assert len(await fetch(life.urls.superuser, "select 1 from external_order where number = '7001'")) == 1
    life.clock.moment += timedelta(hours=5)
    await look(life, lowered)
    assert await last_step(life, order_id) == (True, False, MAYBE)


async def test_p03_what_was_adopted_before_it_was_sent_is_not_it(life: Life) -> None:
    await look(life, row(life, order_number="7001"))
    assert len(await fetch(life.urls.superuser, "select 1 from external_order where number = '7001'")) == 1
    life.clock.advance(timedelta(seconds=10))
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    await look(life, row(life, order_number="7001"))
    assert await last_step(life, order_id) == (True, True, "not listed")


async def test_p03_a_later_list_that_may_show_it_takes_the_place_of_one_that_did_not(life: Life) -> None:
    """Proposed on the first, and shown by the second before another person looked."""
    order_id = await life.lost()
    life.clock.moment = AFTER_THE_DAY
    await look(life)
    answer = await proposed(life, order_id, life.world.manager)
    resolution = orjson.loads(answer.body)["in_doubt"]["resolutions"][0]["id"]
    life.clock.advance(timedelta(minutes=10))
    await look(life, row(life, quantity=7))
    assert await last_step(life, order_id) == (True, False, MAYBE)
    approver = await someone(life, "approver", Role.APPROVER)
    assert slug(await decided(life, order_id, resolution, approver, "d1")) == "final-inquiry-missing"
