"""The worker's own pages: /healthz, /readyz, /metrics."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.core.clock import Clock
from service.infra import metrics
from service.infra.db import Database
from service.infra.readiness import readiness


def pages(database: Database, clock: Clock) -> Starlette:
    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        said = await readiness(database, clock)
        return JSONResponse(said, status_code=200 if said["ready"] else 503)

    async def figures(_request: Request) -> Response:
        body, content_type = metrics.exposition()
        return Response(body, media_type=content_type)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", figures)])
