"""Price rules of the market: ticks, daily limits and tax rates (KRX rules, tax decrees). Pure, whole won."""

from dataclasses import dataclass
from datetime import date

_STOCK_TICKS = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
_FUND_TICKS = ((2_000, 1),)


def tick(price: int, *, fund: bool = False) -> int:
    """호가가격단위 at `price`; `fund` for ETF and ETN."""
    table, top = (_FUND_TICKS, 5) if fund else (_STOCK_TICKS, 1_000)
    return next((step for below, step in table if price < below), top)


def on_tick(price: int, *, fund: bool = False) -> bool:
    return price > 0 and price % tick(price, fund=fund) == 0


def limits(base: int, *, fund: bool = False) -> tuple[int, int]:
    """(upper, lower): the width is cut at the base price's tick, the upper limit again at its own."""
    width = base * 3 // 10
    width -= width % tick(base, fund=fund)
    upper = base + width
    return upper - upper % tick(upper, fund=fund), base - width


def step(price: int, ticks: int, *, fund: bool = False) -> int:
    """`price` moved by so many ticks, taking the tick of every band that is crossed."""
    for _ in range(abs(ticks)):
        below = price if ticks > 0 else price - 1
        price += tick(below, fund=fund) * (1 if ticks > 0 else -1)
    return price


@dataclass(frozen=True, slots=True)
class TaxRate:
    """Sell-side rates in 1/100,000, chosen by the day a trade settles, not by the day it is made."""

    transaction: int
    rural: int


_KOSPI = {2023: TaxRate(50, 150), 2024: TaxRate(30, 150), 2025: TaxRate(0, 150), 2026: TaxRate(50, 150)}
_KOSDAQ = {2023: TaxRate(200, 0), 2024: TaxRate(180, 0), 2025: TaxRate(150, 0), 2026: TaxRate(200, 0)}
_NONE = TaxRate(0, 0)


def tax_rate(market: str, settles: date, *, fund: bool = False) -> TaxRate:
    """거래세 and 농특세 of a sale on `market` (kospi, kosdaq); units of funds are no shares and pay nothing."""
    if fund:
        return _NONE
    table = _KOSPI if market == "kospi" else _KOSDAQ
    return table[min(settles.year, max(table))]


def tax(amount: int, rate: int) -> int:
    """One tax in won: fractions of a won are dropped, each tax for itself (원 미만 절사)."""
    return amount * rate // 100_000


def commission(amount: int, *, rate: int, unit: int) -> int:
    """수수료: `rate` in 1/1,000,000 of the amount, cut to `unit` (1 or 10) won by the broker's habit."""
    fee = amount * rate // 1_000_000
    return fee - fee % unit
