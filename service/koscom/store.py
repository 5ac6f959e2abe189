"""The counter row of a service and day in PostgreSQL: taken in one short statement, shared by every process."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import Integer, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from service.core.errors import Unavailable
from service.gateway import CallClass
from service.infra.db import DRIVER_ERRORS, Database, HotStatement
from service.koscom.budget import ServiceName
from service.koscom.tables import call_budget

TOTAL: Any = reduce(add, (call_budget.c[f"{call_class}_calls"] for call_class in CallClass))


# The count need not be on disk before the call is made: the attempt that permits it is, and what is committed after this count
# brings it to disk too. A server that falls in the fraction of a second between forgets calls of that moment.
HASTE = func.set_config("synchronous_commit", "off", literal_column("true"))


def _taking(call_class: CallClass) -> ReturningInsert[Any]:
    """Insert the day's first call, or add one under the guard. No row comes back where the guard forbids it."""
    column = call_budget.c[f"{call_class}_calls"]
    first = insert(call_budget).values({"service": bindparam("service"), "day": bindparam("day"), column.name: bindparam("one")})
    return first.on_conflict_do_update(
        index_elements=[call_budget.c.service, call_budget.c.day],
        set_={column.name: column + 1},
        where=bindparam("ceiling", type_=Integer) > TOTAL,
    ).returning(column, HASTE)


TAKE = {call_class: HotStatement(_taking(call_class)) for call_class in CallClass}
SPENT = HotStatement(
    select(call_budget).where(call_budget.c.service == bindparam("service"), call_budget.c.day == bindparam("day"))
)


class PostgresBudget:
    """`BudgetStore` on the raw pool: one statement is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, service: ServiceName, day: date, call_class: CallClass, ceiling: int) -> bool:
        if ceiling <= 0:
            return False
        with _reachable():
            async with self._database.raw() as connection:
                row = await TAKE[call_class].row(connection, service=str(service), day=day, one=1, ceiling=ceiling)
        return row is not None

    async def spent(self, service: ServiceName, day: date) -> dict[CallClass, int]:
        with _reachable():
            async with self._database.raw() as connection:
                row = await SPENT.row(connection, service=str(service), day=day)
        return {call_class: row[f"{call_class}_calls"] if row else 0 for call_class in CallClass}


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except DRIVER_ERRORS as error:
        raise Unavailable("budget-unavailable", "the call budget cannot be counted") from error
