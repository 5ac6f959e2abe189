"""What trades cost, kept up to date as they happen: commission and taxes by each broker's own basis.

Rounding depends on the basis, so a new fill changes the cost of the whole basis and not just its own; what is returned is
the difference. Ours is a reckoning: the broker's figure is the truth it is later compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.money import Won
from service.gateway import Side
from service.settlement import rules, store
from service.settlement.rules import Figures


@dataclass(frozen=True)
class Terms:
    """What decides the cost of a trade."""

    commission_rate: Decimal
    commission_unit: int
    market: str
    product: str
    settles_on: date


async def accrue(
    connection: AsyncConnection, figures: Figures, terms: Terms, key: store.CostKey, amounts: Mapping[str, int]
) -> Won:
    """Add traded `amounts` (won, negative for a bust) by basis. Returns the change of commission and taxes in won."""
    change = 0
    for basis, amount in sorted(amounts.items()):
        before = await store.lock_cost(connection, key, basis)
        after = _cost(figures, terms, key.side, before.amount + amount)
        await store.save_cost(connection, key, basis, after)
        change += after.commission + after.taxes - before.commission - before.taxes
    return Won(change)


def _cost(figures: Figures, terms: Terms, side: Side, amount: int) -> store.Cost:
    fee = rules.commission(Won(amount), terms.commission_rate, terms.commission_unit)
    if side is Side.BUY:
        return store.Cost(amount, fee, 0)
    taxes = rules.sell_taxes(
        figures, market=terms.market, product=terms.product, amount=Won(amount), settlement_date=terms.settles_on
    )
    return store.Cost(amount, fee, taxes.total)
