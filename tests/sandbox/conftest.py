"""A world played in-process, and a running server with a client that shares no code with the sandbox."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
import websockets

from service.sandbox.requests import Request
from service.sandbox.server import build_app, config
from service.sandbox.world import World

KST = timezone(timedelta(hours=9))
AUTH = {
    "Authorization": "Basic " + base64.b64encode(b"sandbox-key:sandbox-secret").decode(),
    "comId": "F0001",
}
ELECTRONICS = "KR7930010004"


def at(clock: str, day: str = "2026-11-23") -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=KST)


class Play:
    """A world with short names for what tests do to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0

    def to(self, clock: str, day: str = "2026-11-23") -> None:
        self.world.advance(at(clock, day))

    def new(self, broker: str, account: str, isin: str, side: str, quantity: int, price: int | None, **more: Any) -> str:
        return self.send("D", broker, account, isin, side, quantity, price, **more)

    def send(
        self, kind: str, broker: str, account: str, isin: str, side: str, quantity: int, price: int | None, *,
        tif: str = "0", session: str = "", orig: str = "", order_id: str = "", cl_ord_id: str = "",
    ) -> str:  # fmt: skip
        self.count += 1
        name = cl_ord_id or f"20261123T{self.count:05d}"
        self.world.submit(
            Request(
                kind,
                broker,
                "ILIMSANDBOX",
                name,
                orig,
                order_id,
                account,
                isin,
                "A930010",
                side,
                quantity,
                price,
                "1" if price is None else "2",
                tif,
                session,
            )
        )
        return name

    def reports(self, cl_ord_id: str = "") -> list[dict[str, Any]]:
        stored = [one.message for day in self.world.hub.stored.values() for one in day]
        return [{**m["Header"], **m["Body"]} for m in stored if not cl_ord_id or m["Body"]["ClOrdID"] == cl_ord_id]

    def steps(self, cl_ord_id: str) -> list[tuple[str, str]]:
        """(MsgType or ExecType, OrdStatus) of every message about a request."""
        return [(str(r.get("ExecType", "9")), str(r["OrdStatus"])) for r in self.reports(cl_ord_id)]

    def order(self, cl_ord_id: str) -> Any:
        return self.world.seen[cl_ord_id][1]

    def quote(self, isin: str, bid: tuple[int, int] | None, ask: tuple[int, int] | None, session: str = "regular") -> None:
        sides = {side: pair for side, pair in (("buy", bid), ("sell", ask)) if pair}
        self.world.dispatch(self.world.exchange.quote(isin, session, sides, pinned=True))

    def through(self, isin: str, price: int, quantity: int, session: str = "regular") -> None:
        self.world.dispatch(self.world.exchange.trade_through(isin, session, price, quantity))


@pytest.fixture
def play() -> Play:
    return Play(World(start=at("08:00"), seed=7))


@pytest.fixture
def begin() -> Callable[..., Play]:
    def make(clock: str = "08:00", day: str = "2026-11-23", seed: int = 7) -> Play:
        return Play(World(start=at(clock, day), seed=seed))

    return make


class Stomp:
    """Handwritten frames over a plain WebSocket: an independent reading of STOMP 1.2."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def send(self, command: str, body: str = "", **headers: str) -> None:
        lines = [command, *(f"{name.replace('_', '-')}:{value}" for name, value in headers.items())]
        await self.socket.send("\n".join(lines) + "\n\n" + body + "\x00")

    async def login(self, **changed: str) -> tuple[str, dict[str, str], str]:
        headers = {
            "accept_version": "1.2", "host": "sandbox", "login": "sandbox-key", "passcode": "sandbox-secret",
            "comId": "F0001", "heart_beat": "0,0", **changed,
        }  # fmt: skip
        await self.send("CONNECT", **headers)
        return await self.receive()

    async def subscribe(self) -> None:
        await self.send("SUBSCRIBE", id="0", destination="/user/queue/reports", ack="client-individual", receipt="r1")
        command, headers, _ = await self.receive()
        assert (command, headers["receipt-id"]) == ("RECEIPT", "r1")

    async def receive(self) -> tuple[str, dict[str, str], str]:
        text = await asyncio.wait_for(self.socket.recv(), 10)
        head, _, rest = text.lstrip("\n").partition("\n\n")
        command, *lines = head.split("\n")
        headers = dict(line.split(":", 1) for line in lines)
        assert rest.endswith("\x00")
        body = rest[:-1]
        if "content-length" in headers:
            assert int(headers["content-length"]) == len(body.encode())
        return command, headers, body

    async def report(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The next MESSAGE, acknowledged."""
        command, headers, body = await self.receive()
        assert command == "MESSAGE"
        await self.send("ACK", id=headers["ack"])
        return headers, json.loads(body)


