"""A platform that says what a test tells it to say: values for the port, no wire."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from service.core.clock import KST
from service.core.secret import AccountNumber, Secret
from service.gateway import (
    AccountRow,
    BalanceRow,
    CallClass,
    CashRow,
    Complete,
    Failure,
    HoldingRow,
    Incomplete,
    Inquiry,
    InstrumentMaster,
    InstrumentRef,
    LinkedAccount,
    ListedInstrument,
    Membership,
    SettlementRow,
)

ASKED = datetime(2026, 11, 23, 7, 30, tzinfo=KST)


def complete(*rows: Any, asked_at: datetime = ASKED) -> Complete[Any]:
    return Complete(rows, (b'{"page": 1}',), asked_at)


def incomplete(reason: str, *rows: Any) -> Incomplete[Any]:
    return Incomplete(reason, "for the test", rows)


def account_row(number: str, status: str = "0", name: str = "홍길동") -> AccountRow:
    return AccountRow(AccountNumber(number), name, None, status)


def cash_row(cash: int, basis: int | None = None, margin: int = 0, currency: str = "KRW") -> CashRow:
    return CashRow(basis, currency, Decimal(cash), Decimal(margin), None, None)


def holding_row(quantity: int, isin: str | None = None, short_code: str | None = None, cost: int = 0) -> HoldingRow:
    return HoldingRow(InstrumentRef(isin, short_code, "종목"), quantity, Decimal(cost), None, "KSP")


def balance(number: str, cash: tuple[CashRow, ...], *holdings: HoldingRow) -> BalanceRow:
    return BalanceRow(AccountNumber(number), "홍길동", cash, holdings)


@dataclass
class Platform:
    """Only what these slices ask."""

    account_lists: dict[str, Inquiry[AccountRow]] = field(default_factory=dict)
    balances: dict[str, Inquiry[BalanceRow]] = field(default_factory=dict)
    lists: dict[str, Inquiry[ListedInstrument]] = field(default_factory=dict)
    masters: dict[str, InstrumentMaster | Failure] = field(default_factory=dict)
    closing_days: Inquiry[date] = field(default_factory=complete)
    member: Membership | Failure = field(default_factory=lambda: Failure("timeout", ""))
    linked: Inquiry[LinkedAccount] = field(default_factory=complete)
    coming: Inquiry[SettlementRow] = field(default_factory=complete)
    coming_of: dict[date | None, Inquiry[SettlementRow]] = field(default_factory=dict)  # by trade day, where one matters
    asked: list[str] = field(default_factory=list)

    async def accounts(self, broker: str, _call_class: CallClass) -> Inquiry[AccountRow]:
        return self.account_lists[broker]

    async def balance(self, _broker: str, account: AccountNumber, _call_class: CallClass) -> Inquiry[BalanceRow]:
        self.asked.append(account.reveal())
        return self.balances[account.reveal()]

    async def settlements(
        self, _broker: str, _account: AccountNumber, day: date | None, _call_class: CallClass
    ) -> Inquiry[SettlementRow]:
        return self.coming_of.get(day, self.coming)

    async def instruments(self, market: str) -> Inquiry[ListedInstrument]:
        return self.lists.get(market, complete())

    async def master(self, _market: str, short_code: str) -> InstrumentMaster | Failure:
        return self.masters[short_code]

    async def holidays(self) -> Inquiry[date]:
        return self.closing_days

    async def membership(self, ci: Secret, _korean_name: str) -> Membership | Failure:
        self.asked.append(ci.reveal())
        return self.member

    async def linked_accounts(self, _ci: Secret, _korean_name: str) -> Inquiry[LinkedAccount]:
        return self.linked
