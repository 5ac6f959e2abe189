"""One pass over the reports of an order, in their canonical order: what they say, gathered.

What a report does to the order's life is the table's business (`states`); here stands what counts as said. A late `New` or
`Pending` takes nothing back, a repetition adds nothing, and only a bust or a correction lowers what is executed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind
from service.orders.identity import REVERSING, Seen
from service.orders.model import Request, Status
from service.orders.states import BY_EXEC_TYPE, ENDS_ON_WIRE, HELD, HELD_BY_WIRE, MOVES, OPEN_ON_WIRE, Event

Known = ExecutionReport | CancelReject

PENDING = {ExecType.PENDING_CANCEL: RequestKind.CANCELLATION, ExecType.PENDING_REPLACE: RequestKind.AMENDMENT}
CHANGES = frozenset({ExecType.REPLACED, ExecType.RESTATED})
DAY_OVER = frozenset({Status.DONE_FOR_DAY, Status.CALCULATED})
CLOSES_DAY = frozenset({ExecType.DONE_FOR_DAY, ExecType.CALCULATED})
CLOSES_DAY_ON_WIRE = frozenset({"3", "B"})
ENDS_NO_HOLD = frozenset({ExecType.PENDING_NEW, ExecType.ORDER_STATUS, *PENDING})
UNHELD = frozenset({"0", "1"})  # statuses that any hold would outrank
TELLS_TERMS = frozenset({ExecType.TRADE, ExecType.CANCELED, ExecType.EXPIRED, ExecType.DONE_FOR_DAY})
CLOCKS_DIFFER = timedelta(seconds=60)
TAKEN_UP = frozenset({ExecType.REPLACED, ExecType.CANCELED, *PENDING})
DUPLICATE = "6"  # CxlRejReason, OrdRejReason: the ClOrdID was there before
KNOW_NOTHING = frozenset({"8", "A"})
CORPORATE_ACTION = "0"  # ExecRestatementReason: a split or the like changes what was executed as well
PARTIAL_DECLINE = "5"  # ExecRestatementReason: the broker takes less than was ordered


@dataclass(slots=True)
class Reading:
    """What one pass over the reports gathers."""

    quantity: int
    price: Decimal | None
    amendments: Mapping[str, int]  # our own amendments: number by ClOrdID
    life: Status = Status.PENDING_NEW
    reported: int = 0
    restated: int = 0
    acknowledgements: int = 0
    outlives: bool = False  # done for the day only: something is left for the next one
    nobody: bool = False  # they answered that they know no such order
    amended_by: int = -1
    termed_at: datetime | None = None  # when the terms were changed that are known
    by_rows: bool = False  # an amendment is in force of which only rows may tell
    overtaken: set[str | None] = field(default_factory=set)  # amendments of which a restatement told later terms already
    pending: list[tuple[RequestKind, str | None, int | None]] = field(default_factory=list)
    final: set[str | None] = field(default_factory=set)
    denied: dict[str | None, str | None] = field(default_factory=dict)
    confirmed: set[str | None] = field(default_factory=set)
    numbers: dict[str, set[str | None]] = field(default_factory=dict)  # the broker's, with the ClOrdIDs they were told with
    drops: list[tuple[datetime | None, int]] = field(default_factory=list)
    refused: frozenset[str | None] = frozenset()  # changes that are denied in the end
    strays: int = 0
    seen: Seen = field(default_factory=Seen)

    def happens(self, event: Event) -> None:
        self.life = MOVES[self.life, event]


def read(reading: Reading, requests: Sequence[Request], reports: Iterable[Known]) -> None:
    """Take up every report about an order. `reports` in canonical order."""
    told = list(reports)
    reading.refused = denied_by(told)
    for report in told:
        if isinstance(report, CancelReject):
            _read_cancel_reject(reading, report)
        elif report.exec_type is ExecType.REJECTED:
            _read_rejected(reading, requests, report)
        elif not reading.seen.again(report):
            meant = _as_meant(report)
            _read_report(reading, meant)
            _read_shown(reading, requests, meant)


def _as_meant(report: ExecutionReport) -> ExecutionReport:
    """A cancellation that leaves something open, by LeavesQty and OrdStatus both, is the broker's change of the quantity."""
    part = report.exec_type is ExecType.CANCELED and report.ord_status in UNHELD and report.leaves_quantity
    return replace(report, exec_type=ExecType.RESTATED) if part else report


