"""Questions about orders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.ids import lot
from service.core.money import Won
from service.gateway import OrderType, RequestKind, Session, Side, TimeInForce
from service.infra.tables import cl_ord_id_part
from service.mandates.facts import mandate_part
from service.mandates.model import Limits
from service.mandates.parts import claim_turnover
from service.market.facts import instrument_part
from service.orders.checks import InstrumentFacts
from service.orders.model import Order, Request, RequestState, Status
from service.orders.places import Place
from service.orders.tables import attempt, order_report, order_request, order_sighting, orders

ENUMS: Mapping[str, Any] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "session": Session,
    "status": Status,
    "kind": RequestKind,
    "state": RequestState,
}
ORDER_FIELDS = tuple(one.name for one in fields(Order) if one.name != "requests")
REQUEST_FIELDS = tuple(one.name for one in fields(Request))


def _typed(row: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    values = {name: row[name] for name in names}
    return {name: ENUMS[name](value) if name in ENUMS else value for name, value in values.items()}


def to_request(row: Mapping[Any, Any]) -> Request:
    return Request(**_typed(row, REQUEST_FIELDS))


def to_order(row: Mapping[Any, Any], requests: Sequence[Request] = ()) -> Order:
    return Order(**_typed(row, ORDER_FIELDS), requests=tuple(requests))


async def load(connection: AsyncConnection, order_id: UUID, *, lock: bool = False) -> Order | None:
    """One order with its requests, or None when it is not there or not in the caller's books. `lock` holds its row:
    whoever changes anything about an order, its requests or its fills locks that row first."""
    question = select(orders).where(orders.c.id == order_id)
    row = (await connection.execute(question.with_for_update() if lock else question)).mappings().first()
    if row is None:
        return None
    return to_order(row, (await requests_of(connection, [order_id])).get(order_id, []))


async def requests_of(connection: AsyncConnection, order_ids: Sequence[UUID]) -> dict[UUID, list[Request]]:
    """Requests by order, in their order."""
    question = (
        select(order_request)
        .where(order_request.c.order_id.in_(order_ids))
        .order_by(order_request.c.order_id, order_request.c.number)
    )
    found: dict[UUID, list[Request]] = {}
    for row in (await connection.execute(question)).mappings():
        found.setdefault(row["order_id"], []).append(to_request(row))
    return found


@dataclass(frozen=True)
class Filter:
    """What a listing is narrowed to; None means any."""

    account_id: UUID | None = None
    isin: str | None = None
    side: Side | None = None
    status: Status | None = None
    business_date: date | None = None
    manager_id: UUID | None = None
    client_order_id: str | None = None


async def page(connection: AsyncConnection, wanted: Filter, *, limit: int, before: UUID | None) -> list[Order]:
    """Newest first; `before` is the id of the last row seen, so that inserts move nothing."""
    question = select(orders).where(*_conditions(wanted)).order_by(orders.c.id.desc()).limit(limit)
    if before is not None:
        question = question.where(orders.c.id < before)
    rows = (await connection.execute(question)).mappings().all()
    requests = await requests_of(connection, [row["id"] for row in rows])
    return [to_order(row, requests.get(row["id"], [])) for row in rows]


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    given = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
    return [orders.c[name] == value for name, value in given.items() if value is not None]


def ids_given(manager_id: UUID | None, client_order_id: str | None) -> Select[tuple[UUID]]:
    """Ids of orders by who gave them and what they called them, as a part of another slice's question."""
    return select(orders.c.id).where(*_conditions(Filter(manager_id=manager_id, client_order_id=client_order_id)))


async def next_cl_ord_id(connection: AsyncConnection, business_date: date) -> str:
    question = select(cl_ord_id_part(literal(business_date), literal(lot(), BigInteger)))
    return str((await connection.execute(question)).scalar_one())


async def add_request(connection: AsyncConnection, order: Order, request: Request) -> None:
    values = {name: getattr(request, name) for name in REQUEST_FIELDS}
    await connection.execute(insert(order_request).values({**values, "broker": order.broker}))


