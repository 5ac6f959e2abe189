"""Ticks, price limits and codes, by the examples of the exchange's own figures."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import Unavailable
from service.market import rules, seed
from service.market.model import PriceLimits, Product, TickBand

ON = date(2026, 11, 23)
TICKS = rules.Ticks(TickBand(**{**row, "product": Product(row["product"])}) for row in seed.tick_bands())
STOCK = Product.STOCK


@pytest.mark.parametrize(
    ("product", "price", "tick"),
    [
        (Product.STOCK, 1, 1), (Product.STOCK, 1_999, 1), (Product.STOCK, 2_000, 5), (Product.STOCK, 4_995, 5),
        (Product.STOCK, 5_000, 10), (Product.STOCK, 20_000, 50), (Product.STOCK, 50_000, 100),
        (Product.STOCK, 199_900, 100), (Product.STOCK, 200_000, 500), (Product.STOCK, 500_000, 1_000),
        (Product.STOCK, 2_000_000, 1_000), (Product.ETF, 1_999, 1), (Product.ETF, 2_000, 5), (Product.ETF, 600_000, 5),
        (Product.ETN, 12_345, 5), (Product.ELW, 40, 5), (Product.OTHER, 30_000, 50),
    ],
)  # fmt: skip
def test_p23_the_tick_of_a_price(product: Product, price: int, tick: int) -> None:
    assert TICKS.tick(product, Decimal(price), ON) == tick


def test_p23_ticks_are_dated() -> None:
    assert TICKS.tick(Product.ETF, Decimal(1_000), date(2023, 6, 1)) == 5
    assert TICKS.tick(Product.ETF, Decimal(1_000), date(2024, 6, 1)) == 1
    with pytest.raises(Unavailable):
        TICKS.tick(STOCK, Decimal(1_000), date(2020, 1, 1))


@pytest.mark.parametrize(
    ("base", "upper", "lower"),
    [
        (239_000, 310_500, 167_500), (24_250, 31_500, 17_000), (71_200, 92_500, 49_900), (19_990, 25_950, 14_000),
        (6_170, 8_020, 4_320), (65_000, 84_500, 45_500), (70_900, 92_100, 49_700),
    ],
)  # fmt: skip
def test_price_limits_are_not_symmetric(base: int, upper: int, lower: int) -> None:
    assert rules.price_limits(TICKS, Decimal(base), STOCK, ON) == PriceLimits(Decimal(upper), Decimal(lower))


def test_price_limits_of_an_etf() -> None:
    assert rules.price_limits(TICKS, Decimal(35_980), Product.ETF, ON) == PriceLimits(Decimal(46_770), Decimal(25_190))


@given(st.integers(4, 3_000_000))
def test_both_forms_of_the_upper_limit_agree_and_limits_are_on_tick(price: int) -> None:
    base = TICKS.floor(STOCK, Decimal(price), ON)
    limits = rules.price_limits(TICKS, base, STOCK, ON)
    assert limits.upper == TICKS.floor(STOCK, base * 13 / 10, ON)
    assert TICKS.on_tick(STOCK, limits.upper, ON)
    assert TICKS.on_tick(STOCK, limits.lower, ON)
    assert limits.lower <= base <= limits.upper


def checked(upper: int | None, lower: int | None, product: Product = STOCK, liquidation: bool = False) -> str:
    found = rules.check_limits(
        TICKS,
        product=product,
        base=Decimal(70_900),
        upper=None if upper is None else Decimal(upper),
        lower=None if lower is None else Decimal(lower),
        on=ON,
        liquidation=liquidation,
    )
    if found.violation is not None:
        return found.violation.code
    return "unlimited" if found.limits is None else f"{found.limits.upper}/{found.limits.lower}"


def test_supplied_limits_win_and_disagreement_fails_closed() -> None:
    assert checked(92_100, 49_700) == "92100/49700"
    assert checked(92_200, 49_700) == "price-limits-disagree"
    assert checked(92_100, 49_600) == "price-limits-disagree"
    assert checked(None, 49_700) == "price-limits-disagree"
    assert checked(None, None) == "price-limits-disagree"
    assert checked(921_000, 497_000) == "price-limits-disagree"


def test_what_has_no_limit_has_none() -> None:
    assert checked(None, None, liquidation=True) == "unlimited"
    assert checked(None, None, Product.ELW) == "unlimited"


def test_geared_etfs_and_first_days_are_known_shapes() -> None:
    twofold = rules.price_limits(TICKS, Decimal(70_900), Product.ETF, ON, leverage=2)
    assert checked(int(twofold.upper), int(twofold.lower), Product.ETF) == f"{twofold.upper}/{twofold.lower}"
    assert checked(int(twofold.upper), int(twofold.lower)) == "price-limits-disagree"
    assert checked(283_600, 42_540).startswith("283600/42540")


@pytest.mark.parametrize(
    ("given_code", "code"),
    [(" A005930 ", "005930"), ("005930", "005930"), ("0155E0", "0155E0"), ("A0155E0", "0155E0"), ("00680K", "00680K"),
     ("Q530031", "Q530031"), ("a005930", "005930")],
)  # fmt: skip
def test_short_codes_lose_nothing_but_the_letter_a(given_code: str, code: str) -> None:
    assert rules.normalise_short_code(given_code) == code


@pytest.mark.parametrize(
    ("changes", "eligible"),
    [({}, True), ({"administrative": True}, False), ({"warning": "01"}, True), ({"warning": "02"}, False),
     ({"overheated": "1"}, False), ({"halted": True}, False), ({"liquidation": True}, False)],
)  # fmt: skip
def test_who_trades_after_hours(changes: dict[str, object], eligible: bool) -> None:
    flags = {"halted": False, "liquidation": False, "administrative": False, "warning": "00", "overheated": "0"} | changes
    assert rules.after_market_eligible(STOCK, **flags) is eligible
    assert rules.after_market_eligible(Product.ETF, **flags) is False
