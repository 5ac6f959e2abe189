"""Carry an order to where the evidence puts it, in the caller's transaction and under the lock of its row.

The one place where status, requests, reservation, holdings, cash and the ledger move together. Callers: the dispatcher
(an answer), the applier of reports (a report, a fill) and the sweeps (an inquiry row).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.move import Movement, ensure_free, move
from service.audit import append
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import BrokerProfile, RequestKind, Side
from service.orders import known, store
from service.orders.machine import Facts, View, view
from service.orders.model import OPEN_REQUEST, Order, Request, RequestState, Status
from service.orders.rules import Reserve, reserve_of


@dataclass(frozen=True)
class Traded:
    """Net executions new to us. Shares and won; negative when a fill was busted."""

    quantity: int = 0
    amount: int = 0
    exact_amount: Decimal = Decimal(0)
    costs: int = 0  # commission and taxes


@dataclass(frozen=True)
class Cause:
    """Why the order moves, for the ledger."""

    kind: str  # "order.reported", "request.answered" …
    data: Mapping[str, Any]
    principal: Principal | None = None
    request_id: str | None = None


async def advance(
    connection: AsyncConnection,
    order: Order,
    cause: Cause,
    *,
    profile: BrokerProfile,
    now: datetime,
    traded: Traded | None = None,
) -> Order:
    """Recompute `order` (whose requests may carry new states) from everything known, and write what changed.

    The caller holds the row's lock. Raises `PositionMismatch` when the account cannot bear the movement.
    """
    new = traded or Traded()
    filled = order.filled_quantity + new.quantity
    seen = await known.sightings(connection, order.id)
    reports = [report for _, report in await known.reports(connection, order.id)]
    shown = view(_facts(order, profile, seen), reports, filled)
    after = _after(order, shown, new, now)
    held = reserve_of(after, after.requests, profile.commission_rate)
    after = replace(after, reserved_cash=held.cash, reserved_quantity=held.quantity, audit_seq=order.audit_seq + 1)
    await move(connection, _movement(order, held, new))
    await _write(connection, order, after)
    await append.write(connection, [_entry(order, after, cause, now)])
    return replace(after, version=order.version + 1)


async def hold_more(connection: AsyncConnection, order: Order, held: Reserve, cause: Cause, now: datetime) -> Order:
    """Write a new request's effect on the order: what is held back, and the ledger entry. Nothing has been sent.

    Raises Invalid `insufficient-cash` or `insufficient-holding` when the account cannot bear the larger reservation.
    """
    after = replace(
        order, reserved_cash=held.cash, reserved_quantity=held.quantity, audit_seq=order.audit_seq + 1, updated_at=now
    )
    await ensure_free(
        connection,
        account_id=order.account_id,
        isin=order.isin,
        cash=held.cash - order.reserved_cash,
        shares=held.quantity - order.reserved_quantity,
    )
    await move(connection, _movement(order, held, Traded()))
    await _write(connection, order, after)
    await append.write(connection, [_entry(order, after, cause, now)])
    return replace(after, version=order.version + 1)


async def withdraw(connection: AsyncConnection, order: Order, cause: Cause, now: datetime) -> Order:
    """End an order that never left: our own record that no attempt exists is the evidence."""
    nothing = Reserve(Won(0), 0)
    after = replace(
        order,
        status=Status.CANCELED,
        remaining_quantity=0,
        closed=True,
        reserved_cash=0,
        reserved_quantity=0,
        audit_seq=order.audit_seq + 1,
        updated_at=now,
    )
    await move(connection, _movement(order, nothing, Traded()))
    await _write(connection, order, after)
    await append.write(connection, [_entry(order, after, cause, now)])
    return replace(after, version=order.version + 1)


def _facts(order: Order, profile: BrokerProfile, seen: known.Sightings) -> Facts:
    born = next((one for one in order.requests if one.kind is RequestKind.NEW), None)
    return Facts(
        quantity=born.quantity if born else order.quantity,
        price=born.price if born else order.price,
        requests=order.requests,
        reports_pending=profile.reports_pending,
        sighted=seen.seen,
        sighted_executed=seen.executed,
        ended=seen.ended,
    )


def _after(order: Order, shown: View, new: Traded, now: datetime) -> Order:
    requests = tuple(_request_after(one, *shown.requests[one.cl_ord_id], now) for one in order.requests)
    return replace(
        order,
        status=shown.status,
        quantity=shown.quantity,
        price=shown.price,
        limit_price=shown.price or order.limit_price,
        filled_quantity=order.filled_quantity + new.quantity,
        filled_amount=order.filled_amount + new.exact_amount,
        reported_quantity=shown.reported_quantity,
        remaining_quantity=shown.remaining_quantity,
        closed=shown.closed,
        broker_order_number=shown.order_numbers[-1] if shown.order_numbers else order.broker_order_number,
        updated_at=now,
        requests=requests,
    )


def _request_after(one: Request, state: RequestState, reason: str | None, now: datetime) -> Request:
    if state is one.state and reason == one.reason:
        return one
    left = one.state in OPEN_REQUEST and state not in OPEN_REQUEST
    return replace(one, state=state, reason=reason, answered_at=now if left else one.answered_at)


def _movement(order: Order, held: Reserve, new: Traded) -> Movement:
    buys = order.side is Side.BUY
    return Movement(
        account_id=order.account_id,
        isin=order.isin,
        day=order.business_date,
        bought_shares=new.quantity if buys else 0,
        bought_won=new.amount if buys else 0,
        sold_shares=0 if buys else new.quantity,
        sold_won=0 if buys else new.amount,
        costs_won=new.costs,
        released_cash=order.reserved_cash - held.cash,
        released_shares=order.reserved_quantity - held.quantity,
    )


ORDER_COLUMNS = (
    "status", "quantity", "price", "limit_price", "filled_quantity", "filled_amount", "reported_quantity",
    "remaining_quantity", "closed", "reserved_cash", "reserved_quantity", "broker_order_number", "audit_seq", "updated_at",
)  # fmt: skip
REQUEST_COLUMNS = ("state", "reason", "answered_at", "sent_at", "orig_cl_ord_id")


async def _write(connection: AsyncConnection, before: Order, after: Order) -> None:
    stored = {one.id: one for one in (await store.requests_of(connection, [before.id])).get(before.id, [])}
    for one in after.requests:
        if stored[one.id] != one:
            await store.save_request(connection, one.id, **{name: getattr(one, name) for name in REQUEST_COLUMNS})
    await store.save_order(connection, before.id, **{name: getattr(after, name) for name in ORDER_COLUMNS})


def _entry(before: Order, after: Order, cause: Cause, now: datetime) -> append.Entry:
    body = {
        **cause.data,
        "status": [before.status, after.status],
        "filled": after.filled_quantity,
        "remaining": after.remaining_quantity,
        "requests": [[one.cl_ord_id, one.state] for one in after.requests],
    }
    return append.entry(
        kind=cause.kind,
        subject=("order", after.id),
        seq=after.audit_seq,
        body=body,
        principal=cause.principal,
        request_id=cause.request_id,
        at=now,
    )
