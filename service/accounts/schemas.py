"""Answers of the routes of accounts. Money is decimal text; numbers are masked unless the role may see them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.accounts.model import Account, Cash, Holding, Statement
from service.accounts.rules import differences, ladder_of
from service.accounts.rules import holdings_of as holdings_in
from service.core.money import average_price, plain
from service.core.secret import AccountNumber


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountOut(Strict):
    id: UUID = Field(description="id of the account")
    broker: str = Field(description="company code of the broker")
    number: str = Field(description="account number; masked unless the role may see it")
    name: str = Field(description="name of the account at the broker")
    virtual_number: str | None = Field(description="virtual account number, masked as the number")
    contract_status: str = Field(description="0 in force, 1 terminated, 2 matured; only 0 may trade")
    mandate_id: UUID | None = Field(description="the mandate that holds it now")
    first_seen: datetime = Field(description="business time of the first list that named it")
    last_seen: datetime = Field(description="business time of the last list that named it")
    vanished_at: datetime | None = Field(description="business time of the first complete list without it")

    @classmethod
    def of(cls, account: Account, mandate_id: UUID | None, clear: bool) -> "AccountOut":
        virtual = account.virtual_number
        shown = {"number": shown_number(account.number, clear), "mandate_id": mandate_id}
        shown["virtual_number"] = shown_number(virtual, clear) if virtual is not None else None
        return cls(**{**vars(account), **shown})


def shown_number(number: AccountNumber, clear: bool) -> str:
    return number.reveal() if clear else str(number)


class AccountPage(Strict):
    items: list[AccountOut] = Field(description="accounts in the order of their ids")
    next_cursor: str | None = Field(description="null on the last page")


class AccountSynchronizationRequest(Strict):
    openings: bool = Field(False, description="also read balances and open the trading day for every account")


class OpeningsOut(Strict):
    day: date = Field(description="the trading day that was opened")
    opened: list[UUID] = Field(description="accounts with an opening position now")
    already: list[UUID] = Field(description="accounts that had one")
    failed: dict[UUID, str] = Field(
        description="accounts without one: why the broker's answer is not whole, or `fault`, see the log"
    )
    unresolved: dict[UUID, list[str]] = Field(description="rows of a balance no instrument was found for")


class AccountSynchronization(Strict):
    new: list[UUID] = Field(description="accounts seen for the first time")
    changed: list[UUID] = Field(description="accounts with another name, number or contract status, or back again")
    vanished: list[UUID] = Field(description="accounts a complete list no longer names")
    incomplete: dict[str, str] = Field(
        description="broker → why its list broke off, or `fault`, see the log; nothing vanishes there"
    )
    unreadable: list[str] = Field(description="masked numbers of rows with an unknown contract status")
    openings: OpeningsOut | None = Field(description="null unless asked for")


class HoldingOut(Strict):
    isin: str = Field(description="표준코드")
    quantity: int = Field(description="held, today's executions included")
    sellable: int | None = Field(description="매도가능수량: less what open sell orders hold back; null for the broker's")
    settled: int | None = Field(description="settled quantity where known; null: scheduled settlements tell")
    average_cost: str | None = Field(description="average purchase price, won")


class CashOut(Strict):
    today: str = Field(description="예수금 D+0, won")
    next_day: str = Field(description="D+1, won")
    after_settlement: str = Field(description="D+2 with today's trades, won")
    orderable: str | None = Field(description="주문가능금액, won; null for the broker's")
    withdrawable: str | None = Field(description="출금가능금액, won; null for the broker's")
    reserved: str | None = Field(description="held back by open buy orders, won; null for the broker's")


class SideOut(Strict):
    as_of: date | None = Field(description="ours: the trading day the opening position is for; broker's: null")
    taken_at: datetime | None = Field(description="broker's: business time of the statement; ours: null")
    cash: CashOut = Field(description="cash ladder")
    ladder_dates: list[date] = Field(description="the days of the three rungs")
    holdings: list[HoldingOut] = Field(description="by ISIN")


class DifferenceOut(Strict):
    item: str = Field(description="an ISIN, cash_today or cash_after_settlement")
    ours: str = Field(description="shares or won")
    brokers: str = Field(description="shares or won")
    difference: str = Field(description="ours less the broker's")


class BalanceOut(Strict):
    account_id: UUID = Field(description="id of the account")
    ours: SideOut | None = Field(description="null without an opening position")
    brokers: SideOut | None = Field(description="the last complete statement; null: none yet")
    differences: list[DifferenceOut] = Field(description="every item of either side in which they differ")


def balance_out(
    account_id: UUID,
    cash: Cash | None,
    holdings: Sequence[Holding],
    statement: Statement | None,
    isins: dict[str, str],
    ladder: Sequence[date],
) -> BalanceOut:
    """Both sides, each with its time, and every difference by name (P22)."""
    found = differences(cash, holdings, statement.document, isins) if cash is not None and statement is not None else []
    return BalanceOut(
        account_id=account_id,
        ours=_ours(cash, holdings, ladder) if cash is not None else None,
        brokers=_brokers(statement, isins, ladder) if statement is not None else None,
        differences=[
            DifferenceOut(item=one.item, ours=str(one.ours), brokers=str(one.brokers), difference=str(one.ours - one.brokers))
            for one in found
        ],
    )


def _ours(cash: Cash, holdings: Sequence[Holding], ladder: Sequence[date]) -> SideOut:
    rungs = {
        "today": str(cash.deposit),
        "next_day": str(cash.deposit_next),
        "after_settlement": str(cash.after_settlement),
        "orderable": str(cash.orderable),
        "withdrawable": str(cash.withdrawable),
        "reserved": str(cash.reserved),
    }
    held = [_our_holding(one) for one in holdings if one.quantity or one.reserved_sell]
    return SideOut(as_of=cash.opened_on, taken_at=None, cash=CashOut(**rungs), ladder_dates=list(ladder), holdings=held)


def _our_holding(one: Holding) -> HoldingOut:
    """The average of what was held at the opening and bought since: selling does not change it (이동평균)."""
    shares, paid = one.opening + one.bought, one.opening_cost + one.bought_cost
    average = _average(paid, shares)
    return HoldingOut(isin=one.isin, quantity=one.quantity, sellable=one.sellable, settled=None, average_cost=average)


def _brokers(statement: Statement, isins: dict[str, str], ladder: Sequence[date]) -> SideOut:
    read = ladder_of(statement.document)
    rungs: dict[str, Any] = {"today": str(read.today), "next_day": str(read.next), "after_settlement": str(read.last)}
    held, _ = holdings_in(statement.document, isins)
    rows = [
        HoldingOut(
            isin=one.isin, quantity=one.quantity, sellable=None, settled=None, average_cost=_average(one.cost, one.quantity)
        )
        for one in held.values()
    ]
    cash = CashOut(**rungs, orderable=None, withdrawable=None, reserved=None)
    return SideOut(as_of=None, taken_at=statement.taken_at, cash=cash, ladder_dates=list(ladder), holdings=rows)


def _average(paid: int, shares: int) -> str | None:
    return plain(average_price(Decimal(paid), shares)) if shares > 0 and paid > 0 else None
