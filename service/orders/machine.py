"""The state of an order as a pure function of what is known about it.

Input: the order as asked for, its requests, every report about it and the quantity our fills add up to. Output: a `View`.
Reports are taken in their canonical order (the stream's own sequence), so arrival order and repetition cannot matter; and
within it a late `New` or `Pending` never takes anything back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind
from service.orders.model import OPEN_REQUEST, PRECEDENCE, Request, RequestEvent, RequestState, Status, move

Known = ExecutionReport | CancelReject

EXECUTIONS = frozenset({ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL})
PENDING = {ExecType.PENDING_CANCEL: RequestKind.CANCELLATION, ExecType.PENDING_REPLACE: RequestKind.AMENDMENT}
DONE = {ExecType.CANCELED: RequestKind.CANCELLATION, ExecType.REPLACED: RequestKind.AMENDMENT}
# States a sell side holds an order in until it says otherwise; OrdStatus of a later report ends them.
HELD = {
    ExecType.DONE_FOR_DAY: Status.DONE_FOR_DAY,
    ExecType.CALCULATED: Status.CALCULATED,
    ExecType.STOPPED: Status.STOPPED,
    ExecType.SUSPENDED: Status.SUSPENDED,
}
HELD_WIRE = {"3": Status.DONE_FOR_DAY, "B": Status.CALCULATED, "7": Status.STOPPED, "9": Status.SUSPENDED}
PENDING_WIRE = frozenset({"6", "E"})  # they outrank what is held, so they do not end it
LEFT_OVER = frozenset({RequestState.QUEUED, RequestState.SENT, RequestState.UNKNOWN})
TERMINAL = frozenset({Status.CANCELED, Status.EXPIRED, Status.REJECTED, Status.DONE_FOR_DAY, Status.CALCULATED})


@dataclass(frozen=True)
class Facts:
    """What was asked for, and the habits of the broker that decide how to read silence."""

    quantity: int
    price: Decimal | None
    requests: Sequence[Request]
    reports_pending: bool = True
    sighted: bool = False  # an inquiry row showed the order: as good as a report
    sighted_executed: int = 0
    ended: Status | None = None  # an inquiry row proved the order's end


@dataclass(frozen=True)
class View:
    """The order as the evidence shows it. Quantities in shares."""

    status: Status
    quantity: int
    price: Decimal | None
    reported_quantity: int
    remaining_quantity: int
    closed: bool
    requests: Mapping[str, tuple[RequestState, str | None]]  # by ClOrdID
    order_numbers: tuple[str, ...]  # every broker number seen, the present one last
    stray_rejects: int = 0  # rejects of somebody else's duplicate that carried our identity


@dataclass
class _Reading:
    """What one pass over the reports gathers."""

    quantity: int
    price: Decimal | None
    reported: int = 0
    acknowledged: bool = False
    held: Status | None = None
    ends: set[Status] = field(default_factory=set)
    pending: set[tuple[RequestKind, str | None]] = field(default_factory=set)
    final: set[str | None] = field(default_factory=set)
    denied: dict[str | None, str | None] = field(default_factory=dict)
    confirmed: set[str | None] = field(default_factory=set)
    numbers: list[str] = field(default_factory=list)
    strays: int = 0


def view(facts: Facts, reports: Iterable[Known], filled: int) -> View:
    """The state of an order. `reports` in canonical order; `filled` is the sum of recorded fills, busts taken off."""
    reading = _Reading(facts.quantity, facts.price, acknowledged=facts.sighted)
    for report in reports:
        if isinstance(report, CancelReject):
            _read_reject(reading, report)
        else:
            _read_report(reading, facts, report)
    states = {one.cl_ord_id: _request_state(one, reading, filled) for one in facts.requests}
    reading.reported = max(reading.reported, facts.sighted_executed)
    if facts.ended:
        reading.ends.add(facts.ended)
    return _conclude(facts, reading, states, filled)


def _read_reject(reading: _Reading, report: CancelReject) -> None:
    # OrdStatus of a reject speaks of the order *they* know; for an unknown order it says 8 and means nothing to ours.
    reading.denied[report.cl_ord_id] = report.text or report.reason
    reading.final.add(report.cl_ord_id)


def _read_report(reading: _Reading, facts: Facts, report: ExecutionReport) -> None:
    if report.exec_type is ExecType.REJECTED:
        _read_rejected(reading, facts, report)
        return
    _note_number(reading, report)
    _read_quantity(reading, report)
    _read_held(reading, report)
    if report.exec_type in PENDING:
        reading.pending.add((PENDING[report.exec_type], report.cl_ord_id))
    elif report.exec_type in DONE:
        reading.final.add(report.cl_ord_id)
        reading.confirmed.add(report.cl_ord_id)
    elif report.exec_type is not ExecType.PENDING_NEW:
        reading.confirmed.add(report.cl_ord_id)
    if report.exec_type is ExecType.CANCELED:
        reading.ends.add(Status.CANCELED)
    if report.exec_type is ExecType.EXPIRED:
        reading.ends.add(Status.EXPIRED)
    if report.exec_type is ExecType.REPLACED:
        reading.price = report.price or reading.price
    reading.acknowledged = reading.acknowledged or report.exec_type is not ExecType.PENDING_NEW


def _read_rejected(reading: _Reading, facts: Facts, report: ExecutionReport) -> None:
    ours = next((one for one in facts.requests if one.cl_ord_id == report.cl_ord_id), None)
    if report.ord_status != "8":
        reading.strays += 1  # the reject of *another* message with our id: the first order lives on
    elif ours is None or ours.kind is RequestKind.NEW:
        _note_number(reading, report)
        reading.ends.add(Status.REJECTED)
        reading.denied[report.cl_ord_id] = report.text or report.reject_reason
    else:
        reading.denied[report.cl_ord_id] = report.text or report.reject_reason
        reading.final.add(report.cl_ord_id)


def _note_number(reading: _Reading, report: ExecutionReport) -> None:
    if report.order_id and report.order_id not in reading.numbers:
        reading.numbers.append(report.order_id)


def _read_quantity(reading: _Reading, report: ExecutionReport) -> None:
    if report.exec_type in (ExecType.REPLACED, ExecType.RESTATED) and report.order_quantity:
        reading.quantity = report.order_quantity
    if report.cumulative_quantity is None:
        return
    if report.exec_type in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT):
        reading.reported = report.cumulative_quantity  # only these may lower it
    else:
        reading.reported = max(reading.reported, report.cumulative_quantity)


def _read_held(reading: _Reading, report: ExecutionReport) -> None:
    if report.exec_type in HELD:
        reading.held = HELD[report.exec_type]
    elif report.ord_status in HELD_WIRE and report.exec_type in EXECUTIONS:
        reading.held = HELD_WIRE[report.ord_status]
    elif report.exec_type is ExecType.NEW and not reading.acknowledged:
        return  # a first acknowledgement that was overtaken takes nothing back
    elif report.ord_status not in PENDING_WIRE and report.exec_type is not ExecType.ORDER_STATUS:
        reading.held = None


def _request_state(one: Request, reading: _Reading, filled: int) -> tuple[RequestState, str | None]:
    state, reason = one.state, one.reason
    if any(cl == one.cl_ord_id for _, cl in reading.pending):
        state = move(state, RequestEvent.ACCEPTED)  # received, not yet decided
    if one.cl_ord_id in reading.denied:
        state, reason = move(state, RequestEvent.DENIED), reading.denied[one.cl_ord_id] or reason
    if _confirmed(one, reading, filled):
        state, reason = move(state, RequestEvent.CONFIRMED), None
    return state, reason


def _confirmed(one: Request, reading: _Reading, filled: int) -> bool:
    if one.kind is RequestKind.NEW:
        alive = reading.acknowledged or filled > 0  # any report about the order implies its acknowledgement
        return alive and (Status.REJECTED not in reading.ends or filled > 0)
    return one.cl_ord_id in reading.confirmed and one.cl_ord_id not in reading.denied


def _conclude(facts: Facts, reading: _Reading, states: Mapping[str, tuple[RequestState, str | None]], filled: int) -> View:
    executed = max(filled, reading.reported)
    if _dead_at_birth(facts, states, executed):
        reading.ends.add(Status.REJECTED)
    if executed:
        reading.ends.discard(Status.REJECTED)  # nothing that traded was rejected
    terminal = bool(reading.ends) or reading.held in TERMINAL or executed >= reading.quantity
    status = _shown(facts, reading, states, executed)
    closed = terminal and reading.reported <= filled
    return View(
        status=status,
        quantity=max(reading.quantity, executed) if executed <= facts.quantity else reading.quantity,
        price=reading.price,
        reported_quantity=reading.reported,
        remaining_quantity=0 if terminal else reading.quantity - executed,
        closed=closed,
        requests={**states, **_left_over(facts, reading, states)} if closed else states,
        order_numbers=tuple(reading.numbers),
        stray_rejects=reading.strays,
    )


def _left_over(
    facts: Facts, reading: _Reading, states: Mapping[str, tuple[RequestState, str | None]]
) -> dict[str, tuple[RequestState, str | None]]:
    """Changes of an order that has ended meanwhile, which nobody will answer any more: without effect, unless the order
    ended as a cancellation wanted it. What is on its way right now waits for its answer; a report still outranks this."""
    found: dict[str, tuple[RequestState, str | None]] = {}
    for one in facts.requests:
        state, _ = states[one.cl_ord_id]
        if one.kind is RequestKind.NEW or state not in LEFT_OVER:
            continue
        wanted = one.kind is RequestKind.CANCELLATION and Status.CANCELED in reading.ends and state is not RequestState.QUEUED
        found[one.cl_ord_id] = (RequestState.ACKNOWLEDGED, None) if wanted else (RequestState.REFUSED, "order-closed")
    return found


def _dead_at_birth(facts: Facts, states: Mapping[str, tuple[RequestState, str | None]], executed: int) -> bool:
    born = next((one for one in facts.requests if one.kind is RequestKind.NEW), None)
    return born is not None and states[born.cl_ord_id][0] is RequestState.REFUSED and not executed


def _shown(facts: Facts, reading: _Reading, states: Mapping[str, tuple[RequestState, str | None]], executed: int) -> Status:
    holding = set(reading.ends)
    if reading.held:
        holding.add(reading.held)
    if not holding & TERMINAL:
        holding |= _pending(facts, reading, states)
    if executed:
        holding.add(Status.FILLED if executed >= reading.quantity else Status.PARTIALLY_FILLED)
    holding.add(Status.NEW if reading.acknowledged or _acknowledged(facts, states) else Status.PENDING_NEW)
    return next(one for one in PRECEDENCE if one in holding)


def _acknowledged(facts: Facts, states: Mapping[str, tuple[RequestState, str | None]]) -> bool:
    born = next((one for one in facts.requests if one.kind is RequestKind.NEW), None)
    return born is None or states[born.cl_ord_id][0] is RequestState.ACKNOWLEDGED


PENDING_STATUS = {RequestKind.CANCELLATION: Status.PENDING_CANCEL, RequestKind.AMENDMENT: Status.PENDING_REPLACE}


def _pending(facts: Facts, reading: _Reading, states: Mapping[str, tuple[RequestState, str | None]]) -> set[Status]:
    reported = {PENDING_STATUS[kind] for kind, cl in reading.pending if cl not in reading.final}
    if facts.reports_pending:
        return reported
    # This broker says nothing between request and result, so our own sent request stands for it.
    waiting = (one for one in facts.requests if one.kind in PENDING_STATUS and _is_out(states[one.cl_ord_id][0]))
    return reported | {PENDING_STATUS[one.kind] for one in waiting}


def _is_out(state: RequestState) -> bool:
    return state in OPEN_REQUEST and state is not RequestState.QUEUED
