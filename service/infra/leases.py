"""What only one may do is held by a lease: a row, the database's clock, and an epoch that rises with every new holder.

A holder that was paused wakes up believing. So a write under a lease asks `held` in its own transaction: the row is
locked FOR SHARE, and no successor can take it before that transaction ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import INTERVAL, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import cast, literal

from service.core.clock import monotonic
from service.infra.db import DRIVER_ERRORS, Either, HotStatement, Transaction
from service.infra.metrics import LEASE_HELD
from service.infra.processes import identity, is_gone
from service.infra.tables import lease as table

log = structlog.get_logger()

# A pool with no connection to give is as far away as a server that does not answer; its error is no DBAPIError.
AWAY = (SQLAlchemyError, *DRIVER_ERRORS)


@dataclass(frozen=True)
class Lease:
    name: str
    holder: UUID
    epoch: int


@dataclass
class Held:
    """A lease being renewed in the background. `lost` is set when it is ours no longer: stop then."""

    lease: Lease
    lost: asyncio.Event = field(default_factory=asyncio.Event)


def _from_now(seconds: float) -> ColumnElement[object]:
    # The statement's own time, not the transaction's: a long transaction must not prolong a lease from its beginning.
    return func.clock_timestamp() + cast(literal(f"{seconds:.3f} seconds"), INTERVAL)


def _ours(lease: Lease) -> ColumnElement[bool]:
    return and_(table.c.name == lease.name, table.c.holder == lease.holder, table.c.epoch == lease.epoch)


async def acquire(connection: AsyncConnection, name: str, holder: UUID, ttl_seconds: float) -> Lease | None:
    """Take a free or lapsed lease, or that of a process which has died; None while somebody else holds it."""
    await _bury(connection, name)
    values = {"name": name, "holder": holder, "epoch": 1, "until": _from_now(ttl_seconds), "who": identity()}
    taken = insert(table).values(values)
    taken = taken.on_conflict_do_update(
        index_elements=[table.c.name],
        set_={"holder": holder, "epoch": table.c.epoch + 1, "until": taken.excluded.until, "who": taken.excluded.who},
        where=table.c.until <= func.clock_timestamp(),
    )
    epoch = (await connection.execute(taken.returning(table.c.epoch))).scalar_one_or_none()
    return None if epoch is None else Lease(name, holder, epoch)


async def _bury(connection: AsyncConnection, name: str) -> None:
    """Let go for a holder that was killed and cannot. What it still had running in the database ends before our write."""
    holders = select(table.c.holder, table.c.epoch, table.c.who).where(
        table.c.name == name, table.c.until > func.clock_timestamp(), table.c.who.is_not(None)
    )
    row = (await connection.execute(holders)).first()
    if row is not None and is_gone(row.who):
        await release(connection, Lease(name, row.holder, row.epoch))


async def renew(connection: AsyncConnection, lease: Lease, ttl_seconds: float) -> bool:
    """Prolong it; False when somebody took it."""
    done = await connection.execute(update(table).where(_ours(lease)).values(until=_from_now(ttl_seconds)))
    return done.rowcount == 1


async def release(connection: AsyncConnection, lease: Lease) -> None:
    """Let it lapse now. The row stays, so that the epoch never falls."""
    await connection.execute(update(table).where(_ours(lease)).values(until=func.clock_timestamp()))


async def take_all(connection: AsyncConnection) -> None:
    """Take every lease from its holder. The epoch rises, so that none of them can renew it."""
    await connection.execute(update(table).values(until=func.clock_timestamp(), epoch=table.c.epoch + 1))


HELD = HotStatement(
    select(table.c.epoch)
    .where(*[table.c[name] == bindparam(f"lease_{name}", type_=table.c[name].type) for name in ("name", "holder", "epoch")])
    .where(table.c.until > func.clock_timestamp())
    .with_for_update(read=True)
)


async def held(connection: Either, lease: Lease) -> bool:
    """For writers: whether it is ours now, and stays so until this transaction ends."""
    found = await HELD.on(connection, lease_name=lease.name, lease_holder=lease.holder, lease_epoch=lease.epoch)
    return bool(found)


def lapse_part(name: ColumnElement[str], epoch: ColumnElement[int]) -> Any:
    """Since when the lease `name` is no longer held under `epoch`, as a part of another question; null while it is. Of a
    lease somebody took over the moment is not kept: then it is the beginning of time."""
    lapsed = case((table.c.until <= func.clock_timestamp(), table.c.until))
    held = select(lapsed).where(table.c.name == name, table.c.epoch == epoch).scalar_subquery()
    known = select(table.c.name).where(table.c.name == name, table.c.epoch == epoch).exists()
    return case((known, held), else_=func.to_timestamp(0))


@asynccontextmanager
async def hold(transaction: Transaction, name: str, holder: UUID, ttl_seconds: float) -> AsyncIterator[Held | None]:
    """Hold a lease for the block, renewed at a third of its time; None when somebody else has it.

    The block is not interrupted: it watches `lost`, and its writes ask `held`.
    """
    async with transaction() as connection:
        lease = await acquire(connection, name, holder, ttl_seconds)
    if lease is None:
        yield None
        return
    keeper = Held(lease)
    task = asyncio.create_task(_keep(transaction, keeper, ttl_seconds), name=f"lease-{name}")
    LEASE_HELD.labels(name).set(1)
    try:
        yield keeper
    finally:
        LEASE_HELD.labels(name).set(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _let_go(transaction, lease)


async def _keep(transaction: Transaction, keeper: Held, ttl_seconds: float) -> None:
    lapses = monotonic() + ttl_seconds
    while monotonic() < lapses:
        await asyncio.sleep(ttl_seconds / 3)
        asked = monotonic()
        try:
            async with transaction() as connection:
                if not await renew(connection, keeper.lease, ttl_seconds):
                    break
            lapses = asked + ttl_seconds
        except AWAY as error:
            log.warning("lease.not_renewed", lease=keeper.lease.name, reason=type(error).__name__)
    log.warning("lease.lost", lease=keeper.lease.name, epoch=keeper.lease.epoch)
    keeper.lost.set()


async def _let_go(transaction: Transaction, lease: Lease) -> None:
    try:
        async with transaction() as connection:
            await release(connection, lease)
    except AWAY as error:
        log.warning("lease.not_released", lease=lease.name, reason=type(error).__name__)  # it lapses by itself


Work = Callable[[Held], Awaitable[str]]
