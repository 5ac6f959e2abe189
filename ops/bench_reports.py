"""`ops/bench reports`: how fast execution reports are applied, each with its effect exactly once, beside COPY of the same rows.

Real PostgreSQL (fsync on, set as the manual advises) and the applier as the worker runs it, in one process; no network. First
part: `--reports` messages over `--orders` orders lie stored and waiting (an acknowledgement and fills for each order, every
tenth message twice under another sequence number); measured is the time until nothing waits. The floor is COPY, in a copy of
the same database, of the rows this wrote (reports, fills, ledger entries), in one transaction and without triggers and foreign
keys. Both alternate, `--rounds` times.
Second part: frames come at `--rate` a second; measured is from a frame received to its commit applied, over store, bell and
applier. Afterwards fills and counters are compared with what was sent: a difference is an error, not a figure.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from ops.bench_http import quantile
from ops.bench_orders import (
    ACCOUNTS,
    DAY,
    INSTRUMENTS,
    MORNING,
    _directory,
    _insert,
    _seed_account,
    _seed_instrument,
    advised_server,
)
from ops.invariants import violations
from service.audit.evidence import Vault
from service.core.clock import ManualClock
from service.core.ids import uuid7
from service.executions.apply import Applier
from service.executions.inbox import Inbox
from service.gateway import BrokerProfile, RawReport, Report
from service.infra import logs
from service.infra.db import Database
from service.infra.notify import Listener, Notifier
from service.infra.postgres import SUPERUSER, EmbeddedPostgres
from service.infra.roles import WORKER
from service.koscom import dialect, profiles
from service.koscom.reader import BATCH
from service.market.book import MarketBook

BROKER = "00991"
COM_ID = "F0001"
QUANTITY, PRICE = 40, 70_000


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("ops/bench reports", description="one JSON line on stdout")
    parser.add_argument("--rounds", type=int, default=3, help="trials of the first part")
    parser.add_argument("--orders", type=int, default=2000, help="orders of one trial")
    parser.add_argument("--reports", type=int, default=10_000, help="messages of one trial")
    parser.add_argument("--rate", type=float, default=200, help="messages a second of the second part")
    parser.add_argument("--seconds", type=float, default=20, help="length of the second part")
    given = parser.parse_args(words)
    logs.configure("ERROR", "bench")
    with ExitStack() as stack:
        home = Path(stack.enter_context(_directory(False)))
        server = stack.enter_context(advised_server(home))
        print(json.dumps(asyncio.run(_run(server, given))))
    return 0


@dataclass(frozen=True)
class Reader:
    """What applying asks of the port: the real dialect, and a profile."""

    known: BrokerProfile

    def profile(self, _broker: str) -> BrokerProfile:
        return self.known

    def read_report(self, raw: RawReport) -> Report:
        return dialect.read_report(raw)


@dataclass
class Bench:
    server: EmbeddedPostgres
    given: argparse.Namespace
    database: Database
    applier: Applier
    inbox: Inbox
    accounts: list[tuple[UUID, str]]
    isins: list[str]
    seq: int = 0
    made: int = 0

    async def look(self, question: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.server.url(SUPERUSER))
        try:
            return list(await connection.fetch(question, *values))
        finally:
            await connection.close()


async def _run(server: EmbeddedPostgres, given: argparse.Namespace) -> dict[str, Any]:
    accounts, isins = await _seed(server)
    database = Database(server.url(WORKER), application="bench", pool_size=4, hot_pool_size=2)
    await database.open()
    notifier, listener = Notifier(database.connect_alone), Listener(database.connect_alone)
    await notifier.start()
    await listener.start()
    try:
        clock, vault = ManualClock(MORNING), Vault(os.urandom(32))
        port: Any = Reader(profiles.load()[BROKER])
        applier = Applier(database.transaction, port, clock, vault, MarketBook(database.transaction), notifier.poke)
        inbox = Inbox(database.transaction, database.hot, vault, clock, COM_ID, notifier.poke)
        bench = Bench(server, given, database, applier, inbox, accounts, isins)
        figures: dict[str, Any] = {"bench": "reports", "trials": given.rounds, "reports": given.reports, "orders": given.orders}
        figures |= {"fsync": "on", "load_average_before": round(os.getloadavg()[0], 1)}
        figures |= await _throughput(bench)
        figures["steady"] = await _steady(bench, listener)
        await _compare(bench)
        return figures
    finally:
        await listener.stop()
        await notifier.stop()
        await database.close()


# --- in batches of what waits ------------------------------------------------------------------------------------------------


async def _throughput(bench: Bench) -> dict[str, Any]:
    ours: list[float] = []
    floors: list[float] = []
    cpu: list[float] = []
    for _ in range(bench.given.rounds):
        orders = await _make_orders(bench, bench.given.orders)
        await _store(bench, _messages(bench, orders, bench.given.reports))
        since = (await bench.look("select coalesce(max(arrived), 0) from audit.record"))[0][0]
        began, used = time.perf_counter(), time.process_time()
        while await bench.applier.apply_waiting():
            pass
        ours.append(bench.given.reports / (time.perf_counter() - began))
        cpu.append((time.process_time() - used) / bench.given.reports)
        floors.append(bench.given.reports / await _copy(bench, [one[0] for one in orders], since))
    ratios = [mine / floor for mine, floor in zip(ours, floors, strict=True)]
    return {
        "applied_per_second": [round(one) for one in ours],
        "copy_per_second": [round(one) for one in floors],
        "applier_cpu_us": [round(one * 1_000_000) for one in cpu],
        "ratio": [round(one, 3) for one in ratios],
        "ratio_median": round(statistics.median(ratios), 3),
    }


async def _store(bench: Bench, bodies: list[bytes]) -> None:
    """As the reader of the stream would have."""
    for first in range(0, len(bodies), BATCH):
        await bench.inbox.store(_numbered(bench, bodies[first : first + BATCH]))


def _numbered(bench: Bench, bodies: Sequence[bytes]) -> list[RawReport]:
    first = bench.seq + 1
    bench.seq += len(bodies)
    return [RawReport(COM_ID, DAY, first + i, body) for i, body in enumerate(bodies)]


def _messages(bench: Bench, orders: list[tuple[UUID, str, str, str]], count: int) -> list[bytes]:
    """For each order its acknowledgement and fills, in a random order over all orders; every tenth message comes twice."""
    chance = random.Random(bench.made)
    each = max((count * 9 // 10) // len(orders), 2)
    found = [_message(order, number, each) for order in orders for number in range(each)]
    found += [chance.choice(found) for _ in range(count - len(found))]
    chance.shuffle(found)
    return found[:count]


def _message(order: tuple[UUID, str, str, str], number: int, each: int) -> bytes:
    order_id, cl_ord_id, account, isin = order
    size = QUANTITY // (each - 1)
    done = size * number
    body = {
        "OrderID": str(order_id.int % 10**9), "ClOrdID": cl_ord_id, "ExecID": str(number), "ExecType": "F" if number else "0",
        "OrdStatus": "1" if number else "0", "Account": account, "SecurityID": isin, "Symbol": "900000", "Side": "1",
        "OrderQty": str(QUANTITY), "Price": str(PRICE), "LeavesQty": str(QUANTITY - done), "CumQty": str(done),
        "AvgPx": str(PRICE), "TransactTime": "20261123-01:00:00.000",
    }  # fmt: skip
    if number:
        body |= {"LastQty": str(size), "LastPx": str(PRICE)}
    header = {"BeginString": "FIX.4.4", "MsgType": "8", "SenderCompID": "cyber", "TargetCompID": "BENCH"}
    return json.dumps({"Header": header, "Body": body, "Trailer": {}}).encode()


async def _copy(bench: Bench, order_ids: list[UUID], since: int) -> float:
    """Seconds COPY needs to write the rows of these orders again, into a copy of the database that has not seen them."""
    wanted = {
        "order_report": "select * from order_report where order_id = any($1)",
        "fill": "select * from fill where order_id = any($1)",
        "audit.record": "select record_id, written_at, kind, subject_kind, subject_id, subject_seq, body "
        f"from audit.record where arrived > {int(since)} and subject_id = any($1::uuid[]::text[])",
    }
    source = await asyncpg.connect(bench.server.url(SUPERUSER))
    target = await asyncpg.connect(bench.server.url(SUPERUSER, "floor"))
    try:
        taken = {}
        for table, question in wanted.items():
            buffer = BytesIO()
            await source.copy_from_query(question, order_ids, output=buffer, format="binary")
            taken[table] = buffer
        await target.execute("set session_replication_role = replica")  # the copy has neither these orders nor their messages
        began = time.perf_counter()
        async with target.transaction():
            for table, buffer in taken.items():
                await _copy_in(target, table, buffer)
        return time.perf_counter() - began
    finally:
        await source.close()
        await target.close()


async def _copy_in(target: asyncpg.Connection, table: str, buffer: BytesIO) -> None:
    buffer.seek(0)
    schema, _, name = table.rpartition(".")
    columns = RECORD_COLUMNS if name == "record" else None
    await target.copy_to_table(name, schema_name=schema or None, source=buffer, format="binary", columns=columns)


RECORD_COLUMNS = ["record_id", "written_at", "kind", "subject_kind", "subject_id", "subject_seq", "body"]


# --- one by one ---------------------------------------------------------------------------------------------------------------


async def _steady(bench: Bench, listener: Listener) -> dict[str, Any]:
    """From a frame received to its effect committed, at a steady rate."""
    count = int(bench.given.rate * bench.given.seconds)
    orders = await _make_orders(bench, max(count // 5, 1))
    bodies = _messages(bench, orders, count)
    received: list[float] = []
    waits: list[float] = []
    async with asyncio.TaskGroup() as group, listener.subscribe("reports") as wake:
        group.create_task(_frames(bench, bodies, received))
        while len(waits) < count:
            taken = await bench.applier.apply_waiting()
            waits += [time.perf_counter() - at for at in received[len(waits) : len(waits) + taken]]
            if not taken:
                await wake.wait(0.25)
    return {
        "reports_per_second": bench.given.rate, "trials": 1, "reports": count,
        "received_to_visible_p50_ms": round(quantile(waits, 0.5) * 1000, 1),
        "received_to_visible_p99_ms": round(quantile(waits, 0.99) * 1000, 1),
    }  # fmt: skip


async def _frames(bench: Bench, bodies: list[bytes], received: list[float]) -> None:
    """One reader: what has come is stored together, as `koscom/reader.py` does; a frame has come when it was due."""
    began = time.perf_counter()
    while len(received) < len(bodies):
        await asyncio.sleep(max(began + len(received) / bench.given.rate - time.perf_counter(), 0))
        first = len(received)
        come = min(int((time.perf_counter() - began) * bench.given.rate) + 1, len(bodies), first + BATCH)
        received += [began + i / bench.given.rate for i in range(first, come)]
        await bench.inbox.store(_numbered(bench, bodies[first:come]))


# --- what it stands on --------------------------------------------------------------------------------------------------------


async def _seed(server: EmbeddedPostgres) -> tuple[list[tuple[UUID, str]], list[str]]:
    connection = await asyncpg.connect(server.url(SUPERUSER))
    try:
        await _insert(connection, "app_user", id=uuid7(), name="kim", roles=["manager"], created_at=MORNING)
        isins = [await _seed_instrument(connection, number) for number in range(INSTRUMENTS)]
        accounts = [(UUID(await _seed_account(connection, number)), f"{number:010}") for number in range(ACCOUNTS)]
    finally:
        await connection.close()
    admin = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await admin.execute("create database floor template ilim")
    finally:
        await admin.close()
    return accounts, isins


async def _make_orders(bench: Bench, count: int) -> list[tuple[UUID, str, str, str]]:
    """Orders as they stand after their request went out: id, ClOrdID, account number, ISIN."""
    held = int(
        (Decimal(QUANTITY * PRICE) * (1 + bench.applier.gateway.profile(BROKER).commission_rate)).to_integral_value("ROUND_UP")
    )
    rows = []
    for _ in range(count):
        bench.made += 1
        account_id, number = bench.accounts[bench.made % ACCOUNTS]
        isin = bench.isins[bench.made % INSTRUMENTS]
        rows.append((uuid7(), uuid7(), f"20261123{bench.made:012}", account_id, number, isin))
    connection = await asyncpg.connect(bench.server.url(SUPERUSER))
    try:
        await connection.executemany(ORDER, [(one[0], one[3], one[5], held) for one in rows])
        await connection.executemany(REQUEST, [(one[1], one[0], one[2]) for one in rows])
        await connection.executemany(ATTEMPT, [(one[1],) for one in rows])
        await connection.execute(RESERVED)
        await connection.execute("analyze")
    finally:
        await connection.close()
    return [(one[0], one[2], one[4], one[5]) for one in rows]


async def _compare(bench: Bench) -> None:
    """Every order has executed what was told of it, once, and nothing else is wrong either."""
    wrong = (await bench.look("select count(*) from inbox where state <> 'applied'"))[0][0]
    wrong += (await bench.look(UNLIKE))[0][0]
    found = await violations(bench.server.url(SUPERUSER))
    if wrong or found:
        raise SystemExit(f"{wrong} messages or orders are not as they were told; {[str(one) for one in found[:5]]}")


ORDER = f"""
insert into orders (id, business_date, account_id, broker, mandate_id, manager_id, isin, short_code, side, order_type,
    time_in_force, session, quantity, price, limit_price, status, remaining_quantity, session_ends, audit_seq, version,
    created_at, updated_at, reserved_cash)
