"""P5: while nobody knows what became of an order, its twin is not sent after it, unless two people allow it once."""

import asyncio
import math
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from sqlalchemy.exc import IntegrityError

from service.core.clock import ManualClock
from service.core.principal import Principal, Role
from service.gateway import OrderType, SendOutcome, Side, Unknown
from service.infra.db import Database
from service.orders.resolutions import decide, propose
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.makers import BROKER, FakeGateway, fetch, make_desk, make_world, principal
from tests.orders.test_submit import place


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, 409), ({"price": None, "order_type": OrderType.MARKET}, 409), ({"quantity": 11}, 201), ({"side": Side.SELL}, 201)],
    ids=["twin", "twin-at-another-price", "other-quantity", "other-side"],
)
async def test_p05_a_twin_of_an_order_in_doubt_is_refused(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, changes: dict[str, object], status: int
) -> None:
    world = await make_world(database_urls.superuser)
    first = await place(database, clock, world)
    assert first.status == 201
    await fetch(database_urls.superuser, "update order_request set state = 'unknown'")
    second = await place(database, clock, world, key="k2", **changes)
    assert second.status == status
    if status == 409:
        assert orjson.loads(second.body)["type"] == "/problems/twin-in-doubt"


@pytest.mark.parametrize("state", ["sent", "acknowledged", "refused"])
async def test_p05_an_order_whose_outcome_is_known_bars_nobody(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, state: str
) -> None:
    world = await make_world(database_urls.superuser)
    await place(database, clock, world)
    await fetch(database_urls.superuser, f"update order_request set state = '{state}'")
    assert (await place(database, clock, world, key="k2")).status == 201


# --- the database refuses, whoever is faster ----------------------------------------------------------------------------------


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    return Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))


async def states(life: Life) -> list[tuple[str, str | None]]:
    rows = await fetch(life.urls.superuser, "select state, reason from order_request order by cl_ord_id")
    return [(one["state"], one["reason"]) for one in rows]


async def test_p05_a_twin_queued_before_the_first_became_unknown_is_not_claimed(life: Life) -> None:
    """Both are on disk when the answer of the first is lost."""
    await life.submit(key="k1")
    await life.submit(key="k2")
    life.gateway.answers = [Unknown("reset")]
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    assert await states(life) == [("unknown", "reset"), ("refused", "twin-in-doubt")]


async def test_p05_the_database_refuses_a_twin_that_no_check_saw(life: Life) -> None:
    """The read of the submission and the second look of the claim are passed over: the table itself still refuses."""
    await life.lost()
    row = (
        "insert into order_request (id, order_id, broker, kind, number, cl_ord_id, quantity, price, state, send_by, queued_at)"
        " values (gen_random_uuid(), $1, $2, 'new', 1, 'TWIN', 10, 70000, 'queued', now(), now())"
    )
    other = await life.submit(key="k2", quantity=11)
    await fetch(life.urls.superuser, "delete from order_request where order_id = $1", other)
    with pytest.raises(asyncpg.ExclusionViolationError, match="twin"):
        await fetch(life.urls.superuser, row, other, BROKER)


async def test_p05_who_claims_a_twin_waits_for_whoever_learns_that_the_first_is_unknown(life: Life) -> None:
    """The second look of the claim sees no doubt, for it is not committed yet: the claim's own write waits for it, and is
    refused by the table. The look after that refuses the order for good."""
    await life.submit(key="k1")
    first = (await fetch(life.urls.superuser, "select id from order_request"))[0]["id"]
    await fetch(life.urls.superuser, "update order_request set state = 'sending' where id = $1", first)
    await life.submit(key="k2")
    record = await asyncpg.connect(life.urls.superuser)
    try:
        recording = record.transaction()
        await recording.start()
        await record.execute("update order_request set state = 'unknown' where id = $1", first)
        claiming = asyncio.create_task(life.dispatcher.dispatch_one([BROKER]))
        await _somebody_waits(record)
        await recording.commit()
        with pytest.raises((IntegrityError, asyncpg.ExclusionViolationError)):
            await claiming
    finally:
        await record.close()
    assert await states(life) == [("unknown", None), ("queued", None)]
    await life.dispatch()
    assert await states(life) == [("unknown", None), ("refused", "twin-in-doubt")]
    assert life.gateway.sends == []


async def test_p05_who_submits_a_twin_waits_for_whoever_learns_that_the_first_is_unknown(life: Life) -> None:
    await life.submit(key="k1")
    await fetch(life.urls.superuser, "update order_request set state = 'sending'")
    record = await asyncpg.connect(life.urls.superuser)
    try:
        recording = record.transaction()
        await recording.start()
        await record.execute("update order_request set state = 'unknown'")
        submitting = asyncio.create_task(place(life.app, life.clock, life.world, key="k2"))
        await _somebody_waits(record)
        await recording.commit()
        answer = await submitting
    finally:
        await record.close()
    assert (answer.status, orjson.loads(answer.body)["type"]) == (409, "/problems/twin-in-doubt")
    assert len(await states(life)) == 1


