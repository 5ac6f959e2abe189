"""Book what orders did to accounts: fills, and the reservations they give back. One order's effect or many at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.parts import CASH_BOOKED, HOLDING_BOOKED, LOCK_CASH, MAKE_HOLDINGS
from service.accounts.store import cash_of, holding_of
from service.core.errors import Invalid, Violation
from service.infra.db import Either
from service.infra.effects import Change


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

    def touches_holding(self) -> bool:
        return bool(self.bought_shares or self.sold_shares or self.released_shares)

    def moves(self) -> bool:
        return self.touches_cash() or self.touches_holding()


async def bookings(connection: Either, movements: Sequence[Movement]) -> list[Change]:
    """The changes that book these movements, to be written with their cause in one statement (`effects.write`, which
    raises PositionMismatch when a guard fails). The accounts' cash rows are locked now, in the order of their ids:
    whoever moves an account's counters for an order holds its cash row first, then touches its holdings.

    A movement of another day than the account's position is left out: that day's opening balance contains what happened.
    """
    moving = [one for one in movements if one.moves()]
    if not moving:
        return []
    opened = await _opened(connection, moving)
    standing = [one for one in moving if opened.get(one.account_id) == one.day]
    await _make_holdings(connection, standing)
    return [
        Change(CASH_BOOKED, _cash_rows(standing), PositionMismatch),
        Change(HOLDING_BOOKED, _holding_rows(standing), PositionMismatch),
    ]


async def _opened(connection: Either, moving: Sequence[Movement]) -> dict[UUID, date]:
    accounts = sorted({one.account_id for one in moving})
    return {row["account_id"]: row["opened_on"] for row in await LOCK_CASH.on(connection, accounts=accounts)}


async def _make_holdings(connection: Either, standing: Sequence[Movement]) -> None:
    """The row of an instrument the account never held, where something is bought."""
    bought = sorted({(one.account_id, one.isin, one.day) for one in standing if one.bought_shares > 0})
    if bought:
        accounts, isins, days = (list(each) for each in zip(*bought, strict=True))
        await MAKE_HOLDINGS.on(connection, accounts=accounts, isins=isins, days=days)


def _cash_rows(standing: Sequence[Movement]) -> list[dict[str, Any]]:
    """A row is touched once in a statement, so movements of one account are added up."""
    rows: dict[UUID, dict[str, Any]] = {}
    for one in standing:
        if one.touches_cash():
            row = rows.setdefault(one.account_id, defaultdict(int, account_id=one.account_id, day=one.day))
            row["bought"] += one.bought_won
            row["sold"] += one.sold_won
            row["costs"] += one.costs_won
            row["released"] += one.released_cash
    return list(rows.values())


def _holding_rows(standing: Sequence[Movement]) -> list[dict[str, Any]]:
    rows: dict[tuple[UUID, str], dict[str, Any]] = {}
    for one in standing:
        if one.touches_holding():
            fresh = defaultdict(int, account_id=one.account_id, isin=one.isin, day=one.day)
            row = rows.setdefault((one.account_id, one.isin), fresh)
            row["bought"] += one.bought_shares
            row["bought_cost"] += one.bought_won
            row["sold"] += one.sold_shares
            row["released"] += one.released_shares
    return list(rows.values())


async def ensure_free(connection: AsyncConnection, *, account_id: UUID, isin: str, cash: int, shares: int) -> None:
    """Lock the account's counters and make sure that so much more can be held back; cash first, as everywhere. Raises
    Invalid."""
    row = await cash_of(connection, account_id, lock=True) if cash > 0 or shares > 0 else None
    if cash > 0 and (row is None or row.orderable < cash):
        raise _short("insufficient-cash", "price", row.orderable if row else 0, cash)
    if shares > 0:
        held = await holding_of(connection, account_id, isin, lock=True)
        if held is None or held.sellable < shares:
            raise _short("insufficient-holding", "quantity", held.sellable if held else 0, shares)


def _short(code: str, field: str, free: int, wanted: int) -> Invalid:
    message = "More than is free in this account."
    return Invalid(code, message, violations=(Violation(code, field, message, str(free), str(wanted)),))
