"""Processes that are paused and wake up believing (SIGSTOP, SIGCONT): between a claim and its send, and at any moment."""

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.campaigns.ground import own_server
from ops.campaigns.nursery import Child, nursery
from ops.campaigns.oracle import Oracle
from ops.campaigns.rig import Rig, meanwhile, rig, until
from ops.campaigns.traders import Traders
from service.infra.postgres import EmbeddedPostgres
from service.orders.dispatch import DEADLINE_S

PAUSES = 8
ATTEMPTS = "select n, outcome, reason, extract(epoch from clock_timestamp() - claimed_at)::float8 as age from attempt order by n"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with own_server() as running:
        yield running


async def test_p02_a_sender_paused_beyond_its_deadline_sends_nothing_and_no_pause_sends_twice(server: EmbeddedPostgres) -> None:
    async with nursery() as born_by, rig(server, born_by, 5) as made:
        traders = Traders(made, random.Random(5))
        oracle = Oracle(made.eye, made.stage.sandbox)
        try:
            await made.serving("serve", await made.start("serve"))
            await one_paused_before_its_send(made, traders)
            await paused_at_any_moment(made, traders)
            assert await oracle.at_rest(traders.intents) == []
            assert traders.odd == []
        finally:
            await traders.close()


async def one_paused_before_its_send(made: Rig, traders: Traders) -> None:
    """While it sleeps nobody sends for it; when it wakes up its time is over, and that no byte left is then certain."""
    victim = await made.start("worker-1", {"send.before": (signal.SIGSTOP, 1)})

    async def stopped() -> bool:
        return state(victim) == "T"

    async def beyond() -> bool:
        rows = await made.eye.fetch(ATTEMPTS)
        return len(rows) == 1 and rows[0]["outcome"] is None and rows[0]["age"] > DEADLINE_S + 0.2

    async def settled() -> bool:
        return [row["outcome"] for row in await made.eye.fetch(ATTEMPTS)] == ["not_sent", "accepted"]

    await traders.one()
    await until(stopped, "the sender to be paused", 60)
    await made.start("worker-2")
    await until(beyond, "its deadline to pass", 60)
    assert await sends(made) == {}
    victim.signal(signal.SIGCONT)
    await until(settled, "the request to go out once", 90)
    assert (await made.eye.fetch(ATTEMPTS))[0]["reason"] == "deadline-passed"
    assert [one["received"] for one in (await sends(made)).values()] == [1]


async def paused_at_any_moment(made: Rig, traders: Traders) -> None:
    closing = asyncio.Event()
    trading = [asyncio.create_task(traders.trade(closing, 0.1)) for _ in range(3)]
    async with meanwhile(stepping(made)):
        for i in range(PAUSES):
            child = made.children[f"worker-{1 + i % 2}"]
            await asyncio.sleep(traders.dice.uniform(0.1, 0.5))
            child.signal(signal.SIGSTOP)
            await asyncio.sleep(traders.dice.choice((0.2, 0.5, DEADLINE_S + 0.5)))
            child.signal(signal.SIGCONT)
        closing.set()
        await asyncio.gather(*trading)


async def stepping(made: Rig) -> None:
    while True:
        await asyncio.sleep(0.4)
        await made.step(1)


async def sends(made: Rig) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = (await made.stage.sandbox.get("/_sandbox/sends")).json()
    return found


def state(child: Child) -> str:
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
