"""Cancel what remains of one order (취소). Always taken while something may live, one at a time.

Of an order that is still queued the cancellation withdraws it here and sends nothing: that no attempt row exists is our own
evidence. Of an order with an unknown outcome it is sent.
Refusals: order-closed, request-in-flight 409.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.errors import Conflict
from service.core.ids import uuid7
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import RequestKind
from service.infra.idempotency import Answer, Intent
from service.orders import store
from service.orders.advance import Cause, hold_more, withdraw
from service.orders.desk import Desk
from service.orders.intents import carry_out, ensure_ours
from service.orders.model import Order, Request, RequestState
from service.orders.outcome import withdrawn
from service.orders.rules import Reserve, blocking_request


async def cancel(desk: Desk, order_id: UUID, *, principal: Principal, intent: Intent, request_id: str) -> Answer:
    """Queue a cancellation, or withdraw an order that was never sent."""

    async def effect(connection: AsyncConnection, order: Order) -> Order:
        now = desk.clock.now()
        _check(order)
        request = await _request(connection, order, principal, now)
        if await _never_sent(connection, order):
            return await _withdraw(connection, order, request, principal, request_id, now)
        return await _queue(connection, order, request, principal, request_id, now)

    return await carry_out(
        desk, order_id, effect, what="cancellation", asked={}, principal=principal, intent=intent, request_id=request_id
    )


def _check(order: Order) -> None:
    ensure_ours(order)
    if order.closed or (order.remaining_quantity == 0 and order.in_doubt() is None):
        raise Conflict("order-closed", f"Nothing of the order can trade any more; it is {order.status}.")
    waiting = blocking_request(order, RequestKind.CANCELLATION)
    if waiting is not None:
        raise Conflict("request-in-flight", f"The cancellation {waiting.cl_ord_id} is {waiting.state}: wait for its answer.")


async def _never_sent(connection: AsyncConnection, order: Order) -> bool:
    born = order.requests[0]
    return born.state is RequestState.QUEUED and not await store.sent_or_being_sent(connection, born.id)


async def _request(connection: AsyncConnection, order: Order, principal: Principal, now: datetime) -> Request:
    return Request(
        id=uuid7(),
        order_id=order.id,
        kind=RequestKind.CANCELLATION,
        number=len(order.requests) + 1,
        cl_ord_id=await store.next_cl_ord_id(connection, order.business_date),
        orig_cl_ord_id=None,
        quantity=order.quantity,
        price=None,
        state=RequestState.QUEUED,
        reason=None,
        user_id=principal.user_id,
        send_by=order.session_ends,
        queued_at=now,
    )


async def _queue(
    connection: AsyncConnection, order: Order, request: Request, principal: Principal, request_id: str, now: datetime
) -> Order:
    await store.add_request(connection, order, request)
    cause = Cause("cancellation.submitted", {"cl_ord_id": request.cl_ord_id}, principal, request_id)
    held = Reserve(Won(order.reserved_cash), order.reserved_quantity)
    return await hold_more(connection, replace(order, requests=(*order.requests, request)), held, cause, now)


async def _withdraw(
    connection: AsyncConnection, order: Order, request: Request, principal: Principal, request_id: str, now: datetime
) -> Order:
    born, done = withdrawn(order.requests[0], now), withdrawn(request, now)
    await store.add_request(connection, order, done)
    cause = Cause("order.withdrawn", {"cl_ord_id": born.cl_ord_id}, principal, request_id)
    ended = replace(order, requests=(born, *order.requests[1:], done))
    return await withdraw(connection, order, ended, cause, now)
