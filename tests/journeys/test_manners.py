"""Waiting for the broker, lists that stand still, and the request id: what every caller's program leans on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from service.controls.fence import fence
from service.core.clock import KST
from service.infra.postgres import EmbeddedPostgres
from service.wiring import assemble
from service.worker import Worker
from tests.journeys.conftest import Api, fresh_database, open_house, platform
from tests.makers import OTHER_CODE, make_world
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTED = "930010"  # of the sandbox's market
ACCOUNT = "99100010001"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[Api]:
    """A house whose manager has an account that the sandbox knows."""
    opens = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
    async with fresh_database(postgres, template) as urls, platform(opens) as sandbox:
        world = await make_world(urls.superuser, cash=700_000_000)
        connection = await asyncpg.connect(urls.superuser)
        await connection.execute("update account set number = $1 where id = $2", ACCOUNT, world.account)
        await connection.close()
        async with open_house(urls, sandbox, world) as house:
            read = await house.call("operations", "POST", "/v1/instruments/synchronizations")
            assert read.status_code == 200
            yield house


# The house was made with eyes of its own; a worker takes their place, and a fence their lease.
EYES = """
    with seeing as (update lease set until = now() + interval '1 day' where name = 'test-eyes' returning name, epoch)
    update stream_gate set open = true, since = now(), lease = name, lease_epoch = epoch from seeing"""


@asynccontextmanager
async def worker(api: Api) -> AsyncIterator[asyncio.Task[None]]:
    """A worker beside the service, its stream live; ended at the end."""
    async with assemble(api.settings, url=api.settings.database_worker_url, process="worker") as wiring:
        one = Worker(wiring)
        running = asyncio.create_task(one.run())

        async def live() -> bool:
            # Its own: what an earlier worker left says live too.
            states = await api.rows("select state, (select holder from lease where name = 'stream') as holder from stream_state")
            return [(row["state"], row["holder"]) for row in states] == [("live", one.holder)]

        try:
            await until(live, 20)
            yield running
        finally:
            one.stopping.set()
            await running
            await api.rows(EYES)


async def cheap(api: Api) -> dict[str, Any]:
    """An order far below the market: acknowledged, and then it rests."""
    found = (await api.call("manager", "GET", "/v1/instruments", params={"symbol": LISTED})).json()["items"]
    return {"symbol": LISTED, "price": found[0]["day"]["lower_limit"]}


async def test_wait_answers_after_the_broker_has_spoken(api: Api) -> None:
    order = await cheap(api)
    async with worker(api):
        answer = await api.order(headers={"Prefer": "wait=10"}, key="waits", **order)
        said = answer.json()
        assert (answer.status_code, said["status"], said["requests"][0]["state"]) == (201, "new", "acknowledged")
        assert said["broker_order_number"]
        cancelled = await api.call(
            "manager", "POST", f"/v1/orders/{said['id']}/cancellations", headers={"Prefer": "wait=10", "Idempotency-Key": "c"}
        )
        assert cancelled.json()["status"] == "canceled", cancelled.text
    again = await api.order(headers={"Prefer": "wait=10"}, key="waits", **order)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (answer.content, "true")


async def test_p16_a_worker_that_begins_after_a_fail_over_goes_on(api: Api) -> None:
    order = await cheap(api)
    async with worker(api) as before:
        await fence(api.wiring.transaction)
        await asyncio.wait_for(before, 20)  # it ends by itself
    async with worker(api) as after:
        answer = await api.order(headers={"Prefer": "wait=10"}, **order)
        assert answer.json()["requests"][0]["state"] == "acknowledged"
        assert not after.done()


async def test_p01_while_the_first_call_waits_its_key_is_in_progress_and_there_is_one_first_answer(api: Api) -> None:
    """Nobody sends here, so the first call waits its whole second. Twins meanwhile learn that it is running; after it all get
    its very bytes."""
    order = await cheap(api)
    first = asyncio.create_task(api.order(headers={"Prefer": "wait=2"}, key="held", **order))
    while not (first.done() or await api.rows("select 1 from idempotency_key where key = 'held'")):  # noqa: ASYNC110 - a row tells nobody
        await asyncio.sleep(0)
    for prefer in ({}, {"Prefer": "wait=1"}):
        twin = await api.order(headers=prefer, key="held", **order)
        assert (twin.status_code, twin.json()["type"]) == (409, "/problems/idempotency-in-progress")
    told = await first
    again = [await api.order(key="held", **order) for _ in range(2)]
    assert {one.content for one in again} == {told.content}
    assert {one.headers["Idempotent-Replayed"] for one in again} == {"true"}


async def test_p01_a_caller_that_died_waiting_leaves_its_stored_first_answer(api: Api) -> None:
    order = await cheap(api)
    answer = await api.order(headers={"Prefer": "wait=1"}, key="died", **order)
    await api.rows("update idempotency_key set held_until = now() - interval '1 s' where key = 'died'")  # as if it never ended
    again = await api.order(key="died", **order)
    assert (again.status_code, again.json()["id"]) == (201, answer.json()["id"])


async def test_p01_two_keys_are_no_key(api: Api) -> None:
    bearer = ("Authorization", f"Bearer {api.keys['manager']}")
    for keys in (("one", "two"), ("same", "same")):
        headers = [bearer, *[("Idempotency-Key", one) for one in keys]]
        answer = await api.client.post("/v1/orders", json=api.good(), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-required")
        assert answer.json()["violations"][0]["code"] == "repeated"
    assert not await api.rows("select 1 from idempotency_key where key in ('one', 'two', 'same')")


async def test_wait_is_over_when_it_is_over(api: Api) -> None:
    """Nobody sends here: the answer comes all the same, as it stands."""
    order = await cheap(api)
    answer = await api.order(headers={"Prefer": "wait=1"}, **order)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending_new")


@pytest.mark.parametrize("prefer", ["wait=0", "wait", "wait=x", "wait=-1", "respond-async", "", "wait=99999999999"])
async def test_a_preference_that_cannot_be_read_is_passed_over(api: Api, prefer: str) -> None:
    """RFC 7240: a preference is no demand."""
    answer = await api.order(headers={"Prefer": prefer}, symbol=OTHER_CODE)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending_new")


async def test_lists_are_stable_while_orders_come_in(api: Api) -> None:
    """Newest first: what is inserted meanwhile stands before the first page and moves nothing."""
    made = [(await api.order(symbol=OTHER_CODE, client_order_id=f"list-{number}")).json()["id"] for number in range(7)]
    first = (await api.call("manager", "GET", "/v1/orders", params={"limit": 3})).json()
    seen = [one["id"] for one in first["items"]]
    cursor = first["next_cursor"]
    while cursor is not None:
        await api.order(symbol=OTHER_CODE)
        page = (await api.call("manager", "GET", "/v1/orders", params={"limit": 3, "cursor": cursor})).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert set(made) <= set(seen)
    assert seen[:7] == made[::-1]


async def test_a_place_in_one_list_is_none_in_another(api: Api) -> None:
    """Read there, it would hide rows without a word. Pages may change their size, and filters the order they are written in."""
    for _ in range(3):
        await api.order(symbol=OTHER_CODE, side="buy")

    async def status(query: str) -> int:
        answer = await api.call("manager", "GET", query)
        assert answer.status_code == 200 or answer.json()["type"].endswith("/cursor-invalid")
        return answer.status_code

    plain = (await api.call("manager", "GET", "/v1/orders?limit=1")).json()["next_cursor"]
    bought = (await api.call("manager", "GET", "/v1/orders?limit=1&side=buy&status=pending_new")).json()["next_cursor"]
    assert await status(f"/v1/orders?limit=2&cursor={plain}") == 200
    assert await status(f"/v1/orders?status=pending_new&cursor={bought}&side=buy") == 200
    for other in ("/v1/executions?", "/v1/mandates?", "/v1/orders?side=sell&", "/v1/orders?side=buy&"):
        assert await status(f"{other}cursor={plain}") == 400
    assert await status(f"/v1/orders?side=buy&cursor={bought}") == 400


async def test_cursors_of_the_ledger_are_stable_though_looking_writes_to_it(api: Api) -> None:
    seen: list[int] = []
    cursor = None
    for _ in range(4):
        query = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        page = (await api.call("compliance", "GET", "/v1/audit/entries", params=query)).json()
        seen += [one["index"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == 20
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize("given", ["abc-123", "A.b_c:1".replace("_", "-"), "x" * 64])
async def test_a_request_id_is_taken_over_into_answer_log_and_ledger(api: Api, given: str) -> None:
    answer = await api.order(headers={"X-Request-Id": given}, symbol=OTHER_CODE)
    assert answer.headers["X-Request-Id"] == given
    body = {"kind": "order.submitted", "subject_id": answer.json()["id"]}
    entries = (await api.call("compliance", "GET", "/v1/audit/entries", params=body)).json()["items"]
    assert given in str(entries[0]["body"])
    refused = await api.order(headers={"X-Request-Id": given}, quantity=0)
    assert refused.json()["instance"] == given
    assert f'"request_id":"{given}"' in api.log.getvalue().decode()


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", '"};drop', "한글", "../../x"])
async def test_a_request_id_that_is_not_plain_is_replaced(api: Api, given: str) -> None:
    answer = await api.call("manager", "GET", "/v1/orders", headers={"X-Request-Id": given.encode()})
    assert answer.headers["X-Request-Id"] != given
    assert len(answer.headers["X-Request-Id"]) == 36
