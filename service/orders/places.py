"""Accounts and business dates whose orders somebody may have to ask the broker about."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.orders.tables import UNANSWERED, order_request, orders

Place = tuple[UUID, date]


async def live_places(connection: AsyncConnection, *, since: date, ending_after: datetime | None = None) -> Sequence[Place]:
    """Where orders may trade that have left this house, of business dates from `since` on; optionally only while their
    session lasts."""
    left = exists().where(order_request.c.order_id == orders.c.id, order_request.c.state != "queued")
    which = [orders.c.business_date >= since, left]
    if ending_after is not None:
        which.append(orders.c.session_ends > ending_after)
    return await _places(connection, *which)


async def ended_places(connection: AsyncConnection, *, before: datetime) -> Sequence[Place]:
    """Where orders are still open although their session has ended, the newest day first: what is old waits for people."""
    return await _places(connection, orders.c.session_ends <= before)


async def traded_places(connection: AsyncConnection, *, since: date) -> dict[Place, datetime]:
    """Where something was executed, open or closed, on business dates from `since` on, and when such an order last moved."""
    c = orders.c
    question = select(c.account_id, c.business_date, func.max(c.updated_at).label("moved_at"))
    question = question.where(c.business_date >= since, c.filled_quantity > 0).group_by(c.account_id, c.business_date)
    rows = await connection.execute(question.order_by(c.business_date, c.account_id))
    return {(row.account_id, row.business_date): row.moved_at for row in rows}


async def unanswered_places(
    connection: AsyncConnection, *, since: date, ending_after: datetime | None = None
) -> Sequence[Place]:  # fmt: skip
    """Where an order has ended with an amendment sent that nobody answered, of business dates from `since` on; optionally
    only while its session lasts."""
    c = orders.c
    question = select(c.account_id, c.business_date).join(order_request, order_request.c.order_id == c.id).distinct()
    question = question.where(c.closed, c.business_date >= since, text(UNANSWERED))
    if ending_after is not None:
        question = question.where(c.session_ends > ending_after)
    rows = await connection.execute(question.order_by(c.business_date, c.account_id))
    return [(row.account_id, row.business_date) for row in rows]


async def _places(connection: AsyncConnection, *which: ColumnElement[bool]) -> list[Place]:
    question = (
        select(orders.c.account_id, orders.c.business_date)
        .where(orders.c.closed.is_(False), *which)
        .distinct()
        .order_by(orders.c.business_date.desc(), orders.c.account_id)
    )
    return [(row.account_id, row.business_date) for row in await connection.execute(question)]
