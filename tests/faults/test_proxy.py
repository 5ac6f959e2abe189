"""The fault proxy itself: each harm seen from both ends, the same seed the same harm, and nothing left behind."""

import asyncio
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
import websockets

from ops.campaigns.proxy import DROPPED_REPLY, HARMS, NONE, Harm, Line, Proxy, Way, seeded
from service.sandbox.server import build_app, config
from tests.conftest import DatabaseUrls
from tests.sandbox.conftest import AUTH, at


class Shouter:
    """A server that answers every line in capitals and remembers what it was told."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                self.heard += data
                writer.write(data.upper())
            writer.write(b"BYE")
        except ConnectionError:
            pass
        finally:
            self.ends += 1
            self.ended.set()
            writer.close()


@pytest.fixture
async def shouter() -> AsyncIterator[tuple[Shouter, tuple[str, int]]]:
    one = Shouter()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    yield one, server.sockets[0].getsockname()[:2]
    server.close()


async def ask(proxy: Proxy, words: bytes, *, end: bool = True) -> tuple[bytes, str]:
    """(what came back, how it ended: eof, reset or silence)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    got = b""
    try:
        writer.write(words)
        if end:
            writer.write_eof()
        async with asyncio.timeout(0.5):
            while data := await reader.read(1_000):
                got += data
        return got, "eof"
    except ConnectionError:
        return got, "reset"
    except TimeoutError:
        return got, "silence"
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(("harm", "back", "told"), [
    (NONE, (b"HELLOBYE", "eof"), b"hello"),
    (HARMS["slow"], (b"HELLOBYE", "eof"), b"hello"),
    (HARMS["dripped"], (b"HELLOBYE", "eof"), b"hello"),
    (Harm(to_server=Way(cut_after=3)), (b"", "eof"), b"hel"),
    (Harm(to_client=Way(cut_after=3)), (b"HEL", "eof"), b"hello"),
    (Harm(to_server=Way(reset_after=3)), (b"", "reset"), None),
    (HARMS["reply_reset"], (b"", "reset"), b"hello"),
    (HARMS["half_closed"], (b"", "eof"), b"hello"),
    (DROPPED_REPLY, (b"", "silence"), b"hello"),
    (HARMS["blackhole"], (b"", "silence"), b""),
    (HARMS["refused"], (b"", "reset"), b""),
], ids=["none", "slow", "drip", "request-cut", "reply-cut", "request-reset", "reply-reset", "half-closed", "dropped-reply",
        "blackhole", "refused"])  # fmt: skip
async def test_each_harm_from_both_ends(shouter: Any, harm: Harm, back: tuple[bytes, str], told: bytes | None) -> None:
    server, place = shouter
    async with Proxy(place) as proxy:
        proxy.set(harm)
        silence = back[1] == "silence"
        assert await ask(proxy, b"hello", end=not silence) == back
        if told and not silence:
            await asyncio.wait_for(server.ended.wait(), 5)
        assert told is None or server.heard == told
        assert proxy.counts["connections"] == 1
        assert harm is NONE or len(proxy.counts) > 1, "what was done is counted"


async def test_harm_may_begin_and_end_on_a_standing_connection(shouter: Any) -> None:
    _, place = shouter
    async with Proxy(place) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"ONE"
        proxy.set(DROPPED_REPLY)
        writer.write(b"two")
        while not proxy.counts["swallowed_to_client"]:  # noqa: ASYNC110 - the proxy has no event for it
            await asyncio.sleep(0.001)
        proxy.set(NONE)
        writer.write(b"three")
        assert await reader.readexactly(5) == b"THREE"
        assert proxy.end_all() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.transport.abort()


async def test_nothing_is_left_behind(shouter: Any) -> None:
    server, place = shouter
    before = asyncio.all_tasks()
    async with Proxy(place) as proxy:
        proxy.set(HARMS["blackhole"])
        writers = [(await asyncio.open_connection("127.0.0.1", proxy.port))[1] for _ in range(5)]
        while len(proxy.lines) < 5:  # noqa: ASYNC110 - the proxy has no event for it
            await asyncio.sleep(0.001)
    assert proxy.lines == {}
    while server.ends < 5:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while asyncio.all_tasks() - before:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert asyncio.all_tasks() - before == set()
    for writer in writers:
        writer.transport.abort()


