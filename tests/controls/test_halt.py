"""Halts pressed while orders are on their way: what is claimed afterwards, what is told, who may release."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls.model import Scope, UnderWay
from service.controls.parts import gate_lock
from service.controls.release_halt import release_halt
from service.controls.set_halt import ROUTE, Switch, set_halt
from service.core.clock import ManualClock
from service.core.errors import Invalid, ServiceError
from service.core.ids import uuid7
from service.core.principal import Principal, Role
from service.gateway import OrderMessage, SendOutcome
from service.infra import idempotency
from service.infra.db import Books, Database, Whose
from service.infra.idempotency import Answer
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.model import MandateStatus
from service.orders.under_way import again, under_way
from service.people.change_user import change_user
from service.wiring import Targets
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.makers import BROKER, ISIN, FakeGateway, fetch, make_world
from tests.orders.test_submit import place
from tests.waiting import until


@dataclass
class Desk:
    """Two people of operations and the switch they press."""

    life: Life
    kim: Principal
    lee: Principal
    set_at: list[datetime] = field(default_factory=list)  # database time, while the gate was shut

    def switch(self) -> Switch:
        life = self.life
        return Switch(
            life.app.transaction, life.clock, Targets({BROKER}).known, self._under_way, again, lambda _channel: None
        )  # fmt: skip

    async def _under_way(self, connection: AsyncConnection, scope: Scope, target: str | None) -> list[UnderWay]:
        self.set_at.append((await connection.execute(text("select clock_timestamp()"))).scalar_one())
        return await under_way(connection, scope, target)

    async def press(
        self, key: str = "h1", scope: Scope = Scope.FIRM, target: str | None = None, who: Principal | None = None
    ) -> Answer:
        by = who or self.kim
        intent = idempotency.intent(user_id=by.user_id, route=ROUTE, key=key, body={"scope": scope, "target": target})
        return await set_halt(self.switch(), scope, target, "test", principal=by, intent=intent, request_id="r")

    async def release(self, answer: Answer, who: Principal) -> None:
        life = self.life
        await release_halt(
            transaction=life.app.transaction, clock=life.clock, poke=lambda _channel: None,
            halt_id=orjson.loads(answer.body)["id"], reason="over", principal=who, request_id="r",
        )  # fmt: skip


@pytest.fixture
async def desk(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Desk:
    world = await make_world(database_urls.superuser, cash=10**12)
    life = Life(database, worker_database, database_urls, clock, world)
    people = [Principal(uuid7(), name, frozenset({Role.OPERATIONS})) for name in ("ops-kim", "ops-lee")]
    for one in people:
        await fetch(
            database_urls.superuser,
            "insert into app_user (id, name, roles, created_at) values ($1, $2, array['operations'], now())",
            one.user_id, one.name,
        )  # fmt: skip
    return Desk(life, *people)


class Counting(FakeGateway):
    """Rings when so many sends have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.press_at, self.bell = 0, asyncio.Event()

    async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
        outcome = await super().send(message, not_after)
        if len(self.sends) >= self.press_at:
            self.bell.set()
        return outcome


ROUNDS, ORDERS, SENDERS = 12, 16, 6


async def test_p15_nothing_is_claimed_after_a_halt_pressed_amid_many_sends(desk: Desk) -> None:
    """12 presses at random places among 192 sends by six senders: no claim began after one committed."""
    life, chance, claimed, refused = desk.life, random.Random(15), 0, 0
    gateway: Any = Counting()
    for n in range(ROUNDS):
        first = len(gateway.sends)
        gateway.press_at, gateway.bell = first + chance.randrange(1, ORDERS), asyncio.Event()
        for i in range(ORDERS):
            assert (await place(life.app, life.clock, life.world, key=f"{n}-{i}", quantity=i + 1)).status == 201
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(_send_all(replace(life.dispatcher, gateway=gateway)))
            await gateway.bell.wait()
            answer = await desk.press(f"h{n}")
        rows = await fetch(life.urls.superuser, "select claimed_at from attempt")
        assert len(rows) == len(gateway.sends)
        assert [row for row in rows if row["claimed_at"] > desk.set_at[-1] and row["claimed_at"] is not None] == []
        claimed, refused = claimed + len(gateway.sends) - first, refused + ORDERS - (len(gateway.sends) - first)
        await desk.release(answer, desk.lee)
    assert claimed + refused == ROUNDS * ORDERS
    assert claimed >= ROUNDS
    assert refused > 0  # some presses came in the midst


