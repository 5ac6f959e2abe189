"""Hold an answer until the broker has spoken (`Prefer: wait=N`)."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import orjson

from service.core.clock import monotonic
from service.core.principal import Principal
from service.infra import idempotency
from service.infra.idempotency import Answer, Intent
from service.infra.notify import Wake
from service.orders import store
from service.orders.desk import Desk
from service.orders.intents import books_of
from service.orders.model import Order, RequestState, Status
from service.orders.resource import order_document

LONGEST_S = 10
POLL_S = 0.25
WAIT = re.compile(r"\bwait=(\d{1,4})\b")
UNSPOKEN = frozenset({RequestState.QUEUED, RequestState.SENDING, RequestState.SENT})

Subscribe = Callable[[str], AbstractAsyncContextManager[Wake]]


def seconds_wanted(prefer: str | None) -> int:
    """How long a caller wants to wait: 0 to 10 seconds."""
    found = WAIT.search(prefer or "")
    return min(int(found.group(1)), LONGEST_S) if found else 0


async def settled(
    desk: Desk, subscribe: Subscribe, answer: Answer, *, seconds: int, principal: Principal, intent: Intent
) -> Answer:
    """The order after the broker has acknowledged or rejected the newest request, or after `seconds`. The stored first
    answer becomes this one, so that a replay gives the same bytes."""
    order_id = UUID(orjson.loads(answer.body)["id"])
    order = await _until_spoken(desk, subscribe, order_id, principal, monotonic() + seconds)
    if order is None:
        return answer
    final = Answer(answer.status, orjson.dumps(order_document(order)))
    async with desk.transaction() as connection:
        await idempotency.revise(connection, intent, final)
    return final


async def _until_spoken(desk: Desk, subscribe: Subscribe, order_id: UUID, principal: Principal, until: float) -> Order | None:
    async with subscribe("orders.changed") as wake:
        while True:
            async with desk.transaction(books=books_of(principal)) as connection:
                order = await store.load(connection, order_id)
            left = until - monotonic()
            if order is None or _spoken(order) or left <= 0:
                return order
            await wake.wait(min(left, POLL_S))


def _spoken(order: Order) -> bool:
    return order.requests[-1].state not in UNSPOKEN and order.status is not Status.PENDING_NEW