def shows_the_order(report: Known) -> bool:
    """Whether its sender has the order. Who says of an order that he does not know it, or refuses a change of it for that,
    has not: it is no evidence of the order, and may be of its absence."""
    asked = isinstance(report, CancelReject) or report.exec_type is ExecType.ORDER_STATUS
    return not (asked and report.ord_status in KNOW_NOTHING)


def denied_by(reports: Iterable[Known]) -> frozenset[str | None]:
    """ClOrdIDs that are denied by the last word about them. `reports` in canonical order. A rejected repetition denies nothing
    of what was taken up before, and under the ClOrdID of an amendment in force the order is rejected, or another message."""
    told = list(reports)
    if not any(isinstance(one, CancelReject) or one.exec_type is ExecType.REJECTED for one in told):
        return frozenset()  # nearly always: each report of an order is read again with every new one
    taken_up = {one.cl_ord_id for one in told if isinstance(one, ExecutionReport) and one.exec_type in TAKEN_UP}
    denied, in_force, proven = set[str | None](), set[str | None](), set[str | None]()
    for one in told:
        named, kind = {one.cl_ord_id}, None if isinstance(one, CancelReject) else one.exec_type
        if isinstance(one, CancelReject):
            denied |= set() if one.reason == DUPLICATE and named <= taken_up else named - proven
        elif kind is ExecType.REJECTED:
            denied |= named - in_force
        elif kind is not ExecType.ORDER_STATUS:  # an execution under its name, or a change of it, and no denial can be true
            proven |= in_force & ({one.orig_cl_ord_id} if kind in TAKEN_UP else named)
        if kind is ExecType.REPLACED:
            in_force |= named
            denied -= named
    return frozenset(denied)


def take_terms(reading: Reading, amendment: Request, quantity: int | None = None) -> None:
    """The amendment is in force, though no report of its own says so: a new price for all that remains, or a lower quantity."""
    if amendment.number > reading.amended_by:
        reading.amended_by = amendment.number
        reading.quantity = min(reading.quantity, quantity or amendment.quantity)
        reading.price = amendment.price or reading.price


def _read_shown(reading: Reading, requests: Sequence[Request], report: ExecutionReport) -> None:
    """The confirmation of an amendment may be lost, and a later report tell the terms it gave the order."""
    one = _shown_by(requests, report) if report.exec_type in TELLS_TERMS else None
    if one is not None and one.cl_ord_id not in reading.refused:
        reading.confirmed.add(one.cl_ord_id)
        take_terms(reading, one)


def _shown_by(requests: Sequence[Request], report: ExecutionReport) -> Request | None:
    """The amendment whose price and quantity the report tells, if they are no other request's. A quantity counts where the
    report adds up: some brokers tell there what remains."""
    executed, left = report.cumulative_quantity or 0, report.leaves_quantity
    sure = executed == 0 or (left is not None and left + executed == report.order_quantity)
    told = report.order_quantity if sure else None
    fitting = [one for one in requests if _there(one, report) and one.price == report.price and told in (None, one.quantity)]
    alone = fitting[0] if len(fitting) == 1 and report.price is not None else None
    return alone if alone is not None and alone.kind is RequestKind.AMENDMENT else None


def _there(one: Request, report: ExecutionReport) -> bool:
    """Whether the report could speak of the order as this request left it."""
    if one.kind is RequestKind.NEW:
        return True
    known = one.kind is RequestKind.AMENDMENT and one.sent_at is not None
    at = report.transact_time
    return known and (at is None or one.sent_at is None or at >= one.sent_at - CLOCKS_DIFFER)


