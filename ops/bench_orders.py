"""`ops/bench orders`: how fast orders become durable, beside pgbench writing the same rows in the same run.

Everything real: PostgreSQL (fsync on), api processes over HTTP, a worker that sends behind the answers at the brokers'
pace, the sandbox for clock and stream; orders go to an endpoint that accepts and notes the time. The floor is pgbench:
the same four rows (and the sealing queue's by trigger) as BEGIN, four inserts, COMMIT, in a copy of the same database,
past row-level security, without any reading, checking or reserving. Cells and floors alternate, `--rounds` times.

A ratio below one is what deciding costs. First byte: from PostgreSQL's own commit timestamp, which is taken before
the fsync, so the figure errs on the long side.
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from ops.bench_http import Plan, quantile
from service.core.clock import KST
from service.core.ids import uuid7
from service.infra import migrations
from service.infra.postgres import SUPERUSER, EmbeddedPostgres, start
from service.infra.roles import APP, OWNER, WORKER
from service.people import rules
from service.up import INVENTED

DAY = date(2026, 11, 23)
MORNING = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
BROKER = "00991"
ACCOUNTS, INSTRUMENTS = 64, 16
CASH = 10**15
FLOOR = Path(__file__).with_name("bench_orders.sql")
CELLS = ((1, 1), (1, 2), (32, 1), (32, 2))  # connections, api processes
PACED = 20  # orders a second a broker takes, as its profile says
STEADY = 100  # orders a second of the second part
# Room for the log files of some minutes: where one has to be made, every commit waits for it. And a cleaner that does not
# take a core for most of a second.
ADVISED = {"track_commit_timestamp": "on", "min_wal_size": "512MB", "autovacuum_vacuum_cost_delay": "20ms"}
TICKS = os.sysconf("SC_CLK_TCK")


def main(words: Sequence[str]) -> int:
    given = _arguments(words)
    with ExitStack() as stack:
        home = Path(stack.enter_context(_directory(given.keep)))
        bench = Bench(given, home, stack.enter_context(advised_server(home)), ExitStack())
        stack.callback(bench.processes.close)
        print(json.dumps(bench.run()))
    return 0


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("ops/bench orders", description="one JSON line on stdout")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each cell")
    parser.add_argument("--seconds", type=float, default=3, help="length of each trial")
    parser.add_argument("--steady", type=float, default=60, help="seconds at 100 orders/s; 0 leaves this part out")
    parser.add_argument("--orders", type=int, default=0, help="orders the memory is watched over")
    parser.add_argument("--minutes", type=float, default=30, help="so long the memory is watched at most")
    parser.add_argument("--memory", action="store_true", help="only the memory, over 100000 orders if --orders is not given")
    parser.add_argument("--keep", action="store_true", help="leave the directory with the logs behind")
    parser.add_argument("--cells", default="", help="only these, as connections x processes: 32x2,1x1")
    given = parser.parse_args(words)
    given.orders = given.orders or (100_000 if given.memory else 4_000)
    return given


@contextmanager
def _directory(keep: bool) -> Iterator[str]:
    """In /tmp: the server's unprivileged user must be able to enter."""
    home = tempfile.mkdtemp(prefix="ilim-bench-", dir="/tmp")
    Path(home).chmod(0o711)
    try:
        yield home
    finally:
        if keep:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def advised_server(home: Path) -> Iterator[EmbeddedPostgres]:
    """Migrated, with commit timestamps (they need a second start), set as the manual advises."""
    with start(home) as server:
        migrations.upgrade(server.url(OWNER))
        asyncio.run(_execute(server, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in ADVISED.items())))
    with start(home) as server:
        yield server


async def _execute(server: EmbeddedPostgres, *statements: str) -> None:
    connection = await asyncpg.connect(server.url(SUPERUSER))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@dataclass
