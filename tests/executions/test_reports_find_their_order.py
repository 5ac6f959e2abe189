"""Which order a report without our name belongs to, and messages nobody can open."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from service.core.clock import ManualClock
from service.gateway import ExecType
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.makers import MORNING, fetch, make_world, report

SPOIL = """create function spoil() returns trigger language plpgsql as $$ begin
    if new.seq = 1 then new.sealed := '\\x00'::bytea || substr(new.sealed, 2); end if; return new; end $$"""


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def test_p19_one_message_that_cannot_be_decrypted_is_parked_and_stops_nobody(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await fetch(life.urls.superuser, SPOIL)
    await fetch(
        life.urls.superuser,
        "create trigger spoil before insert on audit.raw_message for each row execute function spoil()",
    )
    await life.receive(trade(cl, 1, 1), trade(cl, 3, 4))
    aside = await fetch(life.urls.superuser, "select state, reason from inbox order by seq")
    assert [tuple(row) for row in aside] == [("parked", "undecryptable"), ("applied", None)]
    assert (await life.order())["filled_quantity"] == 3


@pytest.mark.parametrize("number", ["1001", "0001001"])
async def test_p10_a_number_that_repeats_the_next_day_is_another_order(life: Life, number: str) -> None:
    """Yesterday's order had the number; a report that knows nothing else speaks of the day in its TransactTime."""
    await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    nameless = replace(trade("", 4, 4), cl_ord_id=None, order_id=number)
    await life.receive(replace(nameless, transact_time=MORNING + timedelta(days=1)))
    assert (await life.order())["filled_quantity"] == 0
    await life.receive(replace(nameless, transact_time=MORNING))
    assert (await life.order())["filled_quantity"] == 4


async def test_p10_a_report_late_over_midnight_belongs_to_its_own_day(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    life.clock.advance(timedelta(hours=22))
    await life.receive(replace(trade("", 4, 4), cl_ord_id=None))
    assert (await life.order())["filled_quantity"] == 4
    await life.receive(replace(trade("", 2, 6), cl_ord_id=None, transact_time=None))  # the stream's date is the 23rd too
    assert (await life.order())["filled_quantity"] == 6


async def test_p10_a_report_of_a_superseded_number_harms_nothing(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.amend(order_id, "a1", price=Decimal(70_100))
    await life.dispatch()
    changed = report(
        ExecType.REPLACED, "0", life.gateway.sends[1].cl_ord_id, orig_cl_ord_id=cl, order_id="1002",
        order_quantity=10, price=Decimal(70_100), cumulative_quantity=0,
    )  # fmt: skip
    await life.receive(changed)
    before = await life.order()
    await life.receive(replace(ack(cl), cl_ord_id=None), replace(ack(cl), cl_ord_id=None, order_id="01001"))
    after = await life.order()
    assert (after["price"], after["status"], after["quantity"]) == (before["price"], before["status"], before["quantity"])


async def test_p10_a_number_that_another_order_has_is_a_persons_to_sort_out(life: Life) -> None:
    """Whichever of the two the broker means: booked at both, one execution would count twice."""
    for quantity in (10, 12):
        await life.submit(key=f"k{quantity}", quantity=quantity)
    await life.dispatch()
    first, second = (one.cl_ord_id for one in life.gateway.sends)
    await life.receive(ack(first), trade(second, 4, 4, order_id="0001001"), trade(first, 3, 3))
    ours = await fetch(life.urls.superuser, "select filled_quantity, broker_order_number, needs_review from orders order by id")
    assert [tuple(row) for row in ours] == [(3, "1001", None), (0, None, "number-of-another-order")]
    aside = await fetch(life.urls.superuser, "select state, reason from inbox where state <> 'applied'")
    assert [tuple(row) for row in aside] == [("quarantined", "number-of-another-order")]
    await life.receive(ack(second, order_id="1002"))
    assert (await fetch(life.urls.superuser, "select broker_order_number from orders order by id"))[1][0] == "1002"
