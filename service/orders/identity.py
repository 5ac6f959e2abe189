"""When two reports say the same thing: a resend with other bytes, another sequence or another envelope.

Numbers of executions are hints: brokers leave them out, send zero, or restart them per order. Inside one order the
cumulative quantity a trade led to tells it apart: a true fill always raises it, so two identical fills in one second
differ by it and one fill reported twice does not. Only a bust or a correction lowers it, so the same words after one of
those may be another trade: then its number and its time decide. A report that was held up, and so stands behind a reversal
made after it, still speaks of the time before. A reversal told again at once under another number is no second one.
"""

from collections.abc import Hashable

from service.gateway import ExecType, ExecutionReport

REVERSING = frozenset({ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT})


def telling(number: str | None) -> bool:
    """Whether a number names anything: present, and not a row of zeros."""
    return number is not None and number.strip("0 ") != ""


def reversal_words(report: ExecutionReport) -> tuple[Hashable, ...]:
    """What makes a bust or a correction the one it is, its own number apart."""
    undone = (report.exec_type, report.exec_ref_id)
    return (*undone, report.cumulative_quantity, report.last_quantity, report.last_price)


class Seen:
    """What one pass over the reports of an order, in their canonical order, has come by."""

    __slots__ = ("known", "last", "places", "reversals")

    def __init__(self) -> None:
        self.known: dict[Hashable, int] = {}
        self.places = 0
        self.last: tuple[ExecutionReport, int] | None = None  # the reversal since which nothing was executed, and its place
        self.reversals: list[ExecutionReport] = []

    def overtaken(self, report: ExecutionReport) -> bool:
        """Whether its cumulative quantity is older than that of a bust or correction that stands before it."""
        return any(_precedes(report, one) for one in self.reversals)

    def again(self, report: ExecutionReport) -> bool:
        """Whether this report repeats one before it. Remembers it."""
        return self.first(report) != self.places - 1

    def first(self, report: ExecutionReport) -> int:
        """The place of the report this one repeats, its own place when it says something new. Remembers it."""
        place = self.places
        self.places += 1
        kind = report.exec_type
        if kind is ExecType.TRADE:
            return self._first_trade(report, place)
        if kind in REVERSING:
            return self._first_reversal(report, place)
        named, at = telling(report.exec_id), report.transact_time
        if not named and at is None:
            return place
        number = report.exec_id if named else None
        words = (kind, number, report.cl_ord_id, at, report.ord_status, report.order_quantity)
        return self.known.setdefault(words, place)

    def _first_reversal(self, report: ExecutionReport, place: int) -> int:
        """Another bust would have lowered the count once more, and another correction told other terms."""
        if self.last is not None and _alike(self.last[0], report):
            place = self.last[1]
        first = self.known.setdefault((reversal_words(report), report.exec_id, report.transact_time), place)
        if first == self.places - 1:
            self.reversals.append(report)
            self.last = (report, first)
        return first

    def _first_trade(self, report: ExecutionReport, place: int) -> int:
        content = (report.cumulative_quantity, report.last_quantity, report.last_price)
        named = (content, report.exec_id, report.transact_time) if telling(report.exec_id) else None
        if named in self.known:
            return self.known[named]
        if report.cumulative_quantity is not None:
            before = sum(not _precedes(report, one) for one in self.reversals)
            place = self.known.setdefault((content, before), place)
        if named is not None:
            self.known[named] = place
        if place == self.places - 1:
            self.last = None
        return place


def _alike(one: ExecutionReport, other: ExecutionReport) -> bool:
    """Whether two reversals differ in nothing but their numbers."""
    sure = telling(other.exec_ref_id) and other.cumulative_quantity is not None
    return sure and reversal_words(one) == reversal_words(other)


def _precedes(report: ExecutionReport, reversal: ExecutionReport) -> bool:
    """Whether a report that was told after a reversal was made before it: it is what was reversed, or its time says so. The
    time of one reversal says nothing about another: some carry that of the execution they undo."""
    at, then = report.transact_time, reversal.transact_time
    if report.exec_type in REVERSING or at is None or then is None or at == then:
        named = telling(report.exec_id) and report.exec_id != report.exec_ref_id  # some give a correction the same number
        return named and report.exec_id == reversal.exec_ref_id
    return at < then
