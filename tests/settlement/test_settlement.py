"""Settlement dates and taxes: chosen by date from data, truncated by name."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import Unavailable
from service.core.money import Won
from service.infra.db import Database
from service.market.store import load_calendar
from service.settlement import rules, seed
from service.settlement.rules import Cycle, Figures, TaxRate
from service.settlement.store import load_figures

FIGURES = Figures(tuple(TaxRate(**row) for row in seed.tax_rates()), tuple(Cycle(**row) for row in seed.settlement_cycles()))


def tax(market: str, settles: str, amount: int = 10_000_000, product: str = "stock") -> tuple[int, int]:
    day = date.fromisoformat(settles)
    found = rules.sell_taxes(FIGURES, market=market, product=product, amount=Won(amount), settlement_date=day)
    return found.transaction_tax, found.rural_tax


@pytest.mark.parametrize(
    ("market", "settles", "expected"),
    [
        ("kospi", "2024-12-30", (3_000, 15_000)),
        ("kospi", "2025-12-30", (0, 15_000)),
        ("kospi", "2026-01-02", (5_000, 15_000)),
        ("kosdaq", "2024-12-30", (18_000, 0)),
        ("kosdaq", "2025-12-30", (15_000, 0)),
        ("kosdaq", "2026-01-02", (20_000, 0)),
        ("kospi", "2027-03-02", (5_000, 15_000)),
    ],
)
def test_p23_tax_follows_the_settlement_date(market: str, settles: str, expected: tuple[int, int]) -> None:
    assert tax(market, settles) == expected


async def test_p23_a_december_trade_pays_the_rate_of_january(database: Database) -> None:
    """Trades on 2025-12-29 and 2025-12-30 already pay the 2026 rate."""
    async with database.transaction() as connection:
        figures, calendar = await load_figures(connection), await load_calendar(connection)
    paid = {}
    for day in (26, 29, 30):
        settles = rules.settles_on(figures, date(2025, 12, day), calendar)
        found = rules.sell_taxes(figures, market="kospi", product="stock", amount=Won(1_000_000), settlement_date=settles)
        paid[day] = found.total
    assert paid == {26: 1_500, 29: 2_000, 30: 2_000}


@pytest.mark.parametrize("product", ["etf", "etn", "elw"])
def test_units_and_notes_are_exempt(product: str) -> None:
    assert tax("kospi", "2026-06-01", product=product) == (0, 0)


def test_p33_each_tax_is_truncated_by_itself() -> None:
    """1,999 won: 0.9995 and 2.9985. Added first they would make 3 won."""
    assert tax("kospi", "2026-06-01", amount=1_999) == (0, 2)


@given(st.integers(0, 10**13))
def test_p33_no_won_is_invented(amount: int) -> None:
    first, second = tax("kospi", "2026-06-01", amount=amount)
    assert first == amount * 5 // 10_000
    assert second == amount * 15 // 10_000


@given(st.integers(0, 10**13), st.sampled_from([1, 10]))
def test_p33_commission_is_truncated_to_the_brokers_unit(amount: int, unit: int) -> None:
    assert rules.commission(Won(amount), Decimal("0.00015"), unit) == amount * 15 // 100_000 // unit * unit


async def test_p23_the_cycle_is_dated_data(database: Database) -> None:
    """T+1 is announced: the day it comes it is one more row."""
    async with database.transaction() as connection:
        calendar = await load_calendar(connection)
    shorter = Figures(FIGURES.rates, (*FIGURES.cycles, Cycle(date(2027, 10, 12), 1)))
    assert rules.settles_on(shorter, date(2027, 10, 8), calendar) == date(2027, 10, 13)
    assert rules.settles_on(shorter, date(2027, 10, 12), calendar) == date(2027, 10, 13)


def test_a_date_before_every_figure_is_an_error() -> None:
    with pytest.raises(Unavailable):
        tax("kospi", "2020-01-02")
    with pytest.raises(Unavailable):
        FIGURES.cycle_days(date(2020, 1, 2))
