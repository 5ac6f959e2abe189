"""Without sockets: the same application, called directly."""

import asyncio
import json
from typing import Any

import httpx

from service.sandbox.server import build_app
from tests.sandbox.conftest import AUTH, Client, at


async def _play(seed: int) -> list[bytes]:
    """Every byte that comes back, from requests and from the stream, in a day with faults by schedule."""
    app = build_app(start=at("09:30"), seed=seed)
    app.state.world.faults.schedule(seed, {"error_after": "0.2", "report_held": "0.2", "bust": "0.1", "client_order": "0.2"})
    client = Client.__new__(Client)
    client.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox")
    into: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: list[bytes] = []
    for text in (
        "CONNECT\naccept-version:1.2\nlogin:sandbox-key\npasscode:sandbox-secret\ncomId:F0001\n\n\x00",
        "SUBSCRIBE\nid:0\ndestination:/user/queue/reports\nack:auto\n\n\x00",
    ):
        into.put_nowait({"type": "websocket.receive", "text": text})

    async def out(message: Any) -> None:
        heard.append(json.dumps(message, default=repr).encode())

    scope = {
        "type": "websocket", "path": "/v1/order/stream", "raw_path": b"", "query_string": b"", "headers": [],
        "subprotocols": ["v12.stomp"], "root_path": "", "state": {}, "scheme": "ws", "client": None, "server": None,
    }  # fmt: skip
    opening = [{"type": "websocket.connect"}]
    stream = asyncio.create_task(app(scope, lambda: _next(opening, into), out))
    await _settle(app)
    for n in range(12):
        body = client.body("D", f"20261123N{n}", OrderQty=str(n + 1), Price=None, OrdType="1")
        answer = await client.http.post("/v1/order/new", json=body, headers={**AUTH, "reqIdConsumer": f"N{n}"})
        heard.append(answer.content)
        await client.control("clock", {"advance_seconds": 30})
        await _settle(app)
    rows = await client.ask(
        "cyber", "orderdetail", "orderDetailListRequestBody", qrAccNo="99100010001", page=None, qrAssetType="EQTY"
    )
    into.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await stream
    await client.http.aclose()
    return [*heard, rows.content]


async def _next(opening: list[dict[str, Any]], into: "asyncio.Queue[dict[str, Any]]") -> dict[str, Any]:
    return opening.pop() if opening else await into.get()


async def _settle(app: Any) -> None:
    """Nothing in it waits for real time: a few turns of the loop and all is said."""
    for _ in range(60):
        await asyncio.sleep(0)
    assert app.state.world.hub.waiting == 0


async def test_in_process_the_same_calls_give_the_same_bytes() -> None:
    first, again, other = await _play(3), await _play(3), await _play(4)
    assert len(first) > 40
    assert first == again != other


async def test_in_process_a_cut_is_an_error_out_of_the_call() -> None:
    app = build_app(start=at("09:30"), seed=7)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as http:
        for fault in ("answer_lost_before", "request_reset", "answer_torn"):
            app.state.world.faults.arm(fault, {}, 1, {})
            broken = False
            try:
                await http.post("/v1/order/new", json={})
            except ConnectionResetError:
                broken = True
            assert broken
