"""What breaks between an order and its answer, each fault made for real. `docs/faults.md` lists every row of the matrix.

The oracle is the sandbox: how often it had a whole request, and whether it took it.
"""

import asyncio
import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.campaigns.proxy import HARMS, NONE, Harm, Way
from ops.campaigns.simulation.house import config
from ops.invariants import violations
from service.core import clock
from service.infra import failpoints, leases
from service.koscom.budget import MemoryBudget, ServiceName
from service.koscom.gateway import KoscomGateway
from tests.executions.sandboxed import LISTED, Sandboxed
from tests.executions.test_order_life import Life, ack, life  # noqa: F401 - a fixture
from tests.faults.wired import wired
from tests.koscom.makers import byte_server, http
from tests.makers import BROKER, fetch

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \|.*$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def test_every_row_of_the_matrix_names_tests_that_exist() -> None:
    """`docs/faults.md` is the table; a row that is not tested whole says so."""
    rows = {int(found[1]): found[0] for found in ROW.finditer((ROOT / "docs/faults.md").read_text())}
    assert sorted(rows) == list(range(1, 33))
    assert [n for n, row in rows.items() if not NAMED.search(row)] == []
    named = {one for row in rows.values() for one in NAMED.findall(row)}
    missing = {one for one in named if not (ROOT / one[0]).is_file() or f"def {one[1]}" not in (ROOT / one[0]).read_text()}
    assert missing == set()
    assert {n for n in rows if f"test_row_{n:02d}_" in rows[n]} == {9, 10, 11, 18, 19, 21, 22, 26, 27, 29}


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


# --- row 9: the answer is lost, or the connection ends

LOST: dict[str, tuple[Harm, int]] = {  # harm, and how many whole requests the platform then has
    "reset-unread": (HARMS["request_reset"], 0),
    "closed-half-read": (HARMS["request_cut"], 0),
    "silence-unread": (HARMS["blackhole"], 0),
    "reset-once-read": (HARMS["reply_reset"], 1),
    "closed-once-read": (HARMS["half_closed"], 1),
    "half-an-answer": (HARMS["reply_cut"], 1),
    "silence-once-read": (HARMS["reply_dropped"], 1),
    "drip-beyond-the-deadline": (Harm(to_client=Way(drip_s=0.05)), 1),
}


@pytest.mark.parametrize("name", LOST)
async def test_row_09_p02_a_lost_answer_is_unknown_and_never_a_second_send(life: Life, name: str) -> None:  # noqa: F811
    harm, received = LOST[name]
    async with wired(life) as (house, proxy):
        cl_ord_id = await house.submit()
        proxy.set(harm)
        await house.send()
        assert (await house.state(cl_ord_id))[0] == "unknown"
        proxy.set(NONE)
        await house.send()
        assert house.truth(cl_ord_id) == (received, received)
        assert (await house.state(cl_ord_id))[0] == "unknown"  # nobody has told us anything yet
        await house.hear()
        await house.look()
        assert (await house.state(cl_ord_id))[0] == ("acknowledged" if received else "unknown")
        assert proxy.counts["connections"] == 1


async def test_row_09_p02_a_connection_the_server_closes_while_idle_is_never_used_again(life: Life) -> None:  # noqa: F811
    async with wired(life) as (house, proxy):
        await house.control("faults", {"fault": "keepalive_closed", "count": -1})
        sent = []
        for i in range(3):
            sent.append(await house.submit(key=f"k{i}", quantity=1 + i))
            await house.send()
        assert [house.truth(one) for one in sent] == [(1, 1)] * 3
        assert proxy.counts["connections"] == 3
        assert [(await house.state(one))[0] for one in sent] == ["sent"] * 3


# --- row 10: an answer that is none

