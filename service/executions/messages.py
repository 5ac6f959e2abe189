"""Messages set aside: list them, look at one, have them applied again after a fix. Nothing here changes their bytes.

Replaying puts a message back among those that wait; what it does then follows from its bytes and from everything known, so
doing it twice is harmless. Only what is set aside can be put back: an applied message stays applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit import append
from service.core.errors import Conflict, NotFound
from service.core.principal import Principal
from service.executions.tables import inbox
from service.infra.db import Transaction


class Aside(StrEnum):
    """Why a message has not been applied."""

    PARKED = "parked"  # unreadable
    QUARANTINED = "quarantined"  # readable and impossible
    UNMATCHED = "unmatched"  # about an order nobody knows yet


@dataclass(frozen=True)
class MessageRow:
    """A message as the inbox has it. Times are real, not business time."""

    raw_id: UUID
    arrived: int
    com_id: str
    seq: int | None
    state: str
    reason: str | None
    order_id: UUID | None
    received_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True)
class Why:
    """Who has a message applied again, and why: a user of the service, or whoever sits at its machine."""

    reason: str
    by: str = ""
    at: datetime | None = None  # business time
    principal: Principal | None = None
    request_id: str | None = None


AT_ONCE = 500  # messages put back in one transaction
COLUMNS = ("raw_id", "arrived", "com_id", "seq", "state", "reason", "order_id", "received_at", "settled_at")


def _all() -> Select[tuple[object, ...]]:
    return select(*[inbox.c[name] for name in COLUMNS])


async def set_aside(connection: AsyncConnection, *, state: Aside | None, limit: int, after: int = 0) -> list[MessageRow]:
    """Messages nobody has applied, oldest first."""
    states = [state.value] if state else [one.value for one in Aside]
    question = _all().where(inbox.c.state.in_(states), inbox.c.arrived > after).order_by(inbox.c.arrived).limit(limit)
    return [MessageRow(**row._mapping) for row in await connection.execute(question)]


async def find(connection: AsyncConnection, raw_id: UUID) -> MessageRow:
    """One message, in whatever state. Raises NotFound."""
    row = (await connection.execute(_all().where(inbox.c.raw_id == raw_id))).one_or_none()
    if row is None:
        raise NotFound("message-not-found", "There is no such message.")
    return MessageRow(**row._mapping)


async def replay(
    transaction: Transaction, raw_id: UUID, *, reason: str, by: str = "", at: datetime | None = None,
    principal: Principal | None = None, request_id: str | None = None,
) -> MessageRow:  # fmt: skip
    """Have one message applied again. One that waits is left as it is. Raises NotFound, Conflict `message-applied`."""
    async with transaction() as connection:
        found = await find(connection, raw_id)
        if found.state == "applied":
            raise Conflict("message-applied", "The message was applied; there is nothing to apply again.")
        await _put_back(connection, [found], Why(reason, by, at, principal, request_id))
        return await find(connection, raw_id)


async def replay_all(transaction: Transaction, state: Aside, *, reason: str, by: str = "") -> int:
    """The same for every message of a state, once: one that is set aside again meanwhile stays so. Returns how many were put
    back."""
    done, after = 0, 0
    while True:
        async with transaction() as connection:
            found = await set_aside(connection, state=state, limit=AT_ONCE, after=after)
            done += await _put_back(connection, found, Why(reason, by))
        if not found:
            return done
        after = found[-1].arrived


async def _put_back(connection: AsyncConnection, found: Sequence[MessageRow], why: Why) -> int:
    mine = [one.raw_id for one in found]
    again = (
        update(inbox)
        .where(inbox.c.raw_id.in_(mine), inbox.c.state.in_([one.value for one in Aside]))
        .values(state="waiting", reason=None, settled_at=None)
        .returning(inbox.c.raw_id)
    )
    moved = set((await connection.execute(again)).scalars())
    told = [one for one in found if one.raw_id in moved]
    await append.write(connection, [_entry(one, why) for one in told])
    return len(told)


def _entry(one: MessageRow, why: Why) -> append.Entry:
    return append.entry(
        kind="message.replayed",
        subject=("message", one.raw_id),
        body={"was": one.state, "because": one.reason, "why": why.reason, "by": why.by or None},
        principal=why.principal,
        request_id=why.request_id,
        at=why.at,
    )
