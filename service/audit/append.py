"""Append to the ledger, in the transaction of the effect: if the entry cannot be written, nothing happens (P28)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import FromClause, Insert, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.canonical import encode
from service.audit.tables import record as record_table
from service.core.ids import uuid7
from service.core.principal import Principal
from service.infra.effects import Change, Effect, Returning

VERSION = 1
COLUMNS = ("record_id", "kind", "subject_kind", "subject_id", "subject_seq", "body")


@dataclass(frozen=True)
class Entry:
    """One ledger entry ready to be written. `seq` counts gap-free per subject (only an order has a counter)."""

    record_id: UUID
    kind: str
    subject_kind: str
    subject_id: str
    subject_seq: int
    body: bytes

    def values(self, prefix: str = "") -> dict[str, Any]:
        return {
            f"{prefix}record_id": self.record_id,
            f"{prefix}kind": self.kind,
            f"{prefix}subject_kind": self.subject_kind,
            f"{prefix}subject_id": self.subject_id,
            f"{prefix}subject_seq": self.subject_seq,
            f"{prefix}body": self.body,
        }


def entry(
    *,
    kind: str,
    subject: tuple[str, UUID | str],
    body: Mapping[str, Any],
    seq: int | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
    at: datetime | None = None,
) -> Entry:
    """Build an entry. Without `seq` the subject has no counter, so the entry is its own subject (sequence 1) and
    names what it is about: a shared subject would make strangers wait for each other."""
    record_id = uuid7()
    document = {
        "v": VERSION,
        "kind": kind,
        "about": [subject[0], str(subject[1])],
        "actor": None if principal is None else str(principal.user_id),
        "request_id": request_id,
        "at": at,
        "data": dict(body),
    }
    own = seq is None
    return Entry(
        record_id=record_id,
        kind=kind,
        subject_kind="entry" if own else subject[0],
        subject_id=str(record_id) if own else str(subject[1]),
        subject_seq=seq or 1,
        body=encode(document),
    )


async def record(connection: AsyncConnection, **what: Any) -> None:
    """Append one entry (arguments of `entry`)."""
    await write(connection, [entry(**what)])


async def write(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Append entries in their order."""
    if entries:
        await connection.execute(insert(record_table), [one.values() for one in entries])


def insert_part(source: FromClause, prefix: str = "audit_") -> Insert:
    """The insert as a part of a hot statement, one row for each row of `source`; binds `{prefix}record_id` and so on."""
    binds = [bindparam(f"{prefix}{name}", type_=record_table.c[name].type) for name in COLUMNS]
    return insert(record_table).from_select(COLUMNS, select(*binds).select_from(source))


def _write_rows(rows: FromClause) -> Returning:
    wanted = select(*[rows.c[name] for name in COLUMNS])
    return insert(record_table).from_select(COLUMNS, wanted).returning(record_table.c.record_id)


RECORDED = Effect("recorded", {name: record_table.c[name].type for name in COLUMNS}, _write_rows)


def recorded(entries: Sequence[Entry]) -> Change:
    """Entries as one of the changes of `effects.write`."""
    return Change(RECORDED, [one.values() for one in entries])