class Bench:
    given: argparse.Namespace
    home: Path
    server: EmbeddedPostgres
    processes: ExitStack
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    accounts: list[str] = field(default_factory=list)
    isins: list[str] = field(default_factory=list)
    token: str = ""
    apis: list[tuple[int, subprocess.Popen[bytes]]] = field(default_factory=list)
    loads: int = 0

    def run(self) -> dict[str, Any]:
        asyncio.run(self._seed())
        self._floor_database()
        ports = _free_ports(5)
        recorder = self._spawn(["-m", "ops.bench_http", "upstream"], {}, "upstream", pipes=True)
        assert recorder.stdout is not None
        gateway = int(recorder.stdout.readline())
        environ = self._environment(gateway, ports)
        sandbox = ["-m", "service", "sandbox", "--date", DAY.isoformat(), "--time", "10:00"]
        self._spawn(sandbox, environ, "sandbox")
        _answers(ports[0], "/_sandbox/clock")
        for port in ports[2:4]:
            self.apis.append((port, self._spawn(["-m", "service", "serve"], environ | {"ILIM_PORT": str(port)}, f"api-{port}")))
        for port, _ in self.apis:
            _answers(port, "/readyz")
        worker = self._worker(environ, ports[1], PACED)
        self._load(32, 2, seconds=1)  # plans, pools and caches
        if self.given.memory:
            return {"bench": "orders", "memory": self._memory()}
        figures = {
            "bench": "orders",
            "trials": self.given.rounds,
            "seconds": self.given.seconds,
            "fsync": "on",
            "load_average_before": round(os.getloadavg()[0], 1),
        }
        floor = "pgbench -M prepared" if _pgbench() else "the same statements over asyncpg, slower: there is no pgbench here"
        figures |= {"floor": floor, "cells": self._cells()}
        figures["memory"] = self._memory()
        if self.given.steady:
            _end(worker)
            asyncio.run(_execute(self.server, *DRAINED))
            asyncio.run(self._drop_floor())
            sender = self._worker(environ, ports[1], 4 * STEADY)
            asyncio.run(self._stream_seen())
            figures["steady"] = self._steady(gateway, sender.pid)
        return figures

    # --- parts

    def _cells(self) -> dict[str, Any]:
        wanted = [tuple(map(int, one.split("x"))) for one in self.given.cells.split(",") if one] or list(CELLS)
        ours: dict[str, list[dict[str, Any]]] = {}
        floors: dict[int, list[float]] = {}
        for _ in range(self.given.rounds):
            for connections in sorted({one[0] for one in wanted}):
                before = self._floor(connections)
                for _, processes in (one for one in wanted if one[0] == connections):
                    ours.setdefault(f"{connections}x{processes}", []).append(self._load(connections, processes))
                floors.setdefault(connections, []).append((before + self._floor(connections)) / 2)
        return {name: _cell(found, floors[int(name.split("x")[0])]) for name, found in ours.items()}

    def _memory(self) -> dict[str, Any]:
        """Resident bytes of one api process as its orders rise; the first fifth is warming up. What does not fit into
        `--minutes` is left out: `orders` says how many there were."""
        pid, most = self.apis[0][1].pid, self.given.orders // 5
        points, until = [(0, _resident(pid))], time.monotonic() + self.given.minutes * 60
        while len(points) < 6 and time.monotonic() < until:
            done = self._load(32, 1, seconds=max(until - time.monotonic(), 1), most=most)
            points.append((points[-1][0] + done["answered"], _resident(pid)))
        orders, sizes = zip(*points[1:], strict=True)
        slope = statistics.linear_regression(orders, sizes).slope if len(orders) > 1 else float("nan")
        return {
            "orders": points[-1][0],
            "rss_mb": [round(size / 2**20, 1) for _, size in points],
            "bytes_per_order": round(slope, 1),
        }

    def _steady(self, gateway: int, sender: int) -> dict[str, Any]:
        self._load(32, 2, seconds=2, rate=STEADY)
        time.sleep(2)
        _get(gateway, "/seen")
        began, used = time.time(), _cpu(sender)
        answered = self._load(32, 2, seconds=self.given.steady, rate=STEADY)
        time.sleep(2)
        waits = asyncio.run(self._to_first_byte(json.loads(_get(gateway, "/seen")), began))
        used = (_cpu(sender) - used) / max(len(waits), 1)
        return {
            "orders_per_second": STEADY, "trials": 1, "answered": answered["answered"], "wrong": answered["wrong"],
            "post_p50_ms": round(answered["p50_ms"], 1), "post_p99_ms": round(answered["p99_ms"], 1),
            "sent": len(waits), "worker_cpu_us_per_send": round(used * 1e6),
            "commit_to_first_byte_p50_ms": round(quantile(waits, 0.5) * 1000, 1),
            "commit_to_first_byte_p95_ms": round(quantile(waits, 0.95) * 1000, 1),
            "commit_to_first_byte_p99_ms": round(quantile(waits, 0.99) * 1000, 1),
        }  # fmt: skip

    async def _stream_seen(self, within_s: float = 60) -> None:
        """Until then nothing new goes out."""
        connection = await asyncpg.connect(self.server.url(SUPERUSER))
        try:
            async with asyncio.timeout(within_s):
                while not await connection.fetchval(SEEN):  # noqa: ASYNC110 - another process opens it
                    await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def _to_first_byte(self, seen: dict[str, float], began: float) -> list[float]:
        """Seconds from the commit of an order to its first byte at the gateway. A ledger entry is never updated, so the
        transaction that wrote the order is its entry's."""
        connection = await asyncpg.connect(self.server.url(SUPERUSER))
        try:
            rows = await connection.fetch(COMMITS, began)
        finally:
            await connection.close()
        return [seen[row["cl_ord_id"]] - row["at"] for row in rows if row["cl_ord_id"] in seen]

    def _load(
        self, connections: int, processes: int, *, seconds: float = 0, rate: float = 0, most: int = 10**9
    ) -> dict[str, Any]:
        self.loads += 1
        used = self.apis[:processes]
        plan = Plan(
            ports=[port for port, _ in used], connections=connections, seconds=seconds or self.given.seconds, token=self.token,
            accounts=self.accounts, isins=self.isins, name=f"bench-{self.loads}", rate=rate, most=most,
        )  # fmt: skip
        before, base = sum(_cpu(one.pid) for _, one in used), self._postgres_cpu()
        done = subprocess.run(
            [sys.executable, "-m", "ops.bench_http", "load"], input=json.dumps(asdict(plan)), check=True,
            capture_output=True, text=True, timeout=plan.seconds + 600,
        )  # fmt: skip
        figures: dict[str, Any] = json.loads(done.stdout)
        if figures["wrong"]:
            raise SystemExit(f"{figures['wrong']} answers were not 201, the first: {figures['example']}")
        figures["api_cpu_us"] = (sum(_cpu(one.pid) for _, one in used) - before) / max(figures["answered"], 1) * 1e6
        figures["postgres_cpu_us"] = (self._postgres_cpu() - base) / max(figures["answered"], 1) * 1e6
        return figures

    def _postgres_cpu(self) -> float:
        """Seconds of processor the server has used, the worker's share included."""
        master = int((self.server.place / "data" / "postmaster.pid").read_text().split()[0])
        living = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return _cpu(master, ended=True) + sum(_cpu(int(one)) for one in living)

    # --- what it stands on

    async def _seed(self) -> None:
        connection = await asyncpg.connect(self.server.url(SUPERUSER))
        try:
            self.token = await _seed_manager(connection, self.key)
            self.isins = [await _seed_instrument(connection, number) for number in range(INSTRUMENTS)]
            self.accounts = [await _seed_account(connection, number) for number in range(ACCOUNTS)]
            await connection.execute(JOBS_DONE, DAY)
            await connection.execute("analyze")
        finally:
            await connection.close()

    def _floor_database(self) -> None:
        asyncio.run(self._copy())

    async def _copy(self) -> None:
        connection = await asyncpg.connect(self.server.url(SUPERUSER, "postgres"))
        try:
            await connection.execute("create database floor template ilim")
        finally:
            await connection.close()

    async def _drop_floor(self) -> None:
        """Or the server would clean it up under what is measured next."""
        connection = await asyncpg.connect(self.server.url(SUPERUSER, "postgres"))
        try:
            await connection.execute("drop database floor with (force)")
        finally:
            await connection.close()

    def _floor(self, connections: int) -> float:
        """Transactions a second of pgbench; without it of the same statements over asyncpg, two processes of them at most."""
        program = _pgbench()
        if program is None:
            return self._floor_without(connections)
        command = [program, "-n", "-M", "prepared", "-f", str(FLOOR), "-c", str(connections), "-j", str(min(connections, 2))]
        command += ["-T", str(max(round(self.given.seconds), 1)), "-D", f"accounts={ACCOUNTS}"]
        environ = os.environ | {
            "PGHOST": str(self.server.sockets), "PGUSER": SUPERUSER, "PGDATABASE": "floor",
            "PGPASSWORD": self.server.passwords[SUPERUSER].reveal(),
        }  # fmt: skip
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        line = next((line for line in done.stdout.splitlines() if line.startswith("tps = ")), None)
        if done.returncode or line is None:
            raise SystemExit(f"pgbench failed: {done.stderr[-800:]}")
        return float(line.split()[2])

    def _floor_without(self, connections: int) -> float:
        processes = min(connections, 2)
        plan = {
            "url": self.server.url(SUPERUSER, "floor"), "text": FLOOR.read_text(), "connections": connections // processes,
            "seconds": self.given.seconds, "accounts": ACCOUNTS,
        }  # fmt: skip
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "ops.bench_http", "floor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(processes)
        ]  # fmt: skip
        for one in running:
            assert one.stdin is not None
            one.stdin.write(json.dumps(plan))
            one.stdin.close()
        return sum(float(one.stdout.read()) for one in running if one.stdout is not None)

    def _environment(self, gateway: int, ports: list[int]) -> dict[str, str]:
        return INVENTED | {
            "ILIM_DATABASE_URL": self.server.url(APP), "ILIM_DATABASE_WORKER_URL": self.server.url(WORKER),
            "ILIM_DATA_KEY": base64.b64encode(self.key).decode(), "ILIM_DATA_DIR": str(self.home),
            "ILIM_SANDBOX_PORT": str(ports[0]), "ILIM_CLOCK": f"http://127.0.0.1:{ports[0]}/_sandbox/clock",
            "ILIM_KOSCOM_ORDER_URL": f"http://127.0.0.1:{gateway}", "ILIM_ORDERS_A_DAY": "1000000000",
        }  # fmt: skip

    def _worker(self, environ: dict[str, str], port: int, pace: int) -> subprocess.Popen[bytes]:
        own = environ | {"ILIM_WORKER_PORT": str(port), "ILIM_SENDS_PER_SECOND": str(pace)}
        worker = self._spawn(["-m", "service", "worker"], own, "worker")
        _answers(port, "/readyz")
        return worker

    def _spawn(self, words: list[str], environ: dict[str, str], name: str, *, pipes: bool = False) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")}
        pipe = subprocess.PIPE if pipes else None
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], env=kept | environ, stdin=pipe or subprocess.DEVNULL, stdout=pipe or log, stderr=log
            )
        self.processes.callback(_end, process)
        return process


