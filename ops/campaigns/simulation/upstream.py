"""The sandbox in the same process, and the lines to it: no sockets, every delay and loss drawn from the seed.

What the platform does it does in a process of its own: a caller that gave up, or was killed, does not stop it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

import httpx

from ops.campaigns.simulation.loop import PROCESS, Process, SimulatedLoop
from ops.campaigns.simulation.weather import Weather, of_the_day
from service.sandbox import wishes
from service.sandbox.server import build_app
from service.sandbox.world import World

WORLD_SEED = 7


class Platform:
    """The sandbox, whose clock is the business clock of the simulated house."""

    def __init__(self, loop: SimulatedLoop, weather: Weather, start: datetime) -> None:
        self.loop, self.weather = loop, weather
        self.process = Process("platform")
        self.app = build_app(start=start, seed=WORLD_SEED)
        self.world: World = self.app.state.world
        self.lines: list[StreamLine] = []

    def now(self) -> datetime:
        """The business clock."""
        return self.world.now

    def trouble(self, seed: int) -> None:
        self.world.faults.schedule(seed, wishes.rates(of_the_day(seed)))

    def calm(self) -> None:
        self.world.faults.disarm()

    def serve(self, scope: dict[str, Any], body: bytes) -> "asyncio.Future[httpx.Response]":
        answer: asyncio.Future[httpx.Response] = self.loop.create_future()
        self.loop.spawn(self.process, self._answer(scope, body, answer))
        return answer

    async def _answer(self, scope: dict[str, Any], body: bytes, answer: "asyncio.Future[httpx.Response]") -> None:
        exchange = _Exchange(body)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:
            exchange.broken = type(error).__name__
        if answer.done():
            return
        if exchange.broken or not exchange.ended:
            answer.set_exception(httpx.ReadError(exchange.broken or "cut"))
        else:
            answer.set_result(httpx.Response(exchange.status, headers=exchange.headers, content=bytes(exchange.body)))

    def cut_lines(self, process: Process) -> None:
        """A killed process's connections end."""
        for line in self.lines:
            if line.owner is process:
                line.hang_up()


@dataclass
class _Exchange:
    """One HTTP exchange as the application sees it."""

    request: bytes
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    broken: str = ""
    asked: bool = False

    async def receive(self) -> dict[str, Any]:
        if self.asked:
            await asyncio.Event().wait()
        self.asked = True
        return {"type": "http.request", "body": self.request, "more_body": False}

    async def send(self, message: Any) -> None:
        if self.broken:
            return
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)

    def abort(self) -> None:
        """A fault takes the connection away under the answer."""
        self.broken = "aborted"


class HttpLine(httpx.AsyncBaseTransport):
    """A process's connection to one service of the platform."""

    def __init__(self, platform: Platform, process: Process) -> None:
        self._platform, self._process = platform, process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        weather, trace = self._platform.weather, self._platform.loop.trace
        body = await request.aread()
        what = f"{request.method} {request.url.path} {request.headers.get('reqidconsumer', '')}"
        trace.add(f"  {self._process.name} asks {what}")
        if weather.strikes("connection_refused"):
            raise httpx.ConnectError("refused")
        await asyncio.sleep(weather.between(2, 14) if weather.strikes("request_slow") else weather.between(0.0005, 0.01))
        if weather.strikes("request_lost"):
            await asyncio.sleep(3600)
        answer = self._platform.serve(_scope(request), body)
        if weather.strikes("connection_reset_late"):
            await asyncio.sleep(weather.between(0, 0.02))
            raise httpx.ReadError("reset")
        response = await asyncio.shield(answer)
        await asyncio.sleep(weather.between(1, 12) if weather.strikes("answer_slow") else weather.between(0.0005, 0.01))
        if weather.strikes("answer_lost"):
            raise httpx.ReadError("reset")
        heard = blake2b(response.content, digest_size=8).hexdigest()
        trace.add(f"  {self._process.name} hears {response.status_code} {heard} to {what}")
        if weather.strikes("answer_cut"):
            return httpx.Response(response.status_code, stream=_Cut(response.content))
        return response


class _Cut(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.RemoteProtocolError("cut in the middle")


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": ("platform", 80),
        "client": ("house", 1),
        "root_path": "",
        "state": {},
    }


class LineDown(ConnectionError):
    """The stream's connection has ended."""


class StreamLine:
    """One WebSocket: both ends' queues, and the wire between them."""

    def __init__(self, platform: Platform, owner: Process) -> None:
        self.platform, self.owner = platform, owner
        self.to_client: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.to_server.put_nowait({"type": "websocket.connect"})
        self.down = False

    # our end, as the stream reader uses it

    async def send(self, message: bytes | str) -> None:
        if self.down:
            raise LineDown("down")
        text = message if isinstance(message, str) else message.decode()
        self.to_server.put_nowait({"type": "websocket.receive", "text": text})
        await asyncio.sleep(0)

    async def recv(self) -> bytes | str:
        if self.down and self.to_client.empty():
            raise LineDown("down")
        text = await self.to_client.get()
        if text is None:
            raise LineDown("down")
        return text

    # the platform's end

    async def serve(self) -> None:
        scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "scheme": "ws", "path": "/v1/order/stream", "raw_path": b"",
            "query_string": b"", "headers": [], "subprotocols": ["v12.stomp"], "root_path": "", "client": None,
            "server": None, "state": {"transport": self}, "http_version": "1.1",
        }  # fmt: skip
        try:
            await self.platform.app(scope, self.to_server.get, self._out)
        finally:
            self.hang_up()

    async def _out(self, message: Any) -> None:
        if self.down:
            raise RuntimeError("the line is down")
        if message["type"] == "websocket.send":
            self.to_client.put_nowait(message.get("text") or message["bytes"])
        elif message["type"] == "websocket.close":
            self.hang_up()
        await asyncio.sleep(0)

    def abort(self) -> None:
        """A fault of the sandbox: gone without a word."""
        self.hang_up()

    def hang_up(self) -> None:
        if not self.down:
            self.down = True
            self.to_client.put_nowait(None)
            self.to_server.put_nowait({"type": "websocket.disconnect", "code": 1006})


def connector(platform: Platform, process: Process) -> Any:
    """How the stream reader of a process opens its connection."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[StreamLine]:
        if platform.weather.strikes("connection_refused"):
            raise ConnectionRefusedError("refused")
        await asyncio.sleep(platform.weather.between(0.001, 0.02))
        line = StreamLine(platform, process)
        platform.lines.append(line)
        platform.loop.spawn(platform.process, line.serve())
        try:
            yield line
        finally:
            line.hang_up()

    return connect


__all__ = ["PROCESS", "HttpLine", "Platform", "StreamLine", "connector"]
