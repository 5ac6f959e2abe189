"""The dated figures of settlement as one value, and what trades cost by basis."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.gateway import Side
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


async def lock_cost(connection: AsyncConnection, key: CostKey, basis: str) -> Cost:
    """The cost so far, its row locked; the row is made when there is none."""
    fresh = insert(trade_cost).values(**_columns(key), basis=basis, amount=0, commission=0, taxes=0)
    await connection.execute(fresh.on_conflict_do_nothing())
    c = trade_cost.c
    wanted = select(c.amount, c.commission, c.taxes).where(*_is(key, basis)).with_for_update()
    return Cost(*(await connection.execute(wanted)).one())


async def save_cost(connection: AsyncConnection, key: CostKey, basis: str, cost: Cost) -> None:
    await connection.execute(update(trade_cost).where(*_is(key, basis)).values(vars(cost)))


def _columns(key: CostKey) -> dict[str, Any]:
    return {"account_id": key.account_id, "business_date": key.business_date, "isin": key.isin, "side": key.side.value}


def _is(key: CostKey, basis: str) -> list[ColumnElement[bool]]:
    named = _columns(key) | {"basis": basis}
    return [trade_cost.c[name] == value for name, value in named.items()]
