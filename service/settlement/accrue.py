"""What trades cost, kept up to date as they happen: commission and taxes by each broker's own basis.

Rounding depends on the basis, so a new fill changes the cost of the whole basis and not just its own; what is returned is
the difference. Ours is a reckoning: the broker's figure is the truth it is later compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.money import Won
from service.gateway import Side
from service.infra.effects import Change
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


@dataclass(frozen=True)
class Trades:
    """What one order newly traded: won by basis, negative for a bust, with what decides its cost."""

    key: store.CostKey
    terms: Terms
    amounts: Mapping[str, int]


async def accrue(connection: AsyncConnection, figures: Figures, trades: Sequence[Trades]) -> tuple[list[Won], Change]:
    """The change of commission and taxes each order brings, in won, and what to write. Rows are locked until the
    transaction ends; orders of one basis build on each other, so their sequence is kept."""
    held = await store.lock_costs(connection, [(one.key, basis) for one in trades for basis in one.amounts])
    moved: dict[store.Basis, store.Cost] = {}
    found: list[Won] = []
    for one in trades:
        change = 0
        for basis, amount in sorted(one.amounts.items()):
            at = (one.key, basis)
            before = moved.get(at, held[at])
            moved[at] = after = _cost(figures, one.terms, one.key.side, before.amount + amount)
            change += after.commission + after.taxes - before.commission - before.taxes
        found.append(Won(change))
    return found, store.saved(moved)


def _cost(figures: Figures, terms: Terms, side: Side, amount: int) -> store.Cost:
    fee = rules.commission(Won(amount), terms.commission_rate, terms.commission_unit)
    if side is Side.BUY:
        return store.Cost(amount, fee, 0)
    taxes = rules.sell_taxes(
        figures, market=terms.market, product=terms.product, amount=Won(amount), settlement_date=terms.settles_on
    )
    return store.Cost(amount, fee, taxes.total)
