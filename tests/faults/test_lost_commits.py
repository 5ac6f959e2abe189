"""Row 18 of `docs/faults.md`, without a synchronous standby: the one that takes over lacks the last commits, really."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ops.campaigns.ground import Urls, fresh_database
from ops.invariants import violations
from service.controls.fence import fence
from service.core.clock import ManualClock
from service.infra.postgres import EmbeddedPostgres
from service.orders.presume import Presumption
from tests.executions.test_order_life import Life, ack
from tests.faults.test_failover import Standby, house
from tests.makers import fetch
from tests.waiting import until

LOST = 40  # orders that the standby never heard of: more than the 32 numbers a sequence is logged ahead


@pytest.fixture
async def laggard(server: EmbeddedPostgres) -> AsyncIterator[tuple[Standby, Urls]]:
    async with fresh_database(server) as urls:
        made = Standby(server)
        await made.begin(synchronous=False)
        try:
            yield made, urls
        finally:
            await made.end()


async def queued(life: Life, key: str, quantity: int) -> str:
    order_id = await life.submit(key=key, quantity=quantity)
    rows = await fetch(life.urls.superuser, "select cl_ord_id from order_request where order_id = $1", order_id)
    return str(rows[0]["cl_ord_id"])


async def states(life: Life) -> dict[str, str]:
    return {row["cl_ord_id"]: row["state"] for row in await life.requests()}


async def test_row_18_p02_commits_that_are_missing_send_nothing_twice_and_give_no_name_twice(
    laggard: tuple[Standby, Urls], server: EmbeddedPostgres, clock: ManualClock
) -> None:
    standby, urls = laggard
    async with house(urls, clock) as old:
        known = [await queued(old, f"known-{n}", 1 + n) for n in range(2)]
        await until(standby.follows, 30)
        await standby.lag()
        lost = [await queued(old, f"lost-{n}", 200 + n) for n in range(LOST)]
        await old.dispatch()
        assert {one.cl_ord_id for one in old.gateway.sends} == {*known, *lost}
        await asyncio.to_thread(server.kill_immediate)
    await standby.take_over(lagged=True)
    async with house(standby.instead(urls), clock, old) as new:
        assert await states(new) == dict.fromkeys(known, "queued")  # nothing here tells that they went out
        await what_may_be_out_stays_here(new, known)
        again = [await queued(new, f"lost-{n}", 100 + n) for n in range(LOST)]
        assert {one[:13] for one in again} & {one[:13] for one in lost}  # the sequence did go back
        await new.dispatch()
        names = [one.cl_ord_id for one in new.gateway.sends]
        assert len(set(names)) == len(names) == 2 + 2 * LOST
        await new.receive(ack(known[0]), ack(lost[0], order_id="2002", order_quantity=200))
        assert [(await states(new))[one] for one in known] == ["acknowledged", "unknown"]
        strangers = await fetch(new.urls.superuser, "select cl_ord_id from external_order")
        assert [row["cl_ord_id"] for row in strangers] == [lost[0]]  # told of, and of no order here
        assert await violations(new.urls.superuser) == []


async def what_may_be_out_stays_here(new: Life, known: list[str]) -> None:
    before = len(new.gateway.sends)
    assert await fence(new.worker.transaction, Presumption(new.gateway.profile, new.clock.now())) == 2
    new.dispatcher = replace(new.dispatcher, epoch=2)
    assert await new.dispatcher.orphans() == len(known)
    await new.dispatch()
    assert len(new.gateway.sends) == before
    assert await states(new) == dict.fromkeys(known, "unknown")
