"""Raw first (P19): messages are stored whole before anybody reads them, and only then acknowledged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import structlog

from service.audit.evidence import Raw, Vault, missing_ranges, newest_day
from service.core.clock import Clock, kst_date
from service.executions import store
from service.gateway import RawReport
from service.infra.db import Either, HotTransaction, Transaction
from service.infra.failpoints import fp

log = structlog.get_logger()

WHAT_NOW = "The report is kept and applied. Ask the platform whether it counts the stream anew: gaps cannot be seen then."


@dataclass(frozen=True)
class Inbox:
    """Where the report stream is poured into."""

    transaction: Transaction
    hot: HotTransaction
    vault: Vault
    clock: Clock
    com_id: str
    poke: Callable[[str], None]

    async def store(self, raws: Sequence[RawReport]) -> list[bool]:
        """Keep messages in their order, in one transaction; whether each is held now. A resend of one we hold changes nothing.
        A batch that fails is halved, until one the database will not take stands alone: False, the others are kept.
        Raises what the database raises when it is away or busy, which is no message's fault."""
        try:
            new = await self._keep(raws)
        except Exception as error:
            if not _to_blame(error):
                raise
            if len(raws) == 1:
                log.error("message.not_stored", seq_date=str(raws[0].seq_date), seq=raws[0].seq, reason=type(error).__name__)
                return [False]
            half = len(raws) // 2
            return [*await self.store(raws[:half]), *await self.store(raws[half:])]
        if new:
            self.poke("reports")
        return [True] * len(raws)

    async def _keep(self, raws: Sequence[RawReport]) -> bool:
        """Whether any was new."""
        async with self.hot() as connection:
            ids = await self.vault.keep_stream(connection, self._evidence(raws))
            new = [(raw_id, raw) for raw_id, raw in zip(ids, raws, strict=True) if raw_id is not None]
            new += await self._counted_anew(connection, [raw for raw_id, raw in zip(ids, raws, strict=True) if raw_id is None])
            await store.enqueue(connection, new)
            fp("inbox.before_commit")
        fp("inbox.after_commit")
        return bool(new)

    async def _counted_anew(self, connection: Either, held: Sequence[RawReport]) -> list[tuple[UUID, RawReport]]:
        """Another message under a number that was given before, by a platform that counts anew. It is kept without the number:
        taken for a repetition, nobody would ever hear of it (P6). A resend says that it is one, and differs in that."""
        fresh = [one for one in held if one.seq is not None and not one.possible_duplicate]
        unlike = await self.vault.unlike_held(connection, self._evidence(fresh))
        others = [one for one, is_other in zip(fresh, unlike, strict=True) if is_other]
        nameless = [replace(one, seq=None) for one in others]
        ids = await self.vault.keep_stream(connection, self._evidence(nameless)) if others else []
        for one in (one for raw_id, one in zip(ids, others, strict=True) if raw_id is not None):
            log.error("message.number_reused", seq_date=str(one.seq_date), seq=one.seq, what_now=WHAT_NOW)
        return [(raw_id, raw) for raw_id, raw in zip(ids, nameless, strict=True) if raw_id is not None]

    def _evidence(self, raws: Sequence[RawReport]) -> list[Raw]:
        now = self.clock.now()
        return [Raw("stream", one.body, now, one.com_id, one.seq_date, one.seq) for one in raws]

    async def position(self, day: date) -> list[tuple[int, int]]:
        """What of a day's sequence we do not hold."""
        async with self.transaction() as connection:
            return await missing_ranges(connection, self.com_id, day)

    async def last_day(self) -> date | None:
        """The newest day of which we hold anything: after a night or a week-end it may still lack what was told to nobody."""
        async with self.transaction() as connection:
            return await newest_day(connection, self.com_id, kst_date(self.clock.now()))


def _to_blame(error: Exception) -> bool:
    """Whether a message is to blame, so that it would fail again: a value the driver or the database refuses."""
    state = str(getattr(error, "sqlstate", None) or "")
    return isinstance(error, ValueError | TypeError | OverflowError) or state[:2] in ("22", "23", "54")
