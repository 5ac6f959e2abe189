"""What the transaction that claims a send is held back by, and what passes it. Real PostgreSQL, rows written as they stand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.controls import store as controls
from service.core.clock import ManualClock
from service.core.ids import uuid7
from service.gateway import RequestKind
from service.infra.db import Database
from service.orders.recheck import Recheck
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack
from tests.makers import BROKER, COM_ID, ISIN, MORNING, OTHER_ISIN, fetch, make_world


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


def watching(life: Life) -> Any:
    """A sender that asks whether the stream is seen."""
    return replace(life.dispatcher, recheck=Recheck(lambda _day: True, COM_ID))


async def halt(life: Life, scope: str, target: str | None) -> UUID:
    halt_id = uuid7()
    await fetch(
        life.urls.superuser,
        "insert into halt (id, scope, target, reason, set_by, set_at) values ($1, $2, $3, 'test', $4, $5)",
        halt_id, scope, target, life.world.manager.user_id, MORNING,
    )  # fmt: skip
    return halt_id


async def drift(life: Life, broker: str) -> None:
    await fetch(
        life.urls.superuser,
        "insert into broker_lock (id, broker, since, message, field, what) values ($1, $2, $3, 'report', 'LastQty', 'missing')",
        uuid7(), broker, MORNING,
    )  # fmt: skip


async def gate(life: Life, *, opened: bool = True, lease_for: str = "60 s", lease_epoch: int = 1) -> None:
    """The stream's gate as its reader left it, and the reader's lease."""
    await fetch(
        life.urls.superuser,
        "insert into lease values ('stream', gen_random_uuid(), $1, now() + $2::text::interval)"
        " on conflict (name) do update set epoch = excluded.epoch, until = excluded.until",
        lease_epoch, lease_for,
    )  # fmt: skip
    await fetch(
        life.urls.superuser,
        "insert into stream_gate values ($1, $2, now() - interval '2 s', 'test', 'stream', 1)"
        " on conflict (com_id) do update set open = excluded.open, since = excluded.since, lease = 'stream', lease_epoch = 1",
        COM_ID, opened,
    )  # fmt: skip


def targets(life: Life) -> dict[str, str | None]:
    world = life.world
    return {
        "firm": None, "broker": BROKER, "account": str(world.account), "instrument": ISIN, "manager": str(world.manager.user_id)
    }  # fmt: skip


@pytest.mark.parametrize("scope", ["firm", "broker", "account", "instrument", "manager"])
async def test_p15_a_halt_stops_what_it_names_in_the_claim(life: Life, scope: str) -> None:
    await life.submit()
    await halt(life, scope, targets(life)[scope])
    await life.dispatch()
    assert life.gateway.sends == []
    assert [(row["state"], row["reason"]) for row in await life.requests()] == [("refused", "halted")]
    assert (await life.cash())["reserved"] == 0


@pytest.mark.parametrize(
    ("gone", "change", "reason"),
    [
        ("asker", "update mandate_manager set revoked_at = now() where user_id = $1", "manager-not-assigned"),
        ("asker", "update app_user set active = false where id = $1", "manager-not-entitled"),
        ("asker", "halt", "halted"),
        ("giver", "halt", "halted"),
        ("giver", "update mandate_manager set revoked_at = now() where user_id = $1", None),
    ],
    ids=["asker-taken-off", "asker-switched-off", "asker-halted", "giver-halted", "giver-taken-off"],
)
async def test_p16_an_amendment_rests_on_the_rights_of_whoever_asked_for_it(
    life: Life, gone: str, change: str, reason: str | None
) -> None:
    """Two managers of one mandate: the second amends what the first has ordered."""
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    giver, asker = life.world.manager, life.world.other_manager
    assign = "insert into mandate_manager (id, mandate_id, user_id, assigned_at) values ($1, $2, $3, $4)"
    await fetch(life.urls.superuser, assign, uuid7(), life.world.mandate, asker.user_id, MORNING)
    there = Life(life.app, life.worker, life.urls, life.clock, replace(life.world, manager=asker))
    assert (await there.amend(order_id, "a1", price=Decimal(69_000))).status == 201
    user = {"asker": asker, "giver": giver}[gone].user_id
    await (halt(life, "manager", str(user)) if change == "halt" else fetch(life.urls.superuser, change, user))
    await life.dispatch()
    assert len(life.gateway.sends) == (1 if reason else 2)
    assert (await life.requests())[1]["reason"] == reason


async def test_p15_a_halt_stops_nobody_else(life: Life) -> None:
    world = life.world
    others = {
        "broker": "00992", "account": str(world.other_account), "instrument": OTHER_ISIN,
        "manager": str(world.other_manager.user_id),
    }  # fmt: skip
    for scope, target in others.items():
        await halt(life, scope, target)
    released = await halt(life, "firm", None)
    await fetch(
        life.urls.superuser,
        "update halt set released_by = $2, released_at = $3, release_reason = 'over' where id = $1",
        released, world.other_manager.user_id, MORNING,
    )  # fmt: skip
    await life.submit()
    await life.dispatch()
    assert len(life.gateway.sends) == 1


async def stopped(life: Life, how: str) -> None:
    if how == "halt":
        await halt(life, "firm", None)
    elif how == "drift":
        await drift(life, BROKER)
    else:
        await gate(life, opened=False)


@pytest.mark.parametrize("how", ["halt", "drift", "blind"])
async def test_p15_a_cancellation_passes_whatever_is_shut(life: Life, how: str) -> None:
    await gate(life)
    order_id = await life.submit()
    sender = watching(life)
    assert await sender.dispatch_one([BROKER])
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    await stopped(life, how)
    await life.cancel(order_id, "c1")
    assert await sender.dispatch_one([BROKER])
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.CANCELLATION]


async def test_p20_a_broker_that_drifted_gets_no_new_order_and_the_others_do(life: Life) -> None:
    await drift(life, "00992")
    await life.submit()
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    await life.submit(key="k2", quantity=3)
    await drift(life, BROKER)
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    assert (await life.requests())[-1]["reason"] == "broker-drift"


BLIND = {
    "never-read": None,
    "shut": {"opened": False},
    "reader-killed": {"lease_for": "-1 s"},
    "taken-over": {"lease_epoch": 2},
}


@pytest.mark.parametrize("why", list(BLIND))
async def test_p18_blind_orders_wait_and_go_out_when_the_stream_is_seen(life: Life, why: str) -> None:
    given = BLIND[why]
    if given is None:
        await fetch(life.urls.superuser, "delete from stream_gate")
    else:
        await gate(life, **given)  # type: ignore[arg-type]
    await life.submit()
    sender = watching(life)
    assert not await sender.dispatch_one([BROKER])
    assert [row["state"] for row in await life.requests()] == ["queued"]
    await gate(life)
    assert await sender.dispatch_one([BROKER])
    assert len(life.gateway.sends) == 1


async def test_p18_what_waited_too_long_is_refused_as_blind(life: Life) -> None:
    await gate(life, opened=False)
    await life.submit()
    life.clock.advance(timedelta(seconds=31))
    assert await watching(life).dispatch_one([BROKER])
    assert life.gateway.sends == []
    assert [(row["state"], row["reason"]) for row in await life.requests()] == [("refused", "stream-blind")]


async def test_p18_the_gate_says_since_when_it_is_blind(life: Life) -> None:
    await gate(life)
    async with life.worker.transaction() as connection:
        seen = await controls.gate(connection, COM_ID)
    await gate(life, lease_for="-3 s")
    async with life.worker.transaction() as connection:
        lapsed = await controls.gate(connection, COM_ID)
        elsewhere = await controls.gate(connection, None)
    assert (seen.blind, lapsed.blind, elsewhere.blind) == (False, True, False)
    assert lapsed.blind_s >= 2  # since the newer of the gate's change and the lease's end
    assert seen.cluster_epoch == 1


async def test_a_sender_of_an_earlier_epoch_claims_nothing(life: Life) -> None:
    """The database has failed over since this sender began: what it remembers may be of a world that is gone."""
    await life.submit()
    await fetch(life.urls.superuser, "update halt_gate set cluster_epoch = 2")
    assert not await life.dispatcher.dispatch_one([BROKER])
    assert (life.gateway.sends, [row["state"] for row in await life.requests()]) == ([], ["queued"])
    assert await replace(life.dispatcher, epoch=2).dispatch_one([BROKER])
    attempts = await fetch(life.urls.superuser, "select epoch from attempt")
    assert [row["epoch"] for row in attempts] == [2]
