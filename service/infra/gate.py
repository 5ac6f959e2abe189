"""Changes that every claim of a send waits for: what they say when a claim holds the gate for too long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.errors import Unavailable
from service.infra.db import Books, Transaction, Whose

LOCK_NOT_AVAILABLE = "55P03"


@asynccontextmanager
async def gated(transaction: Transaction, undone: str, *, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
    """A transaction that shuts the gate. `undone` says what did not happen. Raises Unavailable `gate-busy` when it waited for a
    lock in vain: then nothing was changed."""
    try:
        async with transaction(books=books) as connection:
            yield connection
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise Unavailable(
            "gate-busy",
            f"A claim has held the gate for too long, so {undone}. Repeat the call at once, with the same key if it has one; "
            "if it fails again, stop the workers.",
            extra={"retry_after_seconds": 1},
        ) from None
