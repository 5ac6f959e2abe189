"""When a trade settles and what selling costs, pure. The figures come as `Figures`, loaded once; nothing is built in.

Sources: KRX 업무규정 (T+2); 증권거래세법 시행령 §2 and §5, 농어촌특별세법 §5 (rates, by settlement date); 국고금관리법 §47 and
brokers' practice (each tax truncated by itself). Promise P23.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from service.core.errors import Unavailable
from service.core.money import Won, truncate_to_won
from service.market.calendar import Calendar

EXEMPT = frozenset({"etf", "etn", "elw"})  # units and notes are no shares (주권); trusts and REITs are taxed like shares


@dataclass(frozen=True)
class TaxRate:
    market: str
    name: str
    valid_from: date  # a settlement date
    rate: Decimal


@dataclass(frozen=True)
class Cycle:
    valid_from: date  # a trade date
    days: int


@dataclass(frozen=True)
class Figures:
    """Dated figures of settlement."""

    rates: tuple[TaxRate, ...]
    cycles: tuple[Cycle, ...]

    def cycle_days(self, trade_day: date) -> int:
        held = [cycle for cycle in self.cycles if cycle.valid_from <= trade_day]
        if not held:
            raise Unavailable("calendar-unknown", f"No settlement cycle is known for {trade_day}.")
        return max(held, key=lambda cycle: cycle.valid_from).days

    def rates_on(self, market: str, settlement_date: date) -> dict[str, Decimal]:
        """Tax name → rate for what settles on a day."""
        held = [rate for rate in self.rates if rate.market == market and rate.valid_from <= settlement_date]
        return {rate.name: rate.rate for rate in sorted(held, key=lambda rate: rate.valid_from)}


@dataclass(frozen=True)
class Taxes:
    """세금 of a sale, in won."""

    transaction_tax: Won  # 증권거래세
    rural_tax: Won  # 농어촌특별세, KOSPI only

    @property
    def total(self) -> Won:
        return Won(self.transaction_tax + self.rural_tax)


def settles_on(figures: Figures, trade_day: date, calendar: Calendar) -> date:
    """결제일: the settlement date of a trade, on business days of the exchange."""
    return calendar.add_trading_days(trade_day, figures.cycle_days(trade_day))


def sell_taxes(figures: Figures, *, market: str, product: str, amount: Won, settlement_date: date) -> Taxes:
    """Taxes on what an account sold of one issue in one day, chosen by the *settlement* date. Each is truncated to won by
    itself, as brokers do; the broker's own figure is booked as truth later."""
    if product in EXEMPT:
        return Taxes(Won(0), Won(0))
    rates = figures.rates_on(market, settlement_date)
    if not rates:
        raise Unavailable("calendar-unknown", f"No tax rate is known for {market} on {settlement_date}.")
    return Taxes(
        truncate_to_won(amount * rates.get("transaction_tax", Decimal(0))),
        truncate_to_won(amount * rates.get("rural_tax", Decimal(0))),
    )


def commission(amount: Won, rate: Decimal, unit: int = 1) -> Won:
    """위탁수수료: truncated below `unit` won (1 or 10, by broker)."""
    return truncate_to_won(amount * rate, unit)
