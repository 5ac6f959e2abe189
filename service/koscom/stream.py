"""The report stream of one comId: stored raw, then acknowledged, in order, by one reader (P18, P19).

`run` connects, subscribes, asks for what is missing, and says "live" only when the answer to that is in. While live it
asks again when the sequence shows a gap, and now and then in any case, because a lost newest message leaves no gap.
A message that cannot be understood is stored as far as it goes and acknowledged; the rest go on. Whatever breaks ends
in a reconnect after a random wait. All waiting is on the loop's monotonic clock.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import structlog
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from service.core.clock import Clock, kst_date
from service.core.ids import RandomBits
from service.gateway import RawReport, StoreRaw
from service.koscom import stomp
from service.koscom.calls import Sleep, jitter
from service.koscom.config import KoscomConfig, StreamTimes
from service.koscom.dialect import looks_resent
from service.koscom.holes import Holes
from service.koscom.stomp import Event, Frame, Malformed

SUBPROTOCOL = Subprotocol("v12.stomp")
REPORTS, RESEND = "/user/queue/reports", "/app/resend"
SPOILED_MAX = 3  # so often a message may come unreadable before its number counts as taken

Position = Callable[[date], Awaitable[list[tuple[int, int]]]]
OnState = Callable[[str], Awaitable[None]]
Events = AsyncGenerator[Event | None, None]  # None: a while has passed

log = structlog.get_logger(__name__)


class Socket(Protocol):
    """What the reader needs of a WebSocket connection."""

    async def send(self, message: bytes | str) -> None: ...

    async def recv(self) -> bytes | str: ...


Connect = Callable[[], AbstractAsyncContextManager[Socket]]


class StreamBroken(Exception):
    """The connection is of no use any more; the reason is in the log, the cure is a new one."""


class KoscomStream:
    """`ReportStream` over STOMP. One `run` at a time; a lease outside sees to that."""

    def __init__(
        self,
        config: KoscomConfig,
        clock: Clock,
        random_bits: RandomBits,
        connect: Connect | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._config = config
        self._clock = clock
        self._random_bits = random_bits
        self._connect = connect or _opener(config)
        self._sleep = sleep
        self._spoiled: Counter[tuple[date, int]] = Counter()
        self._last_day: date | None = None  # of the newest message: after midnight its day may still lack some
        self._hurried = asyncio.Event()

    def ask_soon(self) -> None:
        """Somebody misses a report: ask for whatever is missing within a second, not when it is time again."""
        self._hurried.set()

    async def run(self, *, store: StoreRaw, position: Position, on_state: OnState) -> None:
        """Read until cancelled. Never raises but for cancellation."""
        failures = 0
        while True:
            failures = 0 if await self._connection(store, position, on_state) else failures + 1
            await self._sleep(backoff(self._config.stream_times, failures, self._random_bits))

    async def _connection(self, store: StoreRaw, position: Position, on_state: OnState) -> bool:
        """One connection from its opening to its end; whether it was ever live."""
        reader = _Reader(self._config, self._clock, store, position, on_state, self._last_day, self._spoiled, self._hurried)
        try:
            async with self._connect() as socket:
                await reader.read(socket)
        except Exception as error:  # what the world or the store raises must not end the stream
            log.warning("koscom.stream_lost", error=type(error).__name__, reason=_why(error), live=reader.live)
        self._last_day = reader.last_day
        try:
            await on_state("lost")
        except Exception as error:
            log.warning("koscom.state_unheard", error=type(error).__name__)
        return reader.live


@dataclass
class _Reader:
    """One connection."""

    config: KoscomConfig
    clock: Clock
    store: StoreRaw
    position: Position
    on_state: OnState
    last_day: date | None
    spoiled: Counter[tuple[date, int]]
    hurried: asyncio.Event
    live: bool = False
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
            await self._catch_up(socket, events)
            async for event in events:
                await self._handle(socket, event)
                await self._ask_now_and_then(socket)
        finally:
            await events.aclose()

    # --- opening

    async def _open(self, socket: Socket, events: Events) -> None:
        self.silence = self.config.stream_times.open
        await self._send(socket, _connect_frame(self.config))
        async for event in events:
            if isinstance(event, Frame) and event.command == "CONNECTED":
                self._agree(event)
                break
            await self._handle(socket, event)
        await self._send(socket, Frame("SUBSCRIBE", {"id": "0", "destination": REPORTS, "ack": "client-individual"}))
        await self.on_state("connected")

    def _agree(self, connected: Frame) -> None:
        """Heart-beats: each direction at the slower of what the two sides offer and want; 0 or no header means none."""
        ours = self.config.stream_times.heart_beat
        sends, wants = _heart_beats(connected.headers.get("heart-beat", "0,0"))
        self.heart_beat = max(ours, wants) if wants else None
        self.silence = 2.5 * max(ours, sends) if sends else self.config.stream_times.silence
        self.beat_at = self._time() + (self.heart_beat or 0)

    # --- catching up

    async def _catch_up(self, socket: Socket, events: Events) -> None:
        """Ask for all that is missing, and wait until the answer is in: every bounded hole filled, then quiet."""
        await self.on_state("resending")
        await self._ask_for_missing(socket)
        limit = self._time() + self.config.stream_times.resend
        async for event in events:
            await self._handle(socket, event)
            if self._settled():
                break
            if self._time() >= limit:
                log.warning("koscom.resend_incomplete", missing=bool(self.holes), unanswered=len(self.receipts))
                break
        self.live = True
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

    async def _ask_now_and_then(self, socket: Socket) -> None:
        if self._time() >= self.ask_at or self.hurried.is_set():
            self.hurried.clear()
            await self._ask_for_missing(socket)

    # --- handling

    async def _handle(self, socket: Socket, event: Event | None) -> None:
        if isinstance(event, Malformed):
            await self._spoilt(socket, event)
        elif isinstance(event, Frame):
            await self._frame(socket, event)
        if self.heart_beat is not None and self._time() >= self.beat_at:
            await socket.send(stomp.HEART_BEAT.decode())
            self.beat_at = self._time() + self.heart_beat

    async def _frame(self, socket: Socket, frame: Frame) -> None:
        if frame.command == "MESSAGE":
            await self._message(socket, frame)
        elif frame.command == "RECEIPT":
            self.receipts.discard(frame.headers.get("receipt-id", ""))
            self.quiet_since = self._time()
        elif frame.command == "ERROR":
            raise StreamBroken("error frame: " + frame.headers.get("message", "")[:80])

    async def _message(self, socket: Socket, frame: Frame) -> None:
        raw = raw_report(self.config.com_id, frame)
        await self._keep(socket, raw, frame.headers)
        if raw.possible_duplicate:
            self.quiet_since = self._time()
        if raw.seq is not None and raw.seq_date is not None:
            await self._place(socket, raw.seq_date, raw.seq, raw.possible_duplicate)

    async def _place(self, socket: Socket, day: date, number: int, resent: bool) -> None:
        """Note a sequence number; a hole before a fresh one is asked for at once."""
        hole = self.holes.seen(day, number)
        if day <= kst_date(self.clock.now()):
            self.last_day = max(day, self.last_day or day)
        if hole is not None and not resent:
            log.warning("koscom.gap", day=str(day), first=hole[0], last=hole[1])
            self.holes.expect(day, [hole])
            await self._ask(socket, day, *hole)

    async def _spoilt(self, socket: Socket, broken: Malformed) -> None:
        """Kept without its number, so that a good copy can still take the place. A message that is broken every time
        gets its number in the end, or it would be asked for forever."""
        log.warning("koscom.frame_unreadable", reason=broken.reason, size=len(broken.raw))
        day, number = _day(broken.headers.get("seq-date", "")), _sequence(broken.headers.get("seq", ""))
        raw = RawReport(self.config.com_id, None, None, broken.raw)
        if day is not None and number is not None:
            self.spoiled[day, number] += 1
            if self.spoiled[day, number] >= SPOILED_MAX:
                raw = RawReport(self.config.com_id, day, number, broken.raw)
        await self._keep(socket, raw, broken.headers)

    async def _keep(self, socket: Socket, raw: RawReport, headers: Mapping[str, str]) -> None:
        """Store, then acknowledge. What was not stored is not acknowledged."""
        await self.store(raw)
        if "ack" in headers:
            await self._send(socket, Frame("ACK", {"id": headers["ack"]}))

    # --- the line

    async def _events(self, socket: Socket) -> Events:
        """Events as they come; None whenever a while has passed, so that timers are looked at."""
        parser, begun_at = stomp.Parser(self.config.frame_limit), self._time()
        while True:
            data = await self._receive(socket)
            for event in parser.feed(data.encode() if isinstance(data, str) else data or b""):
                begun_at = self._time()
                yield event
            if not parser.pending():
                begun_at = self._time()
            elif self._time() - begun_at > self.config.stream_times.stalled:
                for event in parser.give_up():
                    yield event
            yield None

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


# --- pure -----------------------------------------------------------------------------------------------------------


def raw_report(com_id: str, frame: Frame) -> RawReport:
    """A MESSAGE as evidence. A missing or garbled sequence is None; the body is kept all the same."""
    return RawReport(
        com_id=com_id,
        seq_date=_day(frame.headers.get("seq-date", "")),
        seq=_sequence(frame.headers.get("seq", "")),
        body=frame.body,
        possible_duplicate=looks_resent(frame.body),
    )


def _sequence(text: str) -> int | None:
    text = text.strip()
    good = text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0
    return int(text) if good else None


def _day(text: str) -> date | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) == 8):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None


def _heart_beats(header: str) -> tuple[float, float]:
    """(what the server sends, what it wants), in seconds."""
    try:
        sends, wants = (int(part) / 1000 for part in header.split(","))
    except ValueError:
        return 0.0, 0.0
    return max(sends, 0.0), max(wants, 0.0)


def backoff(times: StreamTimes, failures: int, random_bits: RandomBits) -> float:
    """A random wait that doubles with every connection that never came to live."""
    return float(min(times.backoff * 2 ** min(failures, 20), times.backoff_max) * jitter(random_bits))


def _connect_frame(config: KoscomConfig) -> Frame:
    beat = int(config.stream_times.heart_beat * 1000)
    headers = {
        "accept-version": stomp.VERSION,
        "host": config.com_id,
        "login": config.api_key.reveal(),
        "passcode": config.secret.reveal(),
        "comId": config.com_id,
        "heart-beat": f"{beat},{beat}",
    }
    return Frame("CONNECT", headers)


def _opener(config: KoscomConfig) -> Connect:
    """A WebSocket of this address. Its own pings stay on beside STOMP's heart-beats; proxies and compression are off."""

    def open_socket() -> AbstractAsyncContextManager[Socket]:
        return websocket_connect(
            config.stream_address(),
            subprotocols=[SUBPROTOCOL],
            additional_headers={"comId": config.com_id},
            open_timeout=config.stream_times.open,
            close_timeout=1,
            max_size=config.frame_limit,
            compression=None,
            proxy=None,
        )

    return open_socket


def _why(error: Exception) -> str:
    """Our own words, or the class: foreign errors may quote what they read."""
    return str(error) if isinstance(error, StreamBroken | WebSocketException) else ""
