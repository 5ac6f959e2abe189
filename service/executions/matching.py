"""Which executions an order has: the same set from any mixture of push, resend and inquiry (P6, P7).

Numbers of executions are hints: brokers leave them out, send zero, or restart them per order. What identifies a trade
inside one order is the cumulative quantity it led to: a true fill always raises it, so two identical fills in one second
differ by it, and one fill reported twice does not. Only a bust lowers it; trades are therefore told apart by how many
busts or corrections came before them as well.

Push and inquiry are merged as multisets of (quantity, price): each side may know a fill the other does not. The highest
cumulative quantity arbitrates: no union may exceed it, and nothing is invented to reach it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from service.gateway import ExecType, ExecutionReport, OrderRow

Key = tuple[int, Decimal]


@dataclass(frozen=True)
class Trade:
    """One execution as one piece of evidence shows it. Shares and won."""

    quantity: int
    price: Decimal
    traded_at: datetime | None
    exec_id: str | None
    source: str
    evidence: UUID
    row: int = 0

    @property
    def key(self) -> Key:
        return (self.quantity, self.price)


@dataclass(frozen=True)
class Reversal:
    """A bust (or the first half of a correction) of the execution `exec_ref` names."""

    exec_ref: str | None
    evidence: UUID


@dataclass(frozen=True)
class Pushed:
    """What the stream says: distinct trades in canonical order, and the reversals among them."""

    trades: tuple[Trade, ...]
    reversals: tuple[Reversal, ...]


def pushed(reports: Sequence[tuple[UUID, ExecutionReport]]) -> Pushed:
    """The distinct executions among reports in canonical order."""
    trades: list[Trade] = []
    reversals: list[Reversal] = []
    known: set[tuple[object, ...]] = set()
    for evidence, report in reports:
        identity = _identity(report, evidence, len(reversals))
        if identity is None or identity in known:
            continue
        known.add(identity)
        if report.exec_type is not ExecType.TRADE:
            reversals.append(Reversal(report.exec_ref_id, evidence))
        if report.exec_type is not ExecType.TRADE_CANCEL:
            trades.append(_trade(report, evidence))
    return Pushed(tuple(trades), tuple(reversals))


def _identity(report: ExecutionReport, evidence: UUID, reversals: int) -> tuple[object, ...] | None:
    """What makes a second report of the same execution the same; None for reports that execute nothing."""
    kind, cumulative = report.exec_type, report.cumulative_quantity
    if kind is ExecType.TRADE and report.last_quantity and report.last_price:
        content = (kind, cumulative, report.last_quantity, report.last_price)
        if cumulative is not None:
            return (*content, reversals)
        return (*content, report.exec_id or evidence)
    if kind in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT):
        return (kind, report.exec_ref_id, cumulative, report.last_quantity, report.last_price, report.exec_id)
    return None


def _trade(report: ExecutionReport, evidence: UUID) -> Trade:
    return Trade(
        quantity=report.last_quantity or 0,
        price=report.last_price or Decimal(0),
        traded_at=report.transact_time,
        exec_id=report.exec_id,
        source="stream",
        evidence=evidence,
    )


def inquired(row: OrderRow, evidence: UUID, first_row: int) -> tuple[Trade, ...]:
    """The executions listed in an order row of a complete inquiry."""
    return tuple(
        Trade(one.quantity, one.price, one.time, one.number, "inquiry", evidence, first_row + i)
        for i, one in enumerate(row.executions)
    )


def unrecorded(recorded: Sequence[Key], stream: Sequence[Trade]) -> list[Trade]:
    """Trades of the stream with no fill yet. `recorded` are all fills ever recorded, those busted since included: a bust
    undoes a fill, it does not unmake it. A fill first seen by inquiry is the same fill when the stream shows it."""
    return _beyond(Counter(recorded), stream)


def unpushed(standing: Sequence[Key], inquiry: Sequence[Trade], cumulative: int) -> list[Trade]:
    """Trades only the inquiry shows. `standing` are the fills that hold, `cumulative` the highest quantity evidence shows:
    never more than that is taken, so that rows a broker adds up differently invent nothing."""
    missing: list[Trade] = []
    room = cumulative - sum(quantity for quantity, _ in standing)
    for one in _beyond(Counter(standing), inquiry):
        if one.quantity <= room:
            missing.append(one)
            room -= one.quantity
    return missing


def _beyond(held: Counter[Key], trades: Sequence[Trade]) -> list[Trade]:
    left = held.copy()
    extra: list[Trade] = []
    for one in trades:
        if left[one.key] > 0:
            left[one.key] -= 1
        else:
            extra.append(one)
    return extra
