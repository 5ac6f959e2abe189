"""Which fills evidence adds to an order, and what they cost. Shares and won.

A fill is never changed: a bust is a fill of the opposite quantity that names the one it reverses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import Clock
from service.core.ids import uuid7
from service.core.money import amount
from service.executions import store
from service.executions.matching import Maker, Reversal, Trade, missing, pushed
from service.executions.store import Fill
from service.gateway import BrokerProfile, ExecutionReport
from service.market.calendar import Calendar
from service.market.store import find_instrument
from service.orders import known
from service.orders.advance import Traded, facts_of
from service.orders.machine import executed_by
from service.orders.model import Order
from service.settlement.accrue import Terms, accrue
from service.settlement.rules import Figures, settles_on
from service.settlement.store import CostKey

log = structlog.get_logger()


@dataclass(frozen=True)
class Dated:
    """The dated rules a fill needs: trading days and the settlement cycle."""

    calendar: Calendar
    figures: Figures


async def new_fills(
    connection: AsyncConnection, order: Order, dated: Dated, clock: Clock, inquiry: Sequence[Trade] = ()
) -> list[Fill]:
    """Fills that evidence shows and we do not hold, and reversals of those that were busted."""
    held = await store.fills_of(connection, order.id)
    reports = await known.reports(connection, order.id)
    said = pushed((raw_id, report) for raw_id, report in reports if isinstance(report, ExecutionReport))
    make = Maker(lambda trade, number: _fill(order, trade, number, dated, clock), partial(_opposite, clock))
    counted = 0
    if inquiry:
        counted = executed_by(facts_of(order, await known.sightings(connection, order.id)), [one for _, one in reports])
    found = missing(held, said, make, inquiry, counted)
    for one in found.unresolved:
        log.error("bust.unresolved", order_id=str(order.id), exec_ref=one.exec_ref, evidence=str(one.evidence))
    return list(found.fills)


def _fill(order: Order, trade: Trade, number: int, dated: Dated, clock: Clock) -> Fill:
    return Fill(
        id=uuid7(),
        order_id=order.id,
        number=number,
        account_id=order.account_id,
        business_date=order.business_date,
        isin=order.isin,
        side=order.side,
        quantity=trade.quantity,
        price=trade.price,
        amount=amount(trade.quantity, trade.price),
        traded_at=trade.traded_at or clock.now(),
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
        exec_id=trade.exec_id,
        source=trade.source,
        evidence=trade.evidence,
        evidence_row=trade.row,
        reverses=None,
    )


def _opposite(clock: Clock, target: Fill, reversal: Reversal, number: int) -> Fill:
    return Fill(
        id=uuid7(),
        order_id=target.order_id,
        number=number,
        account_id=target.account_id,
        business_date=target.business_date,
        isin=target.isin,
        side=target.side,
        quantity=-target.quantity,
        price=target.price,
        amount=-target.amount,
        traded_at=clock.now(),
        settles_on=target.settles_on,
        exec_id=None,
        source="stream",
        evidence=reversal.evidence,
        evidence_row=0,
        reverses=target.id,
    )


async def cost_of(connection: AsyncConnection, order: Order, fills: Sequence[Fill], dated: Dated, profile: BrokerProfile) -> int:
    """The change of commission and taxes that new fills bring, on the broker's own basis. Won."""
    if not fills:
        return 0
    amounts: dict[str, int] = {}
    for one in fills:
        basis = {"day": "", "order": str(order.id), "fill": str(one.reverses or one.id)}[profile.cost_base]
        amounts[basis] = amounts.get(basis, 0) + one.amount
    listed = await find_instrument(connection, order.isin)
    terms = Terms(
        commission_rate=profile.commission_rate,
        commission_unit=profile.commission_unit,
        market=listed.market if listed else "kospi",
        product=listed.product if listed else "stock",
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
    )
    key = CostKey(order.account_id, order.business_date, order.isin, order.side)
    return await accrue(connection, dated.figures, terms, key, amounts)


def net(fills: Sequence[Fill], costs: int) -> Traded:
    """What new fills add up to."""
    return Traded(
        costs=costs,
        quantity=sum(one.quantity for one in fills),
        amount=sum(one.amount for one in fills),
        exact_amount=sum((one.price * one.quantity for one in fills), Decimal(0)),
    )


def short(one: Fill) -> dict[str, object]:
    return {"quantity": one.quantity, "price": one.price, "source": one.source, "evidence": str(one.evidence)}
