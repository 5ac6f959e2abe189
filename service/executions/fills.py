"""Which fills evidence adds to an order, and what they cost. Shares and won.

A fill is never changed: a bust is a fill of the opposite quantity that names the one it reverses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import Clock
from service.core.ids import uuid7
from service.core.money import amount
from service.executions import store
from service.executions.matching import Reversal, Trade, pushed, unpushed, unrecorded
from service.executions.store import Fill
from service.gateway import BrokerProfile, ExecutionReport
from service.market.calendar import Calendar
from service.market.store import find_instrument
from service.orders import known
from service.orders.advance import Traded
from service.orders.model import Order
from service.settlement.accrue import Terms, accrue
from service.settlement.rules import Figures, settles_on
from service.settlement.store import CostKey


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
    reported = await known.reports(connection, order.id)
    said = pushed([(raw_id, report) for raw_id, report in reported if isinstance(report, ExecutionReport)])
    recorded = [(one.quantity, one.price) for one in held if one.quantity > 0]
    pushed_fills = _numbered(order, held, unrecorded(recorded, said.trades), dated, clock)
    known_fills = [*held, *pushed_fills]
    reversals = _reversals(known_fills, said.reversals, clock)
    known_fills += reversals
    if not inquiry:
        return [*pushed_fills, *reversals]
    undone = {one.reverses for one in known_fills}
    standing = [(one.quantity, one.price) for one in known_fills if one.quantity > 0 and one.id not in undone]
    seen = await known.sightings(connection, order.id)
    cumulative = max([order.reported_quantity, seen.executed, *_cumulatives(reported)])
    inquired_fills = _numbered(order, known_fills, unpushed(standing, inquiry, cumulative), dated, clock)
    return [*pushed_fills, *reversals, *inquired_fills]


def _numbered(order: Order, held: Sequence[Fill], trades: Sequence[Trade], dated: Dated, clock: Clock) -> list[Fill]:
    return [_fill(order, one, len(held) + 1 + i, dated, clock) for i, one in enumerate(trades)]


def _cumulatives(reported: Sequence[tuple[UUID, known.Known]]) -> list[int]:
    given = (one.cumulative_quantity for _, one in reported if isinstance(one, ExecutionReport))
    return [one for one in given if one is not None]


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


def _reversals(held: Sequence[Fill], said: Sequence[Reversal], clock: Clock) -> list[Fill]:
    """The opposite of each busted fill, once. The broker's reference is looked up among the fills' own numbers."""
    undone = {one.reverses for one in held}
    found: list[Fill] = []
    for reversal in said:
        target = next(
            (one for one in held if one.exec_id == reversal.exec_ref and one.quantity > 0 and one.id not in undone), None
        )
        if target is None:
            continue
        undone.add(target.id)
        found.append(_opposite(target, reversal, len(held) + len(found) + 1, clock))
    return found


def _opposite(target: Fill, reversal: Reversal, number: int, clock: Clock) -> Fill:
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
