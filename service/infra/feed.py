"""The feed of changes: what `GET /v1/events` tells, provably complete for each caller.

A row is written into `event_pending` in the transaction of the change (triggers on the tables that change see to it, so
that no verb can forget it). One lease holder moves what is committed into `event` and numbers it there. Numbers are given
in transactions that follow one another, so whoever has read up to one number will never find a smaller one later.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, column, delete, func, insert, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import monotonic
from service.core.errors import Conflict
from service.infra import leases
from service.infra.db import HotStatement, HotTransaction, Transaction, Whose
from service.infra.failpoints import fp
from service.infra.notify import Wake
from service.infra.tables import event, event_pending

BATCH = 1000
POLL_S = 1.0
ASK_AGAIN_S = 15.0  # so long a silent stream lives on a key that was withdrawn
CHANNEL = "events"
# A database that failed over may lack its last events. What it tells then must not bear numbers that were told before: a
# reader who holds them would be shown a line without a gap that has one. The fence raises the epoch (`controls`).
EPOCH = table("halt_gate", column("cluster_epoch", BigInteger))
EVENTS_OF_AN_EPOCH = 1 << 40
COLUMNS = ("kind", "subject_id", "account_id", "user_id", "document", "happened_at")


@dataclass(frozen=True)
class Event:
    """One change. `previous_id` is the newest event before it that this caller could see; None when there was none."""

    id: int
    previous_id: int | None
    kind: str
    subject_id: UUID
    account_id: UUID | None
    happened_at: datetime
    document: Mapping[str, Any]


async def number(hot: HotTransaction, lease: leases.Lease) -> int:
    """Give numbers to what has been committed. Returns how many got one; none when the lease is somebody else's."""
    async with hot() as connection:
        if not await leases.held(connection, lease):
            return 0
        row = await MOVE.row(connection)
        fp("feed.before_commit")
    return int(row["moved"]) if row else 0


def _moving() -> Select[Any]:
    """Take the oldest pending rows out and put them in, numbered after the last: one statement, so none is lost between."""
    oldest = select(event_pending.c.ordinal).order_by(event_pending.c.ordinal).limit(BATCH)
    gone = delete(event_pending).where(event_pending.c.ordinal.in_(oldest)).returning(event_pending).cte("gone")
    floor = select((EPOCH.c.cluster_epoch - 1) * EVENTS_OF_AN_EPOCH).scalar_subquery()
    last = func.greatest(select(func.coalesce(func.max(event.c.id), 0)).scalar_subquery(), floor)
    place = last + func.row_number().over(order_by=gone.c.ordinal)
    moved = insert(event).from_select(["id", *COLUMNS], select(place, *[gone.c[name] for name in COLUMNS]))
    return select(func.count().label("moved")).select_from(moved.returning(event.c.id).cte("moved"))


MOVE = HotStatement(_moving())


async def horizon(connection: AsyncConnection) -> int:
    """The newest number there is, whoever may see it."""
    return int((await connection.execute(select(func.ilim_event_horizon()))).scalar_one())


async def newest(connection: AsyncConnection, up_to: int) -> int | None:
    """The newest event the caller can see, at or before `up_to`."""
    question = select(event.c.id).where(event.c.id <= up_to).order_by(event.c.id.desc()).limit(1)
    return (await connection.execute(question)).scalar()


async def between(connection: AsyncConnection, place: int, end: int, previous: int | None) -> list[Event]:
    """What the caller can see after `place` up to `end`, in order, each with the one before it; a batch at most."""
    question = select(event).where(event.c.id > place, event.c.id <= end).order_by(event.c.id).limit(BATCH)
    found: list[Event] = []
    for row in (await connection.execute(question)).mappings():
        previous_id = found[-1].id if found else previous
        found.append(Event(previous_id=previous_id, **{name: row[name] for name in READ}))
    return found


@dataclass(frozen=True)
class Place:
    """Up to which event a reader has looked, and the newest one at or before it that the reader could see."""

    id: int
    previous: int | None


READ = ("id", "kind", "subject_id", "account_id", "happened_at", "document")


@dataclass(frozen=True)
class Reader:
    """What following the feed needs. `entitled` says whether the caller may still read, `ending` whether the process stops."""

    transaction: Transaction
    books: Whose
    entitled: Callable[[], Awaitable[bool]]
    ending: Callable[[], bool]

    async def begin(self, last: int | None) -> Place:
        """Where to go on after the event `last`; None: from now on. Raises Conflict for an event that is not there yet."""
        async with self.transaction(books=self.books) as connection:
            end = await horizon(connection)
            if last is not None and last > end:
                raise Conflict(
                    "event-not-reached",
                    f"The feed ends at {end}, so it never told you event {last}. Read what you need, then follow without an id.",
                )
            begins = end if last is None else last
            return Place(begins, await newest(connection, begins))

    async def follow(self, wake: Wake, begun: Place, *, wait: bool) -> AsyncIterator[Event]:
        """Every event after `begun` as they come; only those that are there already when not `wait`. Whether the caller may
        still hear them is asked after they were read: nothing is told once that right has ended."""
        place, previous = begun.id, begun.previous
        asked = monotonic()
        while not self.ending():
            found, end = await self._read(place, previous)
            if found or monotonic() - asked > ASK_AGAIN_S:
                if not await self.entitled():
                    return
                asked = monotonic()
            for one in found:
                yield one
                previous = one.id
            # Looked through to its end, even where there was nothing for this caller.
            place = max(place, end) if len(found) < BATCH else found[-1].id
            if not found and not wait:
                return
            if not found:
                await wake.wait(POLL_S)

    async def _read(self, place: int, previous: int | None) -> tuple[list[Event], int]:
        async with self.transaction(books=self.books) as connection:
            end = await horizon(connection)
            return await between(connection, place, end, previous), end
