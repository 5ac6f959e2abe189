"""Book what an order did to an account: fills, and the reservation it gives back."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Executable, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts import parts
from service.accounts.store import cash_of, holding_of
from service.accounts.tables import cash
from service.core.errors import Invalid, Violation


class PositionMismatch(Exception):
    """The counters do not allow this movement: the message behind it is impossible or came to the wrong account."""


@dataclass(frozen=True)
class Movement:
    """One order's effect. Won and shares; negative quantities undo a busted fill, a negative release takes more."""

    account_id: UUID
    isin: str
    day: date
    bought_shares: int = 0
    bought_won: int = 0
    sold_shares: int = 0
    sold_won: int = 0
    costs_won: int = 0
    released_cash: int = 0
    released_shares: int = 0

    def touches_cash(self) -> bool:
        return bool(self.bought_won or self.sold_won or self.costs_won or self.released_cash)


async def move(connection: AsyncConnection, one: Movement) -> bool:
    """Apply a movement; cash is locked before the holding, everywhere. Returns False when the account's position is
    already that of another day, whose opening balance contains what happened. Raises PositionMismatch."""
    opened_on = (await connection.execute(select(cash.c.opened_on).where(cash.c.account_id == one.account_id))).scalar()
    if opened_on != one.day:
        return False
    who = {"account": one.account_id, "day": one.day, "instrument": one.isin}
    if one.touches_cash():
        values = {
            "bought_won": one.bought_won,
            "sold_won": one.sold_won,
            "costs_won": one.costs_won,
            "released_won": one.released_cash,
        }
        await _expect_row(connection, parts.book_cash(), who | values)
    if one.bought_shares > 0:
        await _expect_row(connection, parts.book_buy(), who | {"shares": one.bought_shares, "cost_won": one.bought_won})
    if one.bought_shares < 0:
        await _expect_row(connection, parts.reverse_buy(), who | {"shares": -one.bought_shares, "cost_won": -one.bought_won})
    if one.sold_shares or one.released_shares:
        values = {"shares": one.sold_shares, "released_shares": one.released_shares}
        await _expect_row(connection, parts.book_sell(), who | values)
    return True


async def _expect_row(connection: AsyncConnection, statement: Executable, values: dict[str, object]) -> None:
    if (await connection.execute(statement, values)).first() is None:
        raise PositionMismatch("the account's counters do not allow this movement")


async def ensure_free(connection: AsyncConnection, *, account_id: UUID, isin: str, cash: int, shares: int) -> None:
    """Lock the account's counters and make sure that so much more can be held back. Raises Invalid."""
    if cash > 0:
        row = await cash_of(connection, account_id, lock=True)
        if row is None or row.orderable < cash:
            raise _short("insufficient-cash", "price", row.orderable if row else 0, cash)
    if shares > 0:
        held = await holding_of(connection, account_id, isin, lock=True)
        if held is None or held.sellable < shares:
            raise _short("insufficient-holding", "quantity", held.sellable if held else 0, shares)


def _short(code: str, field: str, free: int, wanted: int) -> Invalid:
    message = "More than is free in this account."
    return Invalid(code, message, violations=(Violation(code, field, message, str(free), str(wanted)),))
