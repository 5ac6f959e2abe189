"""Orders in trouble: requests that cross, answers that come late, reports that nobody can apply."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import ManualClock
from service.gateway import NotSent, OrderMessage, Refused, RequestKind, SendOutcome
from service.infra.db import Books, Database, Whose
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack
from tests.makers import BROKER, FakeGateway, fetch, make_world


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def acknowledged(life: Life) -> tuple[UUID, str]:
    """An order the broker has taken, and its ClOrdID."""
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    return order_id, cl


async def test_an_amendment_that_was_refused_leaves_nothing_to_send(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    await fetch(life.urls.superuser, "update cash set opening = reserved where account_id = $1", life.world.account)
    answer = await life.amend(order_id, "a1", price=Decimal(72_000))
    assert orjson.loads(answer.body)["type"] == "/problems/insufficient-cash"
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    assert len(await life.requests()) == 1


async def test_a_cancellation_names_what_the_broker_knows_and_the_waiting_amendment_stays_here(life: Life) -> None:
    order_id, cl = await acknowledged(life)
    await life.amend(order_id, "a1", price=Decimal(72_000))
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert [(one.kind, one.orig_cl_ord_id) for one in life.gateway.sends[1:]] == [(RequestKind.CANCELLATION, cl)]
    states = {row["kind"]: (row["state"], row["reason"]) for row in await life.requests()}
    assert states["amendment"] == ("refused", "cancellation-requested")
    assert (await life.cash())["reserved"] == 700_105


async def test_a_cancellation_does_not_overtake_the_order_it_cancels(life: Life) -> None:
    order_id = await life.submit()
    await life.dispatch()
    await fetch(life.urls.superuser, "update attempt set outcome = null")
    await fetch(life.urls.superuser, "update order_request set state = 'sending'")  # as a sender in the midst of its call
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    await fetch(life.urls.superuser, "update attempt set overdue_at = now() - interval '1 s'")
    await life.dispatcher.orphans()
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.CANCELLATION]


class Held(FakeGateway):
    """A sender that is held up before its first byte until everybody has given it up."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life

    async def send(self, message: OrderMessage) -> SendOutcome:
        await fetch(self.life.urls.superuser, "update attempt set overdue_at = now() - interval '1 s'")
        await self.life.dispatcher.orphans()
        assert [row["state"] for row in await self.life.requests()] == ["unknown"]
        return NotSent("deadline-passed")


async def test_a_sender_given_up_that_sends_nothing_says_so(life: Life) -> None:
    await life.submit()
    held: Any = Held(life)
    sender = replace(life.dispatcher, gateway=held)
    assert await sender.dispatch_one([BROKER])
    assert [(row["state"], row["reason"]) for row in await life.requests()] == [("refused", "not-sent")]
    assert (await life.order())["status"] == "rejected"
    assert (await life.cash())["reserved"] == 0
    assert not await sender.dispatch_one([BROKER])


async def test_what_cannot_be_sent_lets_others_pass(life: Life) -> None:
    """A cancellation goes first, but one that nobody can take must not stand in the door for ever."""
    order_id, _ = await acknowledged(life)
    await life.cancel(order_id, "c1")
    await life.submit(key="k2", quantity=3)
    life.gateway.answers = [NotSent("connect")] * 3
    await life.dispatch()  # ends: what was tried in vain waits a little
    kinds = [one.kind for one in life.gateway.sends[1:]]
    assert kinds.count(RequestKind.NEW) == 1
    assert kinds.count(RequestKind.CANCELLATION) <= 3


async def test_only_what_goes_out_counts_against_the_pace(life: Life) -> None:
    spent: list[str] = []
    sender = replace(life.dispatcher, spend=spent.append)
    await life.submit()
    await life.submit(key="k2", quantity=3)
    await fetch(life.urls.superuser, "update order_request set send_by = queued_at where quantity = 3")
    while await sender.dispatch_one([BROKER]):
        pass
    assert (spent, len(life.gateway.sends)) == ([BROKER], 1)


async def test_a_request_somebody_else_settled_meanwhile_is_left_alone(life: Life) -> None:
    """Read committed: a look may find a request queued whose order was withdrawn before the lock was ours."""
    order_id = await life.submit()
    request = (await life.requests())[0]["id"]
    await life.cancel(order_id, "c1")
    before = await life.order()
    async with life.worker.transaction() as connection:
        assert await life.dispatcher._claim(connection, order_id, request) is None
    after = await life.order()
    assert (after["status"], after["version"]) == ("canceled", before["version"])
    assert (await life.requests())[0]["reason"] == "withdrawn"


async def test_a_known_answer_survives_a_database_that_was_away(life: Life) -> None:
    """Refused by the platform, and the connection breaks while that is written: it must not end as unknown."""
    calls = 0

    @asynccontextmanager
    async def breaking(*, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionResetError("the server went away")
        async with life.worker.transaction(books=books) as connection:
            yield connection

    await life.submit()
    life.gateway.answers = [Refused("3012", "account unknown at broker", b"{}")]
    await replace(life.dispatcher, transaction=breaking).dispatch_one([BROKER])
    assert (await life.requests())[0]["state"] == "refused"
    assert (await life.order())["status"] == "rejected"
