"""After the database has failed over: whoever began before sends nothing more (`ilim database fence`).

A commit that was acknowledged may be missing from the new primary, so an old sender's picture of it cannot be trusted. The
epoch rises: a claim compares it under the gate's lock, and workers of an older one end. Every lease is taken from its
holder, so that the stream is blind until a new reader has caught up and complete inquiries have shown every live account;
attempts of the older epoch become unknown.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit import append
from service.controls import store
from service.infra import leases
from service.infra.db import Database, Transaction

Before = Callable[[AsyncConnection], Awaitable[int]]


async def fence(transaction: Transaction, before: Before | None = None, by: str = "") -> int:
    """The new epoch. Waits for claims under way; those that come later are of the old epoch and are refused. `before`: what
    is presumed first, where commits may be missing; how many requests that were. `by`: whoever sits at the machine."""
    async with transaction() as connection:
        presumed = await before(connection) if before else 0
        await store.shut_gate(connection)
        epoch = await store.raise_epoch(connection)
        await leases.take_all(connection)
        body = {"epoch": epoch, "presumed_sent": presumed, "by": by or None}
        await append.record(connection, kind="cluster.fenced", subject=("cluster", "epoch"), body=body)
    return epoch


async def fence_at(url: str, before: Before | None = None, by: str = "") -> int:
    """The same for a process that has only an address: the worker's login, where anything is presumed."""
    database = Database(url, application="ilim-fence", pool_size=1, hot_pool_size=1)
    try:
        return await fence(database.transaction, before, by)
    finally:
        await database.close()
