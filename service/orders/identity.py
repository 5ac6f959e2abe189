"""When two reports say the same thing: a resend with other bytes, another sequence or another envelope.

Numbers of executions are hints: brokers leave them out, send zero, or restart them per order. Inside one order the
cumulative quantity a trade led to tells it apart: a true fill always raises it, so two identical fills in one second
differ by it and one fill reported twice does not. Only a bust or a correction lowers it, so the same words after one of
those may be another trade: then its number and its time decide.
"""

from collections.abc import Hashable

from service.gateway import ExecType, ExecutionReport

REVERSING = frozenset({ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT})


def telling(number: str | None) -> bool:
    """Whether a number names anything: present, and not a row of zeros."""
    return number is not None and number.strip("0 ") != ""


def reversal_words(report: ExecutionReport) -> Hashable:
    """What makes a bust or a correction the one it is."""
    numbers = (report.exec_type, report.exec_ref_id, report.exec_id)
    return (*numbers, report.cumulative_quantity, report.last_quantity, report.last_price)


class Seen:
    """What one pass over the reports of an order, in their canonical order, has come by."""

    __slots__ = ("known", "reversals")

    def __init__(self) -> None:
        self.known: set[Hashable] = set()
        self.reversals = 0

    def again(self, report: ExecutionReport) -> bool:
        """Whether this report repeats one before it. Remembers it."""
        kind = report.exec_type
        if kind is ExecType.TRADE:
            return self._trade_again(report)
        if kind in REVERSING:
            if self._said(reversal_words(report)):
                return True
            self.reversals += 1
            return False
        named, at = telling(report.exec_id), report.transact_time
        told = (kind, report.exec_id if named else None, report.cl_ord_id, at, report.ord_status, report.order_quantity)
        return (named or at is not None) and self._said(told)

    def _trade_again(self, report: ExecutionReport) -> bool:
        words = (report.cumulative_quantity, report.last_quantity, report.last_price)
        if telling(report.exec_id) and self._said((words, report.exec_id, report.transact_time)):
            return True
        return report.cumulative_quantity is not None and self._said((words, self.reversals))

    def _said(self, words: Hashable) -> bool:
        if words in self.known:
            return True
        self.known.add(words)
        return False
