"""A house on the sandbox itself, without sockets: real sends and inquiries; reports come when they are fetched."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import asyncpg
import httpx

from ops.campaigns.simulation.house import config
from service.executions.sweep import sweep_account
from service.gateway import CallClass, RawReport
from service.koscom.budget import MemoryBudget, ServiceName
from service.koscom.gateway import KoscomGateway
from service.sandbox.server import build_app
from tests import makers
from tests.executions.test_order_life import Life
from tests.makers import COM_ID, MORNING, TODAY, fetch

LISTED, LISTED_CODE = "KR7930010004", "930010"
ACCOUNTS = {"cyber": ("00991", "99100010001"), "diamond": ("00992", "2100-0001-01"), "star": ("00993", "0010203001")}


class Sandboxed:
    """One order's surroundings at one of the sandbox's brokers."""

    def __init__(self, life: Life, broker: str) -> None:
        self.life, self.broker = life, broker
        self.app = build_app(start=MORNING, seed=7)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://sandbox")
        lines = {name: httpx.ASGITransport(self.app) for name in ServiceName}
        gateway: Any = KoscomGateway(config(), MemoryBudget(), life.clock, lambda _bits: 5, lines)
        life.gateway = gateway
        life.applier = replace(life.applier, gateway=gateway)
        life.dispatcher = replace(life.dispatcher, gateway=gateway)
        self.heard = 0

    async def place(self, **changes: Any) -> str:
        """An order of 10 at a price at which nobody sells, sent, with its reports applied; its ClOrdID."""
        cl_ord_id = await self.submit(**changes)
        await self._send()
        return cl_ord_id

    async def cancel(self) -> None:
        """The order's cancellation, sent, with what is told of it applied."""
        await self.life.cancel((await self.life.order())["id"], "cancel")
        await self._send()

    async def _send(self) -> None:
        while await self.life.dispatcher.dispatch_one([ACCOUNTS[self.broker][0]]):
            pass
        await self.hear()

    async def submit(self, **changes: Any) -> str:
        """The same order, waiting to be sent."""
        code, number = ACCOUNTS[self.broker]
        connection = await asyncpg.connect(self.life.urls.superuser)
        try:
            account = self.life.world.account
            await connection.execute("update account set broker = $1, number = $2 where id = $3", code, number, account)
            if not await connection.fetch("select from instrument where isin = $1", LISTED):
                await makers._instrument(connection, LISTED, LISTED_CODE, halted=False)
        finally:
            await connection.close()
        await self.life.submit(**({"isin": LISTED, "price": Decimal(65_000)} | changes))
        rows = await fetch(self.life.urls.superuser, "select cl_ord_id from order_request order by id")
        return str(rows[-1]["cl_ord_id"])

    async def control(self, what: str, body: dict[str, Any]) -> None:
        (await self.http.post(f"/_sandbox/{what}", json=body)).raise_for_status()

    async def lose(self, exec_type: str) -> None:
        await self.control("faults", {"fault": "report_lost", "match": {"exec_type": exec_type}, "count": -1})

    async def hear(self) -> None:
        """Apply the reports that were told since."""
        told = [one for day in self.app.state.world.hub.stored.values() for one in day][self.heard :]
        for one in told:
            self.heard += 1
            body = json.dumps(one.message, default=str).encode()
            await self.life.inbox.store([RawReport(COM_ID, TODAY, self.heard, body)])
        while await self.life.applier.apply_waiting():
            pass

    async def step(self, seconds: int) -> None:
        """So much market time, and what is told in it."""
        await self.control("clock", {"advance_seconds": seconds})
        self.life.clock.moment = self.app.state.world.now
        await self.hear()

    async def look(self) -> Any:
        """One inquiry of the account, applied; the order then."""
        assert await sweep_account(self.life.applier, (self.life.world.account, TODAY), CallClass.ROUTINE)
        return await self.life.order()

    async def kinds(self) -> list[str]:
        rows = await fetch(
            self.life.urls.superuser, "select kind from audit.record where subject_kind = 'order' order by subject_seq"
        )
        return [one["kind"] for one in rows]
