"""The house in one process: an api and two workers of the real code, each a process that can be killed and comes back."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy.exc import DBAPIError

from ops.campaigns.simulation.database import Server, SimulatedDatabase
from ops.campaigns.simulation.loop import Process, SimulatedLoop
from ops.campaigns.simulation.upstream import HttpLine, Platform, connector
from ops.campaigns.simulation.weather import Weather
from service.infra.notify import Wake
from service.infra.roles import APP, WORKER
from service.koscom.budget import ServiceName
from service.koscom.config import KoscomConfig
from service.koscom.gateway import KoscomGateway
from service.koscom.store import PostgresBudget
from service.settings import Settings, load
from service.up import INVENTED
from service.wiring import Wiring, koscom_config, wire
from service.worker import Rhythm, Worker

RHYTHM = Rhythm(senders=2, poll_s=10.0, pause_s=6.0, lease_s=18.0)
PATIENCE_S = 12.0  # so long a client waits for an answer


@cache
def settings() -> Settings:
    key = base64.b64encode(bytes(range(32))).decode()
    return load(INVENTED | {"ILIM_DATA_KEY": key})


@cache
def config() -> KoscomConfig:
    return koscom_config(settings())


class Bells:
    """Notifications between processes: late by a little, sometimes lost."""

    def __init__(self, loop: SimulatedLoop, weather: Weather) -> None:
        self._loop, self._weather = loop, weather
        self.bells: dict[str, list[Wake]] = {}

    def poke(self, channel: str) -> None:
        if not self._weather.strikes("bell_lost"):
            self._loop.call_later(self._weather.between(0.0, 0.02), self._ring, channel)

    def _ring(self, channel: str) -> None:
        for wake in self.bells.get(channel, []):
            wake.ring()

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Wake]:
        wake = Wake()
        self.bells.setdefault(channel, []).append(wake)
        try:
            yield wake
        finally:
            self.bells[channel].remove(wake)


class SimulatedWorker(Worker):
    """A worker whose daily jobs are done before the day begins."""

    def _scheduler(self) -> Any:
        return _NoScheduler()


class _NoScheduler:
    def start(self) -> None:
        """Nothing is due."""

    def shutdown(self, *, wait: bool) -> None:
        """Nothing runs."""


@dataclass
class Member:
    """One incarnation of one process."""

    process: Process
    wiring: Wiring
    database: SimulatedDatabase


class House:
    """Who is alive, and how the world reaches them."""

    def __init__(self, seed: int, loop: SimulatedLoop, server: Server, platform: Platform, weather: Weather) -> None:
        self.loop, self.server, self.platform, self.weather = loop, server, platform, weather
        self._bits = random.Random(f"{seed}:gateway")
        self.bells = Bells(loop, weather)
        self.members: dict[str, Member] = {}
        self._births = 0
        self.kills = 0
        self.ended: list[str] = []  # workers that gave up although nothing they need was away
        weather.kill = self.kill

    def start(self) -> None:
        for role in ("api", "worker-1", "worker-2"):
            self._begin(role)

    def _begin(self, role: str) -> None:
        self._births += 1
        process = Process(f"{role}.{self._births}")
        member = self.member(process, APP if role == "api" else WORKER)
        self.members[role] = member
        if role != "api":
            worker = process.context.run(SimulatedWorker, member.wiring, RHYTHM, connector(self.platform, process))
            self.loop.spawn(process, self._working(role, worker))

    async def _working(self, role: str, worker: Worker) -> None:
        """A worker that ends by itself is started again, as its host would."""
        try:
            await worker.run()
        except Exception as error:
            if self.loop.is_closed():  # the day is over, its remains are being collected
                return
            self.loop.trace.add(f"  {role} ended: {error!r}")
            if not isinstance(error, OSError | DBAPIError):  # it began while the database was away
                self.ended.append(f"{role} ended by itself: {error!r}")
        self.loop.call_later(2.0, self._begin, role)

    def member(self, process: Process, login: str) -> Member:
        database = SimulatedDatabase(self.server.logins[login], process, self.weather, self.loop.trace)
        lines = {name: HttpLine(self.platform, process) for name in ServiceName}
        gateway = KoscomGateway(config(), PostgresBudget(database), self.platform, self._bits.getrandbits, lines)
        bells: Any = self.bells
        wiring = wire(settings(), database, self.platform, gateway, config(), bells, bells)
        if self.server.market is not None:  # read once: the dated rules do not change in a day
            wiring = replace(wiring, market=self.server.market, desk=replace(wiring.desk, market=self.server.market))
        return Member(process, wiring, database)

    def kill(self, process: Process) -> None:
        """SIGKILL: nothing of it runs any more, its connections end, its memory is gone. It comes back."""
        role = next((name for name, one in self.members.items() if one.process is process), None)
        if role is None or not process.alive:
            return
        self.kills += 1
        process.alive = False
        self.loop.trace.add(f"  killed {process.name}")
        self.platform.cut_lines(process)
        self.loop.call_later(self.weather.between(0.3, 5.0), self._begin, role, context=self.platform.process.context.copy())

    def kill_one(self) -> None:
        roles = sorted(self.members)
        self.kill(self.members[self.weather.chance.choice(roles)].process)

    async def ask(self, verb: Callable[[Wiring], Awaitable[Any]]) -> Any:
        """A client's call: the answer, or None when none came. Raises what the verb raises."""
        member = self.members["api"]
        if not member.process.alive:
            await asyncio.sleep(self.weather.between(0.1, 1.0))
            return None
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.loop.spawn(member.process, _served(verb, member.wiring, answer))
        try:
            async with asyncio.timeout(PATIENCE_S if member.process.alive else 0.1):
                said = await answer
        except TimeoutError:
            return None
        return None if self.weather.strikes("reply_lost") else said


async def _served(verb: Callable[[Wiring], Awaitable[Any]], wiring: Wiring, answer: "asyncio.Future[Any]") -> None:
    try:
        said = await verb(wiring)
    except Exception as error:
        if not answer.done():
            answer.set_exception(error)
        return
    if not answer.done():
        answer.set_result(said)
