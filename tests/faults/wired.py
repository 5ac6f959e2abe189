"""A house whose orders go to the sandbox over real sockets, with the fault proxy between; inquiries take no harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import uvicorn

from ops.campaigns.proxy import Proxy
from ops.campaigns.simulation.house import config
from ops.invariants import violations
from service.koscom.budget import MemoryBudget
from service.koscom.gateway import KoscomGateway
from service.koscom.transport import Timeouts
from service.sandbox import server as sandbox
from service.sandbox.server import build_app
from tests.executions.sandboxed import ACCOUNTS, Sandboxed
from tests.executions.test_order_life import Life
from tests.makers import MORNING

QUICK = Timeouts(connect=1, read=0.4, pool=1, call=0.6)


class Wired(Sandboxed):
    """`platform` is the sandbox's application and its port; orders go to the port `orders`."""

    def __init__(self, life: Life, platform: tuple[Any, int], orders: int) -> None:
        super().__init__(life, "cyber")
        self.app = platform[0]
        places = {"base_url": f"http://127.0.0.1:{platform[1]}", "order_url": f"http://127.0.0.1:{orders}"}
        settings = replace(config(), **places, order_timeouts=QUICK, byte_limit=1_000_000)
        self.gateway = KoscomGateway(settings, MemoryBudget(), life.clock, lambda _bits: 5)
        gateway: Any = self.gateway
        life.gateway = gateway
        life.applier = replace(life.applier, gateway=gateway)
        life.dispatcher = replace(life.dispatcher, gateway=gateway)

    async def send(self) -> None:
        """Whatever may go out goes out, also what somebody would take for lost."""
        for _ in range(2):
            while await self.life.dispatcher.dispatch_one([ACCOUNTS[self.broker][0]]):
                pass
            await self.life.dispatcher.orphans()

    async def state(self, cl_ord_id: str) -> tuple[str, str | None]:
        """Of the request: its state, and the reason."""
        return next((row["state"], row["reason"]) for row in await self.life.requests() if row["cl_ord_id"] == cl_ord_id)

    def truth(self, cl_ord_id: str) -> tuple[int, int]:
        """How often the platform had the whole request, and how often it took it."""
        world = self.app.state.world
        return world.received[cl_ord_id], world.accepted[cl_ord_id]


@asynccontextmanager
async def wired(life: Life, orders: int | None = None) -> AsyncIterator[tuple[Wired, Proxy]]:
    """The house, its sandbox, and the proxy or another port to which orders go. Afterwards the tables must keep their
    invariants."""
    async with platform() as place, Proxy(("127.0.0.1", place[1])) as proxy:
        made = Wired(life, place, orders or proxy.port)
        try:
            yield made, proxy
        finally:
            await made.gateway.close()
    assert await violations(life.urls.superuser) == []


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[Any, int]]:
    """A sandbox on a free port, in this loop: its application and its port. Its clock stands."""
    app = build_app(start=MORNING, seed=7)
    server = uvicorn.Server(sandbox.config(app, "127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.005)
    try:
        yield app, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving
