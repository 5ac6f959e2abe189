"""A TCP proxy that does harm on purpose: between the service and the sandbox, or between it and PostgreSQL.

Per direction (`to_server`, `to_client`): latency, a cut after so many bytes, a drip, a blackhole, a half-close; for the
whole connection a reset, and an answer dropped (the request passes, the reply vanishes). Everything can be switched while
connections stand: a `Line` looks at its `Harm` for every piece it carries. A `Plan` gives each new connection its harm,
by its number: `seeded(seed, rates)` draws it from a hash, so that the same seed and the same order of connections
do the same harm. `counts` says what was done. Real time only; nothing here knows HTTP, STOMP or SQL.
"""

import asyncio
import hashlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

PIECE_BYTES = 65_536
TO_SERVER, TO_CLIENT = "to_server", "to_client"


@dataclass(frozen=True, slots=True)
class Way:
    """What befalls the bytes of one direction. Seconds are real; the three limits count from the connection's first byte."""

    latency_s: float = 0
    drip_s: float = 0
    blackhole: bool = False
    cut_after: int | None = None
    reset_after: int | None = None
    close_after: int | None = None

    def limit(self) -> int | None:
        """The first byte that will not pass."""
        return min((one for one in (self.cut_after, self.reset_after, self.close_after) if one is not None), default=None)


@dataclass(frozen=True, slots=True)
class Harm:
    """What befalls a connection. `refuse`: it is reset before a byte has passed."""

    to_server: Way = field(default_factory=Way)
    to_client: Way = field(default_factory=Way)
    refuse: bool = False


NONE = Harm()
DROPPED_REPLY = Harm(to_client=Way(blackhole=True))
HARMS: dict[str, Harm] = {
    "refused": Harm(refuse=True),
    "slow": Harm(to_server=Way(latency_s=0.05), to_client=Way(latency_s=0.05)),
    "dripped": Harm(to_client=Way(drip_s=0.002)),
    "request_cut": Harm(to_server=Way(cut_after=200)),
    "request_reset": Harm(to_server=Way(reset_after=200)),
    "reply_cut": Harm(to_client=Way(cut_after=100)),
    "reply_reset": Harm(to_client=Way(reset_after=0)),
    "reply_dropped": DROPPED_REPLY,
    "half_closed": Harm(to_client=Way(close_after=0)),
    "blackhole": Harm(to_server=Way(blackhole=True), to_client=Way(blackhole=True)),
}
"""Harms with names, for schedules."""

Plan = Callable[[int], Harm]
"""The harm of the n-th connection, from 0."""


def seeded(seed: int, rates: Mapping[str, int]) -> Plan:
    """Draw by name, `rates` in 1/1,000 of connections; the same seed and number always give the same harm."""

    def plan(number: int) -> Harm:
        draw = int.from_bytes(hashlib.blake2b(f"{seed}|{number}".encode(), digest_size=8).digest(), "big") % 1_000
        for name, rate in rates.items():
            if draw < rate:
                return HARMS[name]
            draw -= rate
        return NONE

    return plan


class Line:
    """One connection through the proxy. Its `harm` may be exchanged while it stands."""

    def __init__(self, number: int, harm: Harm, counts: Counter[str]) -> None:
        self.number, self.harm, self.counts = number, harm, counts
        self.writers: list[asyncio.StreamWriter] = []
        self.carried = {TO_SERVER: 0, TO_CLIENT: 0}

    def end(self, *, reset: bool) -> None:
        """Both sides at once: by RST, or by closing."""
        for writer in self.writers:
            if reset:
                linger = struct.pack("ii", 1, 0)
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()

    async def carry(self, name: str, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """One direction, until its end or until harm ends it; an end by force is the other direction's too."""
        try:
            while data := await source.read(PIECE_BYTES):
                if not await self._pass(name, data, target):
                    return
            if not self._way(name).blackhole:
                target.write_eof()
        except OSError:
            self.end(reset=True)

    def _way(self, name: str) -> Way:
        return self.harm.to_server if name == TO_SERVER else self.harm.to_client

    async def _pass(self, name: str, data: bytes, target: asyncio.StreamWriter) -> bool:
        way = self._way(name)
        if way.latency_s:
            self.counts["delayed"] += 1
            await asyncio.sleep(way.latency_s)
        if way.blackhole:
            self.counts[f"swallowed_{name}"] += 1
            return True
        limit = way.limit()
        room = len(data) if limit is None else max(0, limit - self.carried[name])
        await self._write(name, data[:room], way, target)
        return len(data) <= room or self._stop(name, way, target)

    async def _write(self, name: str, data: bytes, way: Way, target: asyncio.StreamWriter) -> None:
        for piece in [data[n : n + 1] for n in range(len(data))] if way.drip_s else [data]:
            target.write(piece)
            self.carried[name] += len(piece)
            await target.drain()
            await asyncio.sleep(way.drip_s)
        if way.drip_s:
            self.counts["dripped"] += 1

    def _stop(self, name: str, way: Way, target: asyncio.StreamWriter) -> bool:
        limit = way.limit()
        if limit == way.close_after:
            self.counts[f"half_closed_{name}"] += 1
            target.write_eof()
            return False
        self.counts[f"{'reset' if limit == way.reset_after else 'cut'}_{name}"] += 1
        self.end(reset=limit == way.reset_after)
        return False


class Proxy:
    """`async with Proxy(target) as proxy`: listens on `proxy.port` of 127.0.0.1, and ends every line at its end.

    `target` is (host, port), or the path of a Unix socket such as PostgreSQL's.
    """

    def __init__(self, target: tuple[str, int] | str, *, plan: Plan = lambda _number: NONE, listen: int = 0) -> None:
        self._target, self._listen = target, listen
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.lines: dict[int, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, harm: Harm) -> None:
        """From now on, for the lines that stand and those to come."""
        self.plan = lambda _number: harm
        for line in self.lines.values():
            line.harm = harm

    def end_all(self, *, reset: bool = True) -> int:
        """Every line that stands, now; answers how many."""
        ended = list(self.lines.values())
        for line in ended:
            line.end(reset=reset)
        self.counts["ended"] += len(ended)
        return len(ended)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self._number = self._number, self._number + 1
        line = self.lines[number] = Line(number, self.plan(number), self.counts)
        line.writers.append(writer)
        self.counts["connections"] += 1
        try:
            await self._serve(line, reader, writer)
        except (OSError, asyncio.CancelledError):
            line.end(reset=True)
        finally:
            del self.lines[number]
            self._tasks.discard(task)

    async def _serve(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line.harm.refuse:
            self.counts["refused"] += 1
            return line.end(reset=True)
        server_reader, server_writer = await self._connect()
        line.writers.append(server_writer)
        await asyncio.gather(
            line.carry(TO_SERVER, reader, server_writer),
            line.carry(TO_CLIENT, server_reader, writer),
        )
        return line.end(reset=False)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)