def _cell(found: list[dict[str, Any]], floors: list[float]) -> dict[str, Any]:
    ratios = [one["per_second"] / floor for one, floor in zip(found, floors, strict=True)]
    return {
        "orders_per_second": [round(one["per_second"]) for one in found],
        "floor_per_second": [round(floor) for floor in floors],
        "ratio": [round(ratio, 3) for ratio in ratios],
        "ratio_median": round(statistics.median(ratios), 3),
        "p50_ms": round(statistics.median(one["p50_ms"] for one in found), 1),
        "p99_ms": round(statistics.median(one["p99_ms"] for one in found), 1),
        "api_cpu_us": round(statistics.median(one["api_cpu_us"] for one in found)),
        "postgres_cpu_us": round(statistics.median(one["postgres_cpu_us"] for one in found)),
        "load_cpu": round(max(one["own_cpu"] for one in found), 2),
    }


# --- rows ----------------------------------------------------------------------------------------------------------------

COMMITS = """
select request.cl_ord_id, extract(epoch from pg_xact_commit_timestamp(entry.xmin))::float8 as at
from order_request request join audit.record entry on entry.subject_kind = 'order' and entry.subject_id = request.order_id::text
where entry.subject_seq = 1 and entry.written_at >= to_timestamp($1)
"""
# What the fast part left unsent would be sent first; and before anything new goes out a worker asks about accounts with live
# orders, of which the sandbox knows nothing. The checkpoint hands out again the log files that the fast part filled.
DRAINED = (
    "update order_request set state = 'refused', reason = 'bench' where state = 'queued'",
    "update orders set status = 'canceled', closed = true, remaining_quantity = 0, reserved_cash = 0 where not closed",
    "vacuum analyze",
    "checkpoint",
)
SEEN = (
    "select count(*) from stream_gate join lease on lease.name = lease and lease.epoch = lease_epoch where open and until > now()"
)
# The morning's readings would meet accounts that the sandbox does not know.
JOBS_DONE = """
insert into job_run (job, slot, holder, finished_at, outcome)
select job, ($1::date + at) at time zone 'Asia/Seoul', gen_random_uuid(), now(), 'complete'
from (values ('instruments', time '09:35'), ('accounts', '08:25'), ('openings', '08:25')) due (job, at)
"""


