"""SIGKILL at every named place between an order and its booking: real processes, a real database, the sandbox as the
broker that counts what it receives. Each killed process is followed by the next one, armed for the next place, which first
has to clear up after it; the last one is not armed."""

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from ops.day.play import Book, Day, furnish
from ops.day.stage import Stage
from ops.invariants import violations
from service.core.clock import monotonic
from service.settings import load
from service.up import INVENTED, House, house, jobs_done, set_clock
from tests.conftest import DatabaseUrls

WORKER_PLACES = (
    "inbox.before_commit",
    "apply.before_commit",
    "claim.before_commit",
    "send.before",
    "send.after",
    "record.before_commit",
)
API_PLACES = ("submit.before_commit", "submit.after_commit")
PATIENCE_S = 30.0


class Rig:
    """The house on a test database, and hands to kill its processes."""

    def __init__(self, built: House, environ: dict[str, str], urls: DatabaseUrls) -> None:
        self.house, self.environ, self.urls = built, environ, urls
        self.stage = Stage(built)
        self.day = Day(self.stage, [], lambda _words: None)

    async def open(self) -> list[Book]:
        """To the regular session, with mandates and a market of one paper."""
        await set_clock(self.house, self.stage.sandbox, {"now": f"{self.house.business_date}T08:05:00+09:00"})
        await jobs_done(self.house, self.house.business_date)
        books = await furnish(self.stage)
        await self.stage.at("09:01")
        self.paper = next(one for one in await self.stage.every("kim", "/v1/instruments") if one["isin"] == "KR7930010004")
        detail = await self.stage.get("kim", f"/v1/instruments/{self.paper['isin']}")
        self.price = int(float(detail["day"]["base_price"]))
        await self.stage.control("quote", {"isin": self.paper["isin"], "ask": self.price, "ask_quantity": 10_000, "pinned": True})
        return books

    def start(self, name: str, place: str | None = None) -> None:
        """A process of that name, armed to kill itself at a place."""
        armed = {"ILIM_FAILPOINTS": f"{place}=kill"} if place else {}
        with (self.house.logs / f"{name}.log").open("ab") as log:
            self.house.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "service", name],
                env=self.environ | armed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def killed(self, name: str) -> None:
        """Wait until the process has killed itself. What it held by lease is free: that wait is not what is tested."""
        process = self.house.processes[name]
        await until(lambda: _yes(process.poll() is not None), f"{name} to be killed")
        assert process.returncode == -signal.SIGKILL
        await self.execute("update lease set until = clock_timestamp()")

    async def stop(self, name: str) -> None:
        self.house.processes[name].send_signal(signal.SIGTERM)
        await until(lambda: _yes(self.house.processes[name].poll() is not None), f"{name} to stop")

    async def execute(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.urls.superuser)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def buy(self, book: Book, quantity: int, key: str) -> httpx.Response:
        body = {
            "account_id": book.id, "isin": self.paper["isin"], "side": "buy", "order_type": "limit", "quantity": quantity,
            "price": str(self.price), "client_order_id": key,
        }  # fmt: skip
        while True:  # while nobody reads the stream, orders are refused for the moment: the same key comes again
            answer = await self.stage.post(book.manager, "/v1/orders", body, key=key)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.1)

    async def at_rest(self) -> list[str]:
        """Violations once everything is through; a sender that is known to be dead is not waited for."""
        await self.execute("update attempt set overdue_at = clock_timestamp() where outcome is null")
        now = datetime.fromisoformat((await self.stage.sandbox.get("/_sandbox/clock")).json()["now"])
        return [str(one) for one in await violations(self.urls.superuser, now)]


async def _yes(value: bool) -> bool:
    return value


async def until(ready: Callable[[], Awaitable[bool]], what: str, every_s: float = 0.02) -> None:
    """Poll until it is so. Fails after PATIENCE_S."""
    end = monotonic() + PATIENCE_S
    while not await ready():
        assert monotonic() < end, f"waited {PATIENCE_S:.0f} s for {what}"
        await asyncio.sleep(every_s)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
async def rig(database_urls: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Rig]:
    port, sandbox, worker = free_ports(3)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")} | {
        "ILIM_PORT": str(port),
        "ILIM_SANDBOX_PORT": str(sandbox),
        "ILIM_WORKER_PORT": str(worker),
        "ILIM_DATA_DIR": str(tmp_path),
        "ILIM_DATA_KEY": base64.b64encode(bytes(range(32))).decode(),
        "ILIM_DATABASE_URL": database_urls.app,
        "ILIM_DATABASE_WORKER_URL": database_urls.worker,
        "ILIM_DATABASE_ADMIN_URL": database_urls.owner,
    }
    async with house(load(environ, None), environ) as built:
        clock = {"ILIM_CLOCK": f"http://127.0.0.1:{sandbox}/_sandbox/clock"}
        made = Rig(built, INVENTED | environ | clock, database_urls)
        try:
            yield made
        finally:
            await made.stage.close()


async def test_p02_p07_killed_anywhere_nothing_goes_out_twice_and_every_fill_counts_once(rig: Rig) -> None:
    books = await rig.open()
    await rig.stop("worker")
    for i, place in enumerate(WORKER_PLACES):
        rig.start("worker", place)
        assert (await rig.buy(books[i], 10 + i, f"worker-{i}")).status_code == 201
        await rig.killed("worker")
    await rig.stop("serve")
    rig.start("worker")
    for place in API_PLACES:
        rig.start("serve", place)
        with pytest.raises(httpx.TransportError):
            await answered(rig, books[8], "api")
        await rig.killed("serve")
    rig.start("serve")
    assert (await answered(rig, books[8], "api")).status_code == 201

    async def settled() -> bool:
        return not await rig.at_rest()

    try:
        await until(settled, "everything to settle", every_s=0.3)
    except AssertionError:
        assert await rig.at_rest() == []
    await check_sends(rig)


async def answered(rig: Rig, book: Book, key: str) -> httpx.Response:
    """The answer of a process that may still be starting."""
    process, end = rig.house.processes["serve"], monotonic() + PATIENCE_S
    while True:
        try:
            return await rig.buy(book, 7, key)
        except httpx.ConnectError:
            if process.poll() is not None or monotonic() > end:
                raise
            await asyncio.sleep(0.02)


async def check_sends(rig: Rig) -> None:
    """What the broker received, against what we say of it."""
    sends = (await rig.stage.sandbox.get("/_sandbox/sends")).json()
    orders = await rig.execute("select client_order_id, status, filled_quantity, r.cl_ord_id, r.state from orders o "
                               "join order_request r on r.order_id = o.id order by r.cl_ord_id")  # fmt: skip
    assert len(orders) == len(WORKER_PLACES) + 1
    assert max(one["received"] for one in sends.values()) == 1
    # Whose sender died with the attempt on record and no byte gone: nobody can tell, so nobody says.
    never = [one for one in orders if one["cl_ord_id"] not in sends]
    assert {(one["state"], one["status"]) for one in never} == {("unknown", "pending_new")}
    for one in orders:
        if one not in never:
            assert (one["state"], one["status"]) == ("acknowledged", "filled"), dict(one)
            assert sends[one["cl_ord_id"]] == {"received": 1, "accepted": 1}
