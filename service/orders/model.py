"""What an order is, and how its requests move. How the order itself moves stands in `states`.

Invariants kept here:
- state follows from the *set* of reports, whatever their order or repetition (P6);
- executed plus cancelled equals ordered; a fill is never invented and never dropped (P7, P8);
- FIX precedence decides which of several states is shown (`PRECEDENCE`);
- every request of a chain (new, amendment, cancellation) has a life of its own (`REQUEST_MOVES`).
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from service.gateway import OrderType, RequestKind, Session, Side, TimeInForce

ROWS_ARE_LATE = timedelta(seconds=60)  # a broker's list may lag behind by so much


class Status(StrEnum):
    """Status of an order: the sell side's view, in FIX terms."""

    PENDING_APPROVAL = "pending_approval"
    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_REPLACE = "pending_replace"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DONE_FOR_DAY = "done_for_day"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    CALCULATED = "calculated"


class RequestState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class RequestEvent(StrEnum):
    CLAIMED = "claimed"  # an attempt row exists
    NOT_SENT = "not_sent"  # provably no byte was written
    ACCEPTED = "accepted"  # the platform took the JSON
    REFUSED = "refused"  # definitely refused, by the table of codes
    LOST = "lost"  # no answer that tells
    CONFIRMED = "confirmed"  # a report or an inquiry row shows it
    DENIED = "denied"  # a report rejects it
    WITHDRAWN = "withdrawn"  # by us, before any attempt


S, E = RequestState, RequestEvent

REQUEST_MOVES: dict[tuple[RequestState, RequestEvent], RequestState] = {
    (S.QUEUED, E.CLAIMED): S.SENDING,
    (S.QUEUED, E.WITHDRAWN): S.REFUSED,
    (S.QUEUED, E.CONFIRMED): S.ACKNOWLEDGED,
    (S.QUEUED, E.DENIED): S.REFUSED,
    (S.SENDING, E.ACCEPTED): S.SENT,
    (S.SENDING, E.REFUSED): S.REFUSED,
    (S.SENDING, E.LOST): S.UNKNOWN,
    (S.SENDING, E.NOT_SENT): S.QUEUED,
    (S.SENDING, E.CONFIRMED): S.ACKNOWLEDGED,
    (S.SENDING, E.DENIED): S.REFUSED,
    (S.SENT, E.CONFIRMED): S.ACKNOWLEDGED,
    (S.SENT, E.DENIED): S.REFUSED,
    (S.UNKNOWN, E.CONFIRMED): S.ACKNOWLEDGED,
    (S.UNKNOWN, E.DENIED): S.REFUSED,
    (S.UNKNOWN, E.ACCEPTED): S.SENT,
    (S.UNKNOWN, E.REFUSED): S.REFUSED,
    (S.ACKNOWLEDGED, E.DENIED): S.REFUSED,
    (S.ACKNOWLEDGED, E.ACCEPTED): S.ACKNOWLEDGED,
    (S.ACKNOWLEDGED, E.LOST): S.ACKNOWLEDGED,
    (S.ACKNOWLEDGED, E.CONFIRMED): S.ACKNOWLEDGED,
    (S.REFUSED, E.DENIED): S.REFUSED,
    (S.REFUSED, E.CONFIRMED): S.ACKNOWLEDGED,
}
REQUEST_WHY: dict[tuple[RequestState, RequestEvent], str] = {
    (S.QUEUED, E.CONFIRMED): "the broker has it though we believed that nothing left: never send again",
    (S.SENDING, E.CONFIRMED): "the report overtook the HTTP answer",
    (S.UNKNOWN, E.CONFIRMED): "evidence found: the lost answer is no longer needed",
    (S.UNKNOWN, E.ACCEPTED): "a late answer still adds evidence",
    (S.ACKNOWLEDGED, E.DENIED): "the exchange rejects after the broker had acknowledged",
    (S.ACKNOWLEDGED, E.ACCEPTED): "the HTTP answer comes after the report",
    (S.REFUSED, E.CONFIRMED): "it lives after all: evidence beats the table of codes",
}


def move(state: RequestState, event: RequestEvent) -> RequestState:
    """The state after an event; an event that changes nothing leaves the state."""
    return REQUEST_MOVES.get((state, event), state)