def _read_cancel_reject(reading: Reading, report: CancelReject) -> None:
    if report.cl_ord_id not in reading.refused:
        reading.strays += report.reason == DUPLICATE
        return
    new = report.cl_ord_id not in reading.final
    reading.denied[report.cl_ord_id] = report.text or report.reason
    reading.final.add(report.cl_ord_id)
    # Its OrdStatus speaks of the order *they* know. That one may have ended is no proof for ours: no quantity goes with it.
    _read_acquaintance(reading, report.ord_status)
    if new and report.ord_status in UNHELD and reading.life not in DAY_OVER:
        reading.happens(Event.RESUMED)


def _read_acquaintance(reading: Reading, ord_status: str) -> None:
    """Whether who was asked knows the order. 8 for an unknown one and A say nothing about ours: it may still be on its way."""
    if ord_status not in KNOW_NOTHING:
        reading.happens(Event.ACKNOWLEDGED)
    elif ord_status == "8":
        reading.nobody = True


def _read_rejected(reading: Reading, requests: Sequence[Request], report: ExecutionReport) -> None:
    ours = next((one for one in requests if one.cl_ord_id == report.cl_ord_id), None)
    # An amendment in force names the order it made: what is rejected after that is the order, not the amendment.
    in_force = ours is not None and ours.kind is RequestKind.AMENDMENT and ours.cl_ord_id in reading.confirmed
    denied = ours is not None and ours.kind is not RequestKind.NEW and ours.cl_ord_id in reading.refused
    if denied and not (in_force and report.ord_status == "8"):
        reading.denied[report.cl_ord_id] = report.text or report.reject_reason
        reading.final.add(report.cl_ord_id)
    elif report.ord_status != "8" or report.reject_reason == DUPLICATE:
        reading.strays += 1  # the reject of *another* message with our id: the first order lives on
    else:
        _note_number(reading, report)
        reading.happens(Event.REJECTED)
        birth = next((one.cl_ord_id for one in requests if in_force and one.kind is RequestKind.NEW), report.cl_ord_id)
        reading.denied[birth] = report.text or report.reject_reason


def _read_report(reading: Reading, report: ExecutionReport) -> None:
    kind = report.exec_type
    if kind is ExecType.ORDER_STATUS and report.ord_status in KNOW_NOTHING:
        _read_acquaintance(reading, report.ord_status)
        return
    _note_number(reading, report)
    _read_quantity(reading, report)
    _read_life(reading, report)
    if kind in PENDING:
        reading.pending.append((PENDING[kind], report.cl_ord_id, report.order_quantity))
    elif kind is not ExecType.PENDING_NEW and kind is not ExecType.ORDER_STATUS:
        reading.confirmed.add(report.cl_ord_id)
        if kind is ExecType.REPLACED or kind is ExecType.CANCELED:
            reading.final.add(report.cl_ord_id)


def _note_number(reading: Reading, report: ExecutionReport) -> None:
    if report.order_id:
        reading.numbers.setdefault(report.order_id, set()).add(report.cl_ord_id)


def _read_quantity(reading: Reading, report: ExecutionReport) -> None:
    if report.exec_type in CHANGES or (report.cl_ord_id in reading.amendments and report.exec_type not in PENDING):
        _read_terms(reading, report)
    cumulative = report.cumulative_quantity
    if cumulative is None:
        return
    if report.exec_type is ExecType.RESTATED and report.restatement_reason == CORPORATE_ACTION:
        reading.restated += cumulative - reading.reported
        reading.reported = cumulative
    elif reading.seen.overtaken(report):
        return  # held up: a bust or correction that was told before it knows better
    elif report.exec_type in REVERSING:
        reading.drops.append((report.transact_time, reading.reported - cumulative))
        reading.reported = cumulative  # only these may lower it
    else:
        reading.reported = max(reading.reported, cumulative)


