"""SIGKILL of real worker and api processes, at named places and at any moment, under trade; the broker is the oracle.

One api and two workers on real PostgreSQL, forked from a warmed process (every so often begun cold, as a supervisor would).
The api and one worker at a time are armed to kill themselves at a place of `service.infra.failpoints`, or are killed at a
random moment when they do not come there; then they are started again. After every kill everything is compared
(`oracle.Oracle.look`). An episode ends with a house left in peace: it must come to rest, and then know exactly what the
broker knows.
"""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from ops.campaigns.figure import Figure
from ops.campaigns.ground import own_server
from ops.campaigns.nursery import Armed, Child, Nursery, nursery
from ops.campaigns.oracle import Finding, Oracle
from ops.campaigns.proxy import NONE, seeded
from ops.campaigns.rig import COMMANDS, CampaignError, Rig, meanwhile, rig, until
from ops.campaigns.tally import ANY, Tally
from ops.campaigns.traders import Traders
from service.core.clock import monotonic
from service.infra.postgres import EmbeddedPostgres

ABOUT = "SIGKILL of real worker and api processes at named places and at any moment"
SHARE = 4.0
GOAL = 20_000

EPISODE = 500  # kills on one database: what is compared after each grows with it
LEAST_PLACES = 16
COLD_EVERY = 60
CHANGE_EVERY = 7  # lives of a worker
TRADERS = 6
SEEN_S = 8.0
PATIENCE_S = 1.5  # real seconds a process that is ready has to come to its place, then it dies where it is
STEP_EVERY_S = 0.4  # so often the market's clock moves on by a second
PLACES = {
    "serve": ("submit.before_commit", "submit.after_commit", "change.before_commit", "change.after_commit"),
    "worker": (
        "claim.before_commit", "refusal.before_commit", "send.before", "send.counted", "send.half", "send.after",
        "record.begun", "record.before_commit", "record.after_commit", "orphan.before_commit", "inbox.before_commit",
        "inbox.after_commit", "apply.before_commit", "apply.after_commit", "inquiry.answered", "inquiry.stored",
        "sighting.before_commit", "feed.before_commit",
    ),
}  # fmt: skip
HELD = {one for one in PLACES["worker"] if one.startswith(("inbox.", "inquiry.", "sighting.", "feed."))}
LATE, LATE_S = "refusal.before_commit", 31  # the market's clock is moved on: what waits now is too late
FAULTS = {
    "answer_lost_before": "0.03", "answer_lost_after": "0.03", "answer_delayed": "0.02", "stream_drop": "0.01",
    "stream_duplicate": "0.05", "stream_reorder": "0.02", "report_held": "0.03", "report_lost": "0.01",
}  # fmt: skip
# Of 1,000 connections to the platform, what befalls them on the way (`ops.campaigns.proxy`).
HARMS = {
    "slow": 50, "dripped": 10, "refused": 15, "request_cut": 10, "request_reset": 10, "reply_cut": 15, "reply_reset": 15,
    "half_closed": 10,
}  # fmt: skip
SEEN = """
    select bool_and(g.open and l.until > clock_timestamp())
    from stream_gate g left join lease l on l.name = g.lease and l.epoch = g.lease_epoch"""
SENDING = """
    select r.cl_ord_id as cl, a.sender from attempt a join order_request r on r.id = a.request_id
    where a.outcome is null and r.state = 'sending'"""


