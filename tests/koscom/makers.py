"""What tests of the client are made of: a configuration, an order, a platform that answers from a function."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from service.core.clock import KST, ManualClock
from service.core.secret import AccountNumber, Secret
from service.gateway import OrderMessage, OrderType, RequestKind, Session, Side, TimeInForce
from service.koscom import profiles
from service.koscom.budget import BudgetStore, MemoryBudget, ServiceName
from service.koscom.config import KoscomConfig
from service.koscom.gateway import KoscomGateway
from service.koscom.transport import Timeouts

CYBER, DIAMOND = "00991", "00992"
ACCOUNT = AccountNumber("1234567890")
MORNING = datetime(2026, 11, 24, 9, 30, tzinfo=KST)
ISIN = "KR7005930003"


def config(url: str = "http://platform.test", **changes: Any) -> KoscomConfig:
    plain = KoscomConfig(
        base_url=url,
        order_url=url,
        stream_url="ws://platform.test",
        api_key=Secret("the-key"),
        secret=Secret("the-secret"),
        com_id="F0001",
        srv_id="ilim",
        sender_comp_id="ILIM01",
        brokers=("cyber", "diamond", "star"),
        timeouts=Timeouts(connect=1, read=1, pool=1, call=2),
        order_timeouts=Timeouts(connect=1, read=1, pool=1, call=2),
    )
    return replace(plain, **changes)


def with_profile(code: str, **changes: Any) -> dict[str, Any]:
    """`profiles=` for a configuration where one broker has other habits."""
    known = profiles.load()
    return {"profiles": known | {code: replace(known[code], **changes)}}


def order(**changes: Any) -> OrderMessage:
    plain = OrderMessage(
        kind=RequestKind.NEW,
        broker=CYBER,
        account=ACCOUNT,
        cl_ord_id="20261124000000000001",
        orig_cl_ord_id=None,
        broker_order_number=None,
        isin=ISIN,
        short_code="005930",
        side=Side.BUY,
        quantity=300,
        executed_quantity=0,
        order_type=OrderType.LIMIT,
        price=Decimal("71500"),
        time_in_force=TimeInForce.DAY,
        session=Session.REGULAR,
        transact_time=MORNING,
    )
    return replace(plain, **changes)


Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


def gateway(handler: Handler, *, budget: BudgetStore | None = None, **changes: Any) -> KoscomGateway:
    """A gateway whose platform is a function."""

    async def answer(request: httpx.Request) -> httpx.Response:
        response = handler(request)
        return response if isinstance(response, httpx.Response) else await response

    transports = {name: httpx.MockTransport(answer) for name in ServiceName}
    bits = random.Random(7).getrandbits
    return KoscomGateway(config(**changes), budget or MemoryBudget(), ManualClock(MORNING), bits, transports, no_sleep)


def said(request: httpx.Request) -> Any:
    return json.loads(request.content)


# --- a server of bytes ------------------------------------------------------------------------------------------------


class ByteServer:
    """A TCP server that shows what really went over the wire, and answers with bytes of the test's choosing."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Answering = Callable[[int, asyncio.StreamWriter], Awaitable[bool]]  # request number; whether to go on listening


@asynccontextmanager
async def byte_server(answering: Answering) -> AsyncIterator[ByteServer]:
    state = ByteServer()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        writers.append(writer)
        try:
            while True:
                state.requests.append(await _read_request(reader))
                if not await answering(len(state.requests), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
