"""The feed as a manager's system follows it: over a socket, across restarts of the api, for its own books only."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
import uvicorn
from fastapi import Request

from service.app import _Server
from service.console.routes import reader
from service.infra import feed, leases
from service.infra.db import Database
from tests.conftest import opened
from tests.journeys.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def served(api: Api) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(api.app, lifespan="off", log_config=None, access_log=False))
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


@asynccontextmanager
async def numbering(api: Api) -> AsyncIterator[tuple[Database, leases.Lease]]:
    """The worker's part, one lease for the block."""
    async with opened(api.urls.worker, "test-feed") as worker:
        async with worker.transaction() as connection:
            taken = await leases.acquire(connection, "feed", uuid4(), 600)
        assert taken is not None
        yield worker, taken
        async with worker.transaction() as connection:
            await leases.release(connection, taken)


async def number(api: Api, worker: Database, taken: leases.Lease) -> None:
    await feed.number(worker.hot, taken)
    api.wiring.notifier.poke(feed.CHANNEL)


async def ids_after(api: Api, who: str, last: int) -> list[dict[str, Any]]:
    headers = {"Last-Event-ID": str(last)}
    answer = await api.call(who, "GET", "/v1/events", params={"wait": "false"}, headers=headers)
    assert answer.status_code == 200
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def test_an_order_is_told_once_to_its_manager_and_to_nobody_elses(api: Api) -> None:
    async with numbering(api) as (worker, taken):
        order = (await api.order()).json()
        await number(api, worker, taken)
    told = {who: await ids_after(api, who, 0) for who in ("manager", "stranger", "operations", "compliance")}
    mine = [one for one in told["manager"] if one["subject_id"] == order["id"]]
    assert [(one["kind"], one["document"]["status"], one["document"]["version"]) for one in mine] == [
        ("order.changed", "pending_new", 1)
    ]
    assert told["stranger"] == []
    assert mine[0] in told["operations"]
    assert mine[0] in told["compliance"]


async def test_the_document_says_what_an_event_holds(api: Api) -> None:
    async with numbering(api) as (worker, taken):
        await api.order()
        await number(api, worker, taken)
    document = (await api.call(None, "GET", "/openapi.json")).json()
    stream = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    said = stream["itemSchema"]["properties"]["data"]["contentSchema"]
    told = await ids_after(api, "manager", 0)
    assert told
    for one in told:
        assert set(one) == set(said["properties"])
        jsonschema_rs.Draft202012Validator(said, validate_formats=True).validate(one)
    assert [name for name, field in said["properties"].items() if not field.get("description")] == []


async def test_a_follower_hears_at_once_and_goes_on_where_it_left_off(api: Api) -> None:
    async with numbering(api) as (worker, taken):
        first_id = (await ids_after(api, "manager", 0) or [{"id": 0}])[-1]["id"]
        for _ in range(2):  # each time a new server: a replica, or the same one restarted
            async with served(api) as address, httpx.AsyncClient(base_url=address, trust_env=False, timeout=20) as client:
                headers = {"Authorization": f"Bearer {api.keys['manager']}", "Last-Event-ID": str(first_id)}
                async with client.stream("GET", "/v1/events", headers=headers) as stream:
                    assert stream.headers["content-type"].startswith("text/event-stream")
                    lines = stream.aiter_lines()
                    assert await anext(lines) == ": following"
                    order = (await api.order()).json()
                    await number(api, worker, taken)
                    heard = await _next(lines)
                    assert heard["subject_id"] == order["id"]
                    assert heard["previous_id"] == (first_id or None)
                    first_id = heard["id"]


async def _next(lines: AsyncIterator[str]) -> Any:
    async for line in lines:
        if line.startswith("data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")


async def test_a_stream_ends_when_the_process_is_told_to_end(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.keys['manager']}"}
    async with (
        served(api) as address,
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=20, headers=headers) as client,
        client.stream("GET", "/v1/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": following"
        _Server(api.app, api.settings).handle_exit(15, None)
        api.wiring.notifier.poke(feed.CHANNEL)
        assert [line async for line in lines if line.startswith("data: ")] == []
    api.app.state.ending.clear()


@pytest.mark.parametrize("roles", [["manager"], ["compliance", "manager"], ["administrator"]], ids="-".join)
async def test_a_stream_ends_when_its_books_are_no_longer_the_callers(api: Api, roles: list[str]) -> None:
    """Who read all books and is a manager now must not go on hearing of another's."""
    token = api.keys["compliance"]
    principal = await api.app.state.authenticate(token)
    scope = {"type": "http", "app": api.app, "headers": [(b"authorization", f"Bearer {token}".encode())]}
    follower = await reader(Request(scope), principal)
    assert await follower.entitled()
    user = f"/v1/users/{principal.user_id}"
    try:
        assert (await api.call("administrator", "PATCH", user, json={"roles": roles})).status_code == 200
        assert not await follower.entitled()
    finally:
        await api.call("administrator", "PATCH", user, json={"roles": ["compliance"]})
    assert await follower.entitled()


async def test_a_stream_knows_the_key_that_let_it_in_however_it_was_spaced(api: Api) -> None:
    """Who is let in with a blank too many is not sent away at the first event."""
    token = api.keys["compliance"]
    principal = await api.app.state.authenticate(token)
    scope = {"type": "http", "app": api.app, "headers": [(b"authorization", f"Bearer  {token} ".encode())]}
    assert (await api.call(None, "GET", "/v1/halts", headers={"Authorization": f"Bearer  {token} "})).status_code == 200
    assert await (await reader(Request(scope), principal)).entitled()


async def test_an_id_beyond_the_end_is_refused(api: Api) -> None:
    for given, status, slug in (
        ("999999999", 409, "event-not-reached"),
        ("x", 422, "validation-failed"),
        ("-1", 422, "validation-failed"),
    ):
        answer = await api.call("manager", "GET", "/v1/events", params={"wait": "false"}, headers={"Last-Event-ID": given})
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
