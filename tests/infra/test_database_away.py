"""A database that is away is trouble that passes: 503, not a fault of ours or of the call."""

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, ProgrammingError

from service.infra import problems
from service.infra.db import Database, is_away, is_full
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
        (asyncpg.DiskFullError(), True),
        (asyncpg.OutOfMemoryError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.QueryCanceledError(), True),
        (ValueError(), False),
    ],
)
def test_what_counts_as_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away


def test_p02_a_server_that_ended_for_want_of_room_leaves_a_commit_in_doubt() -> None:
    ended = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    ended.__cause__ = asyncpg.DiskFullError("could not write to file")
    assert is_full(asyncpg.DiskFullError())
    assert (is_away(ended), is_full(ended)) == (True, False)


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


async def test_a_call_that_waited_too_long_for_a_row_is_told_to_come_back(database: Database) -> None:
    """Nothing is wrong with it: a cancellation that met a long transaction must not look refused for good."""
    app = FastAPI()
    app.add_middleware(Front)
    problems.install(app)

    @app.get("/busy")
    async def busy() -> None:
        async with database.transaction() as holder, database.transaction() as connection:
            await holder.execute(text("select pg_advisory_xact_lock(1)"))
            await connection.execute(text("set local lock_timeout = '1ms'"))
            await connection.execute(text("select pg_advisory_xact_lock(1)"))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        answer = await client.get("/busy")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_row_21_p02_a_call_that_finds_no_room_is_told_so(database: Database) -> None:
    app = FastAPI()
    app.add_middleware(Front)
    problems.install(app)
    full = "do $$ begin raise exception using errcode = '53100', message = 'could not extend file'; end $$"

    @app.get("/hot")
    async def hot() -> None:
        async with database.hot() as connection:
            await connection.execute(full)

    @app.get("/plain")
    async def plain() -> None:
        async with database.transaction() as connection:
            await connection.execute(text(full))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        for path in ("/hot", "/plain"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-full")
            assert answer.headers["Retry-After"] == "30"
