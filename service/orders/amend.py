"""Amend one order (정정): a new price for the whole remainder, or a lower quantity.

Refusals, before any network call (P14): partial-price-amend-not-supported, amendment-empty, price-amend-needs-limit-order,
price-unchanged, quantity-increase-not-supported, quantity-unchanged, quantity-not-above-executed, price-deviation,
turnover-exceeded, single-name-weight-exceeded, price checks of `checks` 422 · halted, broker-drift, order-closed,
request-in-flight, fills-unaccounted 409 · licence-required 403 · session-closed 422 · stream-blind, clock-wrong 503 (not stored).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls import store as controls
from service.core.clock import kst_date
from service.core.errors import Conflict, Forbidden, Invalid, Violation
from service.core.ids import uuid7
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import RequestKind
from service.infra.idempotency import Answer, Intent
from service.mandates.authority import deviation, turnover_exceeded
from service.mandates.model import Limits
from service.market.book import MarketRules
from service.market.model import Product
from service.orders import store
from service.orders.advance import Cause, hold_more
from service.orders.checks import InstrumentFacts, price_violations
from service.orders.decide import limits_doubt
from service.orders.desk import Desk, send_by, stopped, watch
from service.orders.intents import carry_out, ensure_ours
from service.orders.model import Order, Request, RequestState
from service.orders.recheck import subject
from service.orders.rules import amendment_violations, blocking_request, newly_claimed, reserve_of
from service.orders.weigh import heavier


async def amend(
    desk: Desk,
    order_id: UUID,
    *,
    price: Decimal | None,
    quantity: int | None,
    principal: Principal,
    intent: Intent,
    request_id: str,
) -> Answer:
    """Queue an amendment; the order with the new request, or a refusal."""
    rules = await desk.market.rules()

    async def effect(connection: AsyncConnection, order: Order) -> Order:
        now = desk.clock.now()
        await _check(desk, connection, order, price, quantity, principal, now)
        limits = await store.limits_of(connection, order)
        await _check_price(connection, order, rules, limits, price)
        request = await _request(connection, order, price, quantity, principal, now)
        return await _write(desk, connection, order, request, limits, principal, request_id, now)

    asked = {"price": price, "quantity": quantity}
    return await carry_out(
        desk,
        order_id,
        effect,
        what="amendment",
        asked=asked,
        spends=True,
        principal=principal,
        intent=intent,
        request_id=request_id,
    )


async def _check(
    desk: Desk,
    connection: AsyncConnection,
    order: Order,
    price: Decimal | None,
    quantity: int | None,
    principal: Principal,
    now: datetime,
) -> None:
    if not desk.licence_valid(kst_date(now)):
        raise Forbidden("licence-required", "The service has no discretionary-investment licence that is valid today.")
    gate = await controls.gate(connection, desk.com_id)
    watch(gate)
    if halted := stopped(gate, subject(order)) or stopped(gate, subject(order, asked_by=principal.user_id)):
        raise Conflict(halted[0].code, halted[0].message, violations=tuple(halted))
    _check_state(order)
    found = amendment_violations(order, price, quantity)
    if not found and now >= order.session_ends:
        found.append(Violation("session-closed", "session", "The order's session has ended.", actual=now.isoformat()))
    _raise(found)


def _raise(found: Sequence[Violation]) -> None:
    if found:
        raise Invalid(found[0].code, found[0].message, violations=tuple(found))


def _check_state(order: Order) -> None:
    ensure_ours(order)
    if order.closed or order.remaining_quantity == 0:
        raise Conflict("order-closed", f"Nothing of the order can trade any more; it is {order.status}.")
    waiting = blocking_request(order, RequestKind.AMENDMENT)
    if waiting is not None:
        raise Conflict(
            "request-in-flight",
            f"The {waiting.kind} {waiting.cl_ord_id} is {waiting.state}. One amendment at a time: wait for its answer.",
        )
    if order.unaccounted_quantity:
        raise Conflict(
            "fills-unaccounted",
            f"{order.unaccounted_quantity} shares have executed whose fills are not here yet. Amend when they are.",
        )


async def _check_price(
    connection: AsyncConnection, order: Order, rules: MarketRules, limits: Limits, price: Decimal | None
) -> None:
    if price is not None:
        instrument = await store.instrument_of(connection, order)
        _raise(_price_violations(order, instrument, rules, limits, price))


def _price_violations(
    order: Order, instrument: InstrumentFacts | None, rules: MarketRules, limits: Limits, price: Decimal
) -> list[Violation]:
    if instrument is None or instrument.base_price is None:
        return [Violation("instrument-not-current", "price", "The master of this business date was not read yet.")]
    tick = rules.ticks.tick(Product(instrument.product), price, order.business_date)
    doubt = limits_doubt(instrument, rules, order.business_date)
    found = ([] if doubt is None else [doubt]) + price_violations(price, instrument, tick)
    return found + deviation(limits.price_deviation_percent, price, instrument.base_price)


async def _request(
    connection: AsyncConnection, order: Order, price: Decimal | None, quantity: int | None, principal: Principal, now: datetime
) -> Request:
    return Request(
        id=uuid7(),
        order_id=order.id,
        kind=RequestKind.AMENDMENT,
        number=len(order.requests) + 1,
        cl_ord_id=await store.next_cl_ord_id(connection, order.business_date),
        orig_cl_ord_id=None,
        quantity=quantity or order.quantity,
        price=price if price is not None else order.price,
        state=RequestState.QUEUED,
        reason=None,
        user_id=principal.user_id,
        send_by=send_by(now, order.session_ends),
        queued_at=now,
    )


async def _write(
    desk: Desk, connection: AsyncConnection, order: Order, request: Request, limits: Limits, principal: Principal,
    request_id: str, now: datetime,
) -> Order:  # fmt: skip
    """The dearer of both prices is held back while the amendment is under way, and counts in the mandate's limits."""
    requests = (*order.requests, request)
    held = reserve_of(order, requests, desk.profile(order.broker).commission_rate)
    await _ensure_light(connection, order, limits, Won(held.cash - order.reserved_cash))
    await store.add_request(connection, order, request)
    before = {"price": order.price, "quantity": order.quantity}  # a request carries both, and one of them as it was
    data = {"cl_ord_id": request.cl_ord_id, "price": request.price, "quantity": request.quantity, "before": before}
    cause = Cause("amendment.submitted", data, principal, request_id)
    after = await hold_more(connection, replace(order, requests=requests), held, cause, now)
    await _claim_turnover(connection, order, request, limits)
    return after


async def _ensure_light(connection: AsyncConnection, order: Order, limits: Limits, more: Won) -> None:
    heavy = await heavier(connection, limits, order.account_id, order.isin, order.business_date, more) if more > 0 else None
    _raise([] if heavy is None else [replace(heavy, field="price")])


async def _claim_turnover(connection: AsyncConnection, order: Order, request: Request, limits: Limits) -> None:
    """What the order becomes worth more counts against the mandate's turnover of the day."""
    limit = limits.daily_turnover
    more = newly_claimed(order, request.price) if request.price is not None else Won(0)
    claimed = more == 0 or await store.claim_more_turnover(connection, order, more, limit)
    if not claimed and limit is not None:
        _raise([turnover_exceeded("price", limit, more)])
