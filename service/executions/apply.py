"""Apply reports to orders: idempotent and free of order.

What a report does follows from everything known about its order, never from the report alone: it is added to the set, and
the order is carried to where the set puts it. What waits is applied together, in one transaction under the locks of its
messages and orders; a message is settled in the transaction of its effect. Any number of workers may apply: each passes over
what another has in hand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from service.audit.evidence import Vault
from service.controls.lock_broker import lock_broker
from service.core.clock import Clock
from service.executions import store
from service.executions.drift import Drift, of_report
from service.executions.fills import Dated
from service.executions.route import Message
from service.executions.settle import Outcome, give_up, settle, unfit
from service.executions.store import Waiting
from service.gateway import Gateway, RawReport, Report, Unreadable
from service.infra.db import Transaction
from service.infra.failpoints import fp
from service.market.book import MarketBook
from service.settlement.rules import Figures
from service.settlement.store import load_figures

log = structlog.get_logger()

BATCH = 500
FIGURES_FRESH = timedelta(seconds=5)  # business time; a tax rate or a cycle is entered days before it holds
LOOK_EVERY = timedelta(seconds=2)  # business time after which what nobody knew is looked at again


@dataclass(frozen=True)
class Applier:
    """What applying needs."""

    transaction: Transaction
    gateway: Gateway
    clock: Clock
    vault: Vault
    market: MarketBook
    poke: Callable[[str], None]
    brokers: Mapping[str, str] = field(default_factory=dict)  # company codes by the names brokers sign with
    _looked: dict[str, datetime] = field(default_factory=dict)
    _figures: dict[str, tuple[datetime, Figures]] = field(default_factory=dict)

    async def apply_waiting(self) -> int:
        """Settle what waits, up to a batch. Returns how many messages were taken up."""
        async with self.transaction() as connection:
            batch = await store.waiting(connection, BATCH)
            bodies = await self.vault.read(connection, [one.raw_id for one in batch])
        if not batch:
            return await self._now_and_then()
        read = [(one, self._read(one, bodies)) for one in batch]
        await self._compare(read)
        if await self._take_up(read, await self.dated()):
            await self.look_again()
        self.poke("orders.changed")
        return len(batch)

    async def _compare(self, messages: Sequence[Message]) -> None:
        """Lock a broker whose reports are not what its profile says. What nobody we know has signed locks nobody."""
        for one, report in messages:
            drift, broker = of_report(report), self.brokers.get((report.sender or "").casefold())
            if drift is not None and broker is not None:
                await self.lock(broker, drift, one.raw_id)

    async def lock(self, broker: str, drift: Drift, evidence: UUID | None) -> None:
        """No new orders for this broker until a person has looked."""
        async with self.transaction() as connection:
            await lock_broker(
                connection, broker, message=drift.message, field=drift.field, what=drift.what, evidence=evidence,
                now=self.clock.now(),
            )  # fmt: skip

    async def look_again(self) -> int:
        """Take up what was about no order we knew: an order may have learned its number since, a request may have ended
        that it could have been, a day may have been opened. Returns how many found their place."""
        dated, after, found = await self.dated(), 0, 0
        while True:
            async with self.transaction() as connection:
                aside = await store.unmatched(connection, BATCH, after)
                bodies = await self.vault.read(connection, [one.raw_id for one in aside])
            if not aside:
                return found
            await self._take_up([(one, self._read(one, bodies)) for one in aside], dated)
            async with self.transaction() as connection:
                found += len(aside) - await store.count_unmatched(connection, [one.raw_id for one in aside])
            after = aside[-1].arrived

    async def _now_and_then(self) -> int:
        now = self.clock.now()
        if now - self._looked.get("last", now - LOOK_EVERY) < LOOK_EVERY:
            return 0
        self._looked["last"] = now
        return await self.look_again()

    async def dated(self) -> Dated:
        """The dated rules fills need, as they are now."""
        calendar, now = (await self.market.rules()).calendar, self.clock.now()
        read_at, figures = self._figures.get("held", (now, None))
        if figures is None or not timedelta(0) <= now - read_at < FIGURES_FRESH:
            async with self.transaction() as connection:
                figures = await load_figures(connection)
            self._figures["held"] = (now, figures)
        return Dated(calendar, figures)

    def _read(self, one: Waiting, bodies: Mapping[UUID, bytes]) -> Report:
        body = bodies.get(one.raw_id)
        if body is None:  # sealed with another key, or damaged where it lies
            return Unreadable("undecryptable")
        try:
            return self.gateway.read_report(RawReport(one.com_id, one.seq_date, one.seq, body))
        except Exception as error:  # whatever a message does to its reader, the others go on
            log.exception("message.reader_failed", raw_id=str(one.raw_id))
            return Unreadable(f"failed: {type(error).__name__}")

    async def _take_up(self, messages: Sequence[Message], dated: Dated) -> bool:
        """All in one transaction; by halves when that fails, until the one to blame is found and set aside. True when some
        order has another number now."""
        try:
            outcome = await self._settle(messages, dated)
        except Exception as error:
            if not unfit(error):
                raise
            if len(messages) == 1:
                await self._give_up(messages[0], error)
                return False
            half = len(messages) // 2
            learned = await self._take_up(messages[:half], dated)
            return await self._take_up(messages[half:], dated) or learned
        alone = [await self._take_up([one], dated) for one in outcome.strangers]
        return outcome.learned or any(alone)

    async def _settle(self, messages: Sequence[Message], dated: Dated) -> Outcome:
        async with self.transaction() as connection:
            outcome, after_commit = await settle(connection, messages, dated, self.gateway, self.clock.now())
        fp("apply.after_commit")
        for action in after_commit:
            action()
        return outcome

    async def _give_up(self, message: Message, error: Exception) -> None:
        log.error("message.unfit", raw_id=str(message[0].raw_id), exc_info=error)
        try:
            await self._set_aside(message, error, tell_order=True)
        except Exception as worse:
            if not unfit(worse):
                raise
            await self._set_aside(message, error, tell_order=False)

    async def _set_aside(self, message: Message, error: Exception, *, tell_order: bool) -> None:
        async with self.transaction() as connection:
            now = self.clock.now()
            after_commit = await give_up(connection, message, error, self.gateway, now, tell_order=tell_order)
        for action in after_commit:
            action()
