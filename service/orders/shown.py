"""Orders as callers see them, with what was tried and decided about those in doubt."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.orders import doubt_store
from service.orders.doubt import closed_on_absence, doubtful_since
from service.orders.model import Order
from service.orders.resource import order_document


async def shown(connection: AsyncConnection, orders: Sequence[Order]) -> list[dict[str, Any]]:
    """The resources of orders, in their order. Only those that may be in doubt cost a question more."""
    doubtful = [one.id for one in orders if _may_be_in_doubt(one)]
    if not doubtful:
        return [order_document(one) for one in orders]
    steps = await doubt_store.steps_of(connection, doubtful)
    decisions = await doubt_store.decisions_of(connection, doubtful)
    return [order_document(one, steps.get(one.id, ()), decisions.get(one.id, ())) for one in orders]


def _may_be_in_doubt(order: Order) -> bool:
    return any(doubtful_since(one) is not None or closed_on_absence(one) for one in order.requests)
