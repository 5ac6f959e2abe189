"""The report stream's store and its subscribers.

Kept true: every report has a `seq` without gaps from 1 per Korean day and stays here for resend; a subscriber gets what
is emitted while it is subscribed, nothing older; nothing is delivered again unless asked for.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

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


@dataclass(frozen=True, slots=True)
class Parcel:
    """A report on its way to one subscriber: asked for `again`, or `spoilt` in a way that `poison` knows."""

    stored: Stored
    again: bool = False
    spoilt: str = ""


class Subscriber:
    """One subscription: what waits to be sent and what waits for its ACK."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self.waiting: deque[Parcel] = deque()
        self.unacked: dict[str, Stored] = {}
        self.drop = drop
        self.muted = False
        self._ready = asyncio.Event()

    def push(self, parcel: Parcel) -> None:
        if not self.muted:
            self.waiting.append(parcel)
            self._ready.set()

    def mute(self) -> None:
        """From now on nothing is sent to it, and nothing it owes is waited for."""
        self.muted = True
        self.waiting.clear()
        self.unacked.clear()

    def acknowledge(self, ack: str) -> bool:
        known = self.unacked.pop(ack, None) is not None
        self._ready.set()
        return known

    async def next(self) -> Parcel:
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
        self.sessions = 0
        self.lost: list[Message] = []
        self.held: list[tuple[datetime, Message]] = []
        self.forgotten: set[tuple[str, int]] = set()
        self.spoilt: dict[tuple[str, int], str] = {}
        self._now: datetime | None = None
        self._faults = faults

    def emit(self, message: Message, now: datetime) -> None:
        """Tell it now, unless a fault loses it, holds it back or writes it otherwise."""
        self._now = now
        told = self._faults.withhold(self, message)
        if told is not None:
            self.tell(told, now)

    def tell(self, message: Message, now: datetime) -> None:
        stored = self._store(message, now)
        if self.subscribers:
            self._faults.deliver(self, stored)

    def _store(self, message: Message, now: datetime) -> Stored:
        reports = self.stored.setdefault(f"{now:%Y%m%d}", [])
        stored = Stored(f"{now:%Y%m%d}", len(reports) + 1, message)
        reports.append(stored)
        return stored

    def add_spoilt(self, message: Message, what: str, now: datetime) -> None:
        """One more frame with a number of its own, spoilt for now and for every resend."""
        stored = self._store(message, now)
        self.spoilt[stored.day, stored.seq] = what
        self.push(stored, what)

    def hold(self, message: Message, until: timedelta) -> None:
        """Keep it back for so much business time; it gets its number when it is told."""
        if self._now is not None:
            self.held.append((self._now + until, message))
            self.held.sort(key=lambda pair: pair[0])

    def tell_due(self, now: datetime) -> None:
        while self.held and self.held[0][0] <= now:
            self.tell(self.held.pop(0)[1], now)

    def push(self, stored: Stored, spoilt: str = "") -> None:
        for subscriber in self.subscribers:
            subscriber.push(Parcel(stored, False, spoilt))

    def resend(self, subscriber: Subscriber, day: str, begin: int, end: int) -> None:
        """`end` 0 means to the newest."""
        for stored in self.stored.get(day, []):
            place = (day, stored.seq)
            if stored.seq >= begin and (end == 0 or stored.seq <= end) and place not in self.forgotten:
                subscriber.push(Parcel(stored, True, self.spoilt.get(place, "")))

    def drop_all(self) -> None:
        for subscriber in list(self.subscribers):
            subscriber.drop()

    def mute_all(self) -> None:
        for subscriber in self.subscribers:
            subscriber.mute()

    @property
    def waiting(self) -> int:
        return sum(len(subscriber.waiting) for subscriber in self.subscribers)

    @property
    def unacked(self) -> int:
        return sum(len(subscriber.unacked) for subscriber in self.subscribers)
