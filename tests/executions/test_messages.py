"""Messages set aside: seen, shown with masks, and applied again after a fix."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ops.invariants import violations
from service.audit.evidence import Raw
from service.core.clock import ManualClock
from service.core.errors import Conflict
from service.core.ids import uuid7
from service.core.secret import AccountNumber
from service.executions import messages
from service.executions.messages import Aside
from service.executions.messages_commands import World, make_commands
from service.gateway import RawReport, Unreadable
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
    body, fill = b'{"Account": "1234567890", "ClOrdID": "' + cl.encode() + b'", broken', trade(cl, 4, 4)
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


async def test_p19_an_order_named_by_a_message_nobody_can_read_asks_for_a_person_until_it_is_applied(life: Life) -> None:
    cl = await sent(life)
    body = b"a report of a kind that no dialect knows"
    life.gateway.reports[body] = Unreadable("unknown-code: ExecType Z", cl_ord_id=cl)
    await life.inbox.store([RawReport("F0001", TODAY, 50, body)])
    await life.applier.apply_waiting()
    order = await life.order()
    assert (order["needs_review"], order["filled_quantity"], order["status"]) == ("unreadable-report", 0, "new")
    aside = await fetch(life.urls.superuser, "select state, reason, order_id from inbox where seq = 50")
    assert [tuple(one) for one in aside] == [("parked", "unknown-code: ExecType Z", order["id"])]
    await life.receive(trade(cl, 2, 2))
    assert (await life.order())["needs_review"] == "unreadable-report"  # the message is still there
    life.gateway.reports[body] = trade(cl, 4, 6)
    assert await messages.replay_all(life.worker.transaction, Aside.PARKED, reason="dialect mended") == 1
    while await life.applier.apply_waiting():
        pass
    assert ((await life.order())["needs_review"], (await life.order())["filled_quantity"]) == (None, 6)
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


async def test_p19_all_of_a_state_are_put_back_once_however_fast_they_are_set_aside_again(life: Life) -> None:
    """The worker is at it as well: nothing was mended, and each message is set aside again before the next look."""
    await unreadable(life, await sent(life))
    life.gateway.reports.clear()

    @asynccontextmanager
    async def beside_a_worker(**books: Any) -> AsyncIterator[Any]:
        async with life.worker.transaction(**books) as connection:
            yield connection
        await life.applier.apply_waiting()

    async with asyncio.timeout(20):
        assert await messages.replay_all(beside_a_worker, Aside.PARKED, reason="hope") == 1
    told = await fetch(life.urls.superuser, "select kind from audit.record where kind like 'message.%' order by arrived")
    assert [row[0] for row in told] == ["message.parked", "message.replayed", "message.parked"]


def commands_of(life: Life) -> typer.Typer:
    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        database = Database(life.urls.worker, application="ilim-messages", pool_size=1, hot_pool_size=1)
        await database.open()
        try:
            yield World(database.transaction, VAULT, life.gateway.read_report)
        finally:
            await database.close()

    return make_commands(opened)


async def test_p32_what_a_broker_wrote_cannot_fool_who_looks_at_it(life: Life) -> None:
    """Brackets are no markup, an escape does not clear the screen, and a number in a sentence is masked like any other."""
    cl = await sent(life)
    strange = b"strange"
    life.gateway.reports[strange] = Unreadable("unknown-code: ExecType [/x]\x1b[2J")
    await life.inbox.store([RawReport("F0001", TODAY, 51, strange)])
    words = "account 1234567890 [/b]\x1b[2J\u202e short of means"
    await life.receive(replace(trade(cl, 11, 11), text=words))
    commands, runner = commands_of(life), CliRunner()
    listed = await asyncio.to_thread(runner.invoke, commands, ["list"])
    assert (listed.exit_code, "[/x]" in listed.output) == (0, True)
    quarantined = (await fetch(life.urls.superuser, "select raw_id from inbox where state = 'quarantined'"))[0][0]
    parked = (await fetch(life.urls.superuser, "select raw_id from inbox where state = 'parked'"))[0][0]
    shown = [await asyncio.to_thread(runner.invoke, commands, ["show", str(one)]) for one in (quarantined, parked)]
    said = "".join(one.output for one in [listed, *shown])
    assert "short of means" in said
    assert cl in said
    assert [one for one in ("1234567890", "\x1b", "\u202e") if one in said] == []


async def test_the_command_line_shows_evidence_that_is_no_report(life: Life) -> None:
    """A timeline names answers and inquiries as well; it said that there is no such message."""
    async with life.worker.transaction() as connection:
        answer = Raw("answer", b'{"account": "1234567890", "code": "9876"}', life.clock.now())
        (raw_id,) = await VAULT.keep(connection, [answer])
    commands, runner = commands_of(life), CliRunner()
    shown = await asyncio.to_thread(runner.invoke, commands, ["show", str(raw_id)])
    assert (shown.exit_code, "no report" in shown.output, "9876" in shown.output) == (0, True, True)
    assert "1234567890" not in shown.output
    unknown = await asyncio.to_thread(runner.invoke, commands, ["show", str(uuid7())])
    assert (unknown.exit_code, "There is no such message." in unknown.output) == (1, True)


async def test_the_command_line_lists_shows_and_replays(life: Life) -> None:
    cl = await sent(life)
    raw_id = await unreadable(life, cl)
    commands, runner = commands_of(life), CliRunner()
    listed = await asyncio.to_thread(runner.invoke, commands, ["list"])
    assert str(raw_id) in listed.output
    assert "not-json" in listed.output
    life.gateway.reports.clear()
    shown = await asyncio.to_thread(runner.invoke, commands, ["show", str(raw_id)])
    assert "cannot be read" in shown.output
    assert "1234567890" not in shown.output
    assert cl in shown.output or cl.isdigit()  # so that whoever looks finds the order
    replayed = await asyncio.to_thread(runner.invoke, commands, ["replay", "--state", "parked", "--reason", "mended"])
    assert replayed.output.startswith("1 waiting")
    both = await asyncio.to_thread(runner.invoke, commands, ["replay", str(raw_id), "--state", "parked", "--reason", "x"])
    assert both.exit_code == 2
    silent = await asyncio.to_thread(runner.invoke, commands, ["replay", str(raw_id), "--reason", " "])
    assert silent.exit_code == 2
    assert (await asyncio.to_thread(runner.invoke, commands, ["list", "--limit", "-1"])).exit_code == 2