async def _send_all(dispatcher: Any) -> None:
    while await dispatcher.dispatch_one([BROKER]):
        pass


class Holding(FakeGateway):
    """A platform that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = asyncio.Event(), asyncio.Event()

    async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
        self.begun.set()
        await self.may.wait()
        return await super().send(message, not_after)


@asynccontextmanager
async def under_way_now(desk: Desk) -> AsyncIterator[Holding]:
    """One order in the midst of its send."""
    gateway: Any = Holding()
    await desk.life.submit()
    sending = asyncio.create_task(replace(desk.life.dispatcher, gateway=gateway).dispatch_one([BROKER]))
    await gateway.begun.wait()
    yield gateway
    gateway.may.set()
    await sending


async def halted(desk: Desk) -> bool:
    return len(await fetch(desk.life.urls.superuser, "select 1 from halt")) == 1


async def test_p15_the_answer_tells_what_was_under_way_and_what_became_of_it(desk: Desk) -> None:
    async with under_way_now(desk) as gateway:
        pressed = asyncio.create_task(desk.press())
        await until(lambda: halted(desk))  # it holds before it answers
        assert not pressed.done()
        gateway.may.set()
        told = orjson.loads((await pressed).body)
    (request,) = await desk.life.requests()
    assert told["under_way"] == [
        {"order_id": str(request["order_id"]), "cl_ord_id": request["cl_ord_id"], "kind": "new", "state": "sent"}
    ]
    replay = await desk.press()
    assert (replay.replayed, orjson.loads(replay.body)) == (True, told)


async def test_p15_the_answer_does_not_wait_for_a_sender_that_may_no_longer_begin(desk: Desk) -> None:
    async with under_way_now(desk):
        await fetch(desk.life.urls.superuser, "update attempt set claimed_at = claimed_at - interval '5 s'")
        told = orjson.loads((await desk.press()).body)
    assert [one["state"] for one in told["under_way"]] == ["sending"]


NAMED = {"account": Scope.ACCOUNT, "broker": Scope.BROKER, "instrument": Scope.INSTRUMENT, "manager": Scope.MANAGER}


@pytest.mark.parametrize("name", list(NAMED))
async def test_p15_only_what_the_halt_names_is_told(desk: Desk, name: str) -> None:
    world = desk.life.world
    mine = {"account": str(world.account), "broker": BROKER, "instrument": ISIN, "manager": str(world.manager.user_id).upper()}
    async with under_way_now(desk):
        await fetch(desk.life.urls.superuser, "update attempt set claimed_at = claimed_at - interval '5 s'")
        told = orjson.loads((await desk.press("mine", NAMED[name], mine[name])).body)
        other = str(world.other_account) if name == "account" else str(world.other_manager.user_id)
        if name in ("account", "manager"):
            others = orjson.loads((await desk.press("other", NAMED[name], other)).body)
            assert others["under_way"] == []
    assert len(told["under_way"]) == 1


@pytest.mark.parametrize("target", ["00999", "KR7000000000", "nonsense", "01a1fd2e-670e-7cd3-bc9c-dcf2dd67050a"])
@pytest.mark.parametrize("name", list(NAMED))
async def test_p15_a_halt_that_would_stop_nothing_is_refused(desk: Desk, name: str, target: str) -> None:
    with pytest.raises(Invalid) as refused:
        await desk.press(scope=NAMED[name], target=target)
    assert refused.value.slug == "halt-target-unknown"
    assert await fetch(desk.life.urls.superuser, "select 1 from halt") == []


async def slug_of(verb: Any) -> str:
    with pytest.raises(ServiceError) as refused:
        await verb
    return refused.value.slug


@pytest.mark.parametrize("verb", ["set", "release", "mandate", "user"])
async def test_p16_a_change_that_waits_in_vain_for_the_gate_says_so(desk: Desk, verb: str) -> None:
    """And not that the database is away: the caller is told that nothing was changed, and to repeat it at once."""
    life = desk.life
    halt = await desk.press() if verb == "release" else Answer(0, b"")

    @asynccontextmanager
    async def impatient(*, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        async with life.app.transaction(books=books) as connection:
            await connection.execute(text("set local lock_timeout = '20ms'"))
            yield connection

    async def change() -> Any:
        if verb == "set":
            intent = idempotency.intent(user_id=desk.kim.user_id, route=ROUTE, key="k", body={})
            switch = replace(desk.switch(), transaction=impatient)
            return await set_halt(switch, Scope.FIRM, None, "test", principal=desk.kim, intent=intent, request_id="r")
        if verb == "release":
            return await release_halt(
                transaction=impatient, clock=life.clock, poke=lambda _channel: None, halt_id=orjson.loads(halt.body)["id"],
                reason="over", principal=desk.lee, request_id="r",
            )  # fmt: skip
        if verb == "mandate":
            suspended = Changes(status=MandateStatus.SUSPENDED)
            return await amend_mandate(transaction=impatient, mandate_id=life.world.mandate, changes=suspended)
        return await change_user(transaction=impatient, user_id=life.world.manager.user_id, active=False)

    async with life.worker.transaction() as connection:
        await connection.execute(text("select version from halt_gate for share"))  # as a claim holds it
        assert await slug_of(change()) == "gate-busy"
    await change()


async def test_p15_a_manager_who_is_of_operations_too_does_not_release_a_halt_that_names_him(desk: Desk) -> None:
    manager = desk.life.world.manager
    both = replace(manager, roles=manager.roles | {Role.OPERATIONS})
    answer = await desk.press(scope=Scope.MANAGER, target=str(manager.user_id).upper())
    assert await slug_of(desk.release(answer, both)) == "halt-own-release"
    await desk.release(answer, desk.lee)
    await desk.life.submit()


async def test_p15_a_halt_is_released_by_somebody_else(desk: Desk) -> None:
    answer = await desk.press()
    assert await slug_of(desk.release(answer, desk.kim)) == "halt-own-release"
    await desk.release(answer, desk.lee)
    await desk.release(answer, desk.lee)  # a repeated call of the same person
    third = replace(desk.lee, user_id=desk.life.world.manager.user_id)
    assert await slug_of(desk.release(answer, third)) == "halt-released"
    kinds = await fetch(desk.life.urls.superuser, "select kind from audit.record where kind like 'halt.%' order by record_id")
    assert [row["kind"] for row in kinds] == ["halt.set", "halt.released"]
    await desk.life.submit()
    await desk.life.dispatch()
    assert len(desk.life.gateway.sends) == 1


async def test_p15_the_database_itself_refuses_a_release_by_the_setter(desk: Desk) -> None:
    await desk.press()
    with pytest.raises(IntegrityError):
        async with desk.life.app.transaction() as connection:
            await connection.execute(text("update halt set released_by = set_by, released_at = set_at, release_reason = 'mine'"))


async def test_p15_submission_and_amendment_name_the_halt_and_a_cancellation_passes(desk: Desk) -> None:
    life = desk.life
    order_id = await life.submit()
    await life.dispatch()
    await desk.press(scope=Scope.ACCOUNT, target=str(life.world.account))
    refused = await place(life.app, life.clock, life.world, key="k9", quantity=3)
    amended = await life.amend(order_id, "a1", quantity=5)
    for answer in (refused, amended):
        said = orjson.loads(answer.body)
        assert (answer.status, said["type"], said["violations"][0]["actual"]) == (409, "/problems/halted", "account")
    assert (await life.cancel(order_id, "c1")).status == 201


async def _claim_that_waits_little(life: Life) -> None:
    async with life.worker.transaction() as later:
        await later.execute(text("set local lock_timeout = '100ms'"))
        await later.execute(gate_lock())


async def test_p15_claims_without_a_pause_do_not_hold_a_halt_up(desk: Desk) -> None:
    """A row's share locks let later ones pass a waiting writer for ever; so a later claim waits behind the halt."""
    life = desk.life

    async def waits() -> bool:
        rows = await fetch(life.urls.superuser, "select 1 from pg_locks where not granted and relation = 'halt_gate'::regclass")
        return len(rows) == 1

    async with life.worker.transaction() as claim:
        await claim.execute(gate_lock())
        pressed = asyncio.create_task(desk.press())
        await until(waits)
        with pytest.raises(DBAPIError):
            await _claim_that_waits_little(life)
    assert (await pressed).status == 201
