"""One seed: a day from before the opening to the night, for some a second, shorter one, and what was found."""

import asyncio
import gc
import random
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from ops.campaigns.simulation.database import Server
from ops.campaigns.simulation.house import House, Member, settings
from ops.campaigns.simulation.loop import Process, SimulatedLoop, Trace
from ops.campaigns.simulation.oracle import Oracle
from ops.campaigns.simulation.player import DAY, NIGHT, SCENES, SECOND_DAY, Book, Player
from ops.campaigns.simulation.upstream import Platform
from ops.campaigns.simulation.weather import Weather
from service.accounts.synchronise_accounts import synchronise_accounts
from service.accounts.take_opening import take_opening
from service.core import clock, ids
from service.core.principal import Principal, Role
from service.executions.differ import QUIET
from service.executions.sweep import FINAL_EVERY
from service.infra.roles import APP, WORKER
from service.mandates.create_client import create_client
from service.mandates.create_mandate import create_mandate
from service.mandates.model import MandateStatus
from service.market.book import MarketBook
from service.market.synchronise_instruments import synchronise_instruments
from service.people.create_user import create_user
from service.wiring import Wiring

START = datetime.combine(DAY.date(), time(8, 20), DAY.tzinfo)
LOOK_S = 25.0  # virtual seconds in which every account is asked about at least once
BELIEVED_S = QUIET.total_seconds() + FINAL_EVERY.total_seconds() + LOOK_S
SECOND = 6  # every so many seeds has a second day, on which the brokers' numbers begin anew
PATIENCE = 80  # times five seconds the house is given to come to rest
# What will come to an end without a person: an order whose request is in doubt will not, unless evidence is found.
BUSY = """
    select (select count(*) from order_request where state in ('queued', 'sending'))
         + (select count(*) from inbox where state = 'waiting')
         + (select count(*) from orders o where not closed and not exists (
                select from order_request r where r.order_id = o.id and r.state = 'unknown'))"""


@dataclass
class Outcome:
    """What one seed came to."""

    seed: int
    digest: str = ""
    twice: bool = False  # played again, to compare the traces
    violations: list[str] = field(default_factory=list)
    tally: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    steps: int = 0
    checks: int = 0
    virtual_s: float = 0.0
    doubts: int = 0
    tail: list[str] = field(default_factory=list)


class Simulation:
    """A server with a firm in it, on which seeds are played one after the other."""

    def __init__(self) -> None:
        self.server = Server()
        self.books: list[Book] = []
        self.office: list[Principal] = []
        _Run(self.server, 0, [], []).prepare(self)
        self.server.remember()
        gc.collect()
        gc.freeze()

    def play(self, seed: int, *, shift: bool = False) -> Outcome:
        """One day. `shift` draws one number more from the order of tasks: another interleaving of the same day."""
        self.server.restore()
        run = _Run(self.server, seed, self.books, self.office)
        if shift:
            run.loop.chance.random()
        return run.play()

    def close(self) -> None:
        self.server.close()


