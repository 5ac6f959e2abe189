"""Who is on stage: the house as callers see it, the market's clock, and the waiting until nothing is under way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from service.up import House, set_clock

PATIENCE_S = 90.0


class StageError(Exception):
    """The day cannot go on; the message says what was waited for."""


@dataclass
class Tally:
    """What happened, counted as it happens."""

    submitted: int = 0
    amended: int = 0
    cancelled: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, slug: str) -> None:
        self.refused[slug] = self.refused.get(slug, 0) + 1


class Stage:
    """Calls to the service by user, and to the sandbox."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.tally = Tally()
        self.midnight = datetime.fromisoformat(f"{house.business_date}T00:00:00+09:00")
        self._api = {name: self._client(user["key"]) for name, user in house.users.items()}
        self.sandbox = httpx.AsyncClient(base_url=house.sandbox_url, trust_env=False, timeout=60)

    def _client(self, key: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.house.api_url, headers=headers, trust_env=False, timeout=30)

    async def close(self) -> None:
        for client in (*self._api.values(), self.sandbox):
            await client.aclose()

    async def get(self, user: str, path: str, **params: Any) -> Any:
        answer = await self._api[user].get(path, params=params)
        answer.raise_for_status()
        return answer.json()

    async def every(self, user: str, path: str, **params: Any) -> list[Any]:
        """All pages of a list."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.get(user, path, limit=500, **params, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def post(self, user: str, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        return await self._api[user].post(path, json=body, headers={"Idempotency-Key": key or str(uuid4())})

    async def done(self, user: str, path: str, body: Any = None) -> Any:
        """A call that must succeed."""
        answer = await self.post(user, path, body)
        if answer.is_error:
            raise StageError(f"POST {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def control(self, path: str, body: Any) -> Any:
        answer = await self.sandbox.post(f"/_sandbox/{path}", json=body)
        if answer.is_error:
            raise StageError(f"sandbox {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def at(self, clock: str) -> None:
        """Wait until nothing is under way, then move the market to HH:MM or HH:MM:SS of the day."""
        hours, minutes, *seconds = [int(part) for part in clock.split(":")]
        moment = self.midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds[0] if seconds else 0)
        await self.settle()
        await set_clock(self.house, self.sandbox, {"now": moment.isoformat()})
        await self.settle()

    async def until(self, asked: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Ask until there is an answer. Raises StageError."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            answer = await asked()
            if answer is not None:
                return answer
            await asyncio.sleep(0.03)
        raise StageError(f"not there after {PATIENCE_S:.0f} s: {what}")

    async def settle(self, *, unknown_allowed: bool = True) -> None:
        """Until queues, stream and open requests are empty. Raises StageError."""
        until = time.monotonic() + PATIENCE_S
        quiet = 0
        while quiet < 2:
            idle = (await self.sandbox.get("/_sandbox/idle")).json()
            status = await self.get("operations", "/v1/status")
            busy = _busy(idle, status, unknown_allowed)
            quiet = 0 if busy else quiet + 1
            if time.monotonic() > until:
                raise StageError(f"still under way after {PATIENCE_S:.0f} s: {busy}")
            if busy:
                ended = self.house.ended()
                if ended:
                    raise StageError(f"{ended} ended by itself; its log is {self.house.logs / ended}.log")
                await asyncio.sleep(0.03)


def _busy(idle: dict[str, Any], status: dict[str, Any], unknown_allowed: bool) -> list[str]:
    """What is still under way, in words."""
    requests = status["orders"]["requests"]
    words = [] if idle["idle"] else [f"sandbox {idle}"]
    moving = ("queued", "sending") if unknown_allowed else ("queued", "sending", "unknown")
    words += [f"{requests[one]} requests {one}" for one in moving if requests.get(one)]
    words += [f"{status['messages']['waiting']} messages waiting"] if status["messages"]["waiting"] else []
    return words + ([] if status["stream"]["ok"] else ["stream not live"])
