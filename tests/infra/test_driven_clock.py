"""Business time from a clock that somebody else moves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest

from service.core.clock import KST
from service.infra.driven_clock import DrivenClock
from tests.waiting import until


async def is_so(value: bool) -> bool:
    return value


TEN = datetime(2026, 11, 23, 10, 0, tzinfo=KST)


@dataclass
class Market:
    """The other side of the long-poll."""

    now: datetime = TEN
    rate: int = 0
    version: int = 1
    reachable: bool = True
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        while self.reachable and request.url.params.get("version") == str(self.version):
            self.moved.clear()
            await self.moved.wait()
        if not self.reachable:
            raise httpx.ConnectError("nobody there", request=request)
        return httpx.Response(200, json={"now": self.now.isoformat(), "rate": self.rate, "version": self.version})

    def step(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self, name, value)
        self.version += 1
        self.moved.set()


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
async def driven(market: Market) -> AsyncIterator[DrivenClock]:
    made = DrivenClock("http://sandbox/_sandbox/clock", httpx.AsyncClient(transport=httpx.MockTransport(market.answer)))
    yield made
    await made.stop()


async def test_time_stands_until_the_market_steps(market: Market, driven: DrivenClock) -> None:
    await driven.start()
    assert (driven.now(), driven.version, driven.stale) == (TEN, 1, False)
    market.step(now=TEN + timedelta(minutes=5))
    assert await driven.wait_beyond(1, 5)
    assert (driven.now(), driven.version) == (TEN + timedelta(minutes=5), 2)
    assert not await driven.wait_beyond(2, 0.02)


async def test_at_rate_one_it_runs_by_itself(market: Market, driven: DrivenClock) -> None:
    market.rate = 1
    await driven.start()
    first = driven.now()
    await until(lambda: is_so(driven.now() > first))
    assert TEN <= first < driven.now() < TEN + timedelta(seconds=30)


async def test_an_outage_leaves_the_last_word_standing_and_says_so(market: Market, driven: DrivenClock) -> None:
    await driven.start()
    market.reachable = False
    market.step()
    await until(lambda: is_so(driven.stale))
    assert driven.now() == TEN
    market.reachable = True
    assert await driven.wait_beyond(1, 5)
    assert not driven.stale


@pytest.mark.parametrize("said", [b"", b"{}", b'{"now": "2026-11-23T10:00:00", "rate": 0, "version": 1}',
                                  b'{"now": "2026-11-23T10:00:00+09:00", "rate": 5, "version": 1}'])  # fmt: skip
async def test_what_is_no_clock_is_not_believed(said: bytes) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=said))
    driven = DrivenClock("http://sandbox/_sandbox/clock", httpx.AsyncClient(transport=transport))
    with pytest.raises(TimeoutError, match="does not answer"):
        await driven.start(timeout_seconds=0.05)
    with pytest.raises(RuntimeError):
        driven.now()
