"""The state of an order as a pure function of what is known about it.

Input: the order as asked for, its requests, every report about it and the quantity our fills add up to. Output: a `View`.
Reports are taken in their canonical order (the stream's own sequence), so arrival order and repetition cannot matter. The
order's life moves by the table of `states`; its requests move by `REQUEST_MOVES`; `PRECEDENCE` says what is shown.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from service.gateway import RequestKind
from service.orders.model import OPEN_REQUEST, ROWS_ARE_LATE, Proof, Proven, Request, RequestEvent, RequestState, Status, move
from service.orders.numbers import bare
from service.orders.reading import DAY_OVER, Known, Reading, denied_by, read, take_terms
from service.orders.states import ENDED, MOVES, Event, shown_of

States = dict[str, tuple[RequestState, str | None]]

PENDING_STATUS = {RequestKind.CANCELLATION: Status.PENDING_CANCEL, RequestKind.AMENDMENT: Status.PENDING_REPLACE}
# Why a request had no effect: its order has ended, and nobody will answer any more. By what it was until then.
ORDER_CLOSED: dict[RequestState, str] = {
    RequestState.QUEUED: "order-closed",
    RequestState.SENT: "order-closed",
    RequestState.UNKNOWN: "order-closed-in-doubt",
}

BY_ROWS = ", as the order inquiry shows"


@dataclass(frozen=True)
class Facts:
    """What was asked for, and the habits of the broker that decide how to read silence."""

    quantity: int
    price: Decimal | None
    requests: Sequence[Request]
    reports_pending: bool = True
    sighted: bool = False  # an inquiry row showed the order: as good as a report
    sighted_executed: Sequence[tuple[int, datetime]] = ()  # quantities inquiries showed, each with when it was last shown
    ended: Status | None = None  # an inquiry row proved the order's end
    proven: Sequence[Proven] = ()  # what inquiry rows proved about changes; a report about one of them outranks it


@dataclass(frozen=True, slots=True)
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
    restated_quantity: int = 0  # executed by a corporate action's arithmetic, not by a fill


def view(facts: Facts, reports: Iterable[Known], filled: int) -> View:
    """The state of an order. `reports` in canonical order; `filled` is the sum of recorded fills, busts taken off."""
    amendments = {one.cl_ord_id: one.number for one in facts.requests if one.kind is RequestKind.AMENDMENT}
    reading, told = Reading(facts.quantity, facts.price, amendments), list(reports)
    if facts.sighted:
        reading.happens(Event.ACKNOWLEDGED)
    in_force = _in_force(facts, denied_by(told))
    for one, shown in in_force:
        take_terms(reading, one, shown.quantity)
    reading.by_rows = bool(in_force)
    read(reading, facts.requests, told)
    reading.reported = _counted(facts, reading)
    if facts.ended:
        reading.happens(Event(facts.ended))
    executed = max(filled + reading.restated, reading.reported)
    if executed:
        reading.happens(Event.EXECUTED)  # also by a fill that only an inquiry showed
    if reading.life is Status.REJECTED:
        _deny_birth(facts, reading)
    proven = {one.cl_ord_id: one for one in facts.proven}
    states = {one.cl_ord_id: _request_state(one, reading, proven.get(one.cl_ord_id)) for one in facts.requests}
    numbers = _with_rows(_in_turn(facts, reading), [one for _, one in in_force])
    return _conclude(facts, reading, states, filled, executed, numbers)


def _in_force(facts: Facts, denied: Container[str | None]) -> list[tuple[Request, Proven]]:
    """Amendments that rows show to be in force, as they were asked for. Their terms stand before any report is read: a report
    about one of them says the same, one about an earlier amendment comes too late, and one about a later one replaces it."""
    shown = {one.cl_ord_id: one for one in facts.proven if one.proof is Proof.IN_FORCE and one.cl_ord_id not in denied}
    ours = sorted((one for one in facts.requests if one.cl_ord_id in shown), key=lambda one: one.number)
    return [(one, shown[one.cl_ord_id]) for one in ours if one.kind is RequestKind.AMENDMENT]


def _in_turn(facts: Facts, reading: Reading) -> list[str]:
    """The numbers reports told, each behind those of earlier requests, whichever was heard first (P10). What only a refused
    change was numbered with is none of the order's: it stands before them all."""
    turns = {one.cl_ord_id: one.number for one in facts.requests}
    refused = {name for name in reading.denied if name in turns}
    found: list[tuple[int, str]] = []
    latest = 0
    for number, names in reading.numbers.items():
        told = [turns.get(name or "", latest) for name in names - refused]
        latest = max([latest, *told])
        found.append((min(told, default=-1), number))
    return [number for _, number in sorted(found, key=lambda one: one[0])]


