"""Apply reports to orders: idempotent and free of order.

What a report does follows from everything known about its order, never from the report alone: it is added to the set, and
the order is carried to where the set puts it. Reports of one order are applied in one transaction under the lock of its
row; a message is settled in the transaction of its effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.move import PositionMismatch
from service.accounts.store import accounts_numbered, find_account
from service.audit import append
from service.audit.evidence import Vault
from service.core.clock import Clock, kst_date
from service.core.errors import ServiceError
from service.core.ids import uuid7
from service.core.money import amount
from service.executions import store
from service.executions.impossible import impossible
from service.executions.matching import Reversal, Trade, pushed, unpushed, unrecorded
from service.executions.store import Fill, Waiting
from service.gateway import BrokerProfile, CancelReject, ExecutionReport, Gateway, RawReport, Report, Unreadable
from service.infra.db import Transaction
from service.infra.failpoints import fp
from service.infra.metrics import counter
from service.market.book import MarketBook
from service.market.calendar import Calendar
from service.market.store import find_instrument
from service.orders import known
from service.orders import store as orders
from service.orders.advance import Cause, Traded, advance
from service.orders.model import Order
from service.settlement.accrue import Terms, accrue
from service.settlement.rules import Figures, settles_on
from service.settlement.store import CostKey, load_figures

log = structlog.get_logger()

BATCH = 200
SETTLED = counter("ilim_reports_settled", "Reports settled, by what became of them", ["state"])

Message = tuple[Waiting, Report]


@dataclass(frozen=True)
class Dated:
    """The dated rules a fill needs: trading days and the settlement cycle."""

    calendar: Calendar
    figures: Figures


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
        routed = await self._routed([(one, self._read(one, bodies[one.raw_id])) for one in batch])
        learned = [await self._settle(order_id, group, dated) for order_id, group in routed.items()]
        if any(learned):
            await self._look_again()
        self.poke("orders.changed")
        return len(batch)

    def _read(self, one: Waiting, body: bytes) -> Report:
        try:
            return self.gateway.read_report(RawReport(one.com_id, one.seq_date, one.seq, body))
        except Exception as error:  # whatever a message does to its reader, the others go on
            log.exception("message.reader_failed", raw_id=str(one.raw_id))
            return Unreadable(f"failed: {type(error).__name__}")

    async def _routed(self, messages: Sequence[Message]) -> dict[UUID | None, list[Message]]:
        """All in one transaction; one by one when that fails, so that the one to blame is found."""
        try:
            async with self.transaction() as connection:
                return await self._route(connection, messages)
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
        routed = await self._routed([(one, self._read(one, bodies[one.raw_id])) for one in aside])
        found = [one.raw_id for order_id, group in routed.items() if order_id is not None for one, _ in group]
        if found:
            async with self.transaction() as connection:
                await store.put_back(connection, found)

    async def _route(self, connection: AsyncConnection, messages: Sequence[Message]) -> dict[UUID | None, list[Message]]:
        """Messages by the order they are about; None for those about no order of ours."""
        routed: dict[UUID | None, list[Message]] = {}
        for one, report in messages:
            order_id = None if isinstance(report, Unreadable) else await self._find(connection, report)
            routed.setdefault(order_id, []).append((one, report))
        return routed

    async def _find(self, connection: AsyncConnection, report: ExecutionReport | CancelReject) -> UUID | None:
        """By any ClOrdID of the chain, else by the broker's number on the business date."""
        for cl_ord_id in (report.cl_ord_id, report.orig_cl_ord_id):
            found = await orders.by_cl_ord_id(connection, cl_ord_id) if cl_ord_id else None
            if found is not None:
                return found
        if isinstance(report, CancelReject) or not (report.order_id and report.account):
            return None
        accounts = await accounts_numbered(connection, report.account)
        day = kst_date(report.transact_time or self.clock.now())
        return await orders.by_broker_number(connection, accounts, day, report.order_id)

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
            await self._quarantine(order_id, group[0][0], _word(error))
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
                await self._record_quarantine(connection, order.id, one, reason)
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
            {"evidence": [str(one.raw_id) for one, _ in group], "fills": [_short(one) for one in fills]},
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
                    parked = isinstance(report, Unreadable)
                    reason = report.reason if isinstance(report, Unreadable) else "no order of ours"
                    await self._record_aside(connection, one, "parked" if parked else "unmatched", reason)

    async def _quarantine(self, order_id: UUID, one: Waiting, reason: str) -> None:
        async with self.transaction() as connection:
            if await store.still_waiting(connection, [one.raw_id]):
                await self._record_quarantine(connection, order_id, one, reason)

    async def _record_quarantine(self, connection: AsyncConnection, order_id: UUID, one: Waiting, reason: str) -> None:
        await self._record_aside(connection, one, "quarantined", reason, order_id)

    async def _record_aside(
        self, connection: AsyncConnection, one: Waiting, state: str, reason: str, order_id: UUID | None = None
    ) -> None:
        await store.settle(connection, [one.raw_id], state, reason)
        await append.record(
            connection,
            kind=f"message.{state}",
            subject=("message", one.raw_id),
            body={"reason": reason, "order": None if order_id is None else str(order_id)},
            at=self.clock.now(),
        )
        SETTLED.labels(state).inc()
        log.error(f"message.{state}", raw_id=str(one.raw_id), reason=reason, order_id=str(order_id) if order_id else None)


WRONG = (PositionMismatch, IntegrityError, ServiceError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)


