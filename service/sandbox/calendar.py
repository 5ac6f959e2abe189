"""Trading days, sessions and settlement days of the imaginary exchange (KRX business rules and closed days). Pure.

All times are Korean (UTC+9, no summer time). Beyond the last confirmed year the calendar refuses instead of guessing.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache

KST = timezone(timedelta(hours=9), "KST")

_CLOSED = {
    2024: "1231",
    2025: "0101 0127 0128 0129 0130 0303 0501 0505 0506 0603 0606 0815 1003 1006 1007 1008 1009 1225 1231",
    2026: "0101 0216 0217 0218 0302 0501 0505 0525 0603 0717 0817 0924 0925 1005 1009 1225 1231",
    2027: "0101 0208 0209 0301 0503 0505 0513 0719 0816 0914 0915 0916 1004 1011 1227 1231",
}
CLOSED_DAYS = frozenset(date(year, int(day[:2]), int(day[2:])) for year, days in _CLOSED.items() for day in days.split())

# 대학수학능력시험: everything opens and closes one hour later.
_EXAM_DAYS = frozenset({date(2025, 11, 13), date(2026, 11, 19), date(2027, 11, 18)})


def is_trading_day(day: date) -> bool:
    return day.weekday() < 5 and day not in CLOSED_DAYS


def next_trading_day(day: date) -> date:
    """The first trading day strictly after `day`."""
    return _step(day, 1)


def previous_trading_day(day: date) -> date:
    return _step(day, -1)


def settlement_day(trade_day: date, cycle: int = 2) -> date:
    """T+2 in exchange business days; `cycle` is a parameter because T+1 is announced for 2027."""
    for _ in range(cycle):
        trade_day = next_trading_day(trade_day)
    return trade_day


def closing_days(start: date) -> list[date]:
    """Closing weekdays from `start` on, as the platform's holiday list gives them."""
    return sorted(day for day in CLOSED_DAYS if day >= start)


@lru_cache(maxsize=1_024)
def _step(day: date, direction: int) -> date:
    day += timedelta(days=direction)
    while not is_trading_day(day):
        day += timedelta(days=direction)
    return day


@dataclass(frozen=True, slots=True)
class Window:
    """One session of one day: orders are taken in [entry, close), matched from `match` on."""

    session: str
    entry: datetime
    match: datetime
    close: datetime

    def open_at(self, now: datetime) -> bool:
        return self.entry <= now < self.close


@dataclass(frozen=True, slots=True)
class Day:
    """The hours of one trading day."""

    date: date
    pre_close: Window
    regular: Window
    closing_auction: datetime
    post_close: Window
    after_market: Window

    @property
    def windows(self) -> tuple[Window, ...]:
        return (self.pre_close, self.regular, self.post_close, self.after_market)

    def window(self, session: str) -> Window:
        return next(window for window in self.windows if window.session == session)

    def boundaries(self) -> list[datetime]:
        marks = {self.closing_auction}
        for window in self.windows:
            marks |= {window.entry, window.match, window.close}
        return sorted(marks)


def hours(day: date) -> Day:
    """The sessions of `day`. First trading day of a year: the opening is one hour later, the close as ever."""
    shift = timedelta(hours=1) if day in _EXAM_DAYS else timedelta()
    first = previous_trading_day(day).year < day.year

    def at(clock: str, *, opening: bool = False) -> datetime:
        moment = datetime.combine(day, time.fromisoformat(clock), KST) + shift
        return moment + timedelta(hours=1) if first and opening else moment

    return Day(
        date=day,
        pre_close=Window("pre_close", at("08:30", opening=True), at("08:30", opening=True), at("08:40", opening=True)),
        regular=Window("regular", at("08:30", opening=True), at("09:00", opening=True), at("15:30")),
        closing_auction=at("15:20"),
        post_close=Window("post_close", at("15:30"), at("15:40"), at("16:00")),
        after_market=Window("after_market", at("16:00"), at("16:00"), at("20:00")),
    )
