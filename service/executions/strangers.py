"""Orders we did not send, as reports and inquiry rows show them. Pure.

A stranger is first held against what we have under way: a request whose outcome is open may be this very order, with its
acknowledgement lost and no ClOrdID on the report. Only what cannot be ours is adopted (P13).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from service.gateway import ExecutionReport, OrderRow, OrderType, RequestKind, Session, Side, TimeInForce
from service.market.calendar import Calendar
from service.market.model import SessionBounds
from service.orders.model import Order, Request, RequestState, Status

CLOCKS_DIFFER = timedelta(seconds=60)
OPEN = frozenset({RequestState.SENDING, RequestState.SENT, RequestState.UNKNOWN})
Rows = Sequence[tuple[int, OrderRow]]


@dataclass(frozen=True)
class Terms:
    """What is said of an order nobody knows. Quantity in shares, price in won; None where nothing is said."""

    number: str  # the broker's
    cl_ord_id: str | None
    isin: str
    short_code: str
    side: Side
    quantity: int  # the ordered one, or merely what has executed so far
    price: Decimal | None
    at: datetime | None


def terms_of_report(report: ExecutionReport, isin: str | None, short_code: str | None) -> Terms | str:
    """The terms, or the word for what is missing."""
    quantity = max(
        report.order_quantity or 0, (report.cumulative_quantity or 0) + (report.leaves_quantity or 0), report.last_quantity or 0
    )
    if not report.order_id:
        return "no-broker-number"
    if isin is None:
        return "no-instrument"
    if report.side is None or quantity <= 0:
        return "no-side" if report.side is None else "no-quantity"
    return Terms(
        number=report.order_id,
        cl_ord_id=report.cl_ord_id,
        isin=isin,
        short_code=short_code or "",
        side=report.side,
        quantity=quantity,
        price=report.price or None,
        at=report.transact_time,
    )


def terms_of_rows(rows: Rows, isin: str | None, short_code: str | None) -> Terms | None:
    """The terms of one order's rows; None when they say too little, or when nothing of the order was ever alive."""
    first = next((row for _, row in rows if not row.is_cancel and not row.is_amend), rows[0][1])
    executed = sum(row.executed_quantity for _, row in rows if not row.is_cancel)
    rejected = executed == 0 and all("거부" in (row.state_text or "") for _, row in rows)
    quantity = max(first.quantity, executed)
    if rejected or isin is None or first.side is None or quantity <= 0 or not first.order_number:
        return None
    return Terms(
        number=first.order_number,
        cl_ord_id=None,
        isin=isin,
        short_code=short_code or "",
        side=first.side,
        quantity=quantity,
        price=first.price or None,
        at=first.order_time,
    )


def may_be_ours(under_way: Iterable[Order], unnumbered: Iterable[Order], terms: Terms) -> bool:
    """Whether a request of ours that is under way could be this order, or have given one of ours this number; or an order of
    ours whose own number nobody told, ended or not."""
    asked = [(one, request) for one in under_way for request in one.requests if request.state in OPEN]
    asked += [(one, one.requests[0]) for one in unnumbered]
    return any(_could_be(one, request, terms) for one, request in asked)


def _could_be(order: Order, request: Request, terms: Terms) -> bool:
    if order.isin != terms.isin or order.side is not terms.side:
        return False
    if terms.at is not None and request.sent_at is not None and terms.at < request.sent_at - CLOCKS_DIFFER:
        return False
    if request.kind is not RequestKind.NEW:
        return True  # an amendment or a cancellation gets a number of its own at some brokers
    # Brokers lower an order by themselves, or list what is left of it; nobody enlarges one (P14).
    same_price = terms.price is None or request.price is None or terms.price == request.price
    return terms.quantity <= request.quantity and same_price


def groups(strangers: Rows) -> list[list[tuple[int, OrderRow]]]:
    """Rows of one order together: amendments and cancellations name the number they change."""
    found: list[list[tuple[int, OrderRow]]] = []
    owner: dict[str, list[tuple[int, OrderRow]]] = {}
    for i, row in strangers:
        mine = next((owner[one] for one in (row.order_number, row.original_number) if one and one in owner), None)
        if mine is None:
            mine = []
            found.append(mine)
        mine.append((i, row))
        owner |= {one: mine for one in (row.order_number, row.original_number) if one}
    return found


def external_order(
    order_id: UUID, account_id: UUID, broker: str, day: date, terms: Terms, bounds: SessionBounds, dearest: Decimal, now: datetime
) -> Order:
    """The order as first adopted: nobody's in particular, alive, nothing of it executed yet."""
    return Order(
        id=order_id,
        business_date=day,
        account_id=account_id,
        broker=broker,
        mandate_id=None,
        manager_id=None,
        isin=terms.isin,
        short_code=terms.short_code,
        side=terms.side,
        order_type=OrderType.MARKET if terms.price is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        session=bounds.session,
        quantity=terms.quantity,
        price=terms.price,
        limit_price=terms.price or dearest,
        status=Status.PENDING_NEW,
        filled_quantity=0,
        filled_amount=Decimal(0),
        reported_quantity=0,
        remaining_quantity=terms.quantity,
        closed=False,
        reserved_cash=0,
        reserved_quantity=0,
        broker_order_number=terms.number,
        client_order_id=None,
        rationale=None,
        session_ends=bounds.closes,
        audit_seq=1,
        version=1,
        created_at=terms.at or now,
        updated_at=now,
    )


def session_of(calendar: Calendar, day: date, at: datetime | None) -> SessionBounds:
    """The session an order of that moment lives in; the regular one where nothing else fits. Raises Unavailable."""
    taking = calendar.session_at(at) if at is not None else None
    sessions = calendar.sessions_of(day)
    regular = next((one for one in sessions if one.session is Session.REGULAR), None)
    found = taking if taking is not None and taking in sessions else regular
    if found is None:
        raise ValueError(f"{day} has no session an order could live in")
    return found


def with_quantity(order: Order, reports: Iterable[object]) -> Order:
    """An external order whose first report was not its first: its quantity is the largest anybody named."""
    named = [one.order_quantity or 0 for one in reports if isinstance(one, ExecutionReport)]
    largest = max([order.quantity, *named])
    if largest == order.quantity:
        return order
    return replace(order, quantity=largest)
