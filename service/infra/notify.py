"""Wake-ups between processes by NOTIFY, coalesced, on connections of their own.

A NOTIFY inside the order transaction would halve the commits, so it is sent after the commit and may be lost: it only
shortens a wait. Whoever waits also polls (`wait(timeout)`), and after a reconnect everybody is woken once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog

from service.infra.db import DRIVER_ERRORS
from service.infra.metrics import NOTIFY_ERRORS

log = structlog.get_logger()

Connect = Callable[[], Awaitable[asyncpg.Connection]]  # Database.connect_alone
RECONNECT_SECONDS = 0.5


class Notifier:
    """`poke("orders")` after a commit: synchronous and cheap. Pokes that meet one in flight become one more."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._pending: set[str] = set()
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def poke(self, channel: str) -> None:
        self._pending.add(channel)
        self._due.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="notifier")

    async def stop(self) -> None:
        await _end(self._task)
        self._task = None

    async def _run(self) -> None:
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._send_for_ever(connection)
                finally:
                    connection.terminate()
            except DRIVER_ERRORS as error:
                NOTIFY_ERRORS.labels("notifier").inc()
                log.warning("notifier.lost", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _send_for_ever(self, connection: asyncpg.Connection) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            channels, self._pending = self._pending, set()
            try:
                await connection.execute("select pg_notify(channel, '') from unnest($1::text[]) channel", list(channels))
            except DRIVER_ERRORS:
                self._pending |= channels
                self._due.set()
                raise


class Wake:
    """One subscriber's bell."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_seconds: float) -> bool:
        """True when rung since the last wait, False when the time is up. Poll after either."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        finally:
            self._rung.clear()
        return True


class Listener:
    """One LISTEN connection of a process, shared by all who wait."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._bells: dict[str, set[Wake]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="listener")

    async def stop(self) -> None:
        await _end(self._task)
        self._task = None

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Wake]:
        wake = Wake()
        self._bells.setdefault(channel, set()).add(wake)
        self._changed.set()
        try:
            yield wake
        finally:
            self._bells[channel].discard(wake)

    async def _run(self) -> None:
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._listen_for_ever(connection)
                finally:
                    connection.terminate()
            except DRIVER_ERRORS as error:
                NOTIFY_ERRORS.labels("listener").inc()
                log.warning("listener.lost", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_for_ever(self, connection: asyncpg.Connection) -> None:
        """LISTEN to every channel somebody asked for. A channel nobody waits on any more costs nothing and stays."""
        connection.add_termination_listener(lambda _connection: self._changed.set())
        known: set[str] = set()
        while not connection.is_closed():
            self._changed.clear()
            for channel in set(self._bells) - known:
                await connection.add_listener(channel, self._heard)
                known.add(channel)
                self._ring(channel)  # what was sent before we listened is lost: look once
            await self._changed.wait()
        raise ConnectionResetError("the LISTEN connection ended")

    def _heard(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        self._ring(channel)

    def _ring(self, channel: str) -> None:
        for wake in self._bells.get(channel, ()):
            wake.ring()


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancel an owned task and wait until it is gone."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
