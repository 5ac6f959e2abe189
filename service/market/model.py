"""Instruments and the days of the market."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum

from service.core.errors import Violation
from service.gateway import Session


class Product(StrEnum):
    STOCK = "stock"
    ETF = "etf"
    ETN = "etn"
    ELW = "elw"
    OTHER = "other"  # funds, trusts, depositary receipts, REITs


class DayKind(StrEnum):
    NORMAL = "normal"
    LATE_OPEN = "late_open"  # first trading day of the year
    CSAT = "csat"  # 대학수학능력시험: everything an hour later


@dataclass(frozen=True)
class Instrument:
    """종목."""

    isin: str
    short_code: str  # as delivered, without the leading letter A
    name: str
    market: str
    product: Product
    updated_at: datetime


@dataclass(frozen=True)
class InstrumentDay:
    """An instrument on one business date: what decides whether an order may go out."""

    isin: str
    business_date: date
    base_price: Decimal  # 기준가격
    upper_limit: Decimal | None  # 상한가
    lower_limit: Decimal | None  # 하한가
    halted: bool
    liquidation: bool
    administrative: bool
    warning: str
    attention: bool
    overheated: str
    trading_unit: int
    listed_shares: int | None
    after_market_eligible: bool
    fetched_at: datetime


@dataclass(frozen=True)
class TradingDay:
    """One known calendar day, open or closed."""

    day: date
    open: bool
    day_kind: DayKind
    regular_open: time | None
    regular_close: time | None
    reason: str
    source: str
    known_since: date
    calendar_version: str


@dataclass(frozen=True)
class SessionRule:
    """When a session takes orders (`enters_at`), trades (`opens_at`) and ends, on days of a kind."""

    session: Session
    day_kind: DayKind
    valid_from: date
    valid_to: date | None
    enters_at: time
    opens_at: time
    closes_at: time

    def holds(self, day: date, kind: DayKind) -> bool:
        return self.day_kind is kind and self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True)
class SessionBounds:
    """A session of one day as moments. Orders are taken from `enters` until just before `closes`."""

    session: Session
    enters: datetime
    opens: datetime
    closes: datetime

    def takes_orders(self, moment: datetime) -> bool:
        return self.enters <= moment < self.closes


@dataclass(frozen=True)
class TickBand:
    """호가가격단위: from `lower_price` on the price moves in steps of `tick`."""

    product: Product
    valid_from: date
    lower_price: Decimal
    tick: Decimal


@dataclass(frozen=True)
class PriceLimits:
    upper: Decimal
    lower: Decimal


@dataclass(frozen=True)
class LimitCheck:
    """The limits that hold for an instrument's day, or the violation that none can be trusted."""

    limits: PriceLimits | None  # None without violation: no price limit (정리매매, ELW)
    violation: Violation | None = None
