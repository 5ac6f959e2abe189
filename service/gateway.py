"""The port: what we ask of the platform, and every answer it can give.

Answers are values, never exceptions. A send ends as exactly one of `Accepted | Refused | NotSent | Unknown`; an inquiry
as `Complete | Incomplete`. An `Incomplete` proves no absence. Every answer names the raw copies it was read from.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from service.core.clock import MonotonicSeconds
from service.core.secret import AccountNumber, Secret


class Side(StrEnum):
    BUY = "buy"  # 매수
    SELL = "sell"  # 매도


class OrderType(StrEnum):
    LIMIT = "limit"  # 지정가
    MARKET = "market"  # 시장가


class TimeInForce(StrEnum):
    DAY = "day"
    IOC = "ioc"
    FOK = "fok"


class Session(StrEnum):
    PRE_CLOSE = "pre_close"  # 장전 시간외종가
    REGULAR = "regular"  # 정규장, both auctions included
    POST_CLOSE = "post_close"  # 장후 시간외종가
    AFTER_MARKET = "after_market"  # 애프터마켓


class RequestKind(StrEnum):
    NEW = "new"
    AMENDMENT = "amendment"
    CANCELLATION = "cancellation"


class CallClass(StrEnum):
    """Who may spend the daily call budget, most urgent first (P21)."""

    CANCEL = "cancel"
    RESOLVE = "resolve"  # inquiry for an order whose outcome is unknown
    ORDER = "order"  # new orders and amendments
    NIGHT = "night"
    ROUTINE = "routine"


@dataclass(frozen=True)
class OrderMessage:
    """One request to the order endpoint. Quantities in shares, price in won; `quantity` is the FIX total."""

    kind: RequestKind
    broker: str  # company code
    account: AccountNumber
    cl_ord_id: str
    orig_cl_ord_id: str | None  # of the last request of this order that was not refused
    broker_order_number: str | None
    isin: str
    short_code: str
    side: Side
    quantity: int
    executed_quantity: int  # what we know; a profile that means "remaining" by OrderQty needs it
    order_type: OrderType
    price: Decimal | None
    time_in_force: TimeInForce
    session: Session
    transact_time: datetime  # business clock


# --- outcomes of a send -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """The platform took the JSON. This is no acknowledgement of the order."""

    platform_request_id: str | None
    raw: bytes


@dataclass(frozen=True)
class Refused:
    """Definitely not an order: refused by the platform or behind it, by a code of the table."""

    code: str  # "3012", "401", …
    reason: str
    raw: bytes


@dataclass(frozen=True)
class NotSent:
    """No byte of the request was written; the same ClOrdID may go out again."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """Anything else. Never sent again by itself, never shown as rejected."""

    reason: str
    raw: bytes = b""


SendOutcome: TypeAlias = Accepted | Refused | NotSent | Unknown


# --- inquiries ------------------------------------------------------------------------------------------------------

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


# --- market ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListedInstrument:
    isin: str
    short_code: str
    name: str
    market: Literal["kospi", "kosdaq"]


@dataclass(frozen=True)
class InstrumentMaster:
    """종목 master of one day. Prices in won."""

    isin: str
    short_code: str
    name: str
    market: Literal["kospi", "kosdaq"]
    group: str  # secugrpId: ST, EF, EN, EW, DR …
    base_price: Decimal
    upper_limit: Decimal | None
    lower_limit: Decimal | None
    halted: bool
    liquidation: bool  # 정리매매: no price limit
    administrative: bool  # 관리종목
    warning: str  # 00 none, 01 caution, 02 warning, 03 risk
    attention: bool
    overheated: str  # 0 none
    trading_unit: int
    listed_shares: int | None


# --- linkage ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Membership:
    member: bool
    terms_expire: date | None


@dataclass(frozen=True)
class LinkedAccount:
    com_id: str
    virtual_number: AccountNumber
    alias: str | None
    terms_expire: date | None


@dataclass(frozen=True)
class Failure:
    """A single-answer call that gave nothing usable, with the reason named as in `Incomplete`."""

    reason: str
    detail: str


# --- reports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RawReport:
    """A message of the report stream exactly as it came. (com_id, seq_date, seq) is its identity; without a sequence
    it still is evidence and is stored under its own hash."""

    com_id: str
    seq_date: date | None
    seq: int | None
    body: bytes
    possible_duplicate: bool = False


class ExecType(StrEnum):
    """ExecType (150) by meaning; FIX 4.2 spellings are translated on the way in."""

    NEW = "0"
    DONE_FOR_DAY = "3"
    CANCELED = "4"
    REPLACED = "5"
    PENDING_CANCEL = "6"
    STOPPED = "7"
    REJECTED = "8"
    SUSPENDED = "9"
    PENDING_NEW = "A"
    CALCULATED = "B"
    EXPIRED = "C"
    RESTATED = "D"
    PENDING_REPLACE = "E"
    TRADE = "F"
    TRADE_CORRECT = "G"
    TRADE_CANCEL = "H"
    ORDER_STATUS = "I"


@dataclass(frozen=True)
class ExecutionReport:
    """체결·접수 통보 (35=8). Quantities in shares, prices in won."""

    exec_type: ExecType
    ord_status: str  # OrdStatus (39), wire value
    order_id: str | None
    cl_ord_id: str | None
    orig_cl_ord_id: str | None
    exec_id: str | None
    exec_ref_id: str | None
    account: AccountNumber | None
    isin: str | None
    short_code: str | None
    side: Side | None
    order_quantity: int | None
    price: Decimal | None
    last_quantity: int | None
    last_price: Decimal | None
    leaves_quantity: int | None
    cumulative_quantity: int | None
    transact_time: datetime | None  # KST
    reject_reason: str | None
    restatement_reason: str | None
    text: str | None
    sender: str | None  # SenderCompID, where the report carries one: the broker's short name
    possible_duplicate: bool = False


@dataclass(frozen=True)
class CancelReject:
    """정정·취소 거부 (35=9)."""

    ord_status: str
    order_id: str | None  # None where the wire says NONE
    cl_ord_id: str | None
    orig_cl_ord_id: str | None
    response_to: RequestKind
    reason: str | None
    text: str | None
    sender: str | None
    possible_duplicate: bool = False


@dataclass(frozen=True)
class Unreadable:
    """A report we cannot parse. It is parked whole; `reason` names what is wrong, as a word or as `word: field`."""

    reason: str
    sender: str | None = None  # SenderCompID, where it is readable


Report: TypeAlias = ExecutionReport | CancelReject | Unreadable


@dataclass(frozen=True)
class BrokerProfile:
    """What we know of a broker's habits, as data (P20)."""

    code: str
    short_name: str
    first_page: Literal["null", "text-null"]
    count: int  # page size asked for; 0 lets the broker choose
    order_qty: Literal["total", "remaining"]
    reports_pending: bool  # sends Pending Cancel / Pending Replace
    new_number_on_amend: bool
    reports_expiry: Literal["expired", "done_for_day", "none"]
    fills_execution_number: bool
    commission_rate: Decimal
    commission_unit: int  # truncated below so many won
    cost_base: Literal["day", "order", "fill"] = "day"  # what commission and taxes are worked out on
    asset_types: tuple[str, ...] = ("EQTY",)
    order_type_codes: dict[str, str] = field(default_factory=dict)
    sends_per_second: int = 20


