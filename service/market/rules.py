"""Rules of the exchange on prices and codes, pure. Figures come as data; only shapes of rules are here.

Sources: KRX 업무규정 시행세칙 (호가가격단위, 가격제한폭), KRX 표준코드 규칙 (codes).
"""

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from service.core.errors import Unavailable, Violation
from service.core.money import plain
from service.market.model import LimitCheck, PriceLimits, Product, TickBand

LIMIT_RATE = Decimal("0.3")  # ±30 % of the base price since 2015-06-15
LEVERAGE_KNOWN = (1, 2, 3)  # the master does not say it; an ETF's or ETN's limits must fit one of them
FIRST_DAY = (Decimal("0.6"), Decimal(4))  # 60 % to 400 % of the offer price on the first listing day, since 2023-06-26
UNLIMITED = frozenset({Product.ELW})

GROUPS = {"ST": Product.STOCK, "EF": Product.ETF, "EN": Product.ETN, "EW": Product.ELW}
AFTER_MARKET_WARNINGS = frozenset({"00", "01"})  # 투자경고 and 투자위험 stay out


class Ticks:
    """호가가격단위 as data: which step a price of a product has on a day."""

    def __init__(self, bands: Iterable[TickBand]) -> None:
        self._bands = tuple(sorted(bands, key=lambda band: (band.valid_from, band.lower_price), reverse=True))

    def tick(self, product: Product, price: Decimal, on: date) -> Decimal:
        """The step at `price`. Raises Unavailable when no table holds on that day."""
        held = [band for band in self._bands if band.product == product and band.valid_from <= on]
        newest = [band for band in held if band.valid_from == held[0].valid_from]
        for band in newest:
            if price >= band.lower_price:
                return band.tick
        raise Unavailable("tick-unknown", f"No tick table for {product} at {plain(price)} on {on}.")

    def on_tick(self, product: Product, price: Decimal, on: date) -> bool:
        return price % self.tick(product, price, on) == 0

    def floor(self, product: Product, price: Decimal, on: date) -> Decimal:
        """The highest valid price not above `price`."""
        return floor_to(price, self.tick(product, price, on))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """호가단위 미만 절사."""
    return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def price_limits(ticks: Ticks, base: Decimal, product: Product, on: date, leverage: int = 1) -> PriceLimits:
    """Upper and lower limit from the base price. They are not symmetric: the width is cut at the *base* price's tick, the
    upper limit once more at its own."""
    width = floor_to(base * LIMIT_RATE * leverage, ticks.tick(product, base, on))
    return PriceLimits(upper=ticks.floor(product, base + width, on), lower=base - width)


def unlimited(product: Product, *, liquidation: bool) -> bool:
    """Whether the exchange sets no price limit for the paper: 정리매매 and ELW."""
    return liquidation or product in UNLIMITED


def check_limits(
    ticks: Ticks,
    *,
    product: Product,
    base: Decimal,
    upper: Decimal | None,
    lower: Decimal | None,
    on: date,
    liquidation: bool = False,
) -> LimitCheck:
    """The supplied limits win; ours only cross-check them. When they disagree nobody trades until a person has looked:
    a wrong limit lets a fat finger through."""
    if unlimited(product, liquidation=liquidation):
        return LimitCheck(None)
    supplied = f"{_text(upper)} / {_text(lower)}"
    if upper is None or lower is None:
        return LimitCheck(None, _disagree("The master gives no price limits for the day.", supplied, "both limits"))
    given = PriceLimits(upper, lower)
    plausible = _plausible(ticks, product, base, on)
    if given in plausible:
        return LimitCheck(given)
    ours = f"{plain(plausible[0].upper)} / {plain(plausible[0].lower)}"
    words = "The supplied price limits do not follow from the base price; nothing is sent until somebody has looked."
    return LimitCheck(None, _disagree(words, supplied, ours))


def _plausible(ticks: Ticks, product: Product, base: Decimal, on: date) -> list[PriceLimits]:
    geared = LEVERAGE_KNOWN if product in (Product.ETF, Product.ETN) else (1,)
    found = [price_limits(ticks, base, product, on, leverage) for leverage in geared]
    if product in (Product.STOCK, Product.OTHER):
        found.append(PriceLimits(upper=base * FIRST_DAY[1], lower=base * FIRST_DAY[0]))
    return found


def _disagree(message: str, supplied: str, ours: str) -> Violation:
    return Violation("price-limits-disagree", "isin", message, limit=ours, actual=supplied)


def _text(value: Decimal | None) -> str:
    return "none" if value is None else plain(value)


def product_of(group: str) -> Product:
    """secugrpId: decides the tick table and the tax."""
    return GROUPS.get(group.strip().upper(), Product.OTHER)


def after_market_eligible(
    product: Product, *, halted: bool, liquidation: bool, administrative: bool, warning: str, overheated: str
) -> bool:
    """애프터마켓: shares only; halted, managed, warned and overheated names stay out."""
    excluded = halted or liquidation or administrative or overheated != "0" or warning not in AFTER_MARKET_WARNINGS
    return product is Product.STOCK and not excluded


def normalise_short_code(text: str) -> str:
    """단축코드 without blanks and without the leading A of shares and ETFs. Codes hold letters (`0155E0`, `00680K`) and an
    ETN keeps its Q: nothing else is stripped, nothing is filled up."""
    code = text.strip().upper()
    return code[1:] if len(code) == 7 and code[0] == "A" else code
