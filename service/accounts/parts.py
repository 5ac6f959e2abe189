"""Parts of hot statements: Core updates of the day's counters, with their guards.

Every part names the account, the day and an amount by binds, and moves one row. **No row back means the guard failed**:
read again, decide again. Bind names are `account` (uuid), `instrument` (ISIN), `day` (business date), `won`, `shares`;
each can be renamed where a statement needs two parts of a kind. They differ from column names because SQLAlchemy keeps
those for itself. Parts that touch both rows lock cash before holding, everywhere.

A row of another day is never moved: `opened_on = :day` is part of each guard, so an account without an opening position
for the day refuses by itself.
"""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Update, Uuid, bindparam, update
from sqlalchemy import Date as SqlDate
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from service.accounts.tables import cash as cash_table
from service.accounts.tables import holding as holding_table
from service.infra.db import QUANTITY, WON

Part = Update | ReturningInsert[Any]


def _account(name: str) -> BindParameter[UUID]:
    return bindparam(name, type_=Uuid())


def _day(name: str) -> BindParameter[date]:
    return bindparam(name, type_=SqlDate())


def _isin(name: str) -> BindParameter[str]:
    return bindparam(name, type_=SqlText())


def _won(name: str) -> BindParameter[int]:
    return bindparam(name, type_=WON())


def _shares(name: str) -> BindParameter[int]:
    return bindparam(name, type_=QUANTITY())


def reserve_cash(*, account: str = "account", day: str = "day", won: str = "won") -> Update:
    """Hold back `won` for a buy order. No row: not that much is orderable, or no opening for the day."""
    c, wanted = cash_table.c, _won(won)
    orderable = c.opening - c.bought + c.sold - c.costs - c.reserved
    return (
        update(cash_table)
        .where(c.account_id == _account(account), c.opened_on == _day(day), orderable >= wanted)
        .values(reserved=c.reserved + wanted)
        .returning(c.account_id)
    )


def release_cash(*, account: str = "account", day: str = "day", won: str = "won") -> Update:
    """Give back what a buy order held. No row: more than is held, which is a fault of the caller."""
    c, freed = cash_table.c, _won(won)
    return (
        update(cash_table)
        .where(c.account_id == _account(account), c.opened_on == _day(day), c.reserved >= freed)
        .values(reserved=c.reserved - freed)
        .returning(c.account_id)
    )


def reserve_holding(
    *, account: str = "account", instrument: str = "instrument", day: str = "day", shares: str = "shares"
) -> Update:
    """Hold back `shares` for a sell order. No row: not that many are sellable, or no opening for the day."""
    c, wanted = holding_table.c, _shares(shares)
    return (
        update(holding_table)
        .where(
            c.account_id == _account(account),
            c.isin == _isin(instrument),
            c.opened_on == _day(day),
            c.reserved_sell + wanted <= c.opening + c.bought - c.sold,
        )
        .values(reserved_sell=c.reserved_sell + wanted)
        .returning(c.account_id)
    )


def release_holding(
    *, account: str = "account", instrument: str = "instrument", day: str = "day", shares: str = "shares"
) -> Update:
    """Give back what a sell order held. No row: more than is held."""
    c, freed = holding_table.c, _shares(shares)
    return (
        update(holding_table)
        .where(
            c.account_id == _account(account),
            c.isin == _isin(instrument),
            c.opened_on == _day(day),
            c.reserved_sell >= freed,
        )
        .values(reserved_sell=c.reserved_sell - freed)
        .returning(c.account_id)
    )


def book_cash(
    *,
    account: str = "account",
    day: str = "day",
    bought: str = "bought_won",
    sold: str = "sold_won",
    costs: str = "costs_won",
    released: str = "released_won",
) -> Update:
    """A fill's money: paid, received, cost, and what of the reservation it used up. Nothing limits what was paid:
    an execution is a fact. No row: no opening for the day, or more released than held."""
    c, freed = cash_table.c, _won(released)
    return (
        update(cash_table)
        .where(c.account_id == _account(account), c.opened_on == _day(day), c.reserved >= freed)
        .values(
            bought=c.bought + _won(bought), sold=c.sold + _won(sold), costs=c.costs + _won(costs), reserved=c.reserved - freed
        )
        .returning(c.account_id)
    )


def book_buy(
    *,
    account: str = "account",
    instrument: str = "instrument",
    day: str = "day",
    shares: str = "shares",
    cost: str = "cost_won",
) -> ReturningInsert[Any]:
    """A fill's shares, bought: the row is made when the account never held the instrument. No row: the holding belongs to
    another day. `shares` is positive; a bust goes through `reverse_buy`."""
    c, quantity, paid = holding_table.c, _shares(shares), _won(cost)
    fresh = insert(holding_table).values(
        account_id=_account(account), isin=_isin(instrument), opened_on=_day(day), bought=quantity, bought_cost=paid
    )
    return fresh.on_conflict_do_update(
        index_elements=[c.account_id, c.isin],
        set_={"bought": c.bought + quantity, "bought_cost": c.bought_cost + paid},
        where=c.opened_on == _day(day),
    ).returning(c.account_id)


def reverse_buy(
    *,
    account: str = "account",
    instrument: str = "instrument",
    day: str = "day",
    shares: str = "shares",
    cost: str = "cost_won",
) -> Update:
    """A busted buy. An upsert cannot do it: PostgreSQL checks the row it would insert before it finds the conflict.
    No row: less was bought. A CHECK refuses when the shares were sold since; then a person has to look."""
    c, quantity = holding_table.c, _shares(shares)
    return (
        update(holding_table)
        .where(c.account_id == _account(account), c.isin == _isin(instrument), c.opened_on == _day(day), c.bought >= quantity)
        .values(bought=c.bought - quantity, bought_cost=c.bought_cost - _won(cost))
        .returning(c.account_id)
    )


def book_sell(
    *,
    account: str = "account",
    instrument: str = "instrument",
    day: str = "day",
    shares: str = "shares",
    released: str = "released_shares",
) -> Update:
    """A fill's shares, sold, with what of the reservation it used up. No row: the account has no such holding on the day
    or less was held back. A CHECK refuses to sell below zero: that message is impossible and belongs in quarantine.
    A bust is the same with negative `shares` and nothing released."""
    c, freed = holding_table.c, _shares(released)
    return (
        update(holding_table)
        .where(
            c.account_id == _account(account),
            c.isin == _isin(instrument),
            c.opened_on == _day(day),
            c.reserved_sell >= freed,
        )
        .values(sold=c.sold + _shares(shares), reserved_sell=c.reserved_sell - freed)
        .returning(c.account_id)
    )