# FIX precedence of OrdStatus (application notes of the standard): when several hold at once, the highest is shown.
# Replaced is FIX 4.2 only and has no place here.
PRECEDENCE: tuple[Status, ...] = (
    Status.PENDING_CANCEL,
    Status.PENDING_REPLACE,
    Status.DONE_FOR_DAY,
    Status.CALCULATED,
    Status.FILLED,  # above Canceled: a cancel that closes a fully executed order leaves it filled
    Status.STOPPED,
    Status.SUSPENDED,
    Status.CANCELED,  # above Partially filled: a late fill or a bust leaves a cancelled order cancelled
    Status.EXPIRED,
    Status.PARTIALLY_FILLED,
    Status.REJECTED,  # above New: an exchange may reject what the broker acknowledged
    Status.NEW,
    Status.PENDING_NEW,
    Status.PENDING_APPROVAL,
)

RANK = {one: place for place, one in enumerate(PRECEDENCE)}

# Why a person must look at an order that a complete inquiry shows otherwise than we have it.
SHOWS_LESS, OTHER_PRICES, OTHER_QUANTITY = "inquiry-shows-less", "inquiry-shows-other-prices", "inquiry-shows-other-quantity"
SHOWS_MORE = "inquiry-shows-more"  # than was ordered
BY_INQUIRY = frozenset({SHOWS_LESS, SHOWS_MORE, OTHER_PRICES, OTHER_QUANTITY})

OPEN_REQUEST = frozenset({S.QUEUED, S.SENDING, S.SENT, S.UNKNOWN})


class Proof(StrEnum):
    """What rows of a complete inquiry prove about a change that was sent."""

    NO_EFFECT = "no_effect"  # the order is over at the broker, on terms without it
    REFUSED = "refused"  # its own row says so
    IN_FORCE = "in_force"  # its own row stands in the order's chain, or the order's row has its terms


@dataclass(frozen=True)
class Proven:
    """One amendment or cancellation as such rows show it. An amendment has the terms it was asked for with, its
    quantity (shares in total) apart where executions crossed it."""

    cl_ord_id: str
    proof: Proof
    number: str | None = None  # its own at the broker, where he gives it one
    original: str | None = None  # the number it changed
    reason: str | None = None  # the broker's words
    quantity: int | None = None


@dataclass(frozen=True)
class Request:
    """One request to the broker: a new order, an amendment or a cancellation."""

    id: UUID
    order_id: UUID
    kind: RequestKind
    number: int
    cl_ord_id: str
    orig_cl_ord_id: str | None
    quantity: int  # FIX total asked for
    price: Decimal | None
    state: RequestState
    reason: str | None
    user_id: UUID | None
    send_by: datetime
    queued_at: datetime
    sent_at: datetime | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True)
class Order:
    """One order (주문). Quantities in shares, prices and cash in won, times on the business clock."""

    id: UUID
    business_date: date
    account_id: UUID
    broker: str
    mandate_id: UUID | None
    manager_id: UUID | None
    isin: str
    short_code: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    session: Session
    quantity: int
    price: Decimal | None
    limit_price: Decimal
    status: Status
    filled_quantity: int
    filled_amount: Decimal
    reported_quantity: int
    remaining_quantity: int
    closed: bool
    reserved_cash: int
    reserved_quantity: int
    broker_order_number: str | None
    client_order_id: str | None
    rationale: str | None
    session_ends: datetime
    audit_seq: int
    version: int
    created_at: datetime
    updated_at: datetime
    needs_review: str | None = None  # why a person must look at it: a word
    requests: tuple[Request, ...] = field(default=())

    @property
    def external(self) -> bool:
        """Not sent by us: the client's own, or the exchange's. Belongs to no manager (P13)."""
        return self.manager_id is None

    @property
    def unaccounted_quantity(self) -> int:
        """Executed by the broker's count and not yet by a fill of ours."""
        return max(self.reported_quantity - self.filled_quantity, 0)

    @property
    def executed_at_least(self) -> int:
        """The larger of the two views: amend limits, remainders and reserves use it."""
        return max(self.filled_quantity, self.reported_quantity)

    def in_doubt(self) -> Request | None:
        """The earliest request whose outcome is not established."""
        return next((one for one in self.requests if one.state is RequestState.UNKNOWN), None)

    def cancelled_after(self, request: Request) -> bool:
        """Whether a cancellation was asked for after `request`, and not refused."""
        later = [one for one in self.requests if one.number > request.number and one.kind is RequestKind.CANCELLATION]
        return any(one.state is not RequestState.REFUSED for one in later)

    def in_flight(self, kind: RequestKind) -> Request | None:
        return next((one for one in self.requests if one.kind is kind and one.state in OPEN_REQUEST), None)
