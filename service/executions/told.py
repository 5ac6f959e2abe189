"""What evidence says of an order's executions: the distinct trades and reversals of the stream, and the rows of an inquiry.

What makes two reports the same execution stands in `orders/identity.py`: the cumulative quantity they led to, not their
numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import accumulate
from uuid import UUID

from service.gateway import ExecType, ExecutionReport, OrderRow
from service.orders.identity import REVERSING, Seen, telling

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
    asked_at: datetime | None = None  # of an inquiry: when it was asked, on the business clock
    also: tuple[UUID, ...] = ()  # further messages that say the same
    numbers: frozenset[str] = frozenset()  # all it was told under: some brokers number a repetition anew
    corrects: bool = False  # the second half of a correction
    cumulative: int | None = None  # the executed quantity it led to, as the stream tells it
    after: int = 0  # so many reversals stand before it in the stream

    @property
    def key(self) -> Key:
        return (self.quantity, self.price)

    @property
    def evidences(self) -> tuple[UUID, ...]:
        return (self.evidence, *self.also)


@dataclass(frozen=True)
class Reversal:
    """A bust, or the first half of a correction, of the execution `exec_ref` names."""

    exec_ref: str | None
    exec_id: str | None
    drop: int | None  # what it took from the cumulative quantity, as far as that was told
    evidences: tuple[UUID, ...]  # every message that says it, the first one in canonical order first
    corrects: bool
    at: datetime | None

    @property
    def evidence(self) -> UUID:
        return self.evidences[0]


@dataclass(frozen=True)
class Pushed:
    """What the stream says: distinct trades in canonical order, and the reversals among them."""

    trades: tuple[Trade, ...]
    reversals: tuple[Reversal, ...]
    cumulative: int  # the executed quantity by the stream's last word, busts taken off

    @property
    def told(self) -> set[UUID]:
        """Every message that tells of one of the trades."""
        return {evidence for one in self.trades for evidence in one.evidences}


def pushed(reports: Iterable[tuple[UUID, ExecutionReport]]) -> Pushed:
    """The distinct executions among reports in canonical order."""
    first: dict[int, tuple[ExecutionReport, int]] = {}  # by place: what was said, and the cumulative quantity before it
    evidences: dict[int, list[UUID]] = {}
    numbers: dict[int, set[str]] = {}
    seen, cumulative = Seen(), 0
    for evidence, report in reports:
        place = seen.first(report)
        evidences.setdefault(place, []).append(evidence)
        numbers.setdefault(place, set()).update({report.exec_id} if report.exec_id and telling(report.exec_id) else ())
        if place != seen.places - 1:
            continue
        first[place] = (report, cumulative)
        told = report.cumulative_quantity
        if told is not None and not seen.overtaken(report):
            cumulative = told if report.exec_type in REVERSING else max(cumulative, told)
    said = [(report, before, tuple(evidences[place])) for place, (report, before) in first.items()]
    behind = accumulate(report.exec_type in REVERSING for report, _, _ in said)
    placed = zip(first, said, behind, strict=True)
    trades = (_trade(one[0], one[2], numbers[place], after) for place, one, after in placed if _executes(one[0]))
    reversals = (_reversal(report, before, told_by) for report, before, told_by in said if report.exec_type in REVERSING)
    return Pushed(tuple(trades), tuple(reversals), cumulative)


def _executes(report: ExecutionReport) -> bool:
    """A quantity without a price is no fill yet: it shows in the cumulative quantity, and an inquiry is asked."""
    executes = report.exec_type is ExecType.TRADE or report.exec_type is ExecType.TRADE_CORRECT
    return executes and bool(report.last_quantity and report.last_price)


def _reversal(report: ExecutionReport, before: int, evidences: tuple[UUID, ...]) -> Reversal:
    corrects = report.exec_type is ExecType.TRADE_CORRECT
    after = report.cumulative_quantity
    drop = None if after is None else before - after + (report.last_quantity or 0 if corrects else 0)
    return Reversal(report.exec_ref_id, report.exec_id, drop, evidences, corrects, report.transact_time)


def _trade(report: ExecutionReport, evidences: Sequence[UUID], numbers: Iterable[str], after: int) -> Trade:
    return Trade(
        quantity=report.last_quantity or 0,
        price=report.last_price or Decimal(0),
        traded_at=report.transact_time,
        exec_id=report.exec_id,
        source="stream",
        evidence=evidences[0],
        also=tuple(evidences[1:]),
        numbers=frozenset(numbers),
        corrects=report.exec_type is ExecType.TRADE_CORRECT,
        cumulative=report.cumulative_quantity,
        after=after,
    )


def inquired(row: OrderRow, evidence: UUID, first_row: int, asked_at: datetime) -> tuple[Trade, ...]:
    """The executions listed in an order row of a complete inquiry."""
    return tuple(
        Trade(one.quantity, one.price, one.time, one.number, "inquiry", evidence, first_row + i, asked_at)
        for i, one in enumerate(row.executions)
    )