def _with_rows(told: Sequence[str], shown: Iterable[Proven]) -> tuple[str, ...]:
    """With numbers that only rows told, each behind the one it replaced: what a report told later stays the present one."""
    numbers = [*told]
    for one in shown:
        known = [bare(number) for number in numbers]
        if one.number is not None and bare(one.number) not in known:
            after = known.index(bare(one.original)) + 1 if bare(one.original) in known else len(known)
            numbers.insert(after, one.number)
    return tuple(numbers)


def _deny_birth(facts: Facts, reading: Reading) -> None:
    """An order that is rejected was refused as a request, also where only an inquiry says so."""
    for one in facts.requests:
        if one.kind is RequestKind.NEW:
            reading.denied.setdefault(one.cl_ord_id, "rejected" + BY_ROWS)


def executed_by(facts: Facts, reports: Iterable[Known]) -> int:
    """The executed quantity by all evidence: the highest that was told, less what was busted since."""
    reading = Reading(facts.quantity, facts.price, {})
    read(reading, facts.requests, reports)
    return _counted(facts, reading)


def _counted(facts: Facts, reading: Reading) -> int:
    """An inquiry tells what no report did, until a bust or a correction: its cumulative quantity is newer than rows that
    were asked for before it, or so soon after it that they may be late. One without a time takes off what it took back."""
    timed = [at for at, _ in reading.drops if at is not None]
    untimed = sum(max(drop, 0) for at, drop in reading.drops if at is None)
    shown = [
        executed - untimed for executed, seen_at in facts.sighted_executed if all(at + ROWS_ARE_LATE <= seen_at for at in timed)
    ]
    return max(reading.reported, *shown) if shown else reading.reported


def _request_state(one: Request, reading: Reading, shown: Proven | None) -> tuple[RequestState, str | None]:
    state, reason = one.state, one.reason
    before = _set_aside(one)
    if before is not None:
        state, reason = before, None  # it was concluded from the order's end, which is looked at anew below
    if reading.pending and any(cl == one.cl_ord_id for _, cl, _ in reading.pending):
        state = move(state, RequestEvent.ACCEPTED)  # received, not yet decided
    if one.cl_ord_id in reading.denied:
        state, reason = move(state, RequestEvent.DENIED), reading.denied[one.cl_ord_id] or reason
    if _confirmed(one, reading):
        state, reason = move(state, RequestEvent.CONFIRMED), None
    elif shown is not None and one.cl_ord_id not in reading.denied:
        state, reason = _as_shown(state, reason, shown)
    return state, reason


def _as_shown(state: RequestState, reason: str | None, shown: Proven) -> tuple[RequestState, str | None]:
    """No report decided it, and rows did."""
    if shown.proof is Proof.IN_FORCE:
        return move(state, RequestEvent.CONFIRMED), None
    word = shown.reason or ("refused" if shown.proof is Proof.REFUSED else "without effect")
    anew = state is not RequestState.REFUSED or (reason or "").endswith(BY_ROWS)
    return move(state, RequestEvent.DENIED), word + BY_ROWS if anew else reason


def _set_aside(one: Request) -> RequestState | None:
    """What a request was before it was given up with its order, if it was; one that was never sent stays given up."""
    if one.reason == ORDER_CLOSED[RequestState.UNKNOWN]:
        return RequestState.UNKNOWN
    return RequestState.SENT if one.reason == ORDER_CLOSED[RequestState.SENT] and one.sent_at is not None else None


def _confirmed(one: Request, reading: Reading) -> bool:
    if one.kind is RequestKind.NEW:
        # Any report about the order implies its acknowledgement.
        return reading.life is not Status.PENDING_NEW and reading.life is not Status.REJECTED
    return one.cl_ord_id in reading.confirmed and one.cl_ord_id not in reading.denied