def unfit(error: Exception) -> bool:
    """Whether the message is to blame: it would fail again. A database that is away or busy is not the message's fault."""
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        return str(getattr(error.orig, "sqlstate", "") or "")[:2] in ("22", "54")  # data exception, limit exceeded
    return isinstance(error, WRONG)


def _word(error: Exception) -> str:
    if isinstance(error, PositionMismatch):
        return "position-mismatch"
    return "overfill" if isinstance(error, IntegrityError) else f"failed: {type(error).__name__}"


async def new_fills(
    connection: AsyncConnection, order: Order, dated: Dated, clock: Clock, inquiry: Sequence[Trade] = ()
) -> list[Fill]:
    """Fills that evidence shows and we do not hold, and reversals of those that were busted."""
    held = await store.fills_of(connection, order.id)
    reported = await known.reports(connection, order.id)
    said = pushed([(raw_id, report) for raw_id, report in reported if isinstance(report, ExecutionReport)])
    recorded = [(one.quantity, one.price) for one in held if one.quantity > 0]
    pushed_fills = _numbered(order, held, unrecorded(recorded, said.trades), dated, clock)
    known_fills = [*held, *pushed_fills]
    reversals = _reversals(known_fills, said.reversals, clock)
    known_fills += reversals
    if not inquiry:
        return [*pushed_fills, *reversals]
    undone = {one.reverses for one in known_fills}
    standing = [(one.quantity, one.price) for one in known_fills if one.quantity > 0 and one.id not in undone]
    seen = await known.sightings(connection, order.id)
    cumulative = max([order.reported_quantity, seen.executed, *_cumulatives(reported)])
    inquired_fills = _numbered(order, known_fills, unpushed(standing, inquiry, cumulative), dated, clock)
    return [*pushed_fills, *reversals, *inquired_fills]


def _numbered(order: Order, held: Sequence[Fill], trades: Sequence[Trade], dated: Dated, clock: Clock) -> list[Fill]:
    return [_fill(order, one, len(held) + 1 + i, dated, clock) for i, one in enumerate(trades)]


def _cumulatives(reported: Sequence[tuple[UUID, known.Known]]) -> list[int]:
    given = (one.cumulative_quantity for _, one in reported if isinstance(one, ExecutionReport))
    return [one for one in given if one is not None]


def _fill(order: Order, trade: Trade, number: int, dated: Dated, clock: Clock) -> Fill:
    return Fill(
        id=uuid7(),
        order_id=order.id,
        number=number,
        account_id=order.account_id,
        business_date=order.business_date,
        isin=order.isin,
        side=order.side,
        quantity=trade.quantity,
        price=trade.price,
        amount=amount(trade.quantity, trade.price),
        traded_at=trade.traded_at or clock.now(),
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
        exec_id=trade.exec_id,
        source=trade.source,
        evidence=trade.evidence,
        evidence_row=trade.row,
        reverses=None,
    )


def _reversals(held: Sequence[Fill], said: Sequence[Reversal], clock: Clock) -> list[Fill]:
    """The opposite of each busted fill, once. The broker's reference is looked up among the fills' own numbers."""
    undone = {one.reverses for one in held}
    found: list[Fill] = []
    for reversal in said:
        target = next(
            (one for one in held if one.exec_id == reversal.exec_ref and one.quantity > 0 and one.id not in undone), None
        )
        if target is None:
            continue
        undone.add(target.id)
        found.append(_opposite(target, reversal, len(held) + len(found) + 1, clock))
    return found


def _opposite(target: Fill, reversal: Reversal, number: int, clock: Clock) -> Fill:
    return Fill(
        id=uuid7(),
        order_id=target.order_id,
        number=number,
        account_id=target.account_id,
        business_date=target.business_date,
        isin=target.isin,
        side=target.side,
        quantity=-target.quantity,
        price=target.price,
        amount=-target.amount,
        traded_at=clock.now(),
        settles_on=target.settles_on,
        exec_id=None,
        source="stream",
        evidence=reversal.evidence,
        evidence_row=0,
        reverses=target.id,
    )


async def cost_of(connection: AsyncConnection, order: Order, fills: Sequence[Fill], dated: Dated, profile: BrokerProfile) -> int:
    """The change of commission and taxes that new fills bring, on the broker's own basis. Won."""
    if not fills:
        return 0
    amounts: dict[str, int] = {}
    for one in fills:
        basis = {"day": "", "order": str(order.id), "fill": str(one.reverses or one.id)}[profile.cost_base]
        amounts[basis] = amounts.get(basis, 0) + one.amount
    listed = await find_instrument(connection, order.isin)
    terms = Terms(
        commission_rate=profile.commission_rate,
        commission_unit=profile.commission_unit,
        market=listed.market if listed else "kospi",
        product=listed.product if listed else "stock",
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
    )
    key = CostKey(order.account_id, order.business_date, order.isin, order.side)
    return await accrue(connection, dated.figures, terms, key, amounts)


def net(fills: Sequence[Fill], costs: int) -> Traded:
    """What new fills add up to."""
    return Traded(
        costs=costs,
        quantity=sum(one.quantity for one in fills),
        amount=sum(one.amount for one in fills),
        exact_amount=sum((one.price * one.quantity for one in fills), Decimal(0)),
    )


def _short(one: Fill) -> dict[str, object]:
    return {"quantity": one.quantity, "price": one.price, "source": one.source, "evidence": str(one.evidence)}
