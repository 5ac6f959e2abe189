"""The dated figures of settlement, as one value."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.settlement.rules import Cycle, Figures, TaxRate
from service.settlement.tables import settlement_cycle, tax_rate


async def load_figures(connection: AsyncConnection) -> Figures:
    rates = await connection.execute(select(tax_rate))
    cycles = await connection.execute(select(settlement_cycle))
    return Figures(tuple(TaxRate(*row) for row in rates), tuple(Cycle(*row) for row in cycles))
