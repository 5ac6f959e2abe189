"""Apply reports to orders: idempotent and free of order.

What a report does follows from everything known about its order, never from the report alone: it is added to the set, and
the order is carried to where the set puts it. Reports of one order are applied in one transaction under the lock of its
row; a message is settled in the transaction of its effect.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.store import find_account
from service.audit.evidence import Vault
from service.core.clock import Clock, kst_date
from service.executions import store
from service.executions.fills import Dated, cost_of, net, new_fills, short
from service.executions.impossible import impossible
from service.executions.route import Message, route
from service.executions.settle import SETTLED, set_aside, unfit, word
from service.executions.store import Waiting
from service.gateway import Gateway, RawReport, Report, Unreadable
from service.infra.db import Transaction
from service.infra.failpoints import fp
from service.market.book import MarketBook
from service.orders import known
from service.orders import store as orders
from service.orders.advance import Cause, advance
from service.orders.model import Order
from service.settlement.store import load_figures

log = structlog.get_logger()

BATCH = 200


@dataclass(frozen=True)
class Applier:
    """What applying needs."""

    transaction: Transaction
    gateway: Gateway
    clock: Clock
    vault: Vault
    market: MarketBook
    poke: Callable[[str], None]

    async def apply_waiting(self) -> int:
        """Settle what waits, up to a batch. Returns how many messages were taken up."""
        async with self.transaction() as connection:
            batch = await store.waiting(connection, BATCH)
            bodies = await self.vault.read(connection, [one.raw_id for one in batch])
            dated = Dated((await self.market.rules()).calendar, await load_figures(connection))
        if not batch:
            return 0
        routed = await self._routed([(one, self._read(one, bodies)) for one in batch])
        learned = [await self._settle(order_id, group, dated) for order_id, group in routed.items()]
        if any(learned):
            await self._look_again()
        self.poke("orders.changed")
        return len(batch)

    def _read(self, one: Waiting, bodies: Mapping[UUID, bytes]) -> Report:
        body = bodies.get(one.raw_id)
        if body is None:  # sealed with another key, or damaged where it lies
            return Unreadable("undecryptable")
        try:
            return self.gateway.read_report(RawReport(one.com_id, one.seq_date, one.seq, body))
        except Exception as error:  # whatever a message does to its reader, the others go on
            log.exception("message.reader_failed", raw_id=str(one.raw_id))
            return Unreadable(f"failed: {type(error).__name__}")

    async def _routed(self, messages: Sequence[Message]) -> dict[UUID | None, list[Message]]:
        """All in one transaction; one by one when that fails, so that the one to blame is found."""
        try:
            async with self.transaction() as connection:
                return await route(connection, messages, kst_date(self.clock.now()))
        except Exception as error:
            if not unfit(error):
                raise
            if len(messages) == 1:
                return {None: [(messages[0][0], Unreadable(f"failed: {type(error).__name__}"))]}
        routed: dict[UUID | None, list[Message]] = {}
        for message in messages:
            for order_id, group in (await self._routed([message])).items():
                routed.setdefault(order_id, []).extend(group)
        return routed

    async def _look_again(self) -> None:
        """An order has learned its number: what came for it before and had no other name finds it now."""
        async with self.transaction() as connection:
            aside = await store.unmatched(connection, BATCH)
            bodies = await self.vault.read(connection, [one.raw_id for one in aside])
        routed = await self._routed([(one, self._read(one, bodies)) for one in aside])
        found = [one.raw_id for order_id, group in routed.items() if order_id is not None for one, _ in group]
        if found:
            async with self.transaction() as connection:
                await store.put_back(connection, found)

    async def _settle(self, order_id: UUID | None, group: Sequence[Message], dated: Dated) -> bool:
        """True when the order's broker number is another one now."""
        if order_id is None:
            await self._set_aside(group)
            return False
        try:
            return await self._apply(order_id, group, dated)
        except Exception as error:
            if not unfit(error):
                raise
            return await self._isolate(order_id, group, dated, error)

    async def _isolate(self, order_id: UUID, group: Sequence[Message], dated: Dated, error: Exception) -> bool:
        """One message of a group cannot be true, or we cannot take it: apply the others, so that it stops nobody."""
        if len(group) == 1:
            log.error("message.unfit", raw_id=str(group[0][0].raw_id), exc_info=error)
            await self._quarantine(order_id, group[0][0], word(error))
            return False
        return any([await self._settle(order_id, [message], dated) for message in group])

    async def _apply(self, order_id: UUID, group: Sequence[Message], dated: Dated) -> bool:
        async with self.transaction() as connection:
            order = await orders.load(connection, order_id, lock=True)
            if order is None:
                raise RuntimeError("an order that was found is gone")
            fresh = await store.still_waiting(connection, [one.raw_id for one, _ in group])
            group = [message for message in group if message[0].raw_id in fresh]
            possible = await self._possible(connection, order, group)
            after = await self._advance(connection, order, possible, dated) if possible else order
            fp("apply.before_commit")
        fp("apply.after_commit")
        return after.broker_order_number != order.broker_order_number

    async def _possible(self, connection: AsyncConnection, order: Order, group: Sequence[Message]) -> list[Message]:
        account = await find_account(connection, order.account_id)
        number = account.number.reveal() if account else ""
        kept: list[Message] = []
        for one, report in group:
            reason = None if isinstance(report, Unreadable) else impossible(order, number, report)
            if reason is None:
                kept.append((one, report))
            else:
                await set_aside(connection, one, "quarantined", reason, now=self.clock.now(), order_id=order.id)
        return kept

    async def _advance(self, connection: AsyncConnection, order: Order, group: Sequence[Message], dated: Dated) -> Order:
        for one, report in group:
            assert not isinstance(report, Unreadable)  # noqa: S101 - those are set aside before
            await known.add_report(
                connection, order.id, one.raw_id, report, seq_date=one.seq_date, seq=one.seq, arrived=one.arrived
            )
        fills = await new_fills(connection, order, dated, self.clock)
        await store.add_fills(connection, fills)
        profile = self.gateway.profile(order.broker)
        costs = await cost_of(connection, order, fills, dated, profile)
        cause = Cause(
            "order.reported",
            {"evidence": [str(one.raw_id) for one, _ in group], "fills": [short(one) for one in fills]},
        )
        after = await advance(connection, order, cause, profile=profile, now=self.clock.now(), traded=net(fills, costs))
        await store.settle(connection, [one.raw_id for one, _ in group], "applied")
        SETTLED.labels("applied").inc(len(group))
        return after

    async def _set_aside(self, group: Sequence[Message]) -> None:
        """What cannot be read is parked, what is about no order of ours is kept as unmatched; both with an alarm."""
        async with self.transaction() as connection:
            fresh = await store.still_waiting(connection, [one.raw_id for one, _ in group])
            for one, report in group:
                if one.raw_id in fresh:
                    unreadable = isinstance(report, Unreadable)
                    reason = report.reason if isinstance(report, Unreadable) else "no order of ours"
                    await set_aside(connection, one, "parked" if unreadable else "unmatched", reason, now=self.clock.now())

    async def _quarantine(self, order_id: UUID, one: Waiting, reason: str) -> None:
        async with self.transaction() as connection:
            if await store.still_waiting(connection, [one.raw_id]):
                await set_aside(connection, one, "quarantined", reason, now=self.clock.now(), order_id=order_id)
