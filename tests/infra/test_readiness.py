"""Alive, ready, measured: what a load balancer, an operator and Prometheus ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import text

from service.app import create_app
from service.core.clock import Clock, ManualClock, SystemClock
from service.core.errors import Unauthenticated
from service.core.principal import Principal
from service.infra.db import Database
from service.infra.driven_clock import DrivenClock
from service.infra.readiness import readiness


@dataclass
class House:
    """The least an application needs."""

    database: Database
    clock: Clock

    async def authenticate(self, _token: str) -> Principal:
        raise Unauthenticated("authentication-required", "nobody is known here")


@asynccontextmanager
async def served(house: House) -> AsyncIterator[httpx.AsyncClient]:
    @asynccontextmanager
    async def wiring() -> AsyncIterator[House]:
        yield house

    app = create_app(wiring)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://ilim") as client:
        yield client


async def test_a_migrated_database_and_a_clock_are_ready(database: Database, clock: ManualClock) -> None:
    async with served(House(database, clock)) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "database": {"ok": True},
        "migrations": {"ok": True},
        "clock": {"ok": True, "now": "2026-11-23T10:00:00+09:00", "version": 0},
    }


async def test_an_old_database_says_what_to_run(database: Database, owner_database: Database, clock: ManualClock) -> None:
    async with owner_database.transaction() as connection:
        await connection.execute(text("update alembic_version set version_num = 'house'"))
    async with served(House(database, clock)) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    said = answer.json()["migrations"]
    assert (said["ok"], said["present"], said["reason"]) == (False, ["house"], "run `ilim database upgrade`")


async def test_without_a_database_it_lives_and_is_not_ready(clock: ManualClock) -> None:
    nowhere = Database("postgresql://ilim_app:canary@/ilim?host=/nonexistent", application="test")
    async with served(House(nowhere, clock)) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
    await nowhere.close()
    assert answer.status_code == 503
    assert (answer.json()["database"]["ok"], answer.json()["clock"]["ok"]) == (False, True)
    assert "canary" not in answer.text


async def test_a_load_balancer_may_ask_with_head(database: Database, clock: ManualClock) -> None:
    """As the worker's pages may be asked. What is not ready is not ready either way."""
    nowhere = Database("postgresql://ilim_app:canary@/ilim?host=/nonexistent", application="test")
    for held, ready in ((database, 200), (nowhere, 503)):
        async with served(House(held, clock)) as client:
            assert [(await client.head(path)).status_code for path in ("/healthz", "/readyz")] == [200, ready]
            assert (await client.post("/healthz")).headers["allow"] == "GET, HEAD"
    await nowhere.close()


async def test_a_clock_that_never_spoke_is_not_ready(database: Database) -> None:
    said = await readiness(database, DrivenClock("http://127.0.0.1:1/_sandbox/clock"))
    assert (said["ready"], said["clock"]["ok"]) == (False, False)


async def test_the_machines_own_clock_is_always_there(database: Database) -> None:
    assert (await readiness(database, SystemClock()))["clock"]["ok"]


@pytest.mark.parametrize(("path", "kind"), [
    ("/metrics", "text/plain"), ("/openapi.json", "application/json"), ("/docs", "text/html"), ("/problems", "text/html"),
])  # fmt: skip
async def test_what_the_house_always_serves(database: Database, clock: ManualClock, path: str, kind: str) -> None:
    async with served(House(database, clock)) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert path != "/metrics" or "ilim_http_request_seconds" in answer.text