async def _somebody_waits(connection: asyncpg.Connection, for_what: str = "advisory") -> None:
    """Until another transaction waits for what this connection holds: the twins' lock, or a row."""
    question = "select count(*) from pg_locks where locktype = $1 and not granted"
    async with asyncio.timeout(20):
        while not await connection.fetchval(question, for_what):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)


@pytest.mark.parametrize("round_", range(10))
async def test_p05_twins_in_parallel_while_the_first_becomes_unknown(life: Life, round_: int) -> None:
    """Submissions, sends and a lost answer at once: afterwards no request was claimed after the first was unknown."""
    await life.submit(key="first")

    class Losing(FakeGateway):
        async def send(self, message: Any, not_after: float = math.inf) -> SendOutcome:
            await super().send(message, not_after)
            await asyncio.sleep(0)
            return Unknown("reset")

    gateway: Any = Losing()
    dispatcher = replace(life.dispatcher, gateway=gateway)

    async def send() -> None:
        for _ in range(6):
            try:
                await dispatcher.dispatch_one([BROKER])
            except (IntegrityError, asyncpg.ExclusionViolationError):
                continue

    async def twin(number: int) -> int:
        return (await place(life.app, life.clock, life.world, key=f"twin-{number}")).status

    results = await asyncio.gather(send(), send(), *[twin(one) for one in range(6)])
    assert set(results[2:]) <= {201, 409}
    await send()
    unknown = await fetch(life.urls.superuser, "select id from order_request where state = 'unknown'")
    assert 1 <= len(unknown) <= 2, "each of two senders may be under way once before any answer is lost, and never again"
    assert len(gateway.sends) == len(unknown)
    assert (await place(life.app, life.clock, life.world, key="late")).status == 409


# --- two people allow it ------------------------------------------------------------------------------------------------------


async def someone(life: Life, name: str, role: Role) -> Principal:
    made = principal(name, role)
    question = "insert into app_user (id, name, roles, created_at) values ($1, $2, $3, now())"
    await fetch(life.urls.superuser, question, made.user_id, name, [role.value])
    return made


async def allow(life: Life, order_id: UUID, *, confirm: bool = True) -> None:
    """Kim asks, an approver decides."""
    doubtful = (await fetch(life.urls.superuser, "select id from order_request where order_id = $1", order_id))[0]["id"]
    desk = make_desk(life.app, life.clock)
    answer = await propose(
        desk, order_id, doubtful=doubtful, conclusion="twin_allowed", reason="the client insists",
        principal=life.world.manager, intent=life.intent(f"p-{order_id}"), request_id="r",
    )  # fmt: skip
    assert answer.status == 201, answer.body
    resolution = UUID(orjson.loads(answer.body)["in_doubt"]["resolutions"][-1]["id"])
    second = await someone(life, f"approver {order_id}", Role.APPROVER)
    intent = replace(life.intent("d"), user_id=second.user_id)
    answer = await decide(
        desk, order_id, resolution, confirm=confirm, reason="seen", principal=second, intent=intent, request_id="r"
    )
    assert answer.status == 201, answer.body


async def test_p05_two_people_let_one_twin_pass_and_no_second(life: Life) -> None:
    first = await life.lost()
    assert (await place(life.app, life.clock, life.world, key="before")).status == 409
    await allow(life, first)
    results = await asyncio.gather(*[place(life.app, life.clock, life.world, key=f"twin-{one}") for one in range(4)])
    assert sorted(one.status for one in results) == [201, 409, 409, 409]
    await life.dispatch()
    assert len(life.gateway.sends) == 2
    passed = next(orjson.loads(one.body)["id"] for one in results if one.status == 201)
    used = await fetch(life.urls.superuser, "select used_by from doubt_decision")
    assert [str(one["used_by"]) for one in used] == [passed]
    kinds = [one["kind"] for one in await fetch(life.urls.superuser, "select kind from audit.record")]
    assert {"resolution.proposed", "resolution.confirmed"} <= set(kinds)


async def test_p05_a_permission_that_is_being_used_lets_nobody_else_pass(life: Life) -> None:
    """Both read that it is unused; the second waits for the first one's commit, and is refused."""
    first = await life.lost()
    other = await life.submit(key="k2", quantity=11)
    await allow(life, first)
    using = await asyncpg.connect(life.urls.superuser)
    try:
        transaction = using.transaction()
        await transaction.start()
        await using.execute("update doubt_decision set used_by = $1", other)
        submitting = asyncio.create_task(place(life.app, life.clock, life.world, key="k3"))
        await _somebody_waits(using, "transactionid")
        await transaction.commit()
        assert (await submitting).status == 409
    finally:
        await using.close()


async def test_p05_a_declined_permission_lets_nobody_pass(life: Life) -> None:
    await allow(life, await life.lost(), confirm=False)
    assert (await place(life.app, life.clock, life.world, key="k2")).status == 409


async def test_p05_each_unknown_twin_needs_its_own_permission(life: Life) -> None:
    """The permitted twin becomes unknown as well: the third needs leave for both."""
    first = await life.lost()
    await allow(life, first)
    second = await life.lost(key="k2")
    assert len(life.gateway.sends) == 2
    assert (await place(life.app, life.clock, life.world, key="k3")).status == 409
    await allow(life, second)
    assert (await place(life.app, life.clock, life.world, key="k4")).status == 409
