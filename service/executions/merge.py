"""An order adopted as external proves to be one of ours. Counted once, kept whole.

It happens when our request was believed dead (closed on absence by two people) or the broker's clock was far off, and a report
without ClOrdID came first. Then a report of ours has that number, or a row of ours changes it. What was said about the stranger
is now said about ours; its fills are undone where they stood and booked where they belong, in the same transaction.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.ids import uuid7
from service.executions import store
from service.executions.fills import Dated, costs_of, net, new_fills, restated, short
from service.executions.matching import standing
from service.executions.store import Fill
from service.gateway import Gateway
from service.infra.effects import Change, write
from service.orders import known, whole
from service.orders.advance import Cause, step, withdraw, write_steps
from service.orders.model import Order

log = structlog.get_logger()

AGAIN = 1_000_000_000  # added to a fill's place in its evidence when it is booked a second time, at the right order


async def merge_strangers(
    connection: AsyncConnection, learned: Iterable[tuple[Order, str]], dated: Dated, gateway: Gateway, now: datetime
) -> None:
    """`learned` are orders of ours, their rows locked, each with a bare number that has just proved to be one of its own."""
    for order, number in learned:
        stranger = await store.external_with(connection, order.account_id, order.business_date, number)
        if stranger is not None and stranger != order.id:
            await merge(connection, order, stranger, dated, gateway, now)


async def merge(connection: AsyncConnection, order: Order, stranger: UUID, dated: Dated, gateway: Gateway, now: datetime) -> None:
    """The caller holds the row of `order`."""
    await _give_up(connection, stranger, order, dated, gateway, now)
    await _take_over(connection, order.id, stranger, dated, gateway, now)
    log.error("order.merged", order_id=str(order.id), external_id=str(stranger))


async def _give_up(
    connection: AsyncConnection, stranger: UUID, order: Order, dated: Dated, gateway: Gateway, now: datetime
) -> None:
    await whole.lock(connection, [stranger])
    before = (await whole.read(connection, [stranger]))[stranger].order
    fills = (await store.fills_of(connection, [stranger]))[stranger]
    undone = [_undone(one, len(fills) + 1 + i, now) for i, one in enumerate(standing(fills))]
    (costs,), saved = await costs_of(connection, [(before, undone)], dated, gateway)
    await known.hand_over(connection, stranger, order.id)
    await store.merged(connection, stranger, order.id)
    empty = replace(before, filled_quantity=0, filled_amount=Decimal(0), reported_quantity=0, broker_order_number=None)
    cause = Cause("order.merged", {"into": str(order.id), "fills": [short(one) for one in undone]})
    await withdraw(connection, before, empty, cause, now, net(undone, costs))
    await write(connection, [store.filled(undone), Change(store.RESTATED, restated(undone, now)), *saved])


def _undone(one: Fill, number: int, now: datetime) -> Fill:
    return replace(
        one, id=uuid7(), number=number, quantity=-one.quantity, amount=-one.amount, traded_at=now, exec_id=None, reverses=one.id
    )


async def _take_over(
    connection: AsyncConnection, order_id: UUID, stranger: UUID, dated: Dated, gateway: Gateway, now: datetime
) -> None:
    told = (await whole.read(connection, [order_id]))[order_id]
    held = (await store.fills_of(connection, [order_id]))[order_id]
    fills = [replace(one, evidence_row=one.evidence_row + AGAIN) for one in new_fills(told, held, dated, now).fills]
    (costs,), saved = await costs_of(connection, [(told.order, fills)], dated, gateway)
    cause = Cause("order.merged", {"external": str(stranger), "fills": [short(one) for one in fills]})
    moved = step(told, cause, profile=gateway.profile(told.order.broker), now=now, traded=net(fills, costs))
    await write_steps(connection, [moved], [store.filled(fills), *saved])