class Client:
    """The wire as a stranger would speak it."""

    def __init__(self, url: str, app: Any) -> None:
        self.url = url
        self.world: World = app.state.world
        self.http = httpx.AsyncClient(base_url=url, timeout=20)

    async def control(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        method = method or ("GET" if body is None else "POST")
        answer = await self.http.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def step(self, now: str) -> None:
        await self.control("clock", {"now": f"2026-11-23T{now}+09:00"})

    def body(self, kind: str, cl_ord_id: str, **fields: Any) -> dict[str, Any]:
        body = {
            "ClOrdID": cl_ord_id, "Account": "99100010001", "SecurityID": ELECTRONICS, "SecurityIDSource": "4",
            "Symbol": "A930010", "SecurityExchange": "XKRX", "Side": "1", "OrderQty": "10", "OrdType": "2",
            "Price": "71000", "TimeInForce": "0", "TransactTime": "20261123-00:10:00.000", **fields,
        }  # fmt: skip
        header = {
            "BeginString": "FIX.4.4", "MsgType": kind, "SenderCompID": "ILIMSANDBOX", "TargetCompID": "cyber",
        }  # fmt: skip
        return {"Header": header, "Body": {k: v for k, v in body.items() if v is not None}, "Trailer": {}}

    async def order(self, path: str, cl_ord_id: str, **fields: Any) -> httpx.Response:
        kind = {"new": "D", "cancel": "F", "replace": "G"}[path]
        headers = {**AUTH, "reqIdConsumer": cl_ord_id}
        return await self.http.post(f"/v1/order/{path}", json=self.body(kind, cl_ord_id, **fields), headers=headers)

    async def ask(self, broker: str, api: str, block: str, **query: Any) -> httpx.Response:
        document = {
            "partner": {"comId": "F0001", "srvId": "ILIM-SANDBOX"},
            "commonHeader": {"reqIdConsumer": "asked-1"},
            block: {"queryParameter": query},
        }
        return await self.http.post(f"/v1/{broker}/b2baccount/{api}/search", json=document, headers=AUTH)

    async def orders(self, broker: str = "cyber", account: str = "99100010001", page: Any = None, **more: Any) -> Any:
        query = {
            "qrAssetType": "EQTY", "qrSellBuyType": "0", "qrAccNo": account, "qrOrderDate": "", "count": 0,
            "page": page, **more,
        }  # fmt: skip
        answer = await self.ask(broker, "orderdetail", "orderDetailListRequestBody", **query)
        return json.loads(answer.text, parse_float=Decimal)

    def stream(self) -> Any:
        return websockets.connect(
            self.url.replace("http", "ws") + "/v1/order/stream",
            subprotocols=["v12.stomp"],
            ping_interval=None,  # type: ignore[list-item]
        )


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


@pytest_asyncio.fixture
async def client(listening: socket.socket) -> AsyncIterator[Client]:
    """A real server on a port of its own, in this loop."""
    app = build_app(start=at("08:00"), seed=7)
    server = uvicorn.Server(config(app, "127.0.0.1", listening.getsockname()[1]))
    serving = asyncio.create_task(server._serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    one = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", app)
    yield one
    await one.http.aclose()
    server.should_exit = True
    await serving


@pytest.fixture
def stomp() -> type[Stomp]:
    return Stomp