select $1, date '{DAY}', $2, '{BROKER}', (select id from mandate limit 1), (select id from app_user limit 1), $3, '900000', 'buy',
    'limit', 'day', 'regular', {QUANTITY}, {PRICE}, {PRICE}, 'pending_new', {QUANTITY}, timestamptz '{DAY} 15:30+09', 0, 0,
    timestamptz '{MORNING}', timestamptz '{MORNING}', $4"""
REQUEST = f"""
insert into order_request (id, order_id, broker, kind, number, cl_ord_id, quantity, price, state, send_by, queued_at, sent_at)
values ($1, $2, '{BROKER}', 'new', 1, $3, {QUANTITY}, {PRICE}, 'sent', timestamptz '{MORNING}', timestamptz '{MORNING}',
    timestamptz '{MORNING}')"""
ATTEMPT = """
insert into attempt (request_id, n, sender, epoch, overdue_at, outcome) values ($1, 1, 'bench', 0, now(), 'accepted')"""
RESERVED = """
update cash c set reserved = coalesce((select sum(reserved_cash) from orders o where o.account_id = c.account_id), 0)"""
UNLIKE = """
select count(*) from orders o join lateral (
    select max((document ->> 'cumulative_quantity')::bigint) as told from order_report r where r.order_id = o.id) r on true
where coalesce(r.told, 0) <> o.filled_quantity"""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
