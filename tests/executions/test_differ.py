"""What a broker's list shows otherwise than we have it: nothing is reversed, a person is told, and each day ends with a look."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ops.invariants import violations
from service.core.clock import KST, ManualClock
from service.executions.sweep import Sweeper
from service.infra.db import Books, Database
from service.orders import store
from tests.conftest import DatabaseUrls
from tests.executions.sandboxed import LISTED, Sandboxed
from tests.executions.test_order_life import Life
from tests.executions.test_rounds import plenty
from tests.makers import fetch, make_world

EVENING = datetime(2026, 11, 23, 20, 2, tzinfo=KST)


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


async def filled(house: Sandboxed) -> str:
    """An order of 10, wholly executed and told so, a minute ago; its ClOrdID."""
    cl = await house.place()
    await house.control("trade-through", {"isin": LISTED, "price": 64_900, "quantity": 10})
    await house.hear()
    assert (await house.life.order())["closed"]
    await house.step(61)
    return cl


async def told(life: Life) -> list[tuple[Any, Any, Any]]:
    rows = await fetch(
        life.urls.superuser,
        "select convert_from(body, 'utf8')::jsonb -> 'data' as data from audit.record"
        " where kind = 'order.needs_review' order by subject_seq",
    )
    found = [json.loads(one["data"]) for one in rows]
    return [(one.get("differs"), one.get("ours"), one.get("theirs")) for one in found]


UNTOLD: dict[str, tuple[str, str, dict[str, Any], tuple[str, str, str]]] = {
    "bust": ("bust", "H", {"reopen": False}, ("inquiry-shows-less", "10", "0")),
    "fewer-shares": ("correct", "G", {"quantity": 8}, ("inquiry-shows-less", "10", "8")),
    "another-price": ("correct", "G", {"price": 64_800}, ("inquiry-shows-other-prices", "650000", "648000")),
}


@pytest.mark.parametrize("name", list(UNTOLD))
@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p12_a_bust_never_told_is_found_when_the_day_is_over(life: Life, broker: str, name: str) -> None:
    what, exec_type, given, expected = UNTOLD[name]
    house = Sandboxed(life, broker)
    cl = await filled(house)
    await house.lose(exec_type)
    await house.control(what, {"order": cl, **given})
    sweeper = Sweeper(life.applier, plenty)
    await sweeper.sweep()
    assert (await life.order())["needs_review"] is None  # nothing lives: nobody asks before the day is over
    await house.step(6 * 3600)  # the session's end, and what is told of it
    await house.step(int((EVENING - life.clock.now()).total_seconds()))
    assert await sweeper.sweep() == 1
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"], order["closed"]) == (expected[0], 10, True)
    assert await told(life) == [expected]
    async with life.app.transaction(books=Books.ALL) as connection:
        assert await store.reviews(connection, 5) == [(order["id"], expected[0])]
    for asked in (1, 0):  # what that look marked is seen as it stands, and then it is enough
        life.clock.advance(timedelta(minutes=5))
        assert await sweeper.sweep() == asked
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p12_a_bust_never_told_is_found_though_the_fill_is_told_after_the_days_last_look(life: Life, broker: str) -> None:
    """Found by the simulation: the stream was away all day, and its resend knew the fill and not the bust."""
    house = Sandboxed(life, broker)
    cl = await house.place()
    price = {"isin": LISTED, "price": 64_900}
    await house.control("trade-through", price | {"quantity": 4})
    await house.control("trade-through", price | {"quantity": 3})
    await house.lose("H")
    await house.control("bust", {"order": cl})
    await house.control("clock", {"advance_seconds": int((EVENING - life.clock.now()).total_seconds())})
    life.clock.moment = house.app.state.world.now
    sweeper = Sweeper(life.applier, plenty)
    await sweeper.sweep()
    shown = (await life.order())["filled_quantity"]
    await house.hear()
    assert (await life.order())["filled_quantity"] == 7 > shown
    for _ in range(3):
        life.clock.advance(timedelta(minutes=5))
        await sweeper.sweep()
    assert (await life.order())["needs_review"] == "inquiry-shows-less"


@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p12_a_restatement_never_told_is_found_in_session(life: Life, broker: str) -> None:
    house = Sandboxed(life, broker)
    cl = await house.place()
    await house.look()
    await house.step(61)
    assert (await house.look())["needs_review"] is None
    await house.lose("D")
    await house.control("restate", {"order": cl, "quantity": 3})
    order = await house.look()
    assert (order["needs_review"], order["quantity"], order["reserved_cash"] > 0) == ("inquiry-shows-other-quantity", 10, True)
    assert await told(life) == [("inquiry-shows-other-quantity", "10", "3")]


async def test_p12_a_look_that_agrees_takes_the_mark_away(life: Life) -> None:
    house = Sandboxed(life, "cyber")
    await filled(house)
    await fetch(life.urls.superuser, "update orders set needs_review = 'inquiry-shows-less'")
    assert (await house.look())["needs_review"] is None
    await fetch(life.urls.superuser, "update orders set needs_review = 'wrong-account'")
    await house.step(61)
    assert (await house.look())["needs_review"] == "wrong-account"


async def test_p12_a_list_that_lags_behind_a_fresh_fill_marks_nothing(life: Life) -> None:
    house = Sandboxed(life, "star")
    await house.place()
    await house.control("trade-through", {"isin": LISTED, "price": 64_900, "quantity": 4})
    await house.hear()
    await house.control("faults", {"fault": "inquiry_totals_short", "count": -1})
    await house.control("faults", {"fault": "inquiry_fills_missing", "count": -1})
    order = await house.look()
    assert (order["filled_quantity"], order["needs_review"]) == (4, None)


async def test_p12_a_bust_told_after_all_takes_the_mark_away(life: Life) -> None:
    house = Sandboxed(life, "cyber")
    cl = await filled(house)
    await house.control("faults", {"fault": "report_held", "match": {"exec_type": "H"}, "seconds": 120})
    await house.control("bust", {"order": cl, "reopen": False})
    assert (await house.look())["needs_review"] == "inquiry-shows-less"
    await house.step(130)
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"]) == (None, 0)


@pytest.mark.parametrize("settles", ["end", "end-and-amendment"])
@pytest.mark.parametrize("broker", ["cyber", "diamond", "star"])
async def test_p12_a_look_that_moved_the_order_itself_is_not_the_days_last(life: Life, broker: str, settles: str) -> None:
    """Found by the simulated day 20261873: the evening's look settled what had been open, so the order was not quiet, and
    nobody looked again at the bust the same rows showed."""
    house = Sandboxed(life, broker)
    cl = await house.place()
    await house.control("trade-through", {"isin": LISTED, "price": 64_900, "quantity": 4})
    await house.hear()
    await house.lose("H")
    for end in ("5", "C", "3", "4"):
        await house.lose(end)
    if settles == "end-and-amendment":
        await life.amend((await life.order())["id"], "a1", price=Decimal(64_950))
        while await life.dispatcher.dispatch_one([(await life.order())["broker"]]):
            pass
    await house.control("bust", {"order": cl, "reopen": False})
    await house.step(int((EVENING - life.clock.now()).total_seconds()))
    assert not (await life.order())["closed"]
    sweeper = Sweeper(life.applier, plenty)
    await sweeper.sweep()
    order = await life.order()
    assert (order["closed"], order["filled_quantity"], order["needs_review"]) == (True, 4, None)
    life.clock.advance(timedelta(seconds=61))
    assert await sweeper.sweep() == 1
    assert await told(life) == [("inquiry-shows-less", "4", "0")]
    for asked in (1, 0):
        life.clock.advance(timedelta(minutes=5))
        assert await sweeper.sweep() == asked
    assert await violations(life.urls.superuser) == []
