"""Carry orders to where the evidence puts them, in the caller's transaction and under the locks of their rows.

The one place where status, requests, reservation, holdings, cash and the ledger move together. `step` says what becomes of
one order and touches nothing; `write_steps` writes one such step or many, with whatever else belongs to them, in one
statement. Callers: the dispatcher (an answer), the applier of reports (a report, a fill), the sweeps (an inquiry row).

Applying a batch: `whole.lock(connection, ids)`, then `whole.read(connection, ids)`; put the new reports into each `Whole`
(`evidence`, in canonical order) and call `step`; then one `write_steps(connection, steps, also=[Change(...)])` with reports,
fills and settled messages as further changes: three to five statements for any number of orders, each order once in a batch.
Both drivers' connections will do; a hot one is faster and raises asyncpg's errors instead of SQLAlchemy's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.move import Movement, bookings, ensure_free
from service.audit import append
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import BrokerProfile, RequestKind, Side
from service.infra.db import Either
from service.infra.effects import Change, write
from service.orders import whole
from service.orders.advance_store import ORDERS_MOVED, REQUESTS_MOVED, order_row, request_rows
from service.orders.known import Sightings
from service.orders.machine import Facts, View, view
from service.orders.model import OPEN_REQUEST, Order, Request, RequestState, Status
from service.orders.rules import Reserve, reserve_of
from service.orders.whole import Whole


@dataclass(frozen=True)
class Traded:
    """Net executions new to us. Shares and won; negative when a fill was busted."""

    quantity: int = 0
    amount: int = 0
    exact_amount: Decimal = Decimal(0)
    costs: int = 0  # commission and taxes


NOTHING_NEW = Traded()


@dataclass(frozen=True)
class Cause:
    """Why the order moves, for the ledger."""

    kind: str  # "order.reported", "request.answered" …
    data: Mapping[str, Any]
    principal: Principal | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Step:
    """What becomes of one order: nothing of it is written yet."""

    before: Order
    after: Order  # as it will be stored, its version apart
    movement: Movement
    entry: append.Entry

    @property
    def moved(self) -> list[Request]:
        """Requests that are stored otherwise."""
        stored = {one.id: one for one in self.before.requests}
        return [one for one in self.after.requests if stored.get(one.id) != one]

    @property
    def written(self) -> Order:
        """The order once the step is written."""
        return replace(self.after, version=self.before.version + 1)


def step(
    known: Whole, cause: Cause, *, profile: BrokerProfile, now: datetime, traded: Traded | None = None, moved: Order | None = None
) -> Step:
    """Recompute an order from everything known. `moved`: the order with what the caller has decided about it, usually
    requests in another state. `known` holds what is stored, and reports and sightings the caller is about to add."""
    new, order = traded or NOTHING_NEW, moved or known.order
    shown = view(
        facts_of(order, known.seen, reports_pending=profile.reports_pending), known.reports, order.filled_quantity + new.quantity
    )
    after = _after(order, shown, new, now)
    held = reserve_of(after, after.requests, profile.commission_rate)
    return _step(known.order, after, held, cause, now, new)


async def write_steps(connection: Either, steps: Sequence[Step], also: Sequence[Change] = ()) -> list[Order]:
    """Write steps of *different* orders and whatever else happened (`also`) as one statement; the orders as they are now.

    The caller holds the rows' locks; cash rows are locked here, by account. Raises `PositionMismatch` when an account cannot
    bear its movements and `Overtaken` when an order is not as it was read: roll back, then find the one to blame by itself.
    """
    booked = await bookings(connection, [one.movement for one in steps])
    await write(connection, [*changes(steps), *booked, *also])
    return [one.written for one in steps]


def changes(steps: Sequence[Step]) -> list[Change]:
    """What steps write besides their bookings. The orders come first: they guard the rest."""
    return [
        Change(ORDERS_MOVED, [order_row(one.before, one.after) for one in steps]),
        Change(REQUESTS_MOVED, request_rows([request for one in steps for request in one.moved])),
        append.recorded([one.entry for one in steps]),
    ]


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
    known = (await whole.read(connection, [order.id]))[order.id]
    (after,) = await write_steps(
        connection, [step(known, cause, profile=profile, now=now, traded=traded, moved=order)]
    )  # fmt: skip
    return after


async def hold_more(connection: AsyncConnection, order: Order, held: Reserve, cause: Cause, now: datetime) -> Order:
    """Write a new request's effect on the order: what is held back, and the ledger entry. Nothing has been sent.

    Raises Invalid `insufficient-cash` or `insufficient-holding` when the account cannot bear the larger reservation.
    """
    await ensure_free(
        connection,
        account_id=order.account_id,
        isin=order.isin,
        cash=held.cash - order.reserved_cash,
        shares=held.quantity - order.reserved_quantity,
    )
    (after,) = await write_steps(connection, [_step(order, replace(order, updated_at=now), held, cause, now)])
    return after


async def withdraw(
    connection: AsyncConnection, before: Order, order: Order, cause: Cause, now: datetime, traded: Traded = NOTHING_NEW
) -> Order:
    """End an order that never left (`withdrawal`), and write it."""
    (after,) = await write_steps(connection, [withdrawal(before, order, cause, now, traded)])
    return after


def withdrawal(before: Order, order: Order, cause: Cause, now: datetime, traded: Traded = NOTHING_NEW) -> Step:
    """The end of an order that never left: our own record that no attempt exists is the evidence. `before` is as it is stored,
    `order` has its requests as they end. `traded` undoes what was booked for one that was never an order of its own."""
    ended = replace(order, status=Status.CANCELED, remaining_quantity=0, closed=True, updated_at=now)
    return _step(before, ended, Reserve(Won(0), 0), cause, now, traded)


def _step(before: Order, after: Order, held: Reserve, cause: Cause, now: datetime, new: Traded = NOTHING_NEW) -> Step:
    after = replace(after, reserved_cash=held.cash, reserved_quantity=held.quantity, audit_seq=before.audit_seq + 1)
    return Step(before, after, _movement(before, held, new), _entry(before, after, cause, now))


def facts_of(order: Order, seen: Sightings, *, reports_pending: bool = True) -> Facts:
    """What the machine must know of an order besides its reports."""
    born = next((one for one in order.requests if one.kind is RequestKind.NEW), None)
    return Facts(
        quantity=born.quantity if born else order.quantity,
        price=born.price if born else order.price,
        requests=order.requests,
        reports_pending=reports_pending,
        sighted=seen.seen,
        sighted_executed=seen.counts,
        ended=seen.ended,
        proven=seen.proven,
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


def _entry(before: Order, after: Order, cause: Cause, now: datetime) -> append.Entry:
    """Of its requests those that moved or are on their way: an order that follows the market has a thousand others."""
    stored = {one.id: one for one in before.requests}
    body = {
        **cause.data,
        "status": [before.status, after.status],
        "filled": after.filled_quantity,
        "remaining": after.remaining_quantity,
        **({"unaccounted": after.unaccounted_quantity} if after.unaccounted_quantity else {}),
        "requests": [
            [one.cl_ord_id, one.state] for one in after.requests if one.state in OPEN_REQUEST or stored.get(one.id) != one
        ],
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
