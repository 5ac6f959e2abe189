"""Raw messages, kept whole and encrypted: the evidence behind every state and the source of a rebuild (P19, P30).

A message of the stream is known by (comId, date, seq); a resend of the same is the same message. What has no sequence is
known by its hash. Masking is for the ways out; this table keeps the bytes as they came.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import FromClause, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.tables import raw_message
from service.core.ids import uuid7
from service.infra.db import Either, HotStatement
from service.infra.effects import Change, Effect, Returning

NONCE_BYTES = 12

log = structlog.get_logger()


@dataclass(frozen=True)
class Raw:
    """A message to keep. `source` is stream, inquiry or answer."""

    source: str
    body: bytes
    business_at: datetime
    com_id: str | None = None
    seq_date: date | None = None
    seq: int | None = None


COLUMNS = ("id", "source", "com_id", "seq_date", "seq", "sealed", "digest", "business_at")


def _keep_rows(rows: FromClause) -> Returning:
    wanted = select(*[rows.c[name] for name in COLUMNS])
    return insert(raw_message).from_select(COLUMNS, wanted).returning(raw_message.c.id)


KEPT = Effect("kept", {name: raw_message.c[name].type for name in COLUMNS}, _keep_rows)


def _keep_stream() -> Returning:
    binds = [bindparam(name, type_=ARRAY(raw_message.c[name].type)) for name in COLUMNS]
    given = func.unnest(*binds).table_valued(*[column(name, raw_message.c[name].type) for name in COLUMNS])
    rows = given.render_derived(name="given")
    fresh = insert(raw_message).from_select(COLUMNS, select(*[rows.c[name] for name in COLUMNS]))
    return fresh.on_conflict_do_nothing().returning(raw_message.c.id)


KEEP_STREAM = HotStatement(_keep_stream())


def _held_under() -> Any:
    table = raw_message.c
    numbered = [table.seq_date == func.any(bindparam("days", type_=ARRAY(table.seq_date.type)))]
    numbered += [table.seq == func.any(bindparam("numbers", type_=ARRAY(table.seq.type)))]
    return select(table.com_id, table.seq_date, table.seq, table.digest).where(table.source == "stream", *numbered)


HELD_UNDER = HotStatement(_held_under())


class Vault:
    """Seals and opens raw messages with the data key (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, body: bytes, row_id: UUID) -> bytes:
        """The row's id is bound to the ciphertext, so that two rows cannot be swapped unseen."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, body, row_id.bytes)

    def open(self, sealed: bytes, row_id: UUID) -> bytes:
        return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], row_id.bytes)

    async def keep(self, connection: AsyncConnection, messages: Sequence[Raw]) -> list[UUID]:
        """Store messages that come once (answers, inquiries); returns their ids, in order."""
        rows = [self._row(one) for one in messages]
        if rows:
            await connection.execute(insert(raw_message), rows)
        return [row["id"] for row in rows]

    async def keep_stream(self, connection: Either, messages: Sequence[Raw]) -> list[UUID | None]:
        """Store messages of the stream, all in one statement. In their order the id of each, None for one that is held
        already (its like may stand before it in `messages`). Needs the right to read the table, which the api has not."""
        rows = [self._row(one) for one in messages]
        found = await KEEP_STREAM.on(connection, **{name: [row[name] for row in rows] for name in COLUMNS})
        stored = {row["id"] for row in found}
        return [row["id"] if row["id"] in stored else None for row in rows]

    async def unlike_held(self, connection: Either, messages: Sequence[Raw]) -> list[bool]:
        """Of messages of the stream whether another one, with other bytes, is held under the same number."""
        if not messages:
            return []
        days, numbers = [one.seq_date for one in messages], [one.seq for one in messages]
        rows = await HELD_UNDER.on(connection, days=days, numbers=numbers)
        held = {(row["com_id"], row["seq_date"], row["seq"]): bytes(row["digest"]) for row in rows}
        digests = [hashlib.sha256(one.body).digest() for one in messages]
        return [
            held.get((one.com_id, one.seq_date, one.seq), digest) != digest for one, digest in zip(messages, digests, strict=True)
        ]

    def kept(self, messages: Sequence[Raw]) -> Change:
        """Messages that come once (answers, inquiries), to be stored in one statement with what they prove. The ids of its
        rows are theirs."""
        return Change(KEPT, [self._row(one) for one in messages])

    async def read(self, connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """The bytes of stored messages, by id. One that does not open (another key, damage) is left out: it must not hide
        the others."""
        table = raw_message.c
        rows = await connection.execute(select(table.id, table.sealed).where(table.id.in_(ids)))
        opened = {row.id: self._opened(row.sealed, row.id) for row in rows}
        return {row_id: body for row_id, body in opened.items() if body is not None}

    def _opened(self, sealed: bytes, row_id: UUID) -> bytes | None:
        try:
            return self.open(sealed, row_id)
        except InvalidTag:
            log.error("evidence.undecryptable", raw_id=str(row_id))
            return None

    def _row(self, message: Raw) -> dict[str, Any]:
        row_id = uuid7()
        return {
            "id": row_id,
            "source": message.source,
            "com_id": message.com_id,
            "seq_date": message.seq_date,
            "seq": message.seq,
            "sealed": self.seal(message.body, row_id),
            "digest": hashlib.sha256(message.body).digest(),
            "business_at": message.business_at,
        }


async def missing_ranges(connection: AsyncConnection, com_id: str, day: date) -> list[tuple[int, int]]:
    """Ranges of sequence numbers of a day we do not hold; the last one ends at 0, "to the newest"."""
    table = raw_message.c
    mine = (table.source == "stream") & (table.com_id == com_id) & (table.seq_date == day)
    previous = func.lag(table.seq, 1, 0).over(order_by=table.seq)
    held = select(table.seq, previous.label("previous")).where(mine, table.seq.is_not(None)).subquery()
    gaps = await connection.execute(
        select(held.c.previous, held.c.seq).where(held.c.seq > held.c.previous + 1).order_by(held.c.seq)
    )
    newest = (await connection.execute(select(func.max(table.seq)).where(mine))).scalar() or 0
    return [(row.previous + 1, row.seq - 1) for row in gaps] + [(newest + 1, 0)]


async def newest_day(connection: AsyncConnection, com_id: str, until: date) -> date | None:
    """The last day, not after `until`, of which we hold a numbered message; None without any."""
    table = raw_message.c
    mine = (table.source == "stream") & (table.com_id == com_id) & (table.seq_date <= until) & table.seq.is_not(None)
    newest = select(table.seq_date).where(mine).order_by(table.seq_date.desc()).limit(1)
    found: date | None = (await connection.execute(newest)).scalar()
    return found
