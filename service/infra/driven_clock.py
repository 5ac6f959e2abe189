"""Business time from the sandbox, followed by long-poll.

`GET {url}?version=V&wait=S` answers `{"now", "rate": 0|1, "version"}` at once when the version differs, else after S
seconds. Rate 0: time stands still until the next version. Rate 1: it runs beside this machine's monotonic clock.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import structlog

from service.core.clock import KST, monotonic
from service.infra.metrics import CLOCK_STALE
from service.infra.tls import verifying

log = structlog.get_logger()

WAIT_SECONDS = 10
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Reading:
    """What the clock said, and when (monotonic seconds) it said so."""

    now: datetime
    rate: int
    version: int
    taken_at: float


class DrivenClock:
    """A Clock. `start()` before the first `now()`; an outage leaves the last reading standing and `stale` true."""

    def __init__(self, url: str, client: httpx.AsyncClient | None = None) -> None:
        self._url = url
        self._client = client if client is not None else httpx.AsyncClient(trust_env=False, verify=verifying())
        self._reading: Reading | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self.stale = True

    def now(self) -> datetime:
        """Business time in KST. Raises RuntimeError before the first reading."""
        reading = self._taken()
        if reading.rate == 0:
            return reading.now
        return reading.now + timedelta(seconds=monotonic() - reading.taken_at)

    @property
    def version(self) -> int:
        """Rises with every step of the market; figures computed at one version belong together."""
        return self._taken().version

    async def start(self, timeout_seconds: float = 30) -> None:
        """Follow the clock in a task of our own; returns after the first reading. Raises TimeoutError."""
        self._task = asyncio.create_task(self._follow(), name="driven-clock")
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self._reading is not None)
        except TimeoutError:
            await self.stop()
            raise TimeoutError(f"the business clock at {self._url} does not answer") from None

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._client.aclose()

    async def wait_beyond(self, version: int, timeout_seconds: float) -> bool:
        """Wait until the clock has moved past `version`; False when the (real) time is up."""
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self._reading is not None and self._reading.version > version)
        except TimeoutError:
            return False
        return True

    def _taken(self) -> Reading:
        if self._reading is None:
            raise RuntimeError("DrivenClock.start() was not called")
        return self._reading

    async def _follow(self) -> None:
        while True:
            try:
                await self._take(await self._ask())
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                if not self.stale:
                    log.warning("clock.stale", reason=type(error).__name__)
                self._mark(stale=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self) -> Reading:
        known = {} if self._reading is None else {"version": self._reading.version, "wait": WAIT_SECONDS}
        # No wait_for around it: httpcore's pool leaks a connection when a request is cancelled.
        answer = await self._client.get(self._url, params=known, timeout=httpx.Timeout(5, read=WAIT_SECONDS + 5))
        answer.raise_for_status()
        said = answer.json()
        moment = datetime.fromisoformat(said["now"])
        if moment.tzinfo is None or said["rate"] not in (0, 1):
            raise ValueError("a clock answers with an aware time and a rate of 0 or 1")
        return Reading(moment.astimezone(KST), said["rate"], int(said["version"]), monotonic())

    async def _take(self, reading: Reading) -> None:
        self._mark(stale=False)
        async with self._moved:
            self._reading = reading
            self._moved.notify_all()

    def _mark(self, *, stale: bool) -> None:
        self.stale = stale
        CLOCK_STALE.set(1 if stale else 0)
