"""Once per slot, however many workers there are.

The claim row (job, slot) decides who runs: it is inserted before the work and marked after it. A worker that dies in
between leaves an unfinished row; whoever then gets the job's lease takes it over. So a job is claimed once and its work
may be begun again after a kill: it must stand being run twice.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import KST, kst_date
from service.infra.db import Transaction
from service.infra.failpoints import fp
from service.infra.leases import AWAY, Work, hold
from service.infra.metrics import JOB_RUNS
from service.infra.tables import job_run as table

Needs = TypeVar("Needs")
FAILED = "failed"
# When each daily job has its first slot (KST): for who runs them, and for who tells that one did not begin.
FIRST = {"instruments": time(6, 35), "accounts": time(6, 40), "openings": time(6, 45), "keys": time(20, 30)}


@dataclass(frozen=True)
class Slot:
    """A run that is due: the job and the business time at which it was due."""

    job: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """What the table says about a slot."""

    holder: UUID
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None


@dataclass(frozen=True)
class Daily(Generic[Needs]):
    """A job with slots every `every` from `first` to `last` (KST) on trading days; only the latest due slot runs."""

    name: str
    first: time
    last: time
    every: timedelta
    work: Callable[[Needs], Awaitable[str]]
    ready: Callable[[Needs], Awaitable[bool]] | None = None  # until it is true, the slot waits

    def due(self, now: datetime) -> datetime | None:
        """The slot that should have begun by now."""
        first, last = (datetime.combine(kst_date(now), at, KST) for at in (self.first, self.last))
        if now < first:
            return None
        return min(first + (now - first) // self.every * self.every, last)


async def claim(connection: AsyncConnection, slot: Slot, holder: UUID) -> bool:
    """Insert the claim row; False when the slot is somebody's already."""
    row = {"job": slot.job, "slot": slot.at, "holder": holder}
    done = await connection.execute(insert(table).values(row).on_conflict_do_nothing())
    return done.rowcount == 1


async def take_over(connection: AsyncConnection, slot: Slot, holder: UUID) -> bool:
    """Make an unfinished slot ours; False when it is finished. Only for the holder of the job's lease."""
    mine = {"holder": holder, "started_at": func.now()}
    done = await connection.execute(update(table).where(_is(slot), table.c.finished_at.is_(None)).values(mine))
    return done.rowcount == 1


async def finish(connection: AsyncConnection, slot: Slot, holder: UUID, outcome: str) -> bool:
    """Mark it done; False when somebody took it over meanwhile."""
    ours = (_is(slot), table.c.holder == holder, table.c.finished_at.is_(None))
    done = await connection.execute(update(table).where(*ours).values(finished_at=func.now(), outcome=outcome))
    return done.rowcount == 1


async def find(connection: AsyncConnection, slot: Slot) -> Run | None:
    columns = (table.c.holder, table.c.started_at, table.c.finished_at, table.c.outcome)
    row = (await connection.execute(select(*columns).where(_is(slot)))).first()
    return None if row is None else Run(*row)


async def done_since(connection: AsyncConnection, job: str, since: datetime) -> bool:
    """Whether a slot of the job, at `since` (business time) or later, has been run to its end, whatever came of it."""
    done = select(table.c.job).where(table.c.job == job, table.c.slot >= since, table.c.finished_at.is_not(None)).limit(1)
    return (await connection.execute(done)).first() is not None


@dataclass(frozen=True)
class LastRun:
    job: str
    slot: datetime
    outcome: str | None


async def last_runs(connection: AsyncConnection) -> list[LastRun]:
    """The newest slot of each job."""
    c = table.c
    newest = select(c.job, c.slot, c.outcome).ext(distinct_on(c.job)).order_by(c.job, c.slot.desc())
    return [LastRun(*row) for row in await connection.execute(newest)]


def _is(slot: Slot) -> ColumnElement[bool]:
    return and_(table.c.job == slot.job, table.c.slot == slot.at)


async def run_once(transaction: Transaction, slot: Slot, holder: UUID, work: Work, *, ttl_seconds: float = 30) -> str | None:
    """Run `work` for the slot unless it ran or runs elsewhere; its outcome, or None when it was not ours to run.

    `work` gets the lease (whose `lost` it watches) and returns a word for the record. What it raises is left to the
    caller, and the slot stays unfinished: the next tick takes it over.
    """
    async with hold(transaction, f"job:{slot.job}", holder, ttl_seconds) as held:
        if held is None:
            return None
        async with transaction() as connection:
            ours = await claim(connection, slot, holder) or await take_over(connection, slot, holder)
        if not ours:
            return None
        fp("jobs.claimed")
        try:
            outcome = await work(held)
        except Exception:
            await _failed(transaction, slot, holder)
            raise
        fp("jobs.done")
        async with transaction() as connection:
            await finish(connection, slot, holder, outcome)
        JOB_RUNS.labels(slot.job).inc()
        return outcome


async def _failed(transaction: Transaction, slot: Slot, holder: UUID) -> None:
    """Said for who looks at the last runs; the slot stays open and is taken over by the next tick."""
    with suppress(*AWAY):  # what the work raised is told in any case
        async with transaction() as connection:
            ours = (_is(slot), table.c.holder == holder, table.c.finished_at.is_(None))
            await connection.execute(update(table).where(*ours).values(outcome=FAILED))
