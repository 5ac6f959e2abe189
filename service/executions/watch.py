"""Whether the report stream is seen, and so whether anything new may go out (P18).

Blind from the loss of a connection, or a gap in its sequence, until the stream has caught up *and* a complete inquiry has
shown every account with live orders. The gate is a row, written under the lease of the reader: a reader that was killed or
cut off from the database shuts it by saying nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls import store as controls
from service.core.clock import kst_date
from service.executions import store
from service.executions.apply import Applier
from service.executions.sweep import sweep_account
from service.gateway import CallClass
from service.infra.leases import Lease
from service.infra.metrics import gauge
from service.orders.places import Place, live_places

log = structlog.get_logger()

PAUSE_S = 0.5  # before a write is tried again, and after the first inquiry that did not show an account whole
LONGEST_PAUSE_S = 30.0  # after many: the calls of a day are counted over all brokers, and one that is out must not use them up
SEEN = gauge("ilim_stream_seen", "1 while this process reads the report stream and has missed nothing")


async def rest_until_news(news: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


@dataclass
class Watch:
    """One holder of the stream's lease, from its beginning to its end."""

    applier: Applier
    com_id: str
    lease: Lease
    rest: Callable[[asyncio.Event, float], Awaitable[None]] = rest_until_news
    _state: str = "lost"
    _told: int = 0  # rises with every word of the reader: what was found out before it counts no more
    _blind_from: datetime | None = None  # business time
    _filled: set[Place] = field(default_factory=set)  # shown whole since the reader's last word
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def on_state(self, state: str) -> None:
        """The reader says how the stream is. Blindness holds when this returns; sight takes longer (`run`)."""
        async with self._turn:
            self._state, self._told = state, self._told + 1
            self._filled.clear()
            self._in_vain = 0
            self._blind_from = self._blind_from or self.applier.clock.now()
            self._news.set()
            SEEN.set(0)
            async with self.applier.transaction() as connection:
                await store.set_stream_state(connection, self.com_id, state, self.applier.clock.now())
                await self._write(connection, opened=False, why="filling" if state == "live" else state)
        log.info("stream.state", com_id=self.com_id, state=state)
        self.applier.poke("orders")

    async def run(self) -> None:
        """Open the gate whenever the stream is live and nothing is missing any more. Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            pause = PAUSE_S
            try:
                if await self._see():
                    continue
                pause, self._in_vain = min(PAUSE_S * 2 ** min(self._in_vain, 10), LONGEST_PAUSE_S), self._in_vain + 1
            except Exception as error:  # the database or the platform is away: the gate stays shut, and we try again
                log.warning("stream.not_filled", com_id=self.com_id, reason=type(error).__name__)
            await self.rest(self._news, pause)
            self._news.set()

    async def _see(self) -> bool:
        """False when there is more to do; what the reader says meanwhile comes with a bell of its own."""
        told = self._told
        if self._state != "live":
            async with self._turn, self.applier.transaction() as connection:
                await self._write(connection, opened=False, why=self._state)  # again: the first time may have failed
            return True
        missing = [one for one in await self._places() if one not in self._filled]
        shown = [await self._fill(one, told) for one in missing]
        if not all(shown):
            return self._told != told
        async with self._turn:
            if self._told == told:
                await self._open()
        return True

    async def _fill(self, place: Place, told: int) -> bool:
        """Whether a complete inquiry has shown the account since. One that fails does not keep the others waiting."""
        if self._told != told or not await sweep_account(self.applier, place, CallClass.RESOLVE):
            return False
        if self._told == told:
            self._filled.add(place)
        return True

    async def _places(self) -> list[Place]:
        since = kst_date(self._blind_from or self.applier.clock.now())
        async with self.applier.transaction() as connection:
            return list(await live_places(connection, since=since))

    async def _open(self) -> None:
        async with self.applier.transaction() as connection:
            opened = await self._write(connection, opened=True, why="live")
        if opened:
            self._blind_from = None
            SEEN.set(1)
            log.info("stream.seen", com_id=self.com_id)
            self.applier.poke("orders")

    async def _write(self, connection: AsyncConnection, *, opened: bool, why: str) -> bool:
        return await controls.set_stream_gate(connection, self.com_id, self.lease, opened=opened, why=why)
