"""Messages set aside: seen, shown with masks, and applied again after a fix."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.invariants import violations
from service.core.clock import ManualClock
from service.core.errors import Conflict
from service.core.secret import AccountNumber
from service.executions import messages
from service.executions.messages import Aside
from service.executions.messages_commands import World, make_commands
from service.gateway import RawReport
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import VAULT, Life, ack, trade
from tests.makers import TODAY, fetch, make_world


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def sent(life: Life) -> str:
    await life.submit()
    await life.dispatch()
    cl: str = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    return cl


async def unreadable(life: Life, cl: str) -> Any:
    body, fill = b'{"Account": "1234567890", broken', trade(cl, 4, 4)
    await life.inbox.store([RawReport("F0001", TODAY, 50, body)])
    await life.applier.apply_waiting()
    row = (await fetch(life.urls.superuser, "select raw_id, state, reason from inbox where seq = 50"))[0]
    assert (row["state"], row["reason"]) == ("parked", "not-json")
    life.gateway.reports[body] = fill  # the fix
    return row["raw_id"]


async def test_p19_a_parked_message_is_applied_after_a_fix_and_once(life: Life) -> None:
    raw_id = await unreadable(life, await sent(life))
    await messages.replay(life.worker.transaction, raw_id, reason="dialect mended", by="kim")
    await messages.replay(life.worker.transaction, raw_id, reason="dialect mended", by="kim")
    while await life.applier.apply_waiting():
        pass
    assert (await life.order())["filled_quantity"] == 4
    with pytest.raises(Conflict, match="applied"):
        await messages.replay(life.worker.transaction, raw_id, reason="again")
    told = await fetch(life.urls.superuser, "select convert_from(body, 'UTF8') from audit.record where kind = 'message.replayed'")
    assert len(told) == 1
    assert "dialect mended" in told[0][0]
    assert await violations(life.urls.superuser) == []


async def test_p11_an_order_behind_a_quarantined_message_asks_for_a_person_until_it_is_applied(life: Life) -> None:
    cl = await sent(life)
    other = replace(trade(cl, 4, 4), account=AccountNumber("5555555555"))
    await life.receive(other)
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"]) == ("wrong-account", 0)
    await life.receive(trade(cl, 2, 2))
    assert (await life.order())["needs_review"] == "wrong-account"  # the message is still there
    body = next(body for body, one in life.gateway.reports.items() if one is other)
    life.gateway.reports[body] = trade(cl, 4, 6)
    assert await messages.replay_all(life.worker.transaction, Aside.QUARANTINED, reason="the broker's mistake") == 1
    while await life.applier.apply_waiting():
        pass
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"]) == (None, 6)
    assert await violations(life.urls.superuser) == []


async def test_p11_a_true_fill_our_counters_cannot_bear_is_told_at_the_order(life: Life) -> None:
    """The client sold the shares elsewhere and we did not know: the fill is a fact, our counters refuse it."""
    cl = await sent(life)
    await fetch(life.urls.superuser, "update cash set reserved = 0")
    await life.receive(trade(cl, 4, 4))
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"]) == ("position-mismatch", 0)
    assert [row["state"] for row in await fetch(life.urls.superuser, "select state from inbox order by seq")] == [
        "applied", "quarantined",
    ]  # fmt: skip


async def test_the_command_line_lists_shows_and_replays(life: Life) -> None:
    raw_id = await unreadable(life, await sent(life))

    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        database = Database(life.urls.worker, application="ilim-messages", pool_size=1, hot_pool_size=1)
        await database.open()
        try:
            yield World(database.transaction, VAULT, life.gateway.read_report)
        finally:
            await database.close()

    commands, runner = make_commands(opened), CliRunner()
    listed = await asyncio.to_thread(runner.invoke, commands, ["list"])
    assert str(raw_id) in listed.output
    assert "not-json" in listed.output
    life.gateway.reports.clear()
    shown = await asyncio.to_thread(runner.invoke, commands, ["show", str(raw_id)])
    assert "cannot be read" in shown.output
    assert "1234567890" not in shown.output
    replayed = await asyncio.to_thread(runner.invoke, commands, ["replay", "--state", "parked", "--reason", "mended"])
    assert replayed.output.startswith("1 waiting")
    both = await asyncio.to_thread(runner.invoke, commands, ["replay", str(raw_id), "--state", "parked", "--reason", "x"])
    assert both.exit_code == 2
    silent = await asyncio.to_thread(runner.invoke, commands, ["replay", str(raw_id), "--reason", " "])
    assert silent.exit_code == 2
    assert (await asyncio.to_thread(runner.invoke, commands, ["list", "--limit", "-1"])).exit_code == 2
