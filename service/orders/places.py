"""Accounts and business dates whose orders somebody may have to ask the broker about."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.orders.tables import order_request, orders

Place = tuple[UUID, date]


async def live_places(connection: AsyncConnection, *, since: date) -> Sequence[Place]:
    """Where orders may trade that have left this house, of business dates from `since` on."""
    left = exists().where(order_request.c.order_id == orders.c.id, order_request.c.state != "queued")
    question = (
        select(orders.c.account_id, orders.c.business_date)
        .where(orders.c.closed.is_(False), orders.c.business_date >= since, left)
        .distinct()
        .order_by(orders.c.account_id, orders.c.business_date)
    )
    return [(row.account_id, row.business_date) for row in await connection.execute(question)]