class Gateway(Protocol):
    """What the slices may ask. One instance per process; safe to share between tasks."""

    def profile(self, broker: str) -> BrokerProfile: ...

    async def send(self, message: OrderMessage, not_after: MonotonicSeconds) -> SendOutcome:
        """One POST to the order endpoint. Called by the dispatcher and by nobody else. `not_after`: monotonic seconds after
        which no first byte may leave any more; then the outcome is NotSent."""
        ...

    async def orders(self, broker: str, account: AccountNumber, day: date, call_class: CallClass) -> Inquiry[OrderRow]: ...

    async def balance(self, broker: str, account: AccountNumber, call_class: CallClass) -> Inquiry[BalanceRow]: ...

    async def settlements(
        self, broker: str, account: AccountNumber, day: date | None, call_class: CallClass
    ) -> Inquiry[SettlementRow]: ...

    async def accounts(self, broker: str, call_class: CallClass) -> Inquiry[AccountRow]: ...

    async def transactions(
        self, broker: str, account: AccountNumber, first: date, last: date, call_class: CallClass
    ) -> Inquiry[TransactionRow]: ...

    async def instruments(self, market: Literal["kospi", "kosdaq"]) -> Inquiry[ListedInstrument]: ...

    async def master(self, market: Literal["kospi", "kosdaq"], short_code: str) -> InstrumentMaster | Failure: ...

    async def holidays(self) -> Inquiry[date]: ...

    async def membership(self, ci: Secret, korean_name: str) -> Membership | Failure: ...

    async def linked_accounts(self, ci: Secret, korean_name: str) -> Inquiry[LinkedAccount]: ...

    def read_report(self, raw: RawReport) -> Report:
        """Pure: the same bytes give the same value."""
        ...


StoreRaw = Callable[[Sequence[RawReport]], Awaitable[Sequence[bool]]]
"""Keeps messages for good, together; says of each whether it is held."""


class ReportStream(Protocol):
    """The report stream of one comId. One reader at a time, held by a lease outside."""

    async def run(
        self,
        *,
        store: StoreRaw,
        position: Callable[[date], Awaitable[list[tuple[int, int]]]],
        on_state: Callable[[str], Awaitable[None]],
    ) -> None:
        """Read until cancelled: reconnect with jitter, ask for what `position(day)` says is missing (ranges of
        sequence numbers; an end of 0 means "to the newest"), store what has arrived and only then acknowledge it.
        `on_state` hears "connected", "resending", "live" and "lost"."""
        ...
