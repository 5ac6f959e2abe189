"""Several effects of one decision, written as one statement: what moves together travels together.

An `Effect` is a kind of change with the columns of its rows; a `Change` is an effect with the rows of today. All changes of
a call become one statement with a common table expression each, whatever the number of rows. **The first effect guards the
others**: when it touches no row, nobody writes anything, so that one order may even be written outside a transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import CTE, FromClause, Select, bindparam, column, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate
from sqlalchemy.types import TypeEngine

from service.infra.db import Either, HotStatement

Returning = ReturningInsert[Any] | ReturningUpdate[Any] | ReturningDelete[Any]


class Overtaken(Exception):
    """A guard failed: somebody else was faster. Read again, decide again."""


@dataclass(frozen=True, eq=False)
class Effect:
    """A kind of change. `make` composes the statement for each of the rows given (columns as named here); it returns what
    it touched. Made once per module: statements are compiled for each set of effects and kept."""

    name: str
    columns: Mapping[str, TypeEngine[Any]]
    make: Callable[[FromClause], Returning]


@dataclass(frozen=True)
class Change:
    """Rows of an effect. When fewer rows were touched than given, `refusal` is raised: roll back."""

    effect: Effect
    rows: Sequence[Mapping[str, Any]]
    refusal: type[Exception] = Overtaken


async def write(connection: Either, changes: Sequence[Change]) -> None:
    """Write every change in one statement. Raises the refusal of a change that touched fewer rows than it names."""
    given = [one for one in changes if one.rows]
    if not given:
        return
    values = {name: rows for one in given for name, rows in _values(one).items()}
    (touched,) = await composed(tuple(one.effect for one in given)).on(connection, **values)
    for one in given:
        if touched[one.effect.name] != len(one.rows):
            raise one.refusal(f"{one.effect.name}: {touched[one.effect.name]} of {len(one.rows)} rows")


@lru_cache(maxsize=256)
def composed(effects: tuple[Effect, ...]) -> HotStatement:
    """The statement of these effects, compiled once."""
    first = effects[0].make(_rows(effects[0], None)).cte(effects[0].name)
    others = [one.make(_rows(one, first)).cte(one.name) for one in effects[1:]]
    counts = [select(func.count()).select_from(one).scalar_subquery().label(one.name) for one in (first, *others)]
    return HotStatement(select(*counts))


def _rows(effect: Effect, guard: CTE | None) -> FromClause:
    binds = [bindparam(f"{effect.name}_{name}", type_=ARRAY(kind)) for name, kind in effect.columns.items()]
    given = func.unnest(*binds).table_valued(*[column(name, kind) for name, kind in effect.columns.items()])
    rows: Select[Any] = select(given.render_derived(name=f"{effect.name}_given"))
    if guard is not None:
        rows = rows.where(exists(select(1).select_from(guard)))
    return rows.subquery(f"{effect.name}_rows")


def _values(change: Change) -> dict[str, list[Any]]:
    name = change.effect.name
    return {f"{name}_{each}": [row[each] for row in change.rows] for each in change.effect.columns}
