"""Ticks, limits, taxes and days, against published values."""

from datetime import date, datetime, timedelta, timezone

import pytest

from service.sandbox import calendar, rules
from service.sandbox.instruments import INSTRUMENTS, check_digit, isin_of

KST = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("price", "tick"),
    [(1_999, 1), (2_000, 5), (4_995, 5), (5_000, 10), (19_990, 10), (20_000, 50), (49_950, 50), (50_000, 100),
     (199_900, 100), (200_000, 500), (499_500, 500), (500_000, 1_000), (812_000, 1_000)],
)  # fmt: skip
def test_tick_of_a_share(price: int, tick: int) -> None:
    assert rules.tick(price) == tick


def test_tick_of_a_fund_is_five_from_two_thousand() -> None:
    assert [rules.tick(price, fund=True) for price in (1_999, 2_000, 101_255)] == [1, 5, 5]


@pytest.mark.parametrize(
    ("base", "upper", "lower"),
    [(239_000, 310_500, 167_500), (24_250, 31_500, 17_000), (71_200, 92_500, 49_900), (19_990, 25_950, 14_000),
     (6_170, 8_020, 4_320), (65_000, 84_500, 45_500), (70_900, 92_100, 49_700)],
)  # fmt: skip
def test_limits_of_korea_1_3(base: int, upper: int, lower: int) -> None:
    assert rules.limits(base) == (upper, lower)


def test_limits_of_a_fund() -> None:
    assert rules.limits(35_980, fund=True) == (46_770, 25_190)


def test_steps_change_tick_at_a_band() -> None:
    assert rules.step(19_990, 2) == 20_050
    assert rules.step(20_050, -2) == 19_990


@pytest.mark.parametrize(
    ("market", "settles", "taxes"),
    [("kospi", date(2025, 12, 30), (0, 1_500)), ("kospi", date(2026, 1, 2), (500, 1_500)),
     ("kosdaq", date(2025, 12, 30), (1_500, 0)), ("kosdaq", date(2026, 1, 2), (2_000, 0)),
     ("kospi", date(2024, 6, 3), (300, 1_500)), ("kospi", date(2027, 1, 5), (500, 1_500))],
)  # fmt: skip
def test_tax_of_a_million_by_settlement_year(market: str, settles: date, taxes: tuple[int, int]) -> None:
    rate = rules.tax_rate(market, settles)
    assert (rules.tax(1_000_000, rate.transaction), rules.tax(1_000_000, rate.rural)) == taxes


def test_funds_pay_no_tax() -> None:
    assert rules.tax_rate("kospi", date(2026, 11, 25), fund=True) == rules.TaxRate(0, 0)


def test_each_tax_loses_its_own_fraction() -> None:
    # 1,399 won: 0.05 % is 0.69, 0.15 % is 2.09: cut apart 0 + 2, together it would have been 2.79.
    rate = rules.tax_rate("kospi", date(2026, 11, 25))
    assert (rules.tax(1_399, rate.transaction), rules.tax(1_399, rate.rural)) == (0, 2)


def test_commission_is_cut_to_the_brokers_unit() -> None:
    assert rules.commission(8_123_400, rate=150, unit=10) == 1_210
    assert rules.commission(8_123_400, rate=150, unit=1) == 1_218


@pytest.mark.parametrize(
    ("trade", "settles"),
    [("2024-12-27", "2025-01-02"), ("2025-10-02", "2025-10-13"), ("2025-12-29", "2026-01-02"),
     ("2026-04-29", "2026-05-04"), ("2026-06-02", "2026-06-05"), ("2026-07-16", "2026-07-21"),
     ("2026-12-29", "2027-01-04"), ("2026-12-30", "2027-01-05"), ("2027-04-30", "2027-05-06"),
     ("2027-07-16", "2027-07-21")],
)  # fmt: skip
def test_settlement_over_holidays(trade: str, settles: str) -> None:
    assert calendar.settlement_day(date.fromisoformat(trade)) == date.fromisoformat(settles)


@pytest.mark.parametrize(("year", "sessions"), [(2025, 242), (2026, 244), (2027, 245)])
def test_sessions_a_year(year: int, sessions: int) -> None:
    days = (date(year, 1, 1) + timedelta(days=n) for n in range(365))
    assert sum(calendar.is_trading_day(day) for day in days) == sessions


def test_first_day_of_a_year_opens_at_ten_and_closes_as_ever() -> None:
    day = calendar.hours(date(2027, 1, 4))
    assert day.regular.match == datetime(2027, 1, 4, 10, tzinfo=KST)
    assert day.regular.close == datetime(2027, 1, 4, 15, 30, tzinfo=KST)


def test_exam_day_is_an_hour_late() -> None:
    day = calendar.hours(date(2026, 11, 19))
    assert (day.regular.match.hour, day.regular.close.hour, day.after_market.entry.hour) == (10, 16, 17)


def test_check_digits_of_real_codes() -> None:
    assert [isin_of(code) for code in ("005930", "000660", "069500")] == [
        "KR7005930003", "KR7000660001", "KR7069500007",
    ]  # fmt: skip
    assert isin_of("005931") == "KR7005931001"


def test_invented_instruments() -> None:
    assert len({one.isin for one in INSTRUMENTS}) == len(INSTRUMENTS) >= 12
    assert all(int(one.isin[-1]) == check_digit(one.isin[:-1]) for one in INSTRUMENTS)
    assert all(rules.on_tick(one.base, fund=one.fund) for one in INSTRUMENTS)
    assert all(one.name.startswith("가상") for one in INSTRUMENTS)
    assert sum(one.fund for one in INSTRUMENTS) == 2
    assert any(one.code not in one.isin for one in INSTRUMENTS), "a preferred share whose ISIN cannot be derived"
