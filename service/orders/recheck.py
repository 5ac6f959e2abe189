"""What is checked again in the transaction that claims the send (P16): the time and the calendar, halts and locked brokers,
whether the stream is seen, the clocks, the licence, the mandate, its limits and the manager's place in it, the contract, the
instrument, and twins in doubt. A cancellation always passes, for as long as its session may live."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from service.controls.model import Gate, Subject
from service.core.clock import kst_date
from service.core.money import Won, amount
from service.gateway import RequestKind
from service.mandates.authority import still_within
from service.orders.model import Order, Request
from service.orders.rules import overtaken


@dataclass(frozen=True)
class Recheck:
    """Plain values the claim needs from the root. `com_id`: the report stream that must be seen before anything new goes
    out; none asks about no stream."""

    licence_valid: Callable[[date], bool]
    com_id: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Go, unless it is refused for a reason or waits: then it stays queued until the gate opens or its time is up."""

    refused: str | None = None
    waits: bool = False


GO, WAIT = Verdict(), Verdict(waits=True)


@dataclass(frozen=True)
class Standing:
    """What an order's right to go out rests on, as it is now."""

    contract_status: str | None
    vanished: bool
    same_mandate: bool  # the account still belongs to the one the order was given under
    mandate_status: str | None
    starts_on: date | None
    ends_on: date | None
    entitled: bool  # who asked for the request is an active manager
    assigned: bool
    halted: bool
    twin_in_doubt: bool  # a new order like this one is unknown, and no decision lets this one pass
    limits: Mapping[str, Any]  # the mandate's
    turnover: Won  # of the mandate's day, this order included
    closed_day: bool  # the exchange closed the order's day since it was taken

    def refusal(self, on: date) -> str | None:
        """Why it may not go out, or None."""
        if self.contract_status != "0" or self.vanished:
            return "contract-not-in-force"
        in_term = self.starts_on is not None and self.starts_on <= on and (self.ends_on is None or on <= self.ends_on)
        if not self.same_mandate or self.mandate_status != "in_force" or not in_term:
            return "mandate-not-in-force"
        if not self.entitled:
            return "manager-not-entitled"
        if not self.assigned:
            return "manager-not-assigned"
        return self._by_market()

    def _by_market(self) -> str | None:
        if self.closed_day:
            return "session-closed"
        if self.halted:
            return "instrument-halted"
        return "twin-in-doubt" if self.twin_in_doubt else None


def verdict(recheck: Recheck, order: Order, request: Request, gate: Gate, standing: Standing, now: datetime) -> Verdict:
    """Whether this request may go out now. The gate was held in one statement and read in a later one, so that no halt
    that is committed is overlooked and none commits before this claim does."""
    if request.kind is RequestKind.CANCELLATION:  # whose clock is wrong knows of no session that it is over
        return Verdict("too-late") if now >= request.send_by and not gate.clock_wrong else GO
    if now >= request.send_by:
        return Verdict("stream-blind" if gate.blind else "clock-wrong" if gate.clock_wrong else "too-late")
    reason = _own(recheck, order, request, now) or _stopped(gate, order, request) or standing.refusal(kst_date(now))
    reason = reason or _limits(order, request, standing)
    if reason is not None:
        return Verdict(reason)
    return WAIT if gate.blind or gate.clock_wrong else GO


def _stopped(gate: Gate, order: Order, request: Request) -> str | None:
    """A halt of a manager stops what was asked for on their orders, and what they ask for on orders of another."""
    return gate.refusal(subject(order)) or gate.refusal(subject(order, asked_by=request.user_id))


def _own(recheck: Recheck, order: Order, request: Request, now: datetime) -> str | None:
    """What the order and the licence say themselves."""
    if not recheck.licence_valid(kst_date(now)):
        return "licence-required"
    if order.closed:
        return "order-closed"
    if request.kind is not RequestKind.AMENDMENT:
        return None
    return "cancellation-requested" if order.cancelled_after(request) else overtaken(order, request)


def _limits(order: Order, request: Request, standing: Standing) -> str | None:
    """The mandate's limits may have been drawn tighter since the order was taken."""
    price = request.price or order.price or order.limit_price
    return still_within(
        standing.limits, isin=order.isin, value=amount(request.quantity, price), turnover=standing.turnover
    )  # fmt: skip


def subject(order: Order, asked_by: UUID | None = None) -> Subject:
    """What a halt may name of an order. `asked_by`: who asks for a change of it, in its manager's place."""
    return Subject(order.broker, order.account_id, order.isin, asked_by or order.manager_id)
