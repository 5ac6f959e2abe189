"""P1 over HTTP: the same key and body is one order, whatever is in parallel and whatever breaks around the commit."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from service.infra import failpoints
from tests.journeys.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS, KEYS = 64, 4


@pytest.fixture(autouse=True)
def nothing_stays_armed() -> Iterator[None]:
    yield
    failpoints.disarm()


async def raw(api: Api, key: str, **changed: Any) -> httpx.Response:
    """POST an order without judging the answer: here failures are the point."""
    headers = {"Authorization": f"Bearer {api.keys['manager']}", "Idempotency-Key": key}
    return await api.client.post("/v1/orders", json=api.good(**changed), headers=headers)


async def made(api: Api, name: str) -> int:
    return len(await api.rows("select 1 from orders where client_order_id = $1", name))


async def test_p01_sixty_four_twins_at_once_are_one_order(api: Api) -> None:
    keys = [f"twin-{number}" for number in range(KEYS)]
    answers = await asyncio.gather(*[api.order(key=key, client_order_id=key) for key in keys for _ in range(CALLERS)])
    by_key = {key: answers[number * CALLERS : (number + 1) * CALLERS] for number, key in enumerate(keys)}
    for key, twins in by_key.items():
        assert {one.status_code for one in twins} <= {201, 409}
        told = [one for one in twins if one.status_code == 201]
        waiting = [one for one in twins if one.status_code == 409]
        assert {one.json()["type"] for one in waiting} <= {"/problems/idempotency-in-progress"}
        assert len({one.content for one in told}) == 1
        assert sum("Idempotent-Replayed" not in one.headers for one in told) == 1
        assert {one.headers["Idempotent-Replayed"] for one in told if "Idempotent-Replayed" in one.headers} <= {"true"}
        late = await api.order(key=key, client_order_id=key)
        assert (late.content, late.headers["Idempotent-Replayed"]) == (told[0].content, "true")
        assert await made(api, key) == 1
    requests = await api.rows(
        "select count(*) from order_request r join orders o on o.id = r.order_id where o.client_order_id like 'twin-%'"
    )
    assert requests[0]["count"] == KEYS
    entries = await api.rows("select count(*) from audit.record where kind = 'order.submitted'")
    assert entries[0]["count"] == KEYS


async def test_p01_a_refusal_is_replayed_byte_for_byte_too(api: Api) -> None:
    first, *twins = [await api.order(key="refused", price="70050") for _ in range(3)]
    assert first.status_code == 422
    assert {one.content for one in twins} == {first.content}
    assert {one.headers["Idempotent-Replayed"] for one in twins} == {"true"}
    assert {one.headers["Content-Type"] for one in twins} == {"application/problem+json"}


async def test_p01_parallel_bodies_under_one_key_make_one_order(api: Api) -> None:
    answers = await asyncio.gather(*[api.order(key="torn", client_order_id="torn", quantity=1 + n % 2) for n in range(32)])
    assert {one.status_code for one in answers} <= {201, 409, 422}
    assert {one.json()["type"] for one in answers if one.status_code == 422} == {"/problems/idempotency-key-reused"}
    assert len({one.content for one in answers if one.status_code == 201}) == 1
    assert await made(api, "torn") == 1


async def test_p01_keys_belong_to_their_caller(api: Api) -> None:
    mine = await api.order(key="shared")
    theirs = await api.order("stranger", key="shared", account_id=str(api.world.other_account))
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in theirs.headers
    assert mine.json()["id"] != theirs.json()["id"]


def cut_the_connection(api: Api) -> Callable[[], None]:
    """Ends the session that is between its write and its COMMIT; returns when the server has ended it."""

    async def cut() -> None:
        connection = await asyncpg.connect(api.urls.superuser)
        try:
            ended = await connection.fetchval(
                "select bool_and(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
                " where datname = current_database() and application_name = 'ilim-api' and state = 'idle in transaction'"
            )
            assert ended is True
        finally:
            await connection.close()

    def act() -> None:
        helper = threading.Thread(target=lambda: asyncio.run(cut()))  # the service's own loop stands still meanwhile
        helper.start()
        helper.join()

    return act


async def test_p02_a_commit_that_fails_is_no_success_and_leaves_nothing(api: Api) -> None:
    key = str(uuid4())
    failpoints.arm("submit.before_commit", cut_the_connection(api))
    before = await api.business()
    lost = await raw(api, key, client_order_id="lost-commit")
    assert lost.status_code >= 500
    assert lost.json()["type"] in ("/problems/internal-error", "/problems/unavailable")
    assert await api.business() == before
    failpoints.disarm()
    again = await api.order(key=key, client_order_id="lost-commit")
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)
    assert await made(api, "lost-commit") == 1


async def test_p01_an_answer_lost_after_the_commit_is_given_again(api: Api) -> None:
    def fail() -> None:
        raise failpoints.FailpointError("the answer never leaves")

    key = str(uuid4())
    failpoints.arm("submit.after_commit", fail)
    assert (await raw(api, key, client_order_id="lost-answer")).status_code == 500
    failpoints.disarm()
    assert await made(api, "lost-answer") == 1
    again = await api.order(key=key, client_order_id="lost-answer")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert await made(api, "lost-answer") == 1
