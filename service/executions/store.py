"""Questions about reports and fills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import FromClause, Uuid, bindparam, column, func, insert, select, update
from sqlalchemy import Sequence as SqlSequence
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.executions.tables import external_order, fill, inbox, restatement, stream_state, sweep_round
from service.gateway import RawReport, Side
from service.infra.db import Either, HotStatement, metadata
from service.infra.effects import Change, Effect, Returning
from service.orders.model import Order
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


async def enqueue(connection: Either, messages: Sequence[tuple[UUID, RawReport]]) -> None:
    """Stored messages wait to be applied, in this order."""
    if messages:
        ids, raws = zip(*messages, strict=True)
        given = {name: [getattr(one, name) for one in raws] for name in ("com_id", "seq_date", "seq")}
        await ENQUEUE.on(connection, raw_id=list(ids), **given)


def _enqueue() -> Any:
    named = ("raw_id", "com_id", "seq_date", "seq")
    binds = [bindparam(name, type_=ARRAY(inbox.c[name].type)) for name in named]
    given = func.unnest(*binds).table_valued(*[column(name, inbox.c[name].type) for name in named], with_ordinality="place")
    rows = given.render_derived(name="given")
    ordered = select(*[rows.c[name] for name in named]).order_by(rows.c.place).subquery()
    numbered = select(*[ordered.c[name] for name in named], arrived_seq.next_value())
    return insert(inbox).from_select([*named, "arrived"], numbered).returning(inbox.c.raw_id)


ENQUEUE = HotStatement(_enqueue())


async def waiting(connection: AsyncConnection, limit: int) -> list[Waiting]:
    """Messages to apply, as they arrived; those somebody else is applying right now are passed over."""
    c = inbox.c
    question = select(*_told()).where(c.state == "waiting").order_by(c.arrived).limit(limit).with_for_update(skip_locked=True)
    return [Waiting(**row._mapping) for row in await connection.execute(question)]


async def unmatched(connection: AsyncConnection, limit: int, after: int = 0) -> list[Waiting]:
    """Messages about no order we know, as they arrived."""
    c = inbox.c
    question = select(*_told()).where(c.state == "unmatched", c.arrived > after).order_by(c.arrived).limit(limit)
    return [Waiting(**row._mapping) for row in await connection.execute(question)]


async def count_unmatched(connection: AsyncConnection, raw_ids: Sequence[UUID]) -> int:
    question = select(func.count()).where(inbox.c.raw_id.in_(raw_ids), inbox.c.state == "unmatched")
    return (await connection.execute(question)).scalar_one()


def _told() -> list[Any]:
    return [inbox.c[one.name] for one in fields(Waiting)]


async def still_open(connection: AsyncConnection, raw_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Lock those of the messages nobody has settled meanwhile or is settling; their state, waiting or unmatched."""
    rows = await STILL_OPEN.on(connection, raw_ids=list(raw_ids))
    return {row["raw_id"]: row["state"] for row in rows}


STILL_OPEN = HotStatement(
    select(inbox.c.raw_id, inbox.c.state)
    .where(inbox.c.raw_id == func.any(bindparam("raw_ids", type_=ARRAY(Uuid))), inbox.c.state.in_(["waiting", "unmatched"]))
    .order_by(inbox.c.raw_id)
    .with_for_update(skip_locked=True)
)


def _settle(rows: FromClause) -> Returning:
    new = {"state": rows.c.state, "reason": rows.c.reason, "order_id": rows.c.order_id, "settled_at": func.clock_timestamp()}
    return update(inbox).where(inbox.c.raw_id == rows.c.raw_id).values(**new).returning(inbox.c.raw_id)


SETTLED = Effect("settled", {name: inbox.c[name].type for name in ("raw_id", "state", "reason", "order_id")}, _settle)


def settled(raw_id: UUID, state: str, reason: str | None = None, order_id: UUID | None = None) -> dict[str, Any]:
    """A row of the effect `SETTLED`: what became of a message."""
    return {"raw_id": raw_id, "state": state, "reason": reason, "order_id": order_id}


