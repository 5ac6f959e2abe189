"""Questions about reports and fills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Sequence as SqlSequence
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.executions.tables import fill, inbox, stream_state
from service.gateway import RawReport, Side
from service.infra.db import metadata
from service.orders.store import ids_given

arrived_seq = SqlSequence("inbox_arrived_seq", metadata=metadata, cache=1)


@dataclass(frozen=True)
class Waiting:
    """A stored message that nobody has applied yet."""

    raw_id: UUID
    arrived: int
    com_id: str
    seq_date: date | None
    seq: int | None


@dataclass(frozen=True)
class Fill:
    """체결: one execution of an order, counted once. Shares and won; a reversal is negative and names what it reverses."""

    id: UUID
    order_id: UUID
    number: int
    account_id: UUID
    business_date: date
    isin: str
    side: Side
    quantity: int
    price: Decimal
    amount: int
    traded_at: datetime
    settles_on: date
    exec_id: str | None
    source: str
    evidence: UUID
    evidence_row: int
    reverses: UUID | None


FILL_FIELDS = tuple(one.name for one in fields(Fill))


async def enqueue(connection: AsyncConnection, raw_id: UUID, raw: RawReport) -> None:
    await connection.execute(
        insert(inbox).values(
            raw_id=raw_id, arrived=arrived_seq.next_value(), com_id=raw.com_id, seq_date=raw.seq_date, seq=raw.seq
        )
    )


async def waiting(connection: AsyncConnection, limit: int) -> list[Waiting]:
    """Messages to apply, as they arrived."""
    c = inbox.c
    question = (
        select(c.raw_id, c.arrived, c.com_id, c.seq_date, c.seq).where(c.state == "waiting").order_by(c.arrived).limit(limit)
    )
    return [Waiting(**row._mapping) for row in await connection.execute(question)]


async def unmatched(connection: AsyncConnection, limit: int) -> list[Waiting]:
    """The newest messages about no order of ours, as far as was known when they came."""
    c = inbox.c
    question = (
        select(c.raw_id, c.arrived, c.com_id, c.seq_date, c.seq)
        .where(c.state == "unmatched")
        .order_by(c.arrived.desc())
        .limit(limit)
    )
    return [Waiting(**row._mapping) for row in await connection.execute(question)]


async def put_back(connection: AsyncConnection, raw_ids: Sequence[UUID]) -> None:
    """Unmatched messages wait again: their order has become known."""
    again = {"state": "waiting", "reason": None, "settled_at": None}
    await connection.execute(update(inbox).where(inbox.c.raw_id.in_(raw_ids), inbox.c.state == "unmatched").values(again))


async def still_waiting(connection: AsyncConnection, raw_ids: Sequence[UUID]) -> set[UUID]:
    """Lock those of the messages nobody has settled meanwhile."""
    question = select(inbox.c.raw_id).where(inbox.c.raw_id.in_(raw_ids), inbox.c.state == "waiting").with_for_update()
    return set((await connection.execute(question)).scalars())


async def settle(connection: AsyncConnection, raw_ids: Sequence[UUID], state: str, reason: str | None = None) -> None:
    await connection.execute(
        update(inbox).where(inbox.c.raw_id.in_(raw_ids)).values(state=state, reason=reason, settled_at=func.clock_timestamp())
    )


async def inbox_counts(connection: AsyncConnection) -> dict[str, int]:
    """Messages that wait or are in trouble."""
    question = select(inbox.c.state, func.count()).where(inbox.c.state != "applied").group_by(inbox.c.state)
    return {row[0]: row[1] for row in await connection.execute(question)}


async def fills_of(connection: AsyncConnection, order_id: UUID) -> list[Fill]:
    rows = await connection.execute(select(fill).where(fill.c.order_id == order_id).order_by(fill.c.number))
    return [to_fill(row) for row in rows.mappings()]


async def add_fills(connection: AsyncConnection, fills: Sequence[Fill]) -> None:
    if fills:
        await connection.execute(insert(fill), [{name: getattr(one, name) for name in FILL_FIELDS} for one in fills])


def to_fill(row: Mapping[str, Any] | Any) -> Fill:
    values = {name: row[name] for name in FILL_FIELDS}
    return Fill(**values | {"side": Side(values["side"])})


@dataclass(frozen=True)
class FillFilter:
    """What a listing of fills is narrowed to; None means any."""

    account_id: UUID | None = None
    isin: str | None = None
    side: Side | None = None
    business_date: date | None = None
    order_id: UUID | None = None
    manager_id: UUID | None = None
    client_order_id: str | None = None

    OWN: ClassVar[tuple[str, ...]] = ("account_id", "isin", "side", "business_date", "order_id")


async def page(connection: AsyncConnection, wanted: FillFilter, *, limit: int, before: UUID | None) -> list[Fill]:
    """Newest first, one row beyond the limit."""
    given = {name: getattr(wanted, name) for name in FillFilter.OWN}
    question = select(fill).where(*[fill.c[name] == value for name, value in given.items() if value is not None])
    if wanted.manager_id is not None or wanted.client_order_id is not None:
        question = question.where(fill.c.order_id.in_(ids_given(wanted.manager_id, wanted.client_order_id)))
    if before is not None:
        question = question.where(fill.c.id < before)
    rows = (await connection.execute(question.order_by(fill.c.id.desc()).limit(limit + 1))).mappings()
    return [to_fill(row) for row in rows]


async def set_stream_state(connection: AsyncConnection, com_id: str, state: str, business_at: datetime) -> None:
    """What the reader of the stream says of it. A loss is counted."""
    lost = 1 if state == "lost" else 0
    fresh = upsert(stream_state).values(
        com_id=com_id, state=state, changed_at=func.clock_timestamp(), business_at=business_at, disconnects=lost
    )
    changed = {
        "state": state,
        "changed_at": func.clock_timestamp(),
        "business_at": business_at,
        "disconnects": stream_state.c.disconnects + lost,
    }
    await connection.execute(fresh.on_conflict_do_update(index_elements=["com_id"], set_=changed))


async def stream_states(connection: AsyncConnection) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.execute(select(stream_state))).mappings()]
