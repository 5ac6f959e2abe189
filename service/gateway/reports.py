"""Reports: a message as it came, what it says, and the stream that brings it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeAlias

from service.core.secret import AccountNumber
from service.gateway.orders import RequestKind, Side


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
    cl_ord_id: str | None = None  # the request it speaks of, where that is readable


Report: TypeAlias = ExecutionReport | CancelReject | Unreadable

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
