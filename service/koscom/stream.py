"""The report stream of one comId: connection after connection, each read by `reader.Reader` (P18, P19).

Whatever breaks ends in a reconnect after a random wait. All waiting is on the loop's monotonic clock.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date

import structlog
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from service.core.clock import Clock
from service.core.ids import RandomBits
from service.gateway import StoreRaw
from service.koscom.calls import Sleep, jitter
from service.koscom.config import KoscomConfig, StreamTimes
from service.koscom.reader import OnState, Position, Reader, Socket, StreamBroken

SUBPROTOCOL = Subprotocol("v12.stomp")
LINE_LIMITS = 4  # so many times the largest frame that is read is taken from the line at once

log = structlog.get_logger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Socket]]


class KoscomStream:
    """`ReportStream` over STOMP. One `run` at a time; a lease outside sees to that."""

    def __init__(
        self,
        config: KoscomConfig,
        clock: Clock,
        random_bits: RandomBits,
        connect: Connect | None = None,
        sleep: Sleep = asyncio.sleep,
        *,
        last_day: date | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._random_bits = random_bits
        self._connect = connect or _opener(config)
        self._sleep = sleep
        self._spoiled: Counter[tuple[date, int]] = Counter()
        self._last_day = last_day  # of the newest message: after midnight its day may still lack some
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
        reader = Reader(self._config, self._clock, store, position, on_state, self._last_day, self._spoiled, self._hurried)
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
        return reader.was_live


def backoff(times: StreamTimes, failures: int, random_bits: RandomBits) -> float:
    """A random wait that doubles with every connection that never came to live."""
    return float(min(times.backoff * 2 ** min(failures, 20), times.backoff_max) * jitter(random_bits))


def _opener(config: KoscomConfig) -> Connect:
    """A WebSocket of this address. Its own pings stay on beside STOMP's heart-beats; proxies and compression are off."""

    def open_socket() -> AbstractAsyncContextManager[Socket]:
        return websocket_connect(
            config.stream_address(),
            subprotocols=[SUBPROTOCOL],
            additional_headers={"comId": config.com_id},
            open_timeout=config.stream_times.open,
            close_timeout=1,
            # A frame that is too large must arrive to be set aside by its number: refused unread it would come again with
            # every resend, and no connection would ever be live.
            max_size=LINE_LIMITS * config.frame_limit,
            compression=None,
            proxy=None,
        )

    return open_socket


def _why(error: Exception) -> str:
    """Our own words, or the class: foreign errors may quote what they read."""
    return str(error) if isinstance(error, StreamBroken | WebSocketException) else ""
