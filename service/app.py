"""The HTTP application: the house around the slices' routers. Objects meet in `wiring`, not here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

import service
from service.accounts.routes import router as accounts
from service.audit.routes import router as audit
from service.console.routes import router as console
from service.controls.routes import router as controls
from service.core.clock import Clock
from service.executions.routes import router as executions
from service.infra import docs_page, memory, metrics, problems
from service.infra.caller import Authenticator
from service.infra.db import Database
from service.infra.http import DEFAULT_MAX_BODY_BYTES, Front, strictly
from service.infra.readiness import readiness
from service.mandates.routes import router as mandates
from service.market.routes import router as market
from service.orders.routes import router as orders
from service.people.routes import router as people
from service.settings import Settings
from service.wiring import assemble

ROUTERS = (orders, executions, accounts, mandates, market, people, audit, controls, console)


class Wiring(Protocol):
    """What the application itself needs of a process's objects; routers take more from `request.app.state.wiring`."""

    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def authenticate(self) -> Authenticator: ...


WiringFactory = Callable[[], AbstractAsyncContextManager[Wiring]]

ARRAY_PROBLEMS = {"/v1/orders": "list-orders-not-supported"}  # the platform takes one order a message (P14)


def create_app(
    wiring_factory: WiringFactory,
    routers: Sequence[APIRouter] = (),
    *,
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    https: bool = False,
    array_problems: Mapping[str, str] = ARRAY_PROBLEMS,
) -> FastAPI:
    """The application. `wiring_factory()` is entered at start-up and left at shut-down."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with wiring_factory() as wiring:
            app.state.wiring = wiring
            app.state.authenticate = wiring.authenticate
            app.state.ending = asyncio.Event()
            yield

    app = FastAPI(
        title="ilim (일임)",
        version="0.1.0",
        description=service.__doc__ or "",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect sends the caller's key to whatever host and scheme this process believes it has
        dependencies=[Depends(strictly)],
        # Without an exporter the spans are work for nothing on every order.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Front, max_body_bytes=max_body_bytes, https=https)
    problems.install(app, array_slugs=array_problems)
    app.include_router(house)
    for router in routers:
        app.include_router(router)
    return app


def application(settings: Settings) -> FastAPI:
    """The service as `ilim serve` runs it."""

    @asynccontextmanager
    async def settled() -> AsyncIterator[Wiring]:
        async with assemble(settings, url=settings.database_url, process="api") as wiring:
            memory.settle()
            yield wiring

    return create_app(
        settled,
        ROUTERS,
        max_body_bytes=settings.max_body_bytes,
        https=settings.deployment == "production",
    )


class _Server(uvicorn.Server):
    """Tells whoever follows the feed that the process ends; otherwise it would wait for streams that have no end."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                settings.host,
                settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=10,
            )
        )
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if (ending := getattr(self._app.state, "ending", None)) is not None:
            ending.set()
        super().handle_exit(sig, frame)


def run(settings: Settings) -> None:
    """The process: returns after SIGTERM or SIGINT."""
    _Server(application(settings), settings).run()


house = APIRouter(include_in_schema=False)
PROBED = ["GET", "HEAD"]  # load balancers ask with either


@house.api_route("/healthz", methods=PROBED)
async def healthz() -> dict[str, str]:
    """The loop turns."""
    return {"status": "alive"}


@house.api_route("/readyz", methods=PROBED)
async def readyz(request: Request) -> Response:
    """Database, migrations and clock, each with its state; 503 until all are well."""
    wiring: Wiring = request.app.state.wiring
    said: dict[str, Any] = await readiness(wiring.database, wiring.clock)
    return JSONResponse(said, status_code=200 if said["ready"] else 503)


@house.get("/docs")
async def docs(request: Request) -> Response:
    """Every call, for a person."""
    page = docs_page.render(request.app.openapi(), str(request.base_url).rstrip("/"))
    return HTMLResponse(page, headers={"Content-Security-Policy": docs_page.CONTENT_SECURITY_POLICY})


@house.get("/metrics")
async def figures() -> Response:
    """Figures for Prometheus."""
    body, content_type = metrics.exposition()
    return Response(body, media_type=content_type)
