"""Money, prices and quantities without binary floats.

`Won` is a whole number of won. A price is a `Decimal` parsed from text. Every rounding is a function with a name that
says whose rule it is; plain division is not used on money.
"""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NewType

Won = NewType("Won", int)

MAX_QUANTITY = 10**9  # more shares than any listed Korean issue trades in a day; above it a number is a mistake


def parse_decimal(text: str) -> Decimal:
    """A finite Decimal from text. Raises ValueError for anything else (NaN and Infinity included)."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"not a decimal number: {text!r}") from error
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return value


def plain(value: Decimal) -> str:
    """A decimal string without exponent or trailing zeros: `71500`, `0.2`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def truncate_to_won(value: Decimal, unit: int = 1) -> Won:
    """원 미만 절사: drop below `unit` won, as brokers and the treasury do for taxes and commissions."""
    steps = (value / unit).to_integral_value(rounding=ROUND_DOWN)
    return Won(int(steps) * unit)


def amount(quantity: int, price: Decimal) -> Won:
    """약정금액: quantity times price. A mid-point price may be off-tick, so the product is truncated to won."""
    return truncate_to_won(price * quantity)


def average_price(total: Decimal, quantity: int) -> Decimal:
    """Average price to four decimals, half up: FIX AvgPx as we report it."""
    if quantity == 0:
        return Decimal(0)
    return (total / quantity).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
