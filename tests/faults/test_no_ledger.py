"""P28: what cannot be written into the ledger does not happen."""

from decimal import Decimal

import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from tests.executions.test_order_life import Life, ack, life, trade  # noqa: F401 - a fixture
from tests.makers import BROKER, fetch
from tests.orders.test_submit import place

REFUSE = """
    create function refuse_entry() returns trigger language plpgsql as $$ begin raise exception 'the ledger is full'; end $$;
    create trigger refuse before insert on audit.record for each row execute function refuse_entry()"""
COUNTED = """
    select (select count(*) from orders), (select count(*) from order_request), (select count(*) from attempt),
        (select count(*) from fill), (select count(*) from idempotency_key), (select sum(version) from orders)"""


async def test_p28_without_an_entry_nothing_is_taken_sent_or_booked(life: Life, clock: ManualClock) -> None:  # noqa: F811
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.submit(key="k2", quantity=7)  # waits to be sent
    before = await fetch(life.urls.superuser, COUNTED)
    for statement in REFUSE.split(";\n"):
        await fetch(life.urls.superuser, statement)
    for call in (
        lambda: place(life.app, clock, life.world, key="k3"),
        lambda: life.amend(order_id, "a1", price=Decimal(70_100)),
        lambda: life.cancel(order_id, "c1"),
        lambda: life.dispatcher.dispatch_one([BROKER]),
    ):
        with pytest.raises(Exception, match="the ledger is full"):
            await call()
    with pytest.raises(Exception, match="the ledger is full"):
        await life.receive(trade(cl, 4, 4))
    assert await fetch(life.urls.superuser, COUNTED) == before
    assert len(life.gateway.sends) == 1
    await fetch(life.urls.superuser, "drop trigger refuse on audit.record")
    await life.dispatch()  # nothing is broken: what waited goes on
    while await life.applier.apply_waiting():
        pass
    assert len(life.gateway.sends) == 2
    assert [row["quantity"] for row in await life.fills()] == [4]
    assert await violations(life.urls.superuser) == []
