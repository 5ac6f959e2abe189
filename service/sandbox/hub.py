"""The report stream's store and its subscribers.

Kept true: every report has a `seq` without gaps from 1 per Korean day and stays here for resend; a subscriber gets what
is emitted while it is subscribed, nothing older; nothing is delivered again unless asked for.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.sandbox import encode
from service.sandbox.faults import Faults
from service.sandbox.reports import Message

WINDOW = 200
"""Messages a subscriber may leave unacknowledged before the next waits."""


@dataclass(frozen=True, slots=True)
class Stored:
    day: str
    seq: int
    message: Message

    def body(self, *, again: bool = False) -> bytes:
        message = self.message
        if again:
            message = {**message, "Header": {**message["Header"], "PossDupFlag": "Y"}}
        return encode.dumps(message, "plain")


class Subscriber:
    """One subscription: what waits to be sent and what waits for its ACK."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self.waiting: deque[tuple[Stored, bool]] = deque()
        self.unacked: dict[str, Stored] = {}
        self.drop = drop
        self._ready = asyncio.Event()

    def push(self, stored: Stored, *, again: bool = False) -> None:
        self.waiting.append((stored, again))
        self._ready.set()

    def acknowledge(self, ack: str) -> bool:
        known = self.unacked.pop(ack, None) is not None
        self._ready.set()
        return known

    async def next(self) -> tuple[Stored, bool]:
        """The next message to send, once the window allows it."""
        while not self.waiting or len(self.unacked) >= WINDOW:
            self._ready.clear()
            await self._ready.wait()
        return self.waiting.popleft()


class Hub:
    """Everything emitted for the firm's comId."""

    def __init__(self, faults: Faults) -> None:
        self.stored: dict[str, list[Stored]] = {}
        self.subscribers: list[Subscriber] = []
        self._faults = faults

    def emit(self, message: Message, now: datetime) -> None:
        day = f"{now:%Y%m%d}"
        reports = self.stored.setdefault(day, [])
        stored = Stored(day, len(reports) + 1, message)
        reports.append(stored)
        if self.subscribers:
            self._faults.deliver(self, stored)

    def push(self, stored: Stored) -> None:
        for subscriber in self.subscribers:
            subscriber.push(stored)

    def resend(self, subscriber: Subscriber, day: str, begin: int, end: int) -> None:
        """`end` 0 means to the newest."""
        for stored in self.stored.get(day, []):
            if stored.seq >= begin and (end == 0 or stored.seq <= end):
                subscriber.push(stored, again=True)

    def drop_all(self) -> None:
        for subscriber in list(self.subscribers):
            subscriber.drop()

    @property
    def waiting(self) -> int:
        return sum(len(subscriber.waiting) for subscriber in self.subscribers)

    @property
    def unacked(self) -> int:
        return sum(len(subscriber.unacked) for subscriber in self.subscribers)
