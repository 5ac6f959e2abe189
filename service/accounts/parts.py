"""Parts of hot statements: Core updates of the day's counters, with their guards.

A reservation names the account, the day and an amount by binds, and moves one row. **No row back means the guard failed**:
read again, decide again. Bind names are `account` (uuid), `instrument` (ISIN), `day` (business date), `won`, `shares`;
each can be renamed where a statement needs two parts of a kind. They differ from column names because SQLAlchemy keeps
those for itself. Bookings (`CASH_BOOKED`, `HOLDING_BOOKED`) are effects of any number of rows, one for each account and
each holding. Whoever touches both locks cash before holdings, everywhere.

A row of another day is never moved: `opened_on = :day` is part of each guard, so an account without an opening position
for the day refuses by itself.
"""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, FromClause, Update, Uuid, bindparam, column, func, select, update
from sqlalchemy import Date as SqlDate
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import TypeEngine

from service.accounts.tables import cash as cash_table
from service.accounts.tables import holding as holding_table
from service.infra.db import QUANTITY, WON, HotStatement
from service.infra.effects import Effect, Returning


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


# --- bookings --------------------------------------------------------------------------------------------------------------


def _book_cash(rows: FromClause) -> Returning:
    """What was paid, received and cost, and what of the reservation it used up. Nothing limits what was paid: an
    execution is a fact. No row: no opening for the day, or more released than held."""
    c, new = cash_table.c, rows.c
    return (
        update(cash_table)
        .where(c.account_id == new.account_id, c.opened_on == new.day, c.reserved >= new.released)
        .values(
            bought=c.bought + new.bought, sold=c.sold + new.sold, costs=c.costs + new.costs, reserved=c.reserved - new.released
        )
        .returning(c.account_id)
    )


def _book_holding(rows: FromClause) -> Returning:
    """Shares bought and sold, with what of the reservation the sale used up; negative numbers take a busted fill back.
    No row: the account has no such holding on the day, less was held back than is released, or less was bought than is
    taken back. A CHECK refuses to sell below zero: that message is impossible and belongs in quarantine."""
    c, new = holding_table.c, rows.c
    return (
        update(holding_table)
        .where(
            c.account_id == new.account_id,
            c.isin == new.isin,
            c.opened_on == new.day,
            c.reserved_sell >= new.released,
            c.bought + new.bought >= 0,
        )
        .values(
            bought=c.bought + new.bought,
            bought_cost=c.bought_cost + new.bought_cost,
            sold=c.sold + new.sold,
            reserved_sell=c.reserved_sell - new.released,
        )
        .returning(c.account_id)
    )


KEY: dict[str, TypeEngine[Any]] = {"account_id": Uuid(), "day": SqlDate()}
CASH_BOOKED = Effect(
    "cash_booked", KEY | {"bought": WON(), "sold": WON(), "costs": WON(), "released": WON()}, _book_cash
)  # fmt: skip
HOLDING_BOOKED = Effect(
    "holding_booked",
    KEY | {"isin": SqlText(), "bought": QUANTITY(), "bought_cost": WON(), "sold": QUANTITY(), "released": QUANTITY()},
    _book_holding,
)

LOCK_CASH = HotStatement(
    select(cash_table.c.account_id, cash_table.c.opened_on)
    .where(cash_table.c.account_id == func.any(bindparam("accounts", type_=ARRAY(Uuid))))
    .order_by(cash_table.c.account_id)
    .with_for_update()
)


def _make_holdings() -> HotStatement:
    given = func.unnest(
        bindparam("accounts", type_=ARRAY(Uuid)),
        bindparam("isins", type_=ARRAY(SqlText)),
        bindparam("days", type_=ARRAY(SqlDate)),
    ).table_valued(column("account_id", Uuid), column("isin", SqlText), column("opened_on", SqlDate))
    rows = select(given.render_derived(name="given"))
    names = ["account_id", "isin", "opened_on"]
    fresh = insert(holding_table).from_select(names, rows).on_conflict_do_nothing()
    return HotStatement(fresh.returning(holding_table.c.account_id))


MAKE_HOLDINGS = _make_holdings()
