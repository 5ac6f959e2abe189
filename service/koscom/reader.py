"""One connection of the report stream, read to its end: stored raw, then acknowledged, in order (P18, P19).

What has arrived is taken together, up to a bound: stored in one go, acknowledged one by one after that. What comes meanwhile
waits in the socket, whose buffer is small, and then at the sender.

It subscribes, asks for what is missing, and says "live" only when the answer to that is in. A gap in the sequence is asked
for at once, and until it is filled the stream is not live; now and then everything missing is asked for in any case,
because a lost newest message leaves no gap. A message that cannot be understood is stored as far as it goes and
acknowledged; the rest go on.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import structlog

from service.core.clock import Clock, kst_date
from service.gateway import RawReport, StoreRaw
from service.koscom import stomp
from service.koscom.config import MEGABYTE, KoscomConfig
from service.koscom.frames import connect_frame, day_of, heart_beats, raw_report, sequence
from service.koscom.holes import Holes
from service.koscom.stomp import Event, Frame, Malformed

REPORTS, RESEND = "/user/queue/reports", "/app/resend"
SPOILED_MAX = 3  # so often a message may come unreadable before its number counts as taken
BATCH, BATCH_BYTES = 200, 4 * MEGABYTE  # what is stored together; the last message taken may reach beyond the second

Position = Callable[[date], Awaitable[list[tuple[int, int]]]]
OnState = Callable[[str], Awaitable[None]]
Events = AsyncGenerator[Sequence[Event], None]  # what has arrived; nothing: a while has passed

log = structlog.get_logger(__name__)


class Socket(Protocol):
    """What the reader needs of a WebSocket connection."""

    async def send(self, message: bytes | str) -> None: ...

    async def recv(self) -> bytes | str: ...


class StreamBroken(Exception):
    """The connection is of no use any more; the reason is in the log, the cure is a new one."""


@dataclass
class Reader:
    """One connection."""

    config: KoscomConfig
    clock: Clock
    store: StoreRaw
    position: Position
    on_state: OnState
    last_day: date | None
    spoiled: Counter[tuple[date, int]]
    hurried: asyncio.Event
    agreed: bool = False
    live: bool = False
    was_live: bool = False
    limit: float = 0.0  # how long a resend is waited for
    holes: Holes = field(default_factory=Holes)
    receipts: set[str] = field(default_factory=set)
    asked: int = 0
    quiet_since: float = 0.0  # since when nothing resent has come
    ask_at: float = 0.0
    silence: float = 0.0  # so long the server may say nothing
    waited: float = 0.0  # for its next word; time in the store does not count
    heart_beat: float | None = None  # how often it wants one of ours
    beat_at: float = 0.0

    async def read(self, socket: Socket) -> None:
        events = self._events(socket)
        try:
            await self._open(socket, events)
            await self._behind()
            await self._ask_for_missing(socket)
            async for arrived in events:
                await self._handle(socket, arrived)
                await self._go_on(socket)
        finally:
            await events.aclose()

    # --- opening

    async def _open(self, socket: Socket, events: Events) -> None:
        self.silence = self.config.stream_times.open
        await self._send(socket, connect_frame(self.config))
        until = self._time() + self.config.stream_times.open
        while not self.agreed:
            if self._time() >= until:  # heart-beats alone may keep a line from being silent
                raise StreamBroken("never connected")
            await self._handle(socket, await anext(events))
        await self._send(socket, Frame("SUBSCRIBE", {"id": "0", "destination": REPORTS, "ack": "client-individual"}))
        await self.on_state("connected")

    def _agree(self, connected: Frame) -> None:
        """Heart-beats: each direction at the slower of what the two sides offer and want; 0 or no header means none."""
        ours = self.config.stream_times.heart_beat
        sends, wants = heart_beats(connected.headers.get("heart-beat", "0,0"))
        self.heart_beat = max(ours, wants) if wants else None
        self.silence = 2.5 * max(ours, sends) if sends else self.config.stream_times.silence
        self.beat_at = self._time() + (self.heart_beat or 0)
        self.agreed = True

    # --- catching up

    async def _behind(self) -> None:
        """Something is missing: not live until the answer to what is asked for is in, or will not come any more."""
        self.live = False
        self.quiet_since = self._time()
        self.limit = self.quiet_since + self.config.stream_times.resend
        await self.on_state("resending")

    async def _go_on(self, socket: Socket) -> None:
        if self.live:
            if self._time() >= self.ask_at or self.hurried.is_set():
                self.hurried.clear()
                await self._ask_for_missing(socket)
            return
        settled = self._settled()
        if not settled and self._time() < self.limit:
            return
        if not settled:
            log.warning("koscom.resend_incomplete", missing=bool(self.holes), unanswered=len(self.receipts))
        self.live = self.was_live = True
        await self.on_state("live")

    def _settled(self) -> bool:
        times = self.config.stream_times
        wait = times.settle_unanswered if self.receipts else times.settle
        return not self.holes and self._time() >= self.quiet_since + wait

    async def _ask_for_missing(self, socket: Socket) -> None:
        """The store knows best what is missing; what we believed to be is forgotten."""
        self.holes.forget()
        self.receipts.clear()
        today = kst_date(self.clock.now())
        for day in sorted({today, self.last_day or today}):
            ranges = await self.position(day)
            self.holes.expect(day, ranges)
            for begin, end in ranges:
                await self._ask(socket, day, begin, end)
        self.quiet_since = self._time()
        self.ask_at = self.quiet_since + self.config.stream_times.ask_again

    async def _ask(self, socket: Socket, day: date, begin: int, end: int) -> None:
        self.asked += 1
        receipt = f"resend-{self.asked}"
        self.receipts.add(receipt)
        body = {"date": f"{day:%Y%m%d}", "beginSeqNo": begin, "endSeqNo": end}
        headers = {"destination": RESEND, "content-type": "application/json", "receipt": receipt}
        await self._send(socket, Frame("SEND", headers, json.dumps(body).encode()))

    # --- handling

    async def _handle(self, socket: Socket, arrived: Sequence[Event]) -> None:
        """Store all messages among it, acknowledge them, then see what each event says, in order."""
        raws = {i: raw for i, event in enumerate(arrived) if (raw := self._evidence(event)) is not None}
        held = dict(zip(raws, await self.store(list(raws.values())), strict=True)) if raws else {}
        await self._acknowledge(socket, [arrived[i] for i in held if held[i]])
        for i, event in enumerate(arrived):
            if isinstance(event, Frame) and held.get(i, True):
                await self._frame(socket, event, raws.get(i))
        if self.heart_beat is not None and self._time() >= self.beat_at:
            await socket.send(stomp.HEART_BEAT.decode())
            self.beat_at = self._time() + self.heart_beat

    def _evidence(self, event: Event) -> RawReport | None:
        if isinstance(event, Malformed):
            return self._spoilt(event)
        if isinstance(event, Frame) and event.command == "MESSAGE":
            return raw_report(self.config.com_id, event)
        return None

    async def _acknowledge(self, socket: Socket, kept: Sequence[Event]) -> None:
        """Only what is stored."""
        for event in kept:
            if isinstance(event, Frame | Malformed) and "ack" in event.headers:
                await self._send(socket, Frame("ACK", {"id": event.headers["ack"]}))

    async def _frame(self, socket: Socket, frame: Frame, raw: RawReport | None) -> None:
        if raw is not None:
            await self._message(socket, raw)
        elif frame.command == "CONNECTED" and not self.agreed:
            self._agree(frame)
        elif frame.command == "RECEIPT":
            self.receipts.discard(frame.headers.get("receipt-id", ""))
            self.quiet_since = self._time()
        elif frame.command == "ERROR":
            raise StreamBroken("error frame: " + frame.headers.get("message", "")[:80])

    async def _message(self, socket: Socket, raw: RawReport) -> None:
        if raw.possible_duplicate:
            self.quiet_since = self._time()
        if raw.seq is not None and raw.seq_date is not None:
            await self._place(socket, raw.seq_date, raw.seq, raw.possible_duplicate)

    async def _place(self, socket: Socket, day: date, number: int, resent: bool) -> None:
        """Note a sequence number; a hole before a fresh one is asked for at once, and the stream is behind until it is filled."""
        hole = self.holes.seen(day, number)
        if day <= kst_date(self.clock.now()):
            self.last_day = max(day, self.last_day or day)
        if hole is not None and not resent:
            log.warning("koscom.gap", day=str(day), first=hole[0], last=hole[1])
            if self.live:
                await self._behind()
            self.holes.expect(day, [hole])
            await self._ask(socket, day, *hole)

    def _spoilt(self, broken: Malformed) -> RawReport:
        """Kept without its number, so that a good copy can still take the place. A message that is broken every time
        gets its number in the end, or it would be asked for forever."""
        log.warning("koscom.frame_unreadable", reason=broken.reason, size=len(broken.raw))
        day, number = day_of(broken.headers.get("seq-date", "")), sequence(broken.headers.get("seq", ""))
        if day is not None and number is not None:
            self.spoiled[day, number] += 1
            if self.spoiled[day, number] >= SPOILED_MAX:
                return RawReport(self.config.com_id, day, number, broken.raw)
        return RawReport(self.config.com_id, None, None, broken.raw)

    # --- the line

    async def _events(self, socket: Socket) -> Events:
        """What has arrived, up to a batch; nothing whenever a while has passed, so that timers are looked at."""
        parser, begun_at = stomp.Parser(self.config.frame_limit), self._time()
        while True:
            arrived = await self._take(socket, parser)
            if arrived or not parser.pending():
                begun_at = self._time()
            elif self._time() - begun_at > self.config.stream_times.stalled:
                arrived = list(parser.give_up())
            for first in range(0, len(arrived), BATCH):  # one message of the line may hold many frames
                yield arrived[first : first + BATCH]
            yield []

    async def _take(self, socket: Socket, parser: stomp.Parser) -> list[Event]:
        """What comes next, and whatever is there already behind it."""
        data = await self._receive(socket)
        arrived, size = list(parser.feed(_bytes(data))), 0
        with suppress(Exception):  # nothing more is there; or the line is down, which the next look at it tells
            while data is not None and len(arrived) < BATCH and size < BATCH_BYTES:
                size += len(data)
                async with asyncio.timeout(0):
                    data = await socket.recv()
                arrived += parser.feed(_bytes(data))
        return arrived

    async def _receive(self, socket: Socket) -> bytes | str | None:
        """What comes next, None when a timer is due. Silence for too long means that nobody is there any more."""
        patience = min(self.silence - self.waited, self._tick())
        try:
            async with asyncio.timeout(patience):
                data = await socket.recv()
        except TimeoutError:
            self.waited += patience
            if self.waited >= self.silence:
                raise StreamBroken("silent") from None
            return None
        self.waited = 0.0
        return data

    def _tick(self) -> float:
        return self.config.stream_times.settle if not self.live else 1.0

    async def _send(self, socket: Socket, frame: Frame) -> None:
        await socket.send(stomp.encode(frame).decode("utf-8"))

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _bytes(data: bytes | str | None) -> bytes:
    return data.encode() if isinstance(data, str) else data or b""
