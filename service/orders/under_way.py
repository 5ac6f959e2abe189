"""Sends that were claimed and have no answer yet: what a halt tells whoever presses it."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls.model import Scope, UnderWay
from service.orders.tables import attempt, order_request, orders

BEGINS_WITHIN_S = 4  # a sender writes its first byte within 3 s of its claim or not at all


async def under_way(connection: AsyncConnection, scope: Scope, target: str | None) -> list[UnderWay]:
    """New orders and amendments of what a halt names whose claimed send has no answer."""
    return await _told(connection, _question(attempt.c.outcome.is_(None), *_named(scope, target)))


async def again(connection: AsyncConnection, request_ids: Sequence[UUID]) -> list[UnderWay]:
    """The same requests as they are now."""
    return await _told(connection, _question(order_request.c.id.in_(request_ids)))


def _named(scope: Scope, target: str | None) -> list[ColumnElement[bool]]:
    if scope is Scope.FIRM or target is None:
        return []
    named: dict[Scope, Callable[[str], ColumnElement[bool]]] = {
        Scope.BROKER: lambda code: orders.c.broker == code,
        Scope.ACCOUNT: lambda account: orders.c.account_id == UUID(account),
        Scope.INSTRUMENT: lambda isin: orders.c.isin == isin,
        Scope.MANAGER: lambda user: or_(orders.c.manager_id == UUID(user), order_request.c.user_id == UUID(user)),
    }
    return [named[scope](target)]


def _question(*which: ColumnElement[bool]) -> Select[Any]:
    tried = attempt.alias("tried")
    last = select(func.max(tried.c.n)).where(tried.c.request_id == order_request.c.id).scalar_subquery()
    too_late = attempt.c.claimed_at + func.make_interval(0, 0, 0, 0, 0, 0, BEGINS_WITHIN_S) < func.clock_timestamp()
    settled = or_(attempt.c.outcome.is_not(None), too_late)
    joined = order_request.join(attempt, and_(attempt.c.request_id == order_request.c.id, attempt.c.n == last)).join(
        orders, orders.c.id == order_request.c.order_id
    )
    shown = (order_request.c.id, orders.c.id.label("order_id"), order_request.c.cl_ord_id, order_request.c.kind)
    question = select(*shown, order_request.c.state, settled.label("settled")).select_from(joined)
    return question.where(order_request.c.kind != "cancellation", *which).order_by(order_request.c.cl_ord_id)


async def _told(connection: AsyncConnection, question: Select[Any]) -> list[UnderWay]:
    rows = await connection.execute(question)
    return [UnderWay(row.id, row.order_id, row.cl_ord_id, row.kind, row.state, row.settled) for row in rows]