async def set_aside(connection: AsyncConnection, order_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Messages set aside, in quarantine or unreadable, by the order they say they are about."""
    c = inbox.c
    about = (c.state.in_(("quarantined", "parked")), c.order_id.in_(order_ids))
    question = select(c.order_id, func.count()).where(*about).group_by(c.order_id)
    return {row[0]: row[1] for row in await connection.execute(question)}


async def inbox_counts(connection: AsyncConnection) -> dict[str, int]:
    """Messages that wait or are in trouble."""
    question = select(inbox.c.state, func.count()).where(inbox.c.state != "applied").group_by(inbox.c.state)
    return {row[0]: row[1] for row in await connection.execute(question)}


async def fills_of(connection: AsyncConnection, order_ids: Sequence[UUID]) -> dict[UUID, list[Fill]]:
    """Every fill of these orders, in their numbers' order."""
    found: dict[UUID, list[Fill]] = {one: [] for one in order_ids}
    for row in await FILLS.on(connection, order_ids=list(order_ids)):
        found[row["order_id"]].append(to_fill(row))
    return found


FILLS = HotStatement(
    select(*[fill.c[name] for name in FILL_FIELDS])
    .where(fill.c.order_id == func.any(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(fill.c.order_id, fill.c.number)
)


def _add_fills(rows: FromClause) -> Returning:
    return insert(fill).from_select(FILL_FIELDS, select(*[rows.c[name] for name in FILL_FIELDS])).returning(fill.c.id)


FILLED = Effect("filled", {name: fill.c[name].type for name in FILL_FIELDS}, _add_fills)


def filled(fills: Sequence[Fill]) -> Change:
    """New fills as one of the changes of `effects.write`."""
    return Change(FILLED, [{name: getattr(one, name) for name in FILL_FIELDS} for one in fills])


def _restate(rows: FromClause) -> Returning:
    names = [one.name for one in restatement.columns]
    return insert(restatement).from_select(names, select(*[rows.c[name] for name in names])).returning(restatement.c.fill_id)


RESTATED = Effect("restated", {one.name: one.type for one in restatement.columns}, _restate)


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


async def note_round(connection: AsyncConnection, accounts: int, every: timedelta, oldest: datetime | None) -> None:
    """What the routine round is like now."""
    values = {
        "accounts": accounts, "every_s": int(every.total_seconds()), "oldest_at": oldest, "noted_at": func.clock_timestamp()
    }  # fmt: skip
    made = upsert(sweep_round).values(single=True, **values)
    await connection.execute(made.on_conflict_do_update(index_elements=["single"], set_=values))


async def last_round(connection: AsyncConnection) -> dict[str, Any] | None:
    row = (await connection.execute(select(sweep_round))).mappings().first()
    return dict(row) if row is not None else None


# --- orders that are not ours ---------------------------------------------------------------------------------------------


async def lock_adoption(connection: AsyncConnection, account_id: UUID) -> None:
    """Until the end of the transaction nobody else adopts an order of this account."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"adopt {account_id}", 0))))


async def add_external(
    connection: AsyncConnection, order: Order, number: str, cl_ord_id: str | None, evidence: UUID, now: datetime
) -> None:
    await connection.execute(
        insert(external_order).values(
            order_id=order.id, account_id=order.account_id, business_date=order.business_date, number=number,
            cl_ord_id=cl_ord_id, evidence=evidence, adopted_at=now,
        )
    )  # fmt: skip


async def adoptions(connection: AsyncConnection, account_id: UUID, day: date) -> dict[UUID, datetime]:
    """When each external order of the day was adopted (business time), but for those that proved to be ours."""
    c = external_order.c
    mine = (c.account_id == account_id, c.business_date == day, c.merged_into.is_(None))
    return {row[0]: row[1] for row in await connection.execute(select(c.order_id, c.adopted_at).where(*mine))}


async def external_with(connection: AsyncConnection, account_id: UUID, day: date, number: str) -> UUID | None:
    """The external order adopted under a broker's number, unless it proved to be ours since."""
    c = external_order.c
    mine = (c.account_id == account_id, c.business_date == day, c.number == number, c.merged_into.is_(None))
    return (await connection.execute(select(c.order_id).where(*mine))).scalar()


async def merged(connection: AsyncConnection, order_id: UUID, into: UUID) -> None:
    await connection.execute(update(external_order).where(external_order.c.order_id == order_id).values(merged_into=into))