async def _insert(connection: asyncpg.Connection, table: str, **values: Any) -> None:
    places = ", ".join(f"${i}" for i in range(1, len(values) + 1))
    await connection.execute(f"insert into {table} ({', '.join(values)}) values ({places})", *values.values())


async def _seed_manager(connection: asyncpg.Connection, key: bytes) -> str:
    prefix, token = rules.new_token()
    user = uuid7()
    await _insert(connection, "app_user", id=user, name="kim", roles=["manager"], created_at=MORNING)
    digest = rules.digest(token.reveal(), rules.pepper_from(key))
    await _insert(connection, "api_key", id=uuid7(), user_id=user, prefix=prefix, digest=digest, created_at=MORNING)
    return token.reveal()


async def _seed_instrument(connection: asyncpg.Connection, number: int) -> str:
    isin, code = f"KR79{number:05}003", f"9{number:05}"
    await _insert(
        connection,
        "instrument",
        isin=isin,
        short_code=code,
        name=f"가상 {code}",
        market="kospi",
        product="stock",
        updated_at=MORNING,
    )
    await _insert(
        connection, "instrument_day", isin=isin, business_date=DAY, base_price=Decimal(70_000), upper_limit=Decimal(91_000),
        lower_limit=Decimal(49_000), halted=False, liquidation=False, administrative=False, warning="00", attention=False,
        overheated="0", trading_unit=1, after_market_eligible=True, fetched_at=MORNING,
    )  # fmt: skip
    return isin