async def save_order(connection: AsyncConnection, order_id: UUID, **changes: Any) -> bool:
    """Write changed columns; the version rises with every write. False when the order is not in the caller's books any more."""
    wanted = update(orders).where(orders.c.id == order_id).values(version=orders.c.version + 1, **changes)
    return (await connection.execute(wanted)).rowcount == 1


async def sent_or_being_sent(connection: AsyncConnection, request_id: UUID) -> bool:
    """Whether any attempt may have put a byte on the wire."""
    may = attempt.c.outcome.is_(None) | (attempt.c.outcome != "not_sent")
    question = select(func.count()).select_from(attempt).where(attempt.c.request_id == request_id, may)
    return (await connection.execute(question)).scalar_one() > 0


async def limits_of(connection: AsyncConnection, order: Order) -> Limits:
    """The limits of the mandate the order's account belongs to now; none of an account without one."""
    values = {"account_id": order.account_id, "user_id": order.manager_id, "business_date": order.business_date}
    row = (await connection.execute(select(mandate_part()), values)).mappings().first()
    return Limits.from_json(json.loads(row["limits"])) if row else Limits()


MORE_TURNOVER = claim_turnover(select(literal(1).label("one")).cte("once"))


async def claim_more_turnover(connection: AsyncConnection, order: Order, won: Won, limit: Won | None) -> bool:
    """Add to what the order has claimed of its mandate's turnover of the day; False where that would pass the limit. Cash is
    locked before it, as in a submission."""
    values = {"mandate_id": order.mandate_id, "business_date": order.business_date, "value_won": won, "turnover_limit": limit}
    return (await connection.execute(MORE_TURNOVER, values)).first() is not None


async def instrument_of(connection: AsyncConnection, order: Order) -> InstrumentFacts | None:
    """The order's instrument on its business date."""
    values = {"isin": order.isin, "symbol": None, "business_date": order.business_date}
    row = (await connection.execute(select(instrument_part()), values)).mappings().first()
    return InstrumentFacts(**{one.name: row[one.name] for one in fields(InstrumentFacts)}) if row else None


# --- what is still open -----------------------------------------------------------------------------------------------


def _open() -> Select[Any]:
    return select(orders).where(orders.c.closed.is_(False))


async def open_orders(connection: AsyncConnection, places: Sequence[Place], *, ended_before: datetime) -> list[Order]:
    """Orders of these accounts and days that are still open although their session ended."""
    there = tuple_(orders.c.account_id, orders.c.business_date).in_(places)
    return await _whole(connection, _open().where(there, orders.c.session_ends <= ended_before)) if places else []


async def doubtful_orders(connection: AsyncConnection, *, unheard_since: datetime) -> list[Order]:
    """Open orders that somebody may have to ask the broker about: executions unaccounted for, an unknown request, a new
    one sent before `unheard_since` and not heard of, a refused cancellation. All open orders would be thousands."""
    c = order_request.c
    telling = or_(
        c.state == "unknown",
        and_(c.kind == "new", c.state == "sent", c.sent_at <= unheard_since),
        and_(c.kind == "cancellation", c.state == "refused"),
    )
    unaccounted = orders.c.reported_quantity > orders.c.filled_quantity
    return await _whole(connection, _open().where(or_(unaccounted, exists().where(c.order_id == orders.c.id, telling))))


async def _whole(connection: AsyncConnection, question: Select[Any]) -> list[Order]:
    rows = (await connection.execute(question.order_by(orders.c.account_id, orders.c.id))).mappings().all()
    requests = await requests_of(connection, [row["id"] for row in rows])
    return [to_order(row, requests.get(row["id"], [])) for row in rows]


async def orders_of_day(connection: AsyncConnection, account_id: UUID, day: date) -> list[Order]:
    question = select(orders).where(and_(orders.c.account_id == account_id, orders.c.business_date == day))
    rows = (await connection.execute(question.order_by(orders.c.id))).mappings().all()
    requests = await requests_of(connection, [row["id"] for row in rows])
    return [to_order(row, requests.get(row["id"], [])) for row in rows]


