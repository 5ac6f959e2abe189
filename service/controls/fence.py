"""After the database has failed over: whoever began before sends nothing more (`ilim database fence`).

A commit that was acknowledged may be missing from the new primary, so an old sender's picture of it cannot be trusted. The
epoch rises: a claim compares it under the gate's lock, and workers of an older one end. Every lease is taken from its
holder, so that the stream is blind until a new reader has caught up and complete inquiries have shown every live account;
attempts of the older epoch become unknown.
"""

from service.audit import append
from service.controls import store
from service.infra import leases
from service.infra.db import Database, Transaction


async def fence(transaction: Transaction) -> int:
    """The new epoch. Waits for claims under way; those that come later are of the old epoch and are refused."""
    async with transaction() as connection:
        await store.shut_gate(connection)
        epoch = await store.raise_epoch(connection)
        await leases.take_all(connection)
        await append.record(connection, kind="cluster.fenced", subject=("cluster", "epoch"), body={"epoch": epoch})
    return epoch


async def fence_at(url: str) -> int:
    """The same for a process that has only an address."""
    database = Database(url, application="ilim-fence", pool_size=1, hot_pool_size=1)
    try:
        return await fence(database.transaction)
    finally:
        await database.close()
