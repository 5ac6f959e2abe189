"""After a fail-over: who began before sends nothing, what was under way is unknown, and nothing goes out unseen."""

from dataclasses import replace

import pytest

from service.controls import store as controls
from service.controls.fence import fence
from service.core.clock import ManualClock
from service.infra import leases
from service.infra.db import Database
from service.orders.presume import Presumption
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.makers import BROKER, COM_ID, fetch, make_world


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


@pytest.mark.parametrize("cancels", [False, True])
async def test_p16_a_sender_of_an_older_epoch_sends_nothing_not_even_a_cancellation(life: Life, cancels: bool) -> None:
    before = await life.queue(cancels=cancels)
    assert await fence(life.app.transaction) == 2
    await life.dispatch()
    assert len(life.gateway.sends) == before
    assert await replace(life.dispatcher, epoch=2).dispatch_one([BROKER])
    assert len(life.gateway.sends) == before + 1


async def test_p02_what_was_under_way_at_a_fail_over_is_unknown_at_once(life: Life) -> None:
    await life.submit()
    await life.dispatch()
    await fetch(life.urls.superuser, "update attempt set outcome = null, answered_at = null")
    await fetch(life.urls.superuser, "update order_request set state = 'sending'")  # as a sender in the midst of its call
    assert await life.dispatcher.orphans() == 0
    await fence(life.app.transaction)
    assert await replace(life.dispatcher, epoch=2).orphans() == 1
    assert [row["state"] for row in await life.requests()] == ["unknown"]


async def test_p02_the_fence_presumes_a_twin_of_an_order_in_doubt_too(life: Life) -> None:
    """Beside an unknown order none of its twins may be `sending`; the fence failed as long as one was queued."""
    await life.submit(key="one")
    await life.submit(key="other")
    first = (await life.requests())[0]["id"]
    await fetch(life.urls.superuser, "update order_request set state = 'unknown', sent_at = queued_at where id = $1", first)
    assert await fence(life.worker.transaction, Presumption(life.gateway.profile, life.clock.now())) == 2
    assert [row["state"] for row in await life.requests()] == ["unknown", "unknown"]
    assert await replace(life.dispatcher, epoch=2).orphans() == 1
    await replace(life.dispatcher, epoch=2).dispatch_one([BROKER])
    assert life.gateway.sends == []


async def test_p18_a_fail_over_blinds_the_stream_until_a_new_reader_has_looked(life: Life) -> None:
    async with life.worker.transaction() as connection:
        old = await leases.acquire(connection, "stream", life.world.manager.user_id, 600)
        assert old is not None
        assert await controls.set_stream_gate(connection, COM_ID, old, opened=True, why="live")
    await fence(life.app.transaction)
    async with life.worker.transaction() as connection:
        assert (await controls.gate(connection, COM_ID)).blind
        assert not await leases.renew(connection, old, 600)
        assert not await controls.set_stream_gate(connection, COM_ID, old, opened=True, why="live")


async def test_the_epoch_never_falls(life: Life) -> None:
    await fence(life.app.transaction)
    with pytest.raises(Exception, match="never fall"):
        await fetch(life.urls.superuser, "update halt_gate set cluster_epoch = 1")
