"""Both ends of the wire a bench needs, each a process of its own: what asks the service, and what it sends orders to.

    python -m ops.bench_http load        a plan as JSON on stdin, figures as JSON on stdout
    python -m ops.bench_http upstream    an order endpoint that accepts everything and notes when its first byte came

    python -m ops.bench_http floor       where, how many and how long as JSON on stdin: the pgbench script without pgbench

Raw protocols on uvloop: about 30 µs a request, so that what is measured is not the measure. Times are of one clock
(CLOCK_REALTIME, as PostgreSQL's commit timestamps), because both ends are on this machine.
"""

import asyncio
import json
import os
import random
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import uvloop


@dataclass
class Plan:
    """What to send. `rate` 0: every connection sends its next order when the last was answered."""

    ports: list[int]
    connections: int
    seconds: float
    token: str
    accounts: list[str]
    isins: list[str]
    name: str  # begins every Idempotency-Key
    rate: float = 0
    most: int = 10**9

    def request(self, number: int) -> bytes:
        order = {
            "account_id": self.accounts[number % len(self.accounts)],
            "isin": self.isins[number // len(self.accounts) % len(self.isins)],
            "side": "buy",
            "order_type": "limit",
            "quantity": 10,
            "price": "70000",
            "rationale": "bench",
        }
        body = json.dumps(order).encode()
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\n"
            f"Idempotency-Key: {self.name}-{number}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Tally:
    """What came back. An answer that is not 201 is kept: a bench of refusals would be fast and wrong."""

    waits: list[float] = field(default_factory=list)
    wrong: int = 0
    example: str = ""

    def note(self, seconds: float, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 201"):
            self.waits.append(seconds)
            return
        self.wrong += 1
        self.example = self.example or answer[-600:].decode(errors="replace")


class Caller(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        start = self._held.lower().index(b"content-length:") + 15
        length = int(self._held[start : self._held.index(b"\r\n", start)])
        if len(self._held) >= end + 4 + length:
            whole, self._held = bytes(self._held), bytearray()
            answer, self._answer = self._answer, None
            answer.set_result(whole)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(b"the connection was lost")

    async def ask(self, request: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def load(plan: Plan) -> dict[str, Any]:
    """Run the plan; figures in seconds."""
    loop = asyncio.get_running_loop()
    callers = []
    for number in range(plan.connections):
        _, caller = await loop.create_connection(Caller, "127.0.0.1", plan.ports[number % len(plan.ports)])
        callers.append(caller)
    tally, cpu, began = Tally(), time.process_time(), time.perf_counter()
    await (_at_a_rate if plan.rate else _as_fast_as_answered)(plan, callers, tally, began)
    took = time.perf_counter() - began
    return {
        "answered": len(tally.waits), "wrong": tally.wrong, "example": tally.example, "seconds": took,
        "per_second": len(tally.waits) / took, "own_cpu": (time.process_time() - cpu) / took,
        "p50_ms": quantile(tally.waits, 0.5) * 1000, "p99_ms": quantile(tally.waits, 0.99) * 1000,
    }  # fmt: skip


async def _as_fast_as_answered(plan: Plan, callers: list[Caller], tally: Tally, began: float) -> None:
    numbers = iter(range(plan.most))

    async def one(caller: Caller) -> None:
        while time.perf_counter() < began + plan.seconds and (number := next(numbers, None)) is not None:
            request, sent = plan.request(number), time.perf_counter()
            answer = await caller.ask(request)
            tally.note(time.perf_counter() - sent, answer)

    await asyncio.gather(*(one(caller) for caller in callers))


async def _at_a_rate(plan: Plan, callers: list[Caller], tally: Tally, began: float) -> None:
    """An order each 1/rate s whatever the answers do; a wait counts from when the order was due, not from when it left."""
    idle: asyncio.Queue[Caller] = asyncio.Queue()
    for caller in callers:
        idle.put_nowait(caller)

    async def one(number: int, due: float) -> None:
        caller = await idle.get()
        answer = await caller.ask(plan.request(number))
        tally.note(time.perf_counter() - due, answer)
        idle.put_nowait(caller)

    tasks = []
    for number in range(int(plan.rate * plan.seconds)):
        due = began + number / plan.rate
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


# --- upstream ------------------------------------------------------------------------------------------------------------

seen: dict[str, float] = {}  # ClOrdID: when the first byte of its request came, seconds since 1970


class Upstream(asyncio.Protocol):
    """Accepts every order. `GET /seen` answers what it noted, and forgets it."""

    def __init__(self) -> None:
        self._held = b""
        self._first = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._first = self._first or time.time()
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        headers = dict(_header(line) for line in head.split(b"\r\n")[1:]) if end else {}
        if not end or len(body) < int(headers.get(b"content-length", b"0")):
            return
        if head.startswith(b"GET /seen"):
            self._give(seen)
            seen.clear()
        else:
            name = headers[b"reqidconsumer"].decode()
            seen.setdefault(name, self._first)
            self._give({"commonHeader": {"reqIdPlatform": name, "reqIdConsumer": name}, "resp": {"respCode": "200"}})
        self._held, self._first = b"", 0.0

    def _give(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()


async def upstream() -> None:
    """Listens where the kernel likes, prints the port, ends when stdin does: with whoever started it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


# --- floor ---------------------------------------------------------------------------------------------------------------

GIVES = "--gives"
NAMED = re.compile(r"(?<!:):([a-z_]+)")


def script(text: str) -> list[tuple[str, list[str], bool]]:
    """The statements of a pgbench script as (SQL with $1 …, names of the values, whether its row gives further values)."""
    lines = [line for line in text.splitlines() if not line.startswith(("--", "\\set"))]
    parts = [part.strip() for part in "\n".join(lines).replace("\\gset", GIVES + ";").split(";")]
    return [_statement(part.removesuffix(GIVES), part.endswith(GIVES)) for part in parts if part]


def _statement(part: str, gives: bool) -> tuple[str, list[str], bool]:
    names = list(dict.fromkeys(NAMED.findall(part)))
    return NAMED.sub(lambda name: f"${names.index(name[1]) + 1}", part).strip(), names, gives


async def floor(url: str, text: str, connections: int, seconds: float, accounts: int) -> float:
    """Transactions a second of the script on prepared statements of this driver."""
    statements, done, until = script(text), 0, time.perf_counter() + seconds

    async def one() -> None:
        nonlocal done
        wire = await asyncpg.connect(url)
        while time.perf_counter() < until:
            values: dict[str, Any] = {"n": random.randint(1, accounts), "key": str(random.getrandbits(62))}
            for sql, names, gives in statements:
                row = await wire.fetchrow(sql, *[values[name] for name in names]) if names else await wire.execute(sql)
                values |= dict(row) if gives else {}
            done += 1
        await wire.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return done / seconds


if __name__ == "__main__":
    if sys.argv[1:] == ["upstream"]:
        uvloop.run(upstream())
    elif sys.argv[1:] == ["floor"]:
        print(uvloop.run(floor(**json.load(sys.stdin))))
    else:
        print(json.dumps(uvloop.run(load(Plan(**json.load(sys.stdin))))))