ANSWERS: dict[str, tuple[dict[str, Any], bool, str]] = {  # fault, whether the platform takes the order, what the request then is
    "html": ({"fault": "html"}, False, "unknown"),
    "html-with-200": ({"fault": "html", "http_status": 200}, False, "unknown"),
    "html-and-taken": ({"fault": "html_after", "http_status": 200}, True, "unknown"),
    "redirect": ({"fault": "redirect"}, False, "unknown"),
    "redirect-and-taken": ({"fault": "redirect_after"}, True, "unknown"),
    "code-nobody-knows": ({"fault": "unknown_code"}, False, "unknown"),
    "code-nobody-knows-and-taken": ({"fault": "unknown_code_after"}, True, "unknown"),
    "trouble-inside-200": ({"fault": "error_inside"}, False, "unknown"),
    "trouble-inside-200-and-taken": ({"fault": "error_inside_after"}, True, "unknown"),
    "torn-json-and-taken": ({"fault": "answer_torn"}, True, "unknown"),
    "anothers-answer-and-taken": ({"fault": "answer_foreign"}, True, "unknown"),
    "proven-refusal": ({"fault": "error", "code": 7000}, False, "refused"),
    "proven-refusal-inside-200": ({"fault": "error", "code": 7000, "style": "inside"}, False, "refused"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_row_10_p04_only_a_proven_refusal_is_one_and_evidence_settles_the_rest(life: Life, name: str) -> None:  # noqa: F811
    fault, taken, first = ANSWERS[name]
    house = Sandboxed(life, "cyber")
    await house.control("faults", fault)
    cl_ord_id = await house.submit()
    await life.dispatcher.dispatch_one(["00991"])
    await life.dispatcher.orphans()
    assert not await life.dispatcher.dispatch_one(["00991"])
    world = house.app.state.world
    assert (world.received[cl_ord_id], world.accepted[cl_ord_id]) == (1, int(taken))
    assert [row["state"] for row in await life.requests()] == [first]
    await house.hear()
    await house.look()
    assert [row["state"] for row in await life.requests()] == ["acknowledged" if taken else first]
    assert ((await life.cash())["reserved"] > 0) == (first == "unknown")
    assert await violations(life.urls.superuser) == []


# --- row 11: the report is faster than the answer

REPLIES: dict[str, Callable[[httpx.Response], httpx.Response]] = {
    "accepted": lambda answer: answer,
    "html": lambda _: httpx.Response(502, text="<html>bad gateway</html>"),
    "refusal": lambda _: httpx.Response(500, json={"category": "cyber", "code": 7000, "message": "no"}),
    "lost": lambda _: _raise(httpx.ReadError("reset")),
}


def _raise(error: Exception) -> Any:
    raise error


class Held(httpx.AsyncBaseTransport):
    """The platform's order endpoint, whose answers wait until they may come, and come as they are told."""

    def __init__(self, app: Any, reply: Callable[[httpx.Response], httpx.Response]) -> None:
        self._inner, self._reply = httpx.ASGITransport(app), reply
        self.done, self.may = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        self.done.set()
        await self.may.wait()
        return self._reply(answer)


def held(house: Sandboxed, reply: str) -> Held:
    line = Held(house.app, REPLIES[reply])
    lines = {name: httpx.ASGITransport(house.app) for name in ServiceName} | {ServiceName.ORDERS: line}
    house.life.dispatcher = replace(
        house.life.dispatcher,
        gateway=KoscomGateway(config(), MemoryBudget(), house.life.clock, lambda _bits: 5, lines),
    )
    return line


async def filled_before_its_answer(house: Sandboxed, line: Held) -> "asyncio.Task[bool]":
    """An order of 10, taken and executed for 4, while the answer to it waits; its sending."""
    await house.submit()
    sending = asyncio.create_task(house.life.dispatcher.dispatch_one(["00991"]))
    await line.done.wait()
    await house.control("trade-through", {"isin": LISTED, "price": 65_000, "quantity": 4})
    return sending


async def acknowledged_and_filled_once(life: Life) -> None:  # noqa: F811
    order = await life.order()
    assert (order["status"], order["filled_quantity"], order["closed"]) == ("partially_filled", 4, False)
    assert [row["state"] for row in await life.requests()] == ["acknowledged"]
    assert [row["quantity"] for row in await life.fills()] == [4]
    attempts = await fetch(life.urls.superuser, "select outcome from attempt")
    assert [row["outcome"] is not None for row in attempts] == [True]
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("reply", REPLIES)
async def test_row_11_p06_a_report_before_the_answer_counts_and_the_answer_only_adds(life: Life, reply: str) -> None:  # noqa: F811
    house = Sandboxed(life, "cyber")
    line = held(house, reply)
    sending = await filled_before_its_answer(house, line)
    await house.hear()
    await acknowledged_before_its_answer(life)
    line.may.set()
    await sending
    await acknowledged_and_filled_once(life)


async def acknowledged_before_its_answer(life: Life) -> None:  # noqa: F811
    assert (await life.order())["filled_quantity"] == 4
    assert [row["outcome"] for row in await fetch(life.urls.superuser, "select outcome from attempt")] == [None]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("first", ["answer", "report"])
async def test_row_11_p06_a_report_that_meets_the_record_of_the_answer(life: Life, first: str, reply: str) -> None:  # noqa: F811
    """Both are about to commit at once: whichever holds the order's row, the other is written on what is true then."""
    house = Sandboxed(life, "cyber")
    line = held(house, reply)
    sending = await filled_before_its_answer(house, line)
    hearing: list[asyncio.Task[None]] = []

    def other_begins() -> None:
        failpoints.disarm()
        if first == "answer":
            hearing.append(asyncio.create_task(house.hear()))
        else:
            line.may.set()

    failpoints.arm("record.before_commit" if first == "answer" else "apply.before_commit", other_begins)
    if first == "answer":
        line.may.set()
    else:
        hearing.append(asyncio.create_task(house.hear()))
    await sending
    await hearing[0]
    await acknowledged_and_filled_once(life)


# --- row 19: the machine's clock is wrong

SKEWS = {"ten-minutes-slow": timedelta(minutes=-10), "ten-minutes-fast": timedelta(minutes=10)}


@pytest.mark.parametrize("name", SKEWS)
async def test_row_19_p02_a_step_of_the_wall_clock_in_mid_send_changes_nothing(life: Life, name: str) -> None:  # noqa: F811
    """Deadlines count seconds, leases and attempts go by the database's clock, business time by its own."""
    await life.submit()
    (claim,) = (await life.dispatcher.claim([BROKER], 1)).claims
    try:
        clock.stand_in(wall=lambda: datetime.now(UTC) + SKEWS[name])
        async with life.worker.transaction() as connection:
            held = await leases.acquire(connection, "one", life.world.manager.user_id, 60)
            assert held is not None
            assert await leases.acquire(connection, "one", life.world.mandate, 60) is None
        assert await life.dispatcher.orphans() == 0
        await life.dispatcher.carry(claim)
        await life.dispatch()
        await life.receive(ack(claim.request.cl_ord_id))
    finally:
        clock.stand_in()
    assert [row["state"] for row in await life.requests()] == ["acknowledged"]
    assert len(life.gateway.sends) == 1
    assert await violations(life.urls.superuser) == []


# --- row 22: an answer without end


async def _chunks_for_ever(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


BOMB = gzip.compress(b" " * 20_000_000, 1)


async def _a_bomb_in_gzip(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(http(BOMB, "200 OK", "Content-Encoding: gzip"))
    await writer.drain()
    return True


async def _a_byte_now_and_then(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
    for _ in range(40):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)  # too fast for a time-out between two bytes to notice
    return True


ENDLESS = {
    "chunks": (_chunks_for_ever, "too-large"),
    "gzip-bomb": (_a_bomb_in_gzip, "too-large"),
    "drip": (_a_byte_now_and_then, "deadline"),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_row_22_p04_an_answer_without_end_is_unknown_and_holds_up_nobody_else(life: Life, name: str) -> None:  # noqa: F811
    answering, reason = ENDLESS[name]
    async with byte_server(answering) as server, wired(life, server.port) as (house, _):
        cl_ord_id = await house.submit()
        sending = asyncio.create_task(house.send())
        await house.look()  # inquiries have a pool of their own
        await sending
        assert await house.state(cl_ord_id) == ("unknown", reason)
        assert len(server.requests) == 1
