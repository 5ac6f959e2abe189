"""The calendar we ship: right on every day of three years, exact about hours, silent about what it does not know."""

from datetime import date, datetime, timedelta

import holidays
import pytest

from service.core.clock import KST
from service.core.errors import Unavailable
from service.gateway import Session
from service.infra.db import Database
from service.market import seed
from service.market.calendar import Calendar
from service.market.model import DayKind, SessionRule, TradingDay
from service.market.store import load_calendar


def shipped() -> Calendar:
    days = [TradingDay(**{**row, "day_kind": DayKind(row["day_kind"])}) for row in seed.trading_days()]
    rules = [
        SessionRule(**{**row, "session": Session(row["session"]), "day_kind": DayKind(row["day_kind"])})
        for row in seed.session_rules()
    ]
    return Calendar({day.day: day for day in days}, tuple(rules))


CALENDAR = shipped()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=KST)


def test_every_closed_day_agrees_with_an_independent_source() -> None:
    """The one library that is right on every date of these years."""
    theirs = holidays.financial_holidays("XKRX", years=[2025, 2026, 2027])
    wrong = [day for day, known in CALENDAR.days.items() if known.open != (day.weekday() < 5 and day not in theirs)]
    assert wrong == []
    assert len(CALENDAR.days) == 1095


@pytest.mark.parametrize(("year", "sessions"), [(2025, 242), (2026, 244), (2027, 245)])
def test_sessions_a_year(year: int, sessions: int) -> None:
    assert sum(day.open for day in CALENDAR.days.values() if day.day.year == year) == sessions


@pytest.mark.parametrize(
    ("trade", "settles"),
    [
        ("2025-10-02", "2025-10-13"),
        ("2025-12-29", "2026-01-02"),
        ("2026-04-29", "2026-05-04"),
        ("2026-06-01", "2026-06-04"),
        ("2026-06-02", "2026-06-05"),
        ("2026-07-15", "2026-07-20"),
        ("2026-07-16", "2026-07-21"),
        ("2026-12-29", "2027-01-04"),
        ("2026-12-30", "2027-01-05"),
        ("2027-04-30", "2027-05-06"),
        ("2027-07-16", "2027-07-21"),
    ],
)
def test_p23_two_trading_days_after(trade: str, settles: str) -> None:
    """Dates on which others are one session early among them."""
    day = CALENDAR.add_trading_days(date.fromisoformat(trade), 2)
    assert day == date.fromisoformat(settles)
    assert CALENDAR.add_trading_days(day, -2) == date.fromisoformat(trade)


@pytest.mark.parametrize("day", [date(2024, 12, 30), date(2028, 1, 3)])
def test_p23_an_unconfirmed_day_is_an_error_and_never_a_guess(day: date) -> None:
    with pytest.raises(Unavailable) as refusal:
        CALENDAR.is_trading_day(day)
    assert refusal.value.slug == "calendar-unknown"


def test_counting_over_the_edge_of_the_known_is_an_error() -> None:
    assert CALENDAR.add_trading_days(date(2027, 12, 28), 2) == date(2027, 12, 30)
    with pytest.raises(Unavailable):
        CALENDAR.add_trading_days(date(2027, 12, 29), 2)


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2026-11-20 08:29:59", None),
        ("2026-11-20 08:30:00", Session.REGULAR),  # the opening auction, though the pre-close takes orders too
        ("2026-11-20 15:29:59", Session.REGULAR),
        ("2026-11-20 15:30:00", Session.POST_CLOSE),
        ("2026-11-20 16:00:00", Session.AFTER_MARKET),
        ("2026-11-20 19:59:59", Session.AFTER_MARKET),
        ("2026-11-20 20:00:00", None),
        ("2026-09-11 16:00:00", None),  # the last trading day before the after-market
        ("2026-09-14 16:00:00", Session.AFTER_MARKET),
        ("2026-11-19 09:29:59", None),  # CSAT: an hour later
        ("2026-11-19 09:30:00", Session.REGULAR),
        ("2026-11-19 16:29:59", Session.REGULAR),
        ("2026-11-19 16:30:00", Session.POST_CLOSE),
        ("2026-11-19 17:00:00", Session.AFTER_MARKET),
        ("2027-01-04 09:00:00", None),  # first trading day of the year
        ("2026-11-21 10:00:00", None),  # Saturday
        ("2026-12-31 10:00:00", None),
    ],
)
def test_the_session_an_order_joins(moment: str, session: Session | None) -> None:
    found = CALENDAR.session_at(at(moment))
    assert (found.session if found else None) == session


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [("2026-11-20", "09:00", "15:30"), ("2026-11-19", "10:00", "16:30"), ("2025-11-13", "10:00", "16:30"),
     ("2025-01-02", "10:00", "15:30"), ("2026-01-02", "10:00", "15:30"), ("2027-01-04", "10:00", "15:30")],
)  # fmt: skip
def test_hours_of_the_regular_session(day: str, opens: str, closes: str) -> None:
    bounds = CALENDAR.bounds(date.fromisoformat(day), Session.REGULAR)
    assert bounds is not None
    assert (bounds.opens, bounds.closes) == (at(f"{day} {opens}"), at(f"{day} {closes}"))


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-20 03:00", "2026-11-20"),
        ("2026-11-20 19:59", "2026-11-20"),
        ("2026-11-20 20:00", "2026-11-23"),
        ("2026-11-22 10:00", "2026-11-23"),
        ("2026-12-30 21:00", "2027-01-04"),
    ],
)
def test_the_books_turn_when_the_last_session_ends(moment: str, day: str) -> None:
    assert CALENDAR.business_day_at(at(moment)) == date.fromisoformat(day)


async def test_the_database_holds_what_we_ship(database: Database) -> None:
    async with database.transaction() as connection:
        loaded = await load_calendar(connection)
    assert loaded.days == CALENDAR.days
    assert set(loaded.sessions) == set(CALENDAR.sessions)
    assert loaded.version(date(2026, 1, 1) + timedelta(days=1)) == "2026-11-21"