def test_the_same_seed_does_the_same_harm() -> None:
    rates = {"slow": 100, "reply_cut": 100, "blackhole": 50}

    def harms(seed: int) -> list[Harm]:
        return [seeded(seed, rates)(number) for number in range(2_000)]

    assert harms(1) == harms(1) != harms(2)
    drawn = harms(1)
    counted = {name: drawn.count(HARMS[name]) for name in rates}
    assert all(rate * 2 * 0.7 < counted[name] < rate * 2 * 1.3 for name, rate in rates.items())
    assert drawn.count(NONE) > 1_300


@pytest.fixture
async def platform() -> AsyncIterator[tuple[Any, int]]:
    app = build_app(start=at("09:30"), seed=7)
    listener = asyncio.get_running_loop()
    server = uvicorn.Server(config(app, "127.0.0.1", 0))
    serving = listener.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    yield app, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


def order(name: str) -> dict[str, Any]:
    body = {
        "ClOrdID": name, "Account": "99100010001", "SecurityID": "KR7930010004", "SecurityIDSource": "4", "Symbol": "A930010",
        "Side": "1", "OrderQty": "1", "OrdType": "2", "Price": "60000", "TimeInForce": "0",
        "TransactTime": "20261123-00:30:00.000",
    }  # fmt: skip
    header = {"BeginString": "FIX.4.4", "MsgType": "D", "SenderCompID": "ILIMSANDBOX", "TargetCompID": "cyber"}
    return {"Header": header, "Body": body, "Trailer": {}}


@pytest.mark.parametrize(("name", "received"), [
    ("refused", 0), ("request_cut", 0), ("request_reset", 0), ("reply_cut", 1), ("reply_reset", 1), ("half_closed", 1),
    ("reply_dropped", 1), ("blackhole", 0),
])  # fmt: skip
async def test_before_the_sandbox_a_request_counts_exactly_when_it_arrived_whole(platform: Any, name: str, received: int) -> None:
    app, port = platform
    async with Proxy(("127.0.0.1", port)) as proxy, httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as http:
        proxy.set(HARMS[name])
        with pytest.raises(httpx.TransportError):
            await http.post("/v1/order/new", json=order("A1"), headers={**AUTH, "Connection": "close"}, timeout=0.5)
        proxy.set(NONE)
        assert (await http.post("/v1/order/new", json=order("A2"), headers=AUTH)).status_code == 200
    assert (app.state.world.received["A1"], app.state.world.received["A2"]) == (received, 1)


async def test_before_the_sandbox_a_stream_goes_silent_and_is_cut(platform: Any) -> None:
    _, port = platform
    async with Proxy(("127.0.0.1", port)) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/v1/order/stream"
        wire = await websockets.connect(url, subprotocols=["v12.stomp"])  # type: ignore[list-item]
        await wire.send("CONNECT\naccept-version:1.2\nlogin:sandbox-key\npasscode:sandbox-secret\ncomId:F0001\n\n\x00")
        assert str(await wire.recv()).startswith("CONNECTED")
        proxy.set(DROPPED_REPLY)
        await wire.send("SUBSCRIBE\nid:0\nreceipt:1\ndestination:/user/queue/reports\nack:auto\n\n\x00")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.recv(), 0.2)
        proxy.end_all()
        with pytest.raises(websockets.ConnectionClosedError):
            await wire.recv()


def through(url: str, proxy: Proxy) -> str:
    """The same login and database, over the proxy instead of the socket."""
    parts = urllib.parse.urlsplit(url)
    return f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{proxy.port}{parts.path}"


async def test_before_postgresql_the_answer_to_a_commit_is_lost_and_the_commit_stands(database_urls: DatabaseUrls) -> None:
    place = urllib.parse.parse_qs(urllib.parse.urlsplit(database_urls.owner).query)["host"][0]
    async with Proxy(f"{place}/.s.PGSQL.5432") as proxy:
        connection = await asyncpg.connect(through(database_urls.owner, proxy), ssl=False)
        await connection.execute("create table kept (n int)")
        await connection.execute("begin")
        await connection.execute("insert into kept values (1)")
        line: Line = next(iter(proxy.lines.values()))
        line.harm = HARMS["reply_reset"]
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.execute("commit")
        assert proxy.counts["reset_to_client"] == 1
        proxy.set(NONE)
        again = await asyncpg.connect(through(database_urls.owner, proxy), ssl=False)
        assert await again.fetchval("select count(*) from kept") == 1
        await again.close()
