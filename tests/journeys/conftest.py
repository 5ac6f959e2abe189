"""The real application over HTTP: real wiring, real PostgreSQL, the sandbox on a port of its own, a key for every role.

One house serves a whole test module: each test proves what it changed, or that it changed nothing.
"""

import asyncio
import base64
import io
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest_asyncio
import structlog
import uvicorn
from fastapi import FastAPI

from service import settings as service_settings
from service.app import ROUTERS, create_app
from service.core.clock import KST
from service.core.principal import Role
from service.core.secret import Secret
from service.infra import logs
from service.infra.postgres import SUPERUSER, EmbeddedPostgres
from service.infra.roles import APP, OWNER, WORKER
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.rules import pepper_from
from service.sandbox.server import build_app, config
from service.settings import Settings
from service.up import INVENTED
from service.wiring import Wiring, assemble
from tests.conftest import DatabaseUrls
from tests.makers import CODE, World, make_world

DATA_KEY = bytes(range(32))
KEPT = {"audit.record", "audit.pending", "public.idempotency_key"}  # a refusal is recorded, and its key remembers it
OPENS = datetime(2026, 11, 23, 10, 0, tzinfo=KST)


@dataclass
class Api:
    """The service as its callers meet it. `keys` by role; `manager` is the world's, `stranger` is another manager."""

    app: FastAPI
    client: httpx.AsyncClient
    wiring: Wiring
    settings: Settings
    world: World
    urls: DatabaseUrls
    sandbox: httpx.AsyncClient
    keys: dict[str, str] = field(default_factory=dict)
    log: io.BytesIO = field(default_factory=io.BytesIO)
    _question: str | None = None

    async def call(self, who: str | None, method: str, path: str, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers.setdefault("Authorization", f"Bearer {self.keys[who]}")
        answer = await self.client.request(method, path, headers=headers, **more)
        self.check(answer)
        return answer

    def check(self, answer: httpx.Response) -> None:
        """What holds for every answer there is: no failure of ours, a request id, and no error the document is silent on."""
        assert answer.status_code < 500, answer.text
        assert answer.headers["X-Request-Id"]
        operation = self.operation(answer.request.method, answer.request.url.path)
        if answer.status_code < 400 or operation is None:
            return
        assert answer.headers["Content-Type"] == "application/problem+json"
        said = answer.json()
        slug = said["type"].removeprefix("/problems/")
        documented = operation["responses"].get(str(answer.status_code), {}).get("content", {})
        assert slug in documented.get("application/problem+json", {}).get("examples", {}), f"{slug} is not in the document"
        assert said["status"] == answer.status_code
        replayed = "Idempotent-Replayed" in answer.headers  # then it names the first call
        assert replayed or said["instance"] == answer.headers["X-Request-Id"]

    def operation(self, method: str, path: str) -> Any:
        """The documented operation of an address."""
        for template, methods in sorted(self.app.openapi()["paths"].items(), key=lambda one: one[0].count("{")):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods:
                return methods[method.lower()]
        return None

    async def order(self, who: str = "manager", *, key: str | None = None, headers: Any = None, **changed: Any) -> httpx.Response:
        """POST /v1/orders with a good body, changed."""
        sent = {"Idempotency-Key": key or str(uuid4()), **(headers or {})}
        return await self.call(who, "POST", "/v1/orders", json=self.good(**changed), headers=sent)

    def good(self, **changed: Any) -> dict[str, Any]:
        """A body that is taken; a change to `...` leaves the field out."""
        body = {
            "account_id": str(self.world.account),
            "symbol": CODE,
            "side": "buy",
            "order_type": "limit",
            "quantity": 1,
            "price": "70000",
        } | changed
        return {name: value for name, value in body.items() if value is not ...}

    async def rows(self, question: str, *values: Any) -> list[asyncpg.Record]:
        """Look at the tables past every policy."""
        connection = await asyncpg.connect(self.urls.superuser)
        try:
            return list(await connection.fetch(question, *values))
        finally:
            await connection.close()

    async def business(self) -> dict[str, str]:
        """A digest of every row of every table but the ledger and the keys: equal before and after means nothing changed."""
        if self._question is None:
            listed = await self.rows(
                "select schemaname, tablename from pg_tables where schemaname in ('public', 'audit') order by 1, 2"
            )
            names = [f"{one['schemaname']}.{one['tablename']}" for one in listed]
            assert "public.orders" in names
            digest = "select '{0}' as name, md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as digest from {0} as t"
            self._question = " union all ".join(digest.format(one) for one in names if one not in KEPT)
        return {row["name"]: row["digest"] for row in await self.rows(self._question)}

    async def to(self, clock: str) -> None:
        """Move the market to HH:MM; returns when the service has seen it."""
        moment = OPENS.replace(hour=int(clock[:2]), minute=int(clock[3:]))
        answer = (await self.sandbox.post("/_sandbox/clock", json={"now": moment.isoformat()})).raise_for_status()
        clock_of_service: Any = self.wiring.clock
        assert await clock_of_service.wait_beyond(answer.json()["version"] - 1, 10)


@asynccontextmanager
async def fresh_database(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[DatabaseUrls]:
    """As the fixture `database_urls`, for a whole module."""
    name = f"journey_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres.url(SUPERUSER, "postgres"))
    try:
        await admin.execute(f'create database {name} template "{template}" owner {OWNER}')
        await admin.execute(f"revoke all on database {name} from public")
        await admin.execute(f"grant connect on database {name} to {APP}, {WORKER}")
        yield DatabaseUrls(name, *(postgres.url(login, name) for login in (OWNER, APP, WORKER, SUPERUSER)))
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@asynccontextmanager
async def platform(opens: datetime = OPENS) -> AsyncIterator[str]:
    """A sandbox on a free port, in this loop; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = build_app(start=opens, seed=7)
        server = uvicorn.Server(config(app, "127.0.0.1", port))
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            app.state.drive.close()  # ends the long polls of clocks
            server.should_exit = True
            await serving


def settings_for(urls: DatabaseUrls, sandbox: str, **more: str) -> Settings:
    """The settings of a process of this house."""
    return service_settings.load(
        INVENTED
        | {
            "ILIM_DATABASE_URL": urls.app,
            "ILIM_DATABASE_WORKER_URL": urls.worker,
            "ILIM_DATA_KEY": base64.b64encode(DATA_KEY).decode(),
            "ILIM_CLOCK": f"{sandbox}/_sandbox/clock",
            "ILIM_KOSCOM_BASE_URL": sandbox,
            "ILIM_KOSCOM_ORDER_URL": sandbox,
            "ILIM_KOSCOM_STREAM_URL": sandbox.replace("http", "ws") + "/v1/order/stream",
        }
        | more
    )


@asynccontextmanager
async def open_house(urls: DatabaseUrls, sandbox: str, world: World, **more: str) -> AsyncIterator[Api]:
    """The application as `ilim serve` assembles it, with a user and a key for each role."""
    settings = settings_for(urls, sandbox, **more)
    with logged() as log:
        async with _opened(settings, urls, sandbox, world, log) as api:
            yield api


@contextmanager
def logged() -> Iterator[io.BytesIO]:
    """Log lines as the service writes them, kept in memory."""
    root, log = logging.getLogger(), io.BytesIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("INFO", "api", log)
    try:
        yield log
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level


@asynccontextmanager
async def _opened(settings: Settings, urls: DatabaseUrls, sandbox: str, world: World, log: io.BytesIO) -> AsyncIterator[Api]:
    app = create_app(
        lambda: assemble(settings, url=settings.database_url, process="api"), ROUTERS, max_body_bytes=settings.max_body_bytes
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://ilim", timeout=30) as client,
        httpx.AsyncClient(base_url=sandbox, trust_env=False, timeout=30) as control,
    ):
        api = Api(app, client, app.state.wiring, settings, world, urls, control, log=log)
        people = {"manager": world.manager.user_id, "stranger": world.other_manager.user_id}
        for role in set(Role) - {Role.MANAGER}:
            made = await create_user(transaction=api.wiring.transaction, name=role.value, roles=[role])
            people[role.value] = made.id
        for name, user_id in people.items():
            api.keys[name] = await key_of(api, user_id)
        yield api


async def key_of(api: Api, user_id: UUID, **more: Any) -> str:
    """A fresh API key of a user."""
    pepper = pepper_from(DATA_KEY)
    _, token = await issue_key(transaction=api.wiring.transaction, pepper=pepper, user_id=user_id, **more)
    assert isinstance(token, Secret)
    return token.reveal()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[Api]:
    """One house for a module: two managers with an account each, at 10:00 of a trading day."""
    async with fresh_database(postgres, template) as urls, platform() as sandbox:
        world = await make_world(urls.superuser, cash=10_000_000_000, shares=100_000)
        async with open_house(urls, sandbox, world) as house:
            yield house


_nowhere = count(1)


def nowhere() -> str:
    """An id of nothing. Counted, not drawn: test processes must name their cases alike."""
    return f"01a1fc87-0000-7000-8000-{next(_nowhere):012x}"
