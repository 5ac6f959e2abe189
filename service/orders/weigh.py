"""단일종목 비중: the weight of one name after a buy or a dearer price of one, where the mandate limits it. An extra read that
other mandates do not pay.

Weights are of the account: holdings at the day's base price and cash. What open buys of the day hold back counts as bought;
what one of an earlier day held back is in this day's cash again. A holding without a price of the day counts nothing, which
makes the account smaller and the limit stricter, never looser.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import BigInteger, ColumnElement, Date, Text, Uuid, and_, bindparam, case, cast, func, select

from service.accounts.facts import cash_part, holding_part, lock_cash_part
from service.core.errors import Violation
from service.core.money import Won
from service.gateway import Side
from service.infra.db import Either, HotStatement
from service.mandates.model import Limits
from service.mandates.rules import weight_violation
from service.market.facts import prices_part
from service.orders.decide import Asked, Decision
from service.orders.tables import orders


def _read() -> Any:
    held, prices = holding_part(), prices_part()
    value = held.c.quantity * func.coalesce(prices.c.base_price, 0)
    mine = case((held.c.isin == prices.c.wanted, value), else_=0)
    total = cast(func.coalesce(func.sum(value), 0), BigInteger)
    one = cast(func.coalesce(func.sum(mine), 0), BigInteger)
    return select(
        total.label("held_won"),
        one.label("name_won"),
        _under_way(orders.c.isin == bindparam("isin", type_=Text)).label("name_under_way"),
        _under_way().label("under_way"),
        select(cash_part().c.orderable).scalar_subquery().label("orderable"),
    ).select_from(held.outerjoin(prices, prices.c.isin == held.c.isin))


def _under_way(*which: ColumnElement[bool]) -> Any:
    """Won that open buy orders of the account and day hold back."""
    mine = and_(
        orders.c.account_id == bindparam("account_id", type_=Uuid),
        orders.c.business_date == bindparam("business_date", type_=Date),
    )
    reserved = cast(func.coalesce(func.sum(orders.c.reserved_cash), 0), BigInteger)
    return select(reserved).where(mine, orders.c.closed.is_(False), *which).scalar_subquery()


VALUE = HotStatement(_read())
ALONE = HotStatement(lock_cash_part())


async def weighed(
    connection: asyncpg.Connection, asked: Asked, row: Mapping[str, Any], decision: Decision, today: date
) -> Decision:
    """The decision, with a violation more when the order would make one name too heavy."""
    limited = row["limits"] is not None and asked.wish.side is Side.BUY and row["isin"] is not None
    limits = Limits.from_json(orjson.loads(row["limits"])) if limited else Limits()
    violation = await heavier(connection, limits, asked.account_id, row["isin"], today, decision.value)
    return decision if violation is None else replace(decision, violations=[*decision.violations, violation], order=None)


async def heavier(connection: Either, limits: Limits, account_id: UUID, isin: str, today: date, more: Won) -> Violation | None:
    """Whether so much more held back or bought makes the name too heavy. Two buys at once must not pass the limit together:
    what the cash row says is read behind its lock, since what the other one holds back is counted as under way."""
    if limits.single_name_weight_percent is None:
        return None
    await ALONE.on(connection, account_id=account_id)
    (found,) = await VALUE.on(connection, account_id=account_id, business_date=today, isin=isin)
    total = Won(found["held_won"] + found["under_way"] + (found["orderable"] or 0))
    name = Won(found["name_won"] + found["name_under_way"])
    return weight_violation(limits, position_value=name, order_value=more, total_value=total)
