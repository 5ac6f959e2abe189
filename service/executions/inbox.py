"""Raw first (P19): a message is stored whole before anybody reads it, and only then acknowledged."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from service.audit.evidence import Raw, Vault, missing_ranges
from service.core.clock import Clock
from service.executions import store
from service.gateway import RawReport
from service.infra.db import Transaction
from service.infra.failpoints import fp


@dataclass(frozen=True)
class Inbox:
    """Where the report stream is poured into."""

    transaction: Transaction
    vault: Vault
    clock: Clock
    com_id: str
    poke: Callable[[str], None]

    async def store(self, raw: RawReport) -> None:
        """Keep one message; a resend of one we hold changes nothing."""
        message = Raw("stream", raw.body, self.clock.now(), raw.com_id, raw.seq_date, raw.seq)
        async with self.transaction() as connection:
            new = await self.vault.keep(connection, [message])
            await store.enqueue(connection, [(raw_id, raw) for raw_id in new])
            fp("inbox.before_commit")
        fp("inbox.after_commit")
        if new:
            self.poke("reports")

    async def position(self, day: date) -> list[tuple[int, int]]:
        """What of a day's sequence we do not hold."""
        async with self.transaction() as connection:
            return await missing_ranges(connection, self.com_id, day)