class _Run:
    """The objects of one seed."""

    def __init__(self, server: Server, seed: int, books: list[Book], office: list[Principal]) -> None:
        self.server, self.seed, self.books = server, seed, books
        self.trace = Trace()
        self.loop = SimulatedLoop(random.Random(f"{seed}:tasks"), self.trace)
        self.weather = Weather(seed, self.loop)
        self.platform = Platform(self.loop, self.weather, START)
        self.house = House(seed, self.loop, server, self.platform, self.weather)
        self.oracle = Oracle(server, self.platform)
        self.player = Player(self.house, books, office, random.Random(f"{seed}:people"))

    def play(self) -> Outcome:
        outcome = Outcome(self.seed)
        self.loop.after_step = self._after_step
        self.weather.committed = self.oracle.after_transaction
        try:
            self._in_the_loop(self._day(outcome))
        except Exception as error:
            self.oracle.say(f"the day broke off: {type(error).__name__}: {error}")
        outcome.digest, outcome.tail = self.trace.digest(), list(self.trace.tail)
        outcome.violations = [*self.oracle.violations, *self.house.ended]
        outcome.tally, outcome.faults = dict(self.player.tally), dict(self.weather.fired)
        for one in self.platform.world.faults.fired:
            outcome.faults[one["fault"]] = outcome.faults.get(one["fault"], 0) + 1
        outcome.kills, outcome.steps, outcome.checks = self.house.kills, self.loop.steps, self.oracle.checks
        outcome.virtual_s = self.loop.time() - 1000.0
        return outcome

    def _in_the_loop(self, work: Any) -> None:
        bits = random.Random(f"{self.seed}:ids")
        clock.stand_in(monotonic=self.loop.time, wall=self.weather.real_now)
        ids.draw_from(bits.getrandbits)
        gc.disable()
        try:
            self.loop.run_until_complete(work)
        finally:
            self.weather.calm = True
            for one in self.house.members.values():
                one.process.alive = False
            clock.stand_in()
            ids.draw_from()
            self._bury()
            gc.enable()
            gc.collect()

    def _bury(self) -> None:
        """Drop what is still waiting, while nobody can reach the database any more."""
        self.loop._ready.clear()  # type: ignore[attr-defined]
        self.loop._scheduled.clear()  # type: ignore[attr-defined]
        self.loop.dropped.clear()
        self.loop.close()

    def _after_step(self) -> None:
        for one in self.house.members.values():
            if one.database.depth:
                self.oracle.say(f"{one.process.name} waits for the world inside a transaction")
        if self.weather.strikes("killed"):
            self.house.kill_one()

    # --- the day

    async def _day(self, outcome: Outcome) -> None:
        passing = asyncio.ensure_future(self.player.pass_time())
        self.house.start()
        await asyncio.sleep(4.0)  # the stream is live
        await self._trouble(outcome, SCENES)
        if self.seed % SECOND == 0:
            await self._next_morning()
            await self._trouble(outcome, SECOND_DAY)
        passing.cancel()

    async def _trouble(self, outcome: Outcome, scenes: Sequence[tuple[time, str]]) -> None:
        self.weather.calm = False
        self.platform.trouble(self.seed)
        await self.player.day(scenes)
        self.weather.calm = True
        self.platform.calm()
        await self._come_to_rest(outcome)

    async def _next_morning(self) -> None:
        """What the daily jobs do, while nothing goes wrong."""
        self.player.today += timedelta(days=1)
        self.player.jump(START.time())
        self.player.tally["second days"] += 1
        await self._open_the_day()
        self.player.books = [replace(one, holdings=self._holdings(one.account_id)) for one in self.books]

    async def _come_to_rest(self, outcome: Outcome) -> None:
        for _ in range(8):  # until nobody can bring an answer to what was under way
            await asyncio.sleep(5.0)
            if not self.server.ask("select from attempt where outcome is null limit 1"):
                break
        self.player.jump(NIGHT)
        await asyncio.sleep(LOOK_S)
        await self._until_idle()
        await self.player.close_doubts()
        await self._until_idle()
        known = list(self.oracle.violations)
        outcome.doubts = self.oracle.at_end(self.player.answered, self.platform.now())
        if self.oracle.violations != known:  # an order that moved just now is not believed to differ yet: they look again
            self.oracle.violations = known
            await asyncio.sleep(BELIEVED_S)
            outcome.doubts = self.oracle.at_end(self.player.answered, self.platform.now())

    async def _until_idle(self) -> None:
        for _ in range(PATIENCE):
            if not self._busy():
                break
            await asyncio.sleep(5.0)

    def _busy(self) -> bool:
        return bool(self.server.ask(BUSY)[0][0])

    # --- the firm

    def prepare(self, simulation: Simulation) -> None:
        self._in_the_loop(self._found(simulation))

    async def _found(self, simulation: Simulation) -> None:
        member = await self._open_the_day()
        self.server.market = MarketBook(member.wiring.transaction, fresh_s=1e12)
        await self.server.market.rules()
        api = self.house.member(member.process, APP).wiring
        simulation.office = [await _user(api, name, Role.OPERATIONS) for name in ("oh", "park")]
        simulation.books = await self._mandates(api)

    async def _open_the_day(self) -> Member:
        member = self.house.member(Process("house"), WORKER)
        wiring = member.wiring
        common: dict[str, Any] = {"transaction": wiring.transaction, "gateway": wiring.gateway, "clock": wiring.clock}
        await synchronise_instruments(**common)
        await synchronise_accounts(**common, vault=wiring.vault, brokers=wiring.brokers)
        await take_opening(**common, vault=wiring.vault)
        return member

    def _holdings(self, account_id: UUID) -> dict[str, int]:
        held = self.server.ask("select isin, opening from holding where account_id = $1 order by isin", account_id)
        return {one["isin"]: one["opening"] for one in held}

    async def _mandates(self, wiring: Wiring) -> list[Book]:
        managers = [await _user(wiring, name, Role.MANAGER) for name in ("kim", "lee")]
        books: list[Book] = []
        rows = self.server.ask("select id, number, broker from account where contract_status = '0' order by broker, number")
        for i, row in enumerate(rows):
            manager = managers[i % 2]
            client = await create_client(transaction=wiring.transaction, vault=wiring.vault, name=f"가상 {i}", kind="individual")
            mandate = await create_mandate(
                transaction=wiring.transaction, client_id=client.id, name=f"가상 계약 {i}", starts_on=date(2026, 1, 2),
                status=MandateStatus.IN_FORCE, account_ids=[row["id"]], manager_ids=[manager.user_id],
            )  # fmt: skip
            books.append(Book(row["id"], row["number"], row["broker"], manager, mandate.id, self._holdings(row["id"])))
        return books


async def _user(wiring: Wiring, name: str, role: Role) -> Principal:
    made = await create_user(transaction=wiring.transaction, name=name, roles=[role])
    return Principal(made.id, made.name, made.roles)


def silence() -> None:
    """The service's own words are not the simulation's."""
    import logging

    import structlog

    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _what: None  # coroutines of killed processes complain when they are collected
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False)
    settings()