def _conclude(facts: Facts, reading: Reading, states: States, filled: int, executed: int, numbers: tuple[str, ...]) -> View:
    life = _life(facts, reading, states)
    over = life in ENDED or (life in DAY_OVER and not reading.outlives)
    pending = set() if life in ENDED else _pending(facts, reading, states, over)
    quantity = _implied(facts, reading) if len(reading.pending) > 1 and pending else reading.quantity
    terminal = over or executed >= quantity
    closed = terminal and reading.reported - reading.restated <= filled
    if closed:  # what nobody will answer any more is not pending either
        states = {**states, **_left_over(facts, life, states)}
        pending = set() if life in ENDED else _pending(facts, reading, states, over, closed=True)
    return View(
        status=shown_of(life, executed > 0, executed >= quantity, pending),
        quantity=max(quantity, executed) if executed <= facts.quantity else quantity,
        price=reading.price,
        reported_quantity=reading.reported,
        remaining_quantity=0 if terminal else quantity - executed,
        closed=closed,
        requests=states,
        order_numbers=numbers,
        stray_rejects=reading.strays,
        restated_quantity=reading.restated,
    )


def _life(facts: Facts, reading: Reading, states: States) -> Status:
    if reading.life is not Status.PENDING_NEW:
        return reading.life
    born = next((one for one in facts.requests if one.kind is RequestKind.NEW), None)
    if born is None:  # not ours: it is there when somebody tells of it
        return Status.REJECTED if reading.nobody else Status.NEW
    after = {RequestState.REFUSED: Event.REJECTED, RequestState.ACKNOWLEDGED: Event.ACKNOWLEDGED}
    event = after.get(states[born.cl_ord_id][0])
    return reading.life if event is None else MOVES[reading.life, event]


def _implied(facts: Facts, reading: Reading) -> int:
    """A broker that works on several amendments at once says by the quantity of the later one's pending report that the
    earlier one is in force already: that quantity counts while the later one is undecided and the earlier not denied."""
    totals = {one.quantity: one for one in facts.requests if one.kind is RequestKind.AMENDMENT}
    for _, cl_ord_id, said in reading.pending:
        earlier = totals.get(said or 0)
        if earlier is None or cl_ord_id in reading.final or earlier.cl_ord_id in reading.denied:
            continue
        if reading.amended_by < earlier.number < reading.amendments.get(cl_ord_id or "", -1):
            return earlier.quantity
    return reading.quantity


def _pending(facts: Facts, reading: Reading, states: States, over: bool, *, closed: bool = False) -> set[Status]:
    """The changes that are shown as under way. One that named no request cannot be told from those that were answered: it is
    believed until the order is closed."""
    done = {cl for cl, (state, _) in states.items() if state is RequestState.ACKNOWLEDGED}  # its own report may be lost
    done |= {one.cl_ord_id for one in facts.proven}
    answered = reading.final | done | ({None} if closed else set())
    reported = {PENDING_STATUS[kind] for kind, cl, _ in reading.pending if cl not in answered}
    if facts.reports_pending or over:
        return reported
    # This broker says nothing between request and result, so our own sent request stands for it.
    waiting = (one for one in facts.requests if one.kind in PENDING_STATUS and _is_out(states[one.cl_ord_id][0]))
    return reported | {PENDING_STATUS[one.kind] for one in waiting}


def _is_out(state: RequestState) -> bool:
    return state in OPEN_REQUEST and state is not RequestState.QUEUED


def _left_over(facts: Facts, life: Status, states: States) -> States:
    """Changes of an order that has ended meanwhile, which nobody will answer any more: without effect, unless the order
    ended as a cancellation wanted it. What is on its way right now waits for its answer; a report still outranks this."""
    found: States = {}
    for one in facts.requests:
        state, _ = states[one.cl_ord_id]
        if one.kind is RequestKind.NEW or state not in ORDER_CLOSED:
            continue
        wanted = one.kind is RequestKind.CANCELLATION and life is Status.CANCELED and state is not RequestState.QUEUED
        found[one.cl_ord_id] = (RequestState.ACKNOWLEDGED, None) if wanted else (RequestState.REFUSED, ORDER_CLOSED[state])
    return found
