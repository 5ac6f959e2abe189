"""Hold an answer until the broker has spoken (`Prefer: wait=N`)."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.exc import SQLAlchemyError

from service.core.clock import monotonic
from service.core.principal import Principal
from service.infra import idempotency
from service.infra.db import books_of, is_full
from service.infra.idempotency import Answer, Intent
from service.infra.notify import Wake
from service.orders import store
from service.orders.desk import Desk
from service.orders.model import Order, RequestState, Status
from service.orders.shown import shown

LONGEST_S = 10
POLL_S = 0.25
WAIT = re.compile(r"\bwait=(\d{1,4})\b")
UNSPOKEN = frozenset({RequestState.QUEUED, RequestState.SENDING, RequestState.SENT})

HOLD_S = 5  # longer than the wait itself: time to write the answer down

Subscribe = Callable[[str], AbstractAsyncContextManager[Wake]]


def seconds_wanted(prefer: str | None) -> int:
    """How long a caller wants to wait: 0 to 10 seconds."""
    found = WAIT.search(prefer or "")
    return min(int(found.group(1)), LONGEST_S) if found else 0


def hold(prefer: str | None) -> int:
    """For how long the key stays in progress."""
    seconds = seconds_wanted(prefer)
    return seconds + HOLD_S if seconds else 0


async def settled(
    desk: Desk, subscribe: Subscribe, answer: Answer, *, seconds: int, principal: Principal, intent: Intent
) -> Answer:
    """The order after the broker has acknowledged or rejected the newest request, or after `seconds`: the first answer,
    which every replay repeats. Whoever asks under the same key meanwhile is told that the first call is still running."""
    order_id = UUID(orjson.loads(answer.body)["id"])
    document = await _until_spoken(desk, subscribe, order_id, principal, monotonic() + seconds)
    final = answer if document is None else Answer(answer.status, orjson.dumps(document))
    try:
        async with desk.transaction() as connection:
            return final if await idempotency.finish(connection, intent, final) else answer
    except SQLAlchemyError as error:
        if not is_full(error):
            raise
        return answer  # the order was taken: with no room for a newer answer the first one stands


async def _until_spoken(
    desk: Desk, subscribe: Subscribe, order_id: UUID, principal: Principal, until: float
) -> dict[str, Any] | None:
    async with subscribe("orders.changed") as wake:
        while True:
            async with desk.transaction(books=books_of(principal)) as connection:
                order = await store.load(connection, order_id)
                left = until - monotonic()
                if order is None:
                    return None
                if _spoken(order) or left <= 0:
                    return (await shown(connection, [order]))[0]
            await wake.wait(min(left, POLL_S))


def _spoken(order: Order) -> bool:
    return order.requests[-1].state not in UNSPOKEN and order.status is not Status.PENDING_NEW