@dataclass
class Episode:
    """One house, killed again and again."""

    rig: Rig
    tally: Tally
    dice: random.Random
    goal: int
    until: float  # monotonic
    oracle: Oracle
    traders: Traders
    eye: asyncpg.Connection  # beside the oracle's, which is busy with snapshots
    places: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PLACES)
    faults: Mapping[str, str] = field(default_factory=lambda: FAULTS)
    kills: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    peeking: asyncio.Lock = field(default_factory=asyncio.Lock)
    deaths: dict[int, float] = field(default_factory=dict)  # of workers: when (monotonic), by pid

    def over(self) -> bool:
        """Enough kills at enough places, or no time left."""
        enough = self.kills >= self.goal and len(self.tally.places) >= min(LEAST_PLACES, len(self.places["worker"]))
        return enough or monotonic() > self.until

    async def run(self) -> None:
        """Kill, leave in peace, compare."""
        await self.kill()
        async with meanwhile(self._step()):
            await self._rest()
        self.tally.orders += sum(one.kind == "new" and one.taken for one in self.traders.intents)
        self.tally.sends += len((await self.rig.stage.sandbox.get("/_sandbox/sends")).json())
        self.tally.note([Finding("misstated", one) for one in self.traders.odd])

    async def kill(self) -> None:
        """Until it is over: trade, kills, and a look after each. All live at the end."""
        rates = {"schedule": {"seed": self.dice.getrandbits(31), "rates": dict(self.faults)}}
        await self.rig.stage.control("faults", rates)
        closing = asyncio.Event()
        async with meanwhile(self._step(), self._watch()), asyncio.TaskGroup() as group:
            trading = [group.create_task(self.traders.trade(closing, 0.1)) for _ in range(TRADERS)]
            lives = [group.create_task(one) for one in (self._serves(), self._works())]
            await asyncio.wait(lives)
            closing.set()
            await asyncio.wait(trading)

    async def _serves(self) -> None:
        """Life after life of the api; the last one is not armed."""
        while self.places["serve"] and not self.over():
            await self._life("serve", self._place("serve"))
        await self.rig.start("serve")

    async def _works(self) -> None:
        """One worker dies again and again while the other carries on; every few lives they change places."""
        steady, victim = "worker-1", "worker-2"
        await self.rig.start(steady)
        while not self.over():
            place = self._place("worker")
            change = place in HELD or self.turns["worker"] % CHANGE_EVERY == 0
            if change:  # what is done under a lease, only the one that is left does
                await self._died(steady, self.rig.children[steady], ANY)
            await self._life(victim, place)
            if change:
                steady, victim = victim, steady
                await self.rig.start(steady)
                await self._seen()
        await self.rig.start(victim)

    async def _seen(self) -> None:
        """Until the report stream is seen again: nothing new goes out before. A machine that is slow is not waited for long."""

        async def open_again() -> bool:
            async with self.peeking:
                return bool(await self.eye.fetchval(SEEN))

        with contextlib.suppress(CampaignError):
            await until(open_again, "the stream", SEEN_S, every_s=0.1)

    def _place(self, command: str) -> str:
        places = (*self.places[command], ANY)
        self.turns[command] += 1
        return places[self.turns[command] % len(places)]

    async def _life(self, slot: str, place: str) -> None:
        child = await self._born(slot, place, cold=self.turns[COMMANDS[slot]] % COLD_EVERY == 0)
        await self._await_death(child, place)
        await self._died(slot, child, ANY if child.alive else place)

    async def _born(self, slot: str, place: str, *, cold: bool) -> Child:
        armed: Armed = {} if place == ANY else {place: (signal.SIGKILL, 1 if cold else self.dice.choice((1, 1, 2)))}
        began = monotonic()
        child = await self.rig.start(slot, armed, cold=cold)
        if cold or place != ANY:
            with contextlib.suppress(CampaignError):
                await self.rig.serving(slot, child)
        if cold and child.alive:
            self.tally.serving.append(round(monotonic() - began, 3))
        return child

    async def _await_death(self, child: Child, place: str) -> None:
        if place == LATE:
            await asyncio.sleep(self.dice.uniform(0.1, 0.3))
            await self.rig.step(LATE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.dice.uniform(0.05, 1.0) if place == ANY else PATIENCE_S):
                await child.died.wait()

    async def _died(self, slot: str, child: Child, at: str) -> None:
        """Make the kill certain, count it, and look at everything."""
        await self.rig.kill(slot)
        self.deaths[child.pid] = monotonic()
        if child.status != -signal.SIGKILL:
            self.tally.note([Finding("misstated", f"{slot} ended by itself with status {child.status}")])
        self.kills += 1
        self.tally.kills[at] += 1
        async with self.looking:
            self.tally.note(await self.oracle.look(self.traders.intents))

    async def _step(self) -> None:
        while True:
            await asyncio.sleep(STEP_EVERY_S)
            await self.rig.step(1)

    async def _watch(self) -> None:
        """How long what a killed worker had in its hands goes on looking as if it were being sent."""
        waiting: dict[tuple[str, int], float] = {}
        while True:
            async with self.peeking:
                rows = {(row["cl"], int(row["sender"].split("/")[2])) for row in await self.eye.fetch(SENDING)}
            for one in waiting.keys() - rows:
                self.tally.stated.append(round(monotonic() - waiting.pop(one), 3))
            waiting |= {one: self.deaths[one[1]] for one in rows if one[1] in self.deaths}
            await asyncio.sleep(0.05)

    async def _rest(self) -> None:
        """All three live and nothing is broken any more: everything must come to rest, and be true."""
        await self.rig.stage.sandbox.delete("/_sandbox/faults")
        self.rig.proxy.set(NONE)
        self.tally.note(await self.oracle.at_rest(self.traders.intents))


async def episode(server: EmbeddedPostgres, born_by: Nursery, tally: Tally, *, seed: int, goal: int, until_s: float) -> None:
    """About `goal` kills on a fresh house, not beginning another after `until_s` (monotonic)."""
    began = monotonic()
    tally.seen.clear()
    async with rig(server, born_by, seed, seeded(seed, HARMS)) as made:
        dice = random.Random(seed)
        traders = Traders(made, dice)
        eye = await asyncpg.connect(made.urls.superuser)
        try:
            await Episode(made, tally, dice, goal, until_s, Oracle(made.eye, made.stage.sandbox), traders, eye).run()
        finally:
            eye.terminate()
            await traders.close()
            tally.harmed += sum(made.proxy.counts.values()) - made.proxy.counts["connections"]
    tally.episodes += 1
    tally.seconds += monotonic() - began


def run(budget_s: float, state: dict[str, Any], seed: int) -> Generator[list[Figure], None, None]:
    """Episodes until the time is up or the goal is reached."""
    tally, until_s = Tally.read(state), monotonic() + budget_s
    with own_server() as server:
        while tally.total < GOAL and monotonic() < until_s - 30:
            asyncio.run(_one(server, tally, seed + tally.episodes, until_s - 15))
            tally.write(state)
            yield tally.figures()
    yield tally.figures()


async def _one(server: EmbeddedPostgres, tally: Tally, seed: int, until_s: float) -> None:
    async with nursery() as born_by:
        await episode(server, born_by, tally, seed=seed, goal=min(EPISODE, GOAL - tally.total), until_s=until_s)