async def _seed_account(connection: asyncpg.Connection, number: int) -> str:
    """A client with a mandate of one account, all of them the one manager's."""
    client, mandate, account = uuid7(), uuid7(), uuid7()
    manager = await connection.fetchval("select id from app_user")
    await _insert(connection, "client", id=client, name="가상 고객", kind="individual", created_at=MORNING)
    await _insert(
        connection, "mandate", id=mandate, client_id=client, name="가상 계약", status="in_force", starts_on=date(2026, 1, 2),
        limits="{}", created_at=MORNING,
    )  # fmt: skip
    await _insert(
        connection, "account", id=account, broker=BROKER, number=f"{number:010}", name="가상 계좌", contract_status="0",
        first_seen=MORNING, last_seen=MORNING,
    )  # fmt: skip
    await _insert(connection, "mandate_account", id=uuid7(), mandate_id=mandate, account_id=account, since=MORNING)
    await _insert(connection, "mandate_manager", id=uuid7(), mandate_id=mandate, user_id=manager, assigned_at=MORNING)
    await _insert(connection, "cash", account_id=account, opened_on=DAY, opening=CASH, deposit=CASH, deposit_next=CASH)
    return str(account)


# --- processes -----------------------------------------------------------------------------------------------------------


def _pgbench() -> str | None:
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
    return shutil.which("pgbench") or next(map(str, known), None)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in open_ones:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in open_ones]


def _get(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        held = b""
        while True:
            data = wire.recv(1 << 20)
            held += data
            head, end, body = held.partition(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
            )
            if not data or (end and len(body) >= length):
                return body if head.split(b" ")[1:2] == [b"200"] else b""


def _answers(port: int, path: str, within_s: float = 60) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if _get(port, path):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}{path}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """By its own id, and waited for."""
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cpu(pid: int, *, ended: bool = False) -> float:
    """Seconds of processor a process has used, with `ended` those of its children that are gone as well."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, words[11 : 15 if ended else 13])) / TICKS


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
