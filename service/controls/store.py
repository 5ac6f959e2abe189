"""Questions about halts, locked brokers and the stream's gate."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls.model import Gate, Halt, Lock, Scope
from service.controls.parts import gate_part
from service.controls.tables import broker_lock, halt, halt_gate, stream_gate
from service.infra import leases
from service.infra.leases import Lease

HALT_FIELDS = tuple(one.name for one in fields(Halt))
LOCK_FIELDS = tuple(one.name for one in fields(Lock))

READ = select(gate_part())  # composed once: composing takes longer than asking
SHUT = text("LOCK TABLE halt_gate IN EXCLUSIVE MODE")


async def gate(connection: AsyncConnection, com_id: str | None) -> Gate:
    """The gate as it is now. `com_id`: the stream that must be seen; none asks about no stream."""
    return Gate.of((await connection.execute(READ, {"com_id": com_id})).mappings().one())


@dataclass(frozen=True)
class StreamGate:
    """Whether the stream of a comId is seen, and by whom."""

    com_id: str
    open: bool
    since: datetime  # real time
    why: str
    lease: str
    lease_epoch: int


async def set_stream_gate(connection: AsyncConnection, com_id: str, lease: Lease, *, opened: bool, why: str) -> bool:
    """Open or shut the gate of a stream, for the holder of its lease alone; False for anybody else. The moment is kept
    while the gate stays as it is."""
    if not await leases.held(connection, lease):
        return False
    values = {"open": opened, "why": why, "lease": lease.name, "lease_epoch": lease.epoch}
    made = upsert(stream_gate).values(com_id=com_id, since=func.clock_timestamp(), **values)
    same = and_(stream_gate.c.open == made.excluded.open, stream_gate.c.lease_epoch == made.excluded.lease_epoch)
    since = case((same, stream_gate.c.since), else_=made.excluded.since)
    await connection.execute(made.on_conflict_do_update(index_elements=["com_id"], set_=values | {"since": since}))
    return True


async def stream_gates(connection: AsyncConnection) -> list[StreamGate]:
    names = [one.name for one in fields(StreamGate)]
    rows = (await connection.execute(select(stream_gate).order_by(stream_gate.c.com_id))).mappings()
    return [StreamGate(**{name: row[name] for name in names}) for row in rows]


async def shut_gate(connection: AsyncConnection) -> None:
    """Wait for every claim under way, and let no other begin before this transaction ends. The whole table: claims share
    the row without a pause and would let nobody through who waits for it alone; a table's queue is fair."""
    await connection.execute(SHUT)
    await connection.execute(update(halt_gate).values(version=halt_gate.c.version + 1))


async def raise_epoch(connection: AsyncConnection) -> int:
    """The caller has shut the gate."""
    raised = update(halt_gate).values(cluster_epoch=halt_gate.c.cluster_epoch + 1).returning(halt_gate.c.cluster_epoch)
    return int((await connection.execute(raised)).scalar_one())


async def add_halt(connection: AsyncConnection, made: Halt) -> None:
    await connection.execute(insert(halt).values({name: getattr(made, name) for name in HALT_FIELDS}))


async def find_halt(connection: AsyncConnection, halt_id: UUID) -> Halt | None:
    """The halt, held until this transaction ends."""
    row = (await connection.execute(select(halt).where(halt.c.id == halt_id).with_for_update())).mappings().first()
    return None if row is None else _halt(row)


async def release_halt(connection: AsyncConnection, released: Halt) -> None:
    changed = {name: getattr(released, name) for name in ("released_by", "released_at", "release_reason")}
    await connection.execute(update(halt).where(halt.c.id == released.id).values(changed))


async def add_lock(connection: AsyncConnection, made: Lock) -> bool:
    """False when the broker is locked already."""
    values = {name: getattr(made, name) for name in LOCK_FIELDS}
    standing = upsert(broker_lock).values(values)
    once = standing.on_conflict_do_nothing(index_elements=["broker"], index_where=broker_lock.c.released_at.is_(None))
    return (await connection.execute(once.returning(broker_lock.c.id))).first() is not None


async def find_lock(connection: AsyncConnection, lock_id: UUID) -> Lock | None:
    """The lock, held until this transaction ends."""
    row = (await connection.execute(select(broker_lock).where(broker_lock.c.id == lock_id).with_for_update())).mappings().first()
    return None if row is None else Lock(**{name: row[name] for name in LOCK_FIELDS})


async def release_lock(connection: AsyncConnection, released: Lock) -> None:
    changed = {name: getattr(released, name) for name in ("released_by", "released_at", "release_reason")}
    await connection.execute(update(broker_lock).where(broker_lock.c.id == released.id).values(changed))


async def locks_page(connection: AsyncConnection, *, standing: bool | None, limit: int, before: UUID | None) -> list[Lock]:
    """Newest first, one row beyond the limit."""
    question = select(broker_lock).order_by(broker_lock.c.id.desc()).limit(limit + 1)
    if standing is not None:
        question = question.where(broker_lock.c.released_at.is_(None) if standing else broker_lock.c.released_at.is_not(None))
    if before is not None:
        question = question.where(broker_lock.c.id < before)
    rows = (await connection.execute(question)).mappings()
    return [Lock(**{name: row[name] for name in LOCK_FIELDS}) for row in rows]


async def halts_page(connection: AsyncConnection, *, standing: bool | None, limit: int, before: UUID | None) -> list[Halt]:
    """Newest first, one row beyond the limit. `standing` narrows to those that stop something now, or to those released."""
    question = select(halt).order_by(halt.c.id.desc()).limit(limit + 1)
    if standing is not None:
        question = question.where(halt.c.released_at.is_(None) if standing else halt.c.released_at.is_not(None))
    if before is not None:
        question = question.where(halt.c.id < before)
    return [_halt(row) for row in (await connection.execute(question)).mappings()]


def _halt(row: Mapping[Any, Any]) -> Halt:
    return Halt(**{name: row[name] for name in HALT_FIELDS} | {"scope": Scope(row["scope"])})
