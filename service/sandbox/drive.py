"""The clock that can be driven: stepped, or running at real speed in a daily loop of 10:00 to 15:20."""

import asyncio
import contextlib
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from service.sandbox.calendar import KST, is_trading_day, next_trading_day
from service.sandbox.errors import Refused
from service.sandbox.world import World

_LOOP_FROM, _LOOP_UNTIL = time(10, 0), time(15, 20)
_TURN_SECONDS = 0.1
WAIT_SECONDS_MAX = 30.0
STEP_MAX = timedelta(days=40)


class Drive:
    """Who moves the world's time. One mover at a time: a step waits for the step before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rate = 0
        self.daily_loop = False
        self.version = 1
        self.closing = False
        self._moving = asyncio.Lock()
        self._changed = asyncio.Event()

    def state(self) -> dict[str, object]:
        return {"now": self.world.now.isoformat(), "rate": self.rate, "version": self.version}

    async def wait(self, version: int, seconds: float) -> None:
        """Until the version is past `version`, or so many real seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(seconds, 0), WAIT_SECONDS_MAX)):
                while self.version <= version and not self.closing:
                    await self._changed.wait()

    def close(self) -> None:
        """The program ends: nobody is kept waiting."""
        self.closing = True
        self._changed.set()

    async def move(self, until: datetime) -> None:
        async with self._moving:
            if until < self.world.now:
                raise Refused(400, 400, "time does not go backwards")
            if until - self.world.now > STEP_MAX:
                raise Refused(400, 400, f"at most {STEP_MAX.days} days a step")
            await self.world.advance_gently(until)
            self._announce()

    async def run(self, rate: int, *, daily_loop: bool) -> None:
        async with self._moving:
            self.rate, self.daily_loop = rate, daily_loop
            self._announce()

    async def tick_for_ever(self) -> None:
        """Real speed: business time follows the loop's own monotonic clock."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            passed, before = loop.time() - before, loop.time()
            if self.rate:
                async with self._moving:
                    await self._turn(timedelta(seconds=passed * self.rate))

    async def _turn(self, passed: timedelta) -> None:
        await self.world.advance_gently(self.world.now + passed)
        if self.daily_loop and self._loop_is_over():
            await self.world.advance_gently(self._next_start())
            self._announce()

    def _loop_is_over(self) -> bool:
        now = self.world.now
        return not is_trading_day(now.date()) or now.time() >= _LOOP_UNTIL

    def _next_start(self) -> datetime:
        return datetime.combine(next_trading_day(self.world.now.date()), _LOOP_FROM, KST)

    def _announce(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()


def moment(text: object) -> datetime:
    """An ISO time; without a zone it is Korean."""
    try:
        parsed = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise Refused(400, 400, "now: an ISO 8601 time") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo("Asia/Seoul"))).astimezone(KST)
