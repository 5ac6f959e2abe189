"""A database that is away is trouble that passes: 503, not a fault of ours or of the call."""

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from sqlalchemy.exc import InterfaceError, ProgrammingError

from service.infra import problems
from service.infra.db import Database, is_away
from service.infra.http import Front
from tests.conftest import DatabaseUrls
from tests.makers import fetch


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (ConnectionRefusedError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (InterfaceError("select 1", {}, asyncpg.InterfaceError("connection is closed")), True),
        (ProgrammingError("select x", {}, asyncpg.UndefinedColumnError("x")), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away


async def test_a_call_without_its_database_is_told_to_come_back(database: Database, database_urls: DatabaseUrls) -> None:
    app = FastAPI()
    app.add_middleware(Front)
    problems.install(app)

    @app.get("/cut")
    async def cut(_request: Request) -> None:
        async with database.raw() as connection:
            pid = await connection.fetchval("select pg_backend_pid()")
            await fetch(database_urls.superuser, "select pg_terminate_backend($1)", pid)
            await connection.fetchval("select 1")

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/cut")
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/unavailable"
    assert answer.headers["Retry-After"] == "1"
