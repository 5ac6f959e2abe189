"""Inquiries: what they may cost, how they end, and the rows of each."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from service.core.secret import AccountNumber
from service.gateway.orders import Side


class CallClass(StrEnum):
    """Who may spend the daily call budget, most urgent first (P21)."""

    CANCEL = "cancel"
    RESOLVE = "resolve"  # inquiry for an order whose outcome is unknown
    ORDER = "order"  # new orders and amendments
    NIGHT = "night"
    ROUTINE = "routine"


Row = TypeVar("Row", covariant=True)  # noqa: PLC0105 - reads as what it is


@dataclass(frozen=True)
class Complete(Generic[Row]):
    """Every page read, the chain proven, no page repeated. `pages` are the raw answers in order."""

    rows: tuple[Row, ...]
    pages: tuple[bytes, ...]
    asked_at: datetime  # business clock, before the first page
    remarks: tuple[str, ...] = ()  # oddities survived: unknown spellings, unknown codes, a row whose hints disagree


@dataclass(frozen=True)
class Incomplete(Generic[Row]):
    """Something is missing and this names it. `rows` are what was readable: presence counts, absence does not."""

    reason: str  # stable word: timeout, http-500, missing-block, page-repeated, echo-mismatch, budget-exhausted …
    detail: str
    rows: tuple[Row, ...] = ()
    pages: tuple[bytes, ...] = ()


Inquiry: TypeAlias = Complete[Row] | Incomplete[Row]


@dataclass(frozen=True)
class Failure:
    """A single-answer call that gave nothing usable, with the reason named as in `Incomplete`."""

    reason: str
    detail: str


@dataclass(frozen=True)
class InstrumentRef:
    """종목 as an inquiry row names it: any of the codes may be missing; `codes` keeps all, verbatim, by type."""

    isin: str | None
    short_code: str | None  # without the leading letter
    name: str | None
    codes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExecutionRow:
    """One 체결 inside an order row. `number` may be missing, zero or restart per order: a hint only."""

    quantity: int
    price: Decimal
    number: str | None
    time: datetime | None


@dataclass(frozen=True)
class OrderRow:
    """주문체결 조회: one order, amend or cancel as the broker lists it."""

    account: AccountNumber
    order_number: str | None
    original_number: str | None
    is_amend: bool
    is_cancel: bool
    side: Side | None
    order_type_text: str | None
    quantity: int
    price: Decimal | None
    executed_quantity: int
    state_text: str | None  # 접수, 정정확인, 취소확인, 거부 …: verbatim
    reject_reason: str | None
    order_time: datetime | None
    instrument: InstrumentRef
    executions: tuple[ExecutionRow, ...]


@dataclass(frozen=True)
class CashRow:
    """예수금 in won. `basis` is 0, 1 or 2 for a KRW-D0/D1/D2 row, None where the broker gives a single row."""

    basis: int | None
    currency: str
    cash: Decimal | None
    margin: Decimal | None
    receivable: Decimal | None
    withdrawable: Decimal | None


@dataclass(frozen=True)
class HoldingRow:
    instrument: InstrumentRef
    quantity: int
    purchase_amount: Decimal | None
    market_value: Decimal | None
    asset_type: str | None


@dataclass(frozen=True)
class BalanceRow:
    """계좌잔고 of one account."""

    account: AccountNumber
    account_name: str | None
    cash: tuple[CashRow, ...]
    holdings: tuple[HoldingRow, ...]


@dataclass(frozen=True)
class CostRow:
    name: str  # 수수료, 거래세, 농특세 … as the broker writes it
    amount: Decimal


@dataclass(frozen=True)
class SettlementRow:
    """결제예정: what will settle, when and at what cost."""

    account: AccountNumber
    side: Side | None
    instrument: InstrumentRef
    quantity: int
    amount: Decimal
    settles_on: date | None
    cost_total: Decimal | None
    costs: tuple[CostRow, ...]


@dataclass(frozen=True)
class AccountRow:
    """일임 설정계좌. contract_status: 0 in force, 1 terminated, 2 matured; only 0 may trade."""

    account: AccountNumber
    account_name: str | None
    virtual_number: AccountNumber | None
    contract_status: str


@dataclass(frozen=True)
class TransactionRow:
    """거래내역. `side` is decided from the signs; `trans_type` is kept as a hint."""

    account: AccountNumber
    date: date | None
    trans_type: str | None
    side: Side | None
    change_amount: Decimal
    change_quantity: int
    quantity_after: int | None
    cash_after: Decimal | None
    instrument: InstrumentRef
    costs: tuple[CostRow, ...]
    subject: str | None
    summary: str | None
