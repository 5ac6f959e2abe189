"""The sandbox as a program: every route of the wire and of its control, on one port.

Without a port too: `build_app(start=…, seed=…)` is an ASGI application that opens nothing, and `app.state.world` its world.
Call it with HTTP scopes for requests and with a websocket scope (path `/v1/order/stream`, subprotocol `v12.stomp`) for the
report stream; leave its lifespan alone and drive time with `world.advance(until)`. A scope's `state` may carry `transport`,
an object with `abort()`, for faults that cut a connection; without it a cut shows as ConnectionResetError out of the call.
The only real time in it is `asyncio`'s own (delays, drips, heart-beats), so a loop with a virtual clock makes that virtual.
The same seed, calls and steps give the same bytes, ids and times included (`test_in_process_the_same_calls_give_the_same_bytes`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from service.sandbox import inquiries, linkage, market, order_gate, stream
from service.sandbox.control import Control
from service.sandbox.door import Door, answer
from service.sandbox.drive import Drive
from service.sandbox.transport import CuttableHttp, CuttableWebSocket, Server
from service.sandbox.world import Identity, World


def build_app(
    *, start: datetime, seed: int, identity: Identity | None = None, limits: Mapping[str, int] | None = None,
    rate: int = 0, daily_loop: bool = False,
) -> Starlette:  # fmt: skip
    """The ASGI application of one world that begins at `start`."""
    world = World(start=start, seed=seed, identity=identity)
    door = Door(world)
    door.limits.update(limits or {})
    drive = Drive(world)
    drive.rate, drive.daily_loop = rate, daily_loop

    @contextlib.asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(drive.tick_for_ever())
        yield
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)

    app = Starlette(
        routes=[*_wire(world, door), *Control(world, drive, door).routes()],
        exception_handlers={HTTPException: _http_error, Exception: _crash},
        lifespan=running,
    )
    app.state.world = world
    app.state.drive = drive
    return app


async def serve(
    *, host: str, port: int, start: datetime, seed: int, identity: Identity | None = None,
    limits: Mapping[str, int] | None = None, rate: int = 0, daily_loop: bool = False, log_level: str = "warning",
) -> None:  # fmt: skip
    """Run until SIGTERM or SIGINT."""
    app = build_app(start=start, seed=seed, identity=identity, limits=limits, rate=rate, daily_loop=daily_loop)
    await Server(config(app, host, port, log_level), app.state.drive.close).serve()


def config(app: ASGIApp, host: str, port: int, log_level: str = "warning") -> uvicorn.Config:
    """Idle connections are kept: one that closes by itself on a busy machine would be a fault nobody asked for."""
    return uvicorn.Config(
        app, host=host, port=port, http=CuttableHttp, ws=CuttableWebSocket, log_level=log_level, access_log=False,
        timeout_graceful_shutdown=1, timeout_keep_alive=600, ws_ping_interval=None, lifespan="on",
    )  # fmt: skip


def _wire(world: World, door: Door) -> list[BaseRoute]:
    async def reports(socket: WebSocket) -> None:
        await stream.serve(socket, world.hub, world.identity)

    orders = [
        Route(f"/v1/order/{path}", door.endpoint("order", f"order/{path}", order_gate.handler(world, path)), methods=["POST"])
        for path in ("new", "cancel", "replace")
    ]  # fmt: skip
    linkages = [
        Route(f"/v1/common/member/{path}", door.endpoint("linkage", f"member/{path}", handle), methods=["POST"])
        for path, handle in (("register/search", linkage.register(world)), ("consent/search", linkage.consent(world)))
    ]
    markets = [
        Route(f"/v3/market/{path}", door.endpoint("market", f"market/{name}", handle), methods=["GET"])
        for path, name, handle in (
            ("closed/{market}/lists", "lists", market.lists(world)),
            ("closed/{market}/{issuecode}/master", "master", market.master(world)),
            ("realtime/{market}/multiquote/stocks/price", "price", market.prices(world)),
            ("extra/stocks/{nationcode}/holiday", "holiday", market.holiday(world)),
        )
    ]
    inquiry = door.endpoint("inquiry", "{broker}/b2baccount/{api}", inquiries.handler(world))
    return [
        *orders,
        WebSocketRoute("/v1/order/stream", reports),
        Route("/v1/{broker}/b2baccount/{api}/search", inquiry, methods=["POST"]),
        *linkages,
        *markets,
    ]


async def _http_error(_request: Request, error: Exception) -> Response:
    """An unknown path or method, in the newer gateway's body."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = error.detail if isinstance(error, HTTPException) else "Internal Server Error"
    return answer({"message": message}, status=status)


async def _crash(_request: Request, error: Exception) -> Response:
    document = {"category": "op-apim", "code": 3999, "message": f"sandbox: {type(error).__name__}"}
    return answer(document, status=500)
