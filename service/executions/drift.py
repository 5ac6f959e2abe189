"""Whether what a broker says still has the shape its profile gives it (P20).

The first report or inquiry row of a broker in which a field we rely on is missing, of another type, or coded in a way nobody
knows locks that broker. New fields are no drift. What is no message at all (cut, not JSON, of nobody we know) is parked and
locks nobody: that is the line's trouble. Neither is what a slow or busy broker does: errors, repeated pages, totals that do
not meet make an inquiry incomplete.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.gateway import CancelReject, Complete, ExecType, ExecutionReport, Inquiry, OrderRow, Report, Side, Unreadable

STRUCTURAL = frozenset(
    {
        "missing-field", "missing-block", "unreadable-block", "unreadable-text", "unreadable-number", "unreadable-quantity",
        "unreadable-time", "unreadable-page", "unknown-code", "ambiguous-field",
    }
)  # fmt: skip
REPORT, INQUIRY = "report", "order inquiry"


@dataclass(frozen=True)
class Drift:
    """What differs: the kind of message, the field, and how, each in a word."""

    message: str
    field: str
    what: str


def of_report(report: Report) -> Drift | None:
    if isinstance(report, Unreadable):
        what, _, field = report.reason.partition(": ")
        return Drift(REPORT, field, what) if what in STRUCTURAL else None
    if isinstance(report, CancelReject):
        return None
    missing = next((name for name, value in _needed(report) if value is None), None)
    return Drift(REPORT, missing, "missing-field") if missing else None


def _needed(report: ExecutionReport) -> Sequence[tuple[str, object]]:
    """Fields every execution report has, and those of a trade (FIX 4.2 and 4.4)."""
    always: list[tuple[str, object]] = [("CumQty", report.cumulative_quantity), ("LeavesQty", report.leaves_quantity)]
    trade: list[tuple[str, object]] = [("LastQty", report.last_quantity), ("LastPx", report.last_price)]
    return always + trade if report.exec_type is ExecType.TRADE else always


def of_answer(answer: Inquiry[OrderRow]) -> Drift | None:
    if not isinstance(answer, Complete):
        return Drift(INQUIRY, answer.detail, answer.reason) if answer.reason in STRUCTURAL else None
    if any(row.order_number is None for row in answer.rows):
        return Drift(INQUIRY, "orderNo", "missing-field")
    sides = [one for one in answer.remarks if one.startswith("unknown-code: sellBuyType") and not one.endswith("None")]
    return Drift(INQUIRY, "sellBuyType", "unknown-code") if sides else None


def of_side(side: Side, rows: Sequence[OrderRow], drift: Drift | None) -> Drift | None:
    """What is wrong with the side that rows give an order of `side`: then nothing is booked from them. A row without a side
    says nothing wrong, unless the answer has sides in codes that nobody knows (`drift`)."""
    if any(row.side not in (None, side) for row in rows):
        return Drift(INQUIRY, "sellBuyType", "contradicts-an-order")
    coded = drift if drift is not None and drift.field == "sellBuyType" else None
    return coded if any(row.side is None for row in rows) else None
