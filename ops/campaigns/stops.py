"""PostgreSQL stopped at once, without a checkpoint, as a power cut would, under trade; and started again.

Api and workers live on. What was answered as done must be there afterwards, and what was not answered is asked for again
with its key until it is: the answer must then be one, and true. Everything is compared after every stop.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from ops.campaigns.figure import Figure
from ops.campaigns.ground import own_server
from ops.campaigns.nursery import Nursery, nursery
from ops.campaigns.oracle import Finding, Oracle
from ops.campaigns.rig import Rig, meanwhile, rig
from ops.campaigns.traders import Traders
from service.core.clock import monotonic
from service.infra.postgres import EmbeddedPostgres

ABOUT = "PostgreSQL stopped at once during load: what was acknowledged and is gone, what is shown and never was"
SHARE = 1.0
GOAL = 500

EPISODE = 50  # stops on one database
TRADERS = 6
LOST = "lost"


@dataclass
class Stops:
    """What the campaign has found so far."""

    stops: int = 0
    commits: int = 0  # calls that were answered 201
    unanswered: int = 0  # calls that were made again
    found: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0
    episodes: int = 0

    @classmethod
    def read(cls, state: dict[str, Any]) -> "Stops":
        kept = dict(state.get("stops", {}))
        return cls(**kept | {"found": Counter(kept.get("found", {}))})

    def write(self, state: dict[str, Any]) -> None:
        state["stops"] = {name: getattr(self, name) for name in self.__dataclass_fields__}

    def note(self, findings: list[Finding], seen: set[str]) -> None:
        for one in findings:
            if str(one) not in seen:
                seen.add(str(one))
                self.found[one.kind] += 1
                self.examples = [*self.examples, str(one)][:20]

    def figures(self) -> list[Figure]:
        false = sum(n for kind, n in self.found.items() if kind != LOST)
        said = f"{self.stops} stops, {self.unanswered} calls without an answer made again"
        detail = "; ".join(self.examples[:3]) or said
        return [
            Figure("acknowledged commits lost", self.commits, self.found[LOST], "commits", self.seconds, detail),
            Figure("anything else untrue after a stop", self.stops, false, "stops", self.seconds, detail),
        ]


async def episode(server: EmbeddedPostgres, born_by: Nursery, stops: Stops, *, seed: int, goal: int, until_s: float) -> None:
    """At most `goal` stops of `server`, which is this episode's alone; none after `until_s` (monotonic)."""
    began, seen = monotonic(), set[str]()
    async with rig(server, born_by, seed) as made:
        dice = random.Random(seed)
        traders = Traders(made, dice)
        oracle = Oracle(made.eye, made.stage.sandbox)
        for slot in ("serve", "worker-1", "worker-2"):
            await made.serving(slot, await made.start(slot))
        try:
            closing = asyncio.Event()
            trading = [asyncio.create_task(traders.trade(closing, 0.02)) for _ in range(TRADERS)]
            async with meanwhile(_step(made)):
                for _ in range(goal):
                    if monotonic() > until_s:
                        break
                    await asyncio.sleep(dice.uniform(0.1, 0.6))
                    await _stop(server, made, oracle)
                    stops.stops += 1
                    stops.note(await oracle.look(traders.intents), seen)
                closing.set()
                await asyncio.gather(*trading)
                stops.note(await oracle.at_rest(traders.intents), seen)
        finally:
            await traders.close()
    stops.note([Finding("misstated", one) for one in traders.odd], seen)
    stops.commits += sum(one.taken for one in traders.intents)
    stops.unanswered += sum(one.calls - len(one.answers) for one in traders.intents)
    stops.episodes += 1
    stops.seconds += monotonic() - began


async def _stop(server: EmbeddedPostgres, made: Rig, oracle: Oracle) -> None:
    await asyncio.to_thread(server.kill_immediate)
    await asyncio.to_thread(server.restart)
    made.eye.terminate()
    made.eye = oracle.eye = await asyncpg.connect(made.urls.superuser)


async def _step(made: Rig) -> None:
    while True:
        await asyncio.sleep(0.4)
        await made.step(1)
        for slot in [name for name, one in made.children.items() if not one.alive]:
            await made.start(slot)  # as its host would: a worker that begins while the database is away ends


def run(budget_s: float, state: dict[str, Any], seed: int) -> Generator[list[Figure], None, None]:
    """Episodes until the time is up or the goal is reached."""
    stops, until_s = Stops.read(state), monotonic() + budget_s
    with own_server() as server:
        while stops.stops < GOAL and monotonic() < until_s - 30:
            asyncio.run(_one(server, stops, seed + stops.episodes, until_s - 15))
            stops.write(state)
            yield stops.figures()
    yield stops.figures()


async def _one(server: EmbeddedPostgres, stops: Stops, seed: int, until_s: float) -> None:
    async with nursery() as born_by:
        await episode(server, born_by, stops, seed=seed, goal=min(EPISODE, GOAL - stops.stops), until_s=until_s)