def _read_terms(reading: Reading, report: ExecutionReport) -> None:
    """Quantity and price from a report that an amendment is in force: the confirmation, or a fill that overtook it. Of
    several amendments the last one asked for counts, and what is said of one before it comes too late. One that is refused
    in the end, be it after its confirmation, leaves the terms as they were."""
    if report.cl_ord_id in reading.amendments and report.cl_ord_id in reading.refused:
        return
    number = reading.amendments.get(report.cl_ord_id or "", reading.amended_by)
    if number < reading.amended_by or (report.exec_type not in CHANGES and number == reading.amended_by):
        return
    if reading.by_rows and _lowers(report) and report.cl_ord_id not in reading.amendments:
        # The broker did so before the amendment came into force or after: fewer are fewer, and the price is the amendment's.
        reading.quantity = min(reading.quantity, report.order_quantity or reading.quantity)
        return
    if report.exec_type is ExecType.REPLACED and report.cl_ord_id in reading.overtaken:
        return  # it came into force before the broker changed it
    if report.exec_type is ExecType.RESTATED and report.order_quantity:
        reading.overtaken.add(report.cl_ord_id)
    if _older_than_known(reading, report):
        return
    reading.amended_by = number
    reading.termed_at = report.transact_time or reading.termed_at
    reading.quantity = _total(report) or reading.quantity
    reading.price = report.price or reading.price


def _total(report: ExecutionReport) -> int | None:
    """OrderQty; where it is LeavesQty beside what was executed, the broker tells there what remains."""
    left, executed = report.leaves_quantity or 0, report.cumulative_quantity or 0
    return executed + left if left and left == report.order_quantity else report.order_quantity


def _older_than_known(reading: Reading, report: ExecutionReport) -> bool:
    """Whether the terms that are known are newer than this restatement: by their time, or because a decline only lowers."""
    if report.exec_type is not ExecType.RESTATED:
        return False
    at, termed_at = report.transact_time, reading.termed_at
    enlarges = report.restatement_reason == PARTIAL_DECLINE and (report.order_quantity or 0) > reading.quantity
    return enlarges or (at is not None and termed_at is not None and at < termed_at)


def _lowers(report: ExecutionReport) -> bool:
    return report.exec_type is ExecType.RESTATED and report.restatement_reason != CORPORATE_ACTION


def _read_life(reading: Reading, report: ExecutionReport) -> None:
    kind, said = report.exec_type, report.ord_status
    if kind is ExecType.ORDER_STATUS:
        reading.happens(Event.ACKNOWLEDGED)
    else:
        reading.happens(BY_EXEC_TYPE[kind])
    if kind is ExecType.NEW:
        reading.acknowledgements += 1
    if said in ENDS_ON_WIRE and kind not in PENDING:
        reading.happens(ENDS_ON_WIRE[said])
    if reading.life in HELD or said in HELD_BY_WIRE:
        _read_hold(reading, report)


def _read_hold(reading: Reading, report: ExecutionReport) -> None:
    """A report that is no hold itself may keep one up by its OrdStatus, or end it. Pending states outrank it and end
    nothing; a first acknowledgement was overtaken; and a fill after a day order's day was made before its end."""
    kind, said = report.exec_type, report.ord_status
    if said in HELD_BY_WIRE and kind is not ExecType.ORDER_STATUS:
        reading.happens(HELD_BY_WIRE[said])
    if kind in CLOSES_DAY or said in CLOSES_DAY_ON_WIRE:
        reading.outlives = bool(report.leaves_quantity)
    if said not in OPEN_ON_WIRE or kind in ENDS_NO_HOLD or (kind is ExecType.NEW and reading.acknowledgements < 2):
        return
    if kind is ExecType.RESTATED or reading.life not in DAY_OVER or reading.outlives:
        reading.happens(Event.RESUMED)
