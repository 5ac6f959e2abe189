"""The dated figures of settlement as one value, and what trades cost by basis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import FromClause, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.gateway import Side
from service.infra.effects import Change, Effect, Returning
from service.settlement.rules import Cycle, Figures, TaxRate
from service.settlement.tables import settlement_cycle, tax_rate, trade_cost


async def load_figures(connection: AsyncConnection) -> Figures:
    rates = await connection.execute(select(tax_rate))
    cycles = await connection.execute(select(settlement_cycle))
    return Figures(tuple(TaxRate(*row) for row in rates), tuple(Cycle(*row) for row in cycles))


@dataclass(frozen=True)
class CostKey:
    """One side of an issue, an account and a day."""

    account_id: UUID
    business_date: date
    isin: str
    side: Side


@dataclass(frozen=True)
class Cost:
    """What was traded on one basis, and what it costs. Won."""

    amount: int
    commission: int
    taxes: int


Basis = tuple[CostKey, str]  # what costs are worked out on: a key and, within it, the broker's own basis


async def lock_costs(connection: AsyncConnection, bases: Sequence[Basis]) -> dict[Basis, Cost]:
    """The costs so far, their rows locked in one order everywhere; rows are made where there are none."""
    wanted = sorted(set(bases), key=_sorted)
    if not wanted:
        return {}
    fresh = [{**_columns(key), "basis": basis, "amount": 0, "commission": 0, "taxes": 0} for key, basis in wanted]
    await connection.execute(insert(trade_cost).values(fresh).on_conflict_do_nothing())
    c = trade_cost.c
    mine = tuple_(c.account_id, c.business_date, c.isin, c.side, c.basis)
    question = select(trade_cost).where(mine.in_([(*_columns(key).values(), basis) for key, basis in wanted]))
    found: dict[Basis, Cost] = {}
    for row in await connection.execute(question.order_by(*mine.clauses).with_for_update()):
        key = CostKey(row.account_id, row.business_date, row.isin, Side(row.side))
        found[key, row.basis] = Cost(row.amount, row.commission, row.taxes)
    return found


def _save(rows: FromClause) -> Returning:
    named = [trade_cost.c[name] == rows.c[name] for name in KEY_COLUMNS]
    new = {name: rows.c[name] for name in ("amount", "commission", "taxes")}
    return update(trade_cost).where(*named).values(**new).returning(trade_cost.c.basis)


KEY_COLUMNS = ("account_id", "business_date", "isin", "side", "basis")
COSTS_SAVED = Effect("costs_saved", {one.name: one.type for one in trade_cost.columns}, _save)


def saved(costs: Mapping[Basis, Cost]) -> Change:
    """Costs as one of the changes of `effects.write`. The caller has their rows locked."""
    return Change(COSTS_SAVED, [{**_columns(key), "basis": basis, **vars(cost)} for (key, basis), cost in costs.items()])


def _sorted(basis: Basis) -> tuple[str, ...]:
    return (*map(str, _columns(basis[0]).values()), basis[1])


def _columns(key: CostKey) -> dict[str, Any]:
    return {"account_id": key.account_id, "business_date": key.business_date, "isin": key.isin, "side": key.side.value}
