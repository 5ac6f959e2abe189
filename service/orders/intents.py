"""What an amendment and a cancellation share: the key looked up, the order locked, the answer stored with its effect."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit import append
from service.core.errors import Conflict, NotFound, ServiceError, Unavailable
from service.core.principal import Principal
from service.infra import idempotency
from service.infra.db import books_of
from service.infra.effects import Overtaken
from service.infra.failpoints import fp
from service.infra.idempotency import Answer, Intent
from service.orders import store
from service.orders.desk import Desk, budget_exhausted
from service.orders.model import Order
from service.orders.shown import shown

Effect = Callable[[AsyncConnection, Order], Awaitable[Order]]


def order_not_found() -> NotFound:
    return NotFound("order-not-found", "There is no such order in your books.")


def ensure_ours(order: Order) -> None:
    """What this service did not send it cannot change either: there is no request of ours the broker could be told of."""
    if order.external:
        raise Conflict("external-order", "This order was not sent by this service; whoever gave it changes it at the broker.")


async def carry_out(
    desk: Desk,
    order_id: UUID,
    effect: Effect,
    *,
    what: str,
    asked: dict[str, Any],
    spends: bool = False,
    principal: Principal,
    intent: Intent,
    request_id: str,
) -> Answer:
    """Run `effect` on the locked order, once per key. A ServiceError it raises is committed as a refusal: the ledger
    records it and the key remembers it. What `spends` a call raises Busy when the day's calls are used up."""
    left = not spends or await desk.orders_left()
    async with desk.transaction(books=books_of(principal)) as connection:
        replay = await idempotency.stored(connection, intent)
        if replay is not None:
            return replay
        order = await store.load(connection, order_id, lock=True)
        if order is None:
            raise order_not_found()
        replay = await idempotency.stored(connection, intent)  # a twin may have held the lock
        if replay is not None:
            return replay
        if not left:
            raise budget_exhausted()
        answer = await _answer(desk, connection, order, effect, what, asked, principal, request_id)
        await idempotency.remember(connection, intent, answer)
        fp("change.before_commit")
    fp("change.after_commit")
    if answer.status < 300:
        desk.poke("orders")
    return answer


async def _answer(
    desk: Desk, connection: AsyncConnection, order: Order, effect: Effect, what: str, asked: dict[str, Any], principal: Principal,
    request_id: str,
) -> Answer:  # fmt: skip
    try:
        async with connection.begin_nested():  # what a refused verb had written is undone; its refusal is not
            after = await effect(connection, order)
    except Unavailable:
        raise  # not the caller's doing: the same key may try again
    except Overtaken:
        raise order_not_found() from None  # its row is locked: the book was taken from the caller meanwhile
    except ServiceError as refused:
        body = {"asked": asked, "violations": [one.as_dict() for one in refused.violations], "reason": refused.slug}
        if not await store.save_order(connection, order.id, audit_seq=order.audit_seq + 1):
            raise order_not_found() from None  # taken away meanwhile: an entry without its order would bar every later one
        await append.record(
            connection, kind=f"{what}.refused", subject=("order", order.id), seq=order.audit_seq + 1, body=body,
            principal=principal, request_id=request_id, at=desk.clock.now(),
        )  # fmt: skip
        return desk.render(refused)
    return Answer(201, orjson.dumps((await shown(connection, [after]))[0]))
