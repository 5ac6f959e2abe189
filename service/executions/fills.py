"""Which fills evidence adds to an order, and what they cost. Shares and won.

A fill is never changed: a bust is a fill of the opposite quantity that names the one it reverses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import kst_date
from service.core.ids import uuid7
from service.core.money import amount
from service.executions.matching import Found, Maker, missing
from service.executions.store import Fill
from service.executions.told import Reversal, Trade, pushed
from service.gateway import BrokerProfile, ExecutionReport, Gateway
from service.infra.effects import Change
from service.market.calendar import Calendar
from service.market.model import Instrument
from service.market.store import find_instruments
from service.orders.advance import Traded, facts_of
from service.orders.machine import executed_by
from service.orders.model import Order
from service.orders.whole import Whole
from service.settlement.accrue import Terms, Trades, accrue
from service.settlement.rules import Figures, settles_on
from service.settlement.store import CostKey

log = structlog.get_logger()


@dataclass(frozen=True)
class Dated:
    """The dated rules a fill needs: trading days and the settlement cycle."""

    calendar: Calendar
    figures: Figures


def new_fills(known: Whole, held: Sequence[Fill], dated: Dated, now: datetime, inquiry: Sequence[Trade] = ()) -> Found[Fill]:
    """Fills that evidence shows and we do not hold, and reversals of those that were busted; and the busts whose execution
    nobody can name yet. `known` with the reports that are about to be stored, `held` all fills of the order; `inquiry` what a
    complete inquiry lists."""
    order = known.order
    said = pushed((raw_id, report) for raw_id, report in known.evidence if isinstance(report, ExecutionReport))
    make = Maker(lambda trade, number: _fill(order, trade, number, dated, now), partial(_opposite, now))
    listed = inquiry or any(one.source == "inquiry" for one in held)
    counted = executed_by(facts_of(order, known.seen), known.reports) if listed else 0
    found = missing(held, said, make, inquiry, counted)
    for one in found.unresolved:
        log.error("bust.unresolved", order_id=str(order.id), exec_ref=one.exec_ref, evidence=str(one.evidence))
    return found


def _fill(order: Order, trade: Trade, number: int, dated: Dated, now: datetime) -> Fill:
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
        traded_at=trade.traded_at or now,
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
        exec_id=trade.exec_id,
        source=trade.source,
        evidence=trade.evidence,
        evidence_row=trade.row,
        reverses=None,
    )


def _opposite(now: datetime, target: Fill, reversal: Reversal, number: int) -> Fill:
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
        traded_at=now,
        settles_on=target.settles_on,
        exec_id=None,
        source="stream",
        evidence=reversal.evidence,
        evidence_row=0,
        reverses=target.id,
    )


async def costs_of(
    connection: AsyncConnection, traded: Sequence[tuple[Order, Sequence[Fill]]], dated: Dated, gateway: Gateway
) -> tuple[list[int], list[Change]]:
    """The change of commission and taxes that new fills bring to each order, on its broker's own basis, in won; and what
    to write with them."""
    trading = [(order, fills) for order, fills in traded if fills]
    if not trading:
        return [0] * len(traded), []
    listed = await find_instruments(connection, {order.isin for order, _ in trading})
    trades = [_trades(order, fills, dated, gateway.profile(order.broker), listed.get(order.isin)) for order, fills in trading]
    costs, change = await accrue(connection, dated.figures, trades)
    found = iter(costs)
    return [next(found) if fills else 0 for _, fills in traded], [change]


def _trades(order: Order, fills: Sequence[Fill], dated: Dated, profile: BrokerProfile, listed: Instrument | None) -> Trades:
    amounts: dict[str, int] = {}
    for one in fills:
        basis = {"day": "", "order": str(order.id), "fill": str(one.reverses or one.id)}[profile.cost_base]
        amounts[basis] = amounts.get(basis, 0) + one.amount
    terms = Terms(
        commission_rate=profile.commission_rate,
        commission_unit=profile.commission_unit,
        market=listed.market if listed else "kospi",
        product=listed.product if listed else "stock",
        settles_on=settles_on(dated.figures, order.business_date, dated.calendar),
    )
    return Trades(CostKey(order.account_id, order.business_date, order.isin, order.side), terms, amounts)


def restated(fills: Sequence[Fill], now: datetime) -> list[dict[str, Any]]:
    """Days that are told differently now: by a fill undone, or by one that became known after its day (P12)."""
    return [
        {
            "fill_id": one.id,
            "account_id": one.account_id,
            "business_date": one.business_date,
            "kind": "late" if one.reverses is None else "reversal",
            "restated_at": now,
        }
        for one in fills
        if one.reverses is not None or one.business_date < kst_date(now)
    ]


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
