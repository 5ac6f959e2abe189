"""What a claim says to the broker, and what an answer makes of a request. Pure."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.core.secret import AccountNumber
from service.gateway import Accepted, NotSent, OrderMessage, Refused, RequestKind, SendOutcome, Unknown
from service.orders.advance import Cause
from service.orders.model import Order, Request, RequestEvent, RequestState, move

SENDER_LOST = Unknown("sender-lost")  # of an attempt whose sender can bring no answer any more
NEVER_THERE = frozenset({RequestState.QUEUED, RequestState.REFUSED})
OUTCOMES = {Accepted: "accepted", Refused: "refused", NotSent: "not_sent", Unknown: "unknown"}
EVENTS = {
    Accepted: RequestEvent.ACCEPTED,
    Refused: RequestEvent.REFUSED,
    NotSent: RequestEvent.NOT_SENT,
    Unknown: RequestEvent.LOST,
}


def claimed(order: Order, request: Request, now: datetime) -> Request:
    """The request as it goes out: naming what the broker knows of the order."""
    orig = None if request.kind is RequestKind.NEW else _orig(order, request)
    return replace(request, state=move(request.state, RequestEvent.CLAIMED), sent_at=now, orig_cl_ord_id=orig)


def _orig(order: Order, request: Request) -> str | None:
    """ClOrdID of the last request before this one that was not refused; an amendment in flight included, one that still
    waits here not: the broker never saw its id."""
    before = [one for one in order.requests if one.number < request.number and one.kind is not RequestKind.CANCELLATION]
    return next((one.cl_ord_id for one in reversed(before) if one.state not in NEVER_THERE), None)


def called_off(order: Order, now: datetime) -> Order | None:
    """The order as it ends when it waits here beside its own cancellation: asked for while a sender had it, who then wrote no
    byte. Nothing is to be sent any more, neither of them."""
    born = next((one for one in order.requests if one.kind is RequestKind.NEW), None)
    if born is None or born.state is not RequestState.QUEUED or not order.cancelled_after(born):
        return None
    return replace(order, requests=tuple(withdrawn(one, now) for one in order.requests))


def withdrawn(request: Request, now: datetime) -> Request:
    """A waiting request of an order that never left, as the order's withdrawal leaves it."""
    if request.state is not RequestState.QUEUED:
        return request
    if request.kind is RequestKind.CANCELLATION:
        return replace(request, state=RequestState.ACKNOWLEDGED, reason="withdrawn before it was sent", answered_at=now)
    return replace(request, state=RequestState.REFUSED, reason="withdrawn", answered_at=now)


def with_request(order: Order, request: Request) -> Order:
    return replace(order, requests=tuple(request if one.id == request.id else one for one in order.requests))


def message_of(order: Order, request: Request, account: AccountNumber, now: datetime) -> OrderMessage:
    return OrderMessage(
        kind=request.kind,
        broker=order.broker,
        account=account,
        cl_ord_id=request.cl_ord_id,
        orig_cl_ord_id=request.orig_cl_ord_id,
        broker_order_number=order.broker_order_number,
        isin=order.isin,
        short_code=order.short_code,
        side=order.side,
        quantity=request.quantity,
        executed_quantity=order.executed_at_least,
        order_type=order.order_type,
        price=request.price if request.price is not None else order.price,
        time_in_force=order.time_in_force,
        session=order.session,
        transact_time=now,
    )


def reason_of(outcome: SendOutcome) -> str | None:
    if isinstance(outcome, Refused):
        return f"{outcome.code}: {outcome.reason}"
    return None if isinstance(outcome, Accepted) else outcome.reason


def answered(request: Request, outcome: SendOutcome, reason: str | None, now: datetime) -> Request:
    """The request after an answer. Not sent and out of time is a refusal: nothing left this house. So is not sent by a
    sender who was given up before: what was shown as unknown never goes out by itself."""
    state = move(request.state, EVENTS[type(outcome)])
    given_up = state is RequestState.UNKNOWN or (state is RequestState.QUEUED and now >= request.send_by)
    if isinstance(outcome, NotSent) and given_up:
        return replace(request, state=RequestState.REFUSED, reason="not-sent", answered_at=now)
    told = state is not request.state and not isinstance(outcome, (Accepted, NotSent))
    return replace(
        request,
        state=state,
        reason=reason if told else request.reason,
        answered_at=now if told else request.answered_at,
        sent_at=None if isinstance(outcome, NotSent) else request.sent_at,
    )


def cause_of(request: Request, outcome: SendOutcome, reason: str | None, evidence: UUID | None) -> Cause:
    data = {
        "cl_ord_id": request.cl_ord_id,
        "outcome": OUTCOMES[type(outcome)],
        "reason": reason,
        "evidence": [str(evidence)] if evidence else [],
    }
    return Cause("request.answered", data)
