"""Questions about the ledger. Reading changes nothing; the look-up itself is recorded by the route."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.tables import record


@dataclass(frozen=True)
class EntryFilter:
    """What a listing is narrowed to; None means any. Times are when the entry was written, real time."""

    kind: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def page(connection: AsyncConnection, wanted: EntryFilter, *, limit: int, before: int | None) -> list[Mapping[str, Any]]:
    """Newest first by arrival, one row beyond the limit."""
    question = select(record).where(*_conditions(wanted)).order_by(record.c.arrived.desc()).limit(limit + 1)
    if before is not None:
        question = question.where(record.c.arrived < before)
    return [dict(row) for row in (await connection.execute(question)).mappings()]


async def find(connection: AsyncConnection, arrived: int) -> Mapping[str, Any] | None:
    row = (await connection.execute(select(record).where(record.c.arrived == arrived))).mappings().first()
    return None if row is None else dict(row)


LARGEST_SEQ = 2**31 - 1  # of an entry about one subject: the column is an integer


async def about(connection: AsyncConnection, subject: tuple[str, str], *, after: int, limit: int) -> list[Mapping[str, Any]]:
    """Entries of a subject that has a counter, oldest first after number `after`, one row beyond the limit."""
    c = record.c
    question = (
        select(c.subject_seq, c.written_at, c.body)
        .where(c.subject_kind == subject[0], c.subject_id == subject[1], c.subject_seq > after)
        .order_by(c.subject_seq)
        .limit(limit + 1)
    )
    return [dict(row) for row in (await connection.execute(question)).mappings()]


def _conditions(wanted: EntryFilter) -> list[ColumnElement[bool]]:
    c = record.c
    named = {"kind": wanted.kind, "subject_kind": wanted.subject_kind, "subject_id": wanted.subject_id}
    found = [c[name] == value for name, value in named.items() if value is not None]
    if wanted.since is not None:
        found.append(c.written_at >= wanted.since)
    if wanted.until is not None:
        found.append(c.written_at < wanted.until)
    return found