async def counts(connection: AsyncConnection) -> dict[str, int]:
    """Requests by state, where somebody still has to do something."""
    question = (
        select(order_request.c.state, func.count())
        .where(order_request.c.state.in_(["queued", "sending", "sent", "unknown"]))
        .group_by(order_request.c.state)
    )
    return {row[0]: row[1] for row in await connection.execute(question)}


async def to_review(connection: AsyncConnection) -> int:
    """Orders a person has to look at."""
    return (await connection.execute(select(func.count()).where(orders.c.needs_review.is_not(None)))).scalar_one()


async def reviews(connection: AsyncConnection, limit: int) -> list[tuple[UUID, str]]:
    """Orders a person has to look at, and why; the newest first."""
    question = select(orders.c.id, orders.c.needs_review).where(orders.c.needs_review.is_not(None))
    return [(row[0], row[1]) for row in await connection.execute(question.order_by(orders.c.id.desc()).limit(limit))]


async def external_open(connection: AsyncConnection) -> int:
    """Orders nobody here sent that may still trade."""
    question = select(func.count()).where(orders.c.closed.is_(False), orders.c.manager_id.is_(None))
    return (await connection.execute(question)).scalar_one()


async def outlived(connection: AsyncConnection, today: date, limit: int) -> list[UUID]:
    """Orders the broker had, still open though their day is over: nothing told their end; the oldest first."""
    c = orders.c
    question = select(c.id).where(c.closed.is_(False), c.business_date < today, c.status != Status.PENDING_NEW.value)
    return list((await connection.execute(question.order_by(c.business_date, c.id).limit(limit))).scalars())


async def oldest_unknown(connection: AsyncConnection) -> datetime | None:
    """Since when (business time) the request has been unknown that has been so for longest."""
    c = order_request.c
    question = select(func.min(func.coalesce(c.answered_at, c.sent_at))).where(c.state == "unknown")
    return (await connection.execute(question)).scalar()


async def in_doubt(connection: AsyncConnection, limit: int) -> list[UUID]:
    """Orders with a request whose outcome is unknown, by the books that are open; the oldest first."""
    unknown = select(order_request.c.order_id).where(order_request.c.state == "unknown")
    question = select(orders.c.id).where(orders.c.id.in_(unknown)).order_by(orders.c.id).limit(limit)
    return list((await connection.execute(question)).scalars())


async def open_by_broker(connection: AsyncConnection) -> dict[str, int]:
    question = select(orders.c.broker, func.count()).where(orders.c.closed.is_(False)).group_by(orders.c.broker)
    return {row[0]: row[1] for row in await connection.execute(question)}


# --- orders that are not ours ---------------------------------------------------------------------------------------------


async def add_order(connection: AsyncConnection, order: Order) -> None:
    """Write an order that is not ours: it has no request and was never checked (a new one of ours goes another way)."""
    await connection.execute(insert(orders).values({name: getattr(order, name) for name in ORDER_FIELDS}))


async def orders_under_way(connection: AsyncConnection, account_id: UUID, day: date) -> list[Order]:
    """Open orders of ours with a request that is on its way or in doubt."""
    c = order_request.c
    open_request = exists().where(c.order_id == orders.c.id, c.state.in_(["sending", "sent", "unknown"]))
    return await _whole(connection, _open().where(_ours(account_id, day), open_request))


async def unnumbered_orders(connection: AsyncConnection, account_id: UUID, day: date) -> list[Order]:
    """Orders of ours, ended ones too, that the broker has and of which nobody told the first number: no report by the order's
    own name, no inquiry. A change's report may have told its own number, at brokers that give it one."""
    c, report = order_request.c, order_report.c
    named = and_(report.document["cl_ord_id"].astext == c.cl_ord_id, report.document["order_id"].astext.is_not(None))
    told = exists().where(report.order_id == orders.c.id, named)
    listed = exists().where(order_sighting.c.order_id == orders.c.id)
    new = exists().where(c.order_id == orders.c.id, c.kind == "new", c.state == "acknowledged", ~told)
    return await _whole(connection, select(orders).where(_ours(account_id, day), new, ~listed))


def _ours(account_id: UUID, day: date) -> ColumnElement[bool]:
    return and_(orders.c.account_id == account_id, orders.c.business_date == day, orders.c.manager_id.is_not(None))
