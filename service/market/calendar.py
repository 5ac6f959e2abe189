"""The calendar as a value: loaded once, asked without SQL, silent about nothing it does not know.

A day without a row is unknown. Asking for it raises Unavailable `calendar-unknown`; nobody guesses a trading day (P23).
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from service.core.clock import KST, kst_date
from service.core.errors import Unavailable
from service.gateway import Session
from service.market.model import SessionBounds, SessionRule, TradingDay

# At 08:35 both the pre-close and the opening auction take orders: an order that names no session means the one further up.
BY_DEFAULT = (Session.REGULAR, Session.POST_CLOSE, Session.AFTER_MARKET, Session.PRE_CLOSE)


@dataclass(frozen=True)
class Calendar:
    """Trading days and sessions. Raises Unavailable("calendar-unknown") for a day it does not know."""

    days: dict[date, TradingDay]
    sessions: tuple[SessionRule, ...]

    def day(self, day: date) -> TradingDay:
        known = self.days.get(day)
        if known is None:
            raise Unavailable(
                "calendar-unknown",
                f"Whether {day} is a trading day is not confirmed. Extend the calendar; the service does not guess.",
            )
        return known

    def is_trading_day(self, day: date) -> bool:
        return self.day(day).open

    def add_trading_days(self, day: date, count: int) -> date:
        """The trading day `count` after (before, if negative) `day`, which itself need not be one: T+2 is
        `add_trading_days(trade_day, 2)`. With 0 the day itself, which must then be a trading day."""
        if count == 0 and not self.is_trading_day(day):
            raise ValueError(f"{day} is no trading day")
        step = timedelta(days=1 if count > 0 else -1)
        for _ in range(abs(count)):
            day += step
            while not self.is_trading_day(day):
                day += step
        return day

    def next_trading_day(self, day: date) -> date:
        return self.add_trading_days(day, 1)

    def previous_trading_day(self, day: date) -> date:
        return self.add_trading_days(day, -1)

    def version(self, day: date) -> str:
        """Which calendar said so; kept beside a settlement date."""
        return self.day(day).calendar_version

    def sessions_of(self, day: date) -> tuple[SessionBounds, ...]:
        """The sessions of a day in order of their opening; none on a closed day."""
        known = self.day(day)
        if not known.open:
            return ()
        found = (self._bounds(known, rule) for rule in self.sessions if rule.holds(day, known.day_kind))
        return tuple(sorted(found, key=lambda bounds: bounds.opens))

    def bounds(self, day: date, session: Session) -> SessionBounds | None:
        """When a session of that day takes orders, opens and closes; None when the day has none."""
        return next((one for one in self.sessions_of(day) if one.session is session), None)

    def session_at(self, moment: datetime) -> SessionBounds | None:
        """The session an order entered at `moment` joins when it names none; None when nothing takes orders."""
        taking = {one.session: one for one in self.sessions_of(kst_date(moment)) if one.takes_orders(moment)}
        return next((taking[session] for session in BY_DEFAULT if session in taking), None)

    def last_close(self, day: date) -> datetime:
        """When the last session of a trading day ends: after it nothing of that day can trade. Of a day that the exchange
        closed, perhaps after orders had been sent, that much is certain at its midnight."""
        midnight = _moment(day + timedelta(days=1), time())
        return max((one.closes for one in self.sessions_of(day)), default=midnight)

    def business_day_at(self, moment: datetime) -> date:
        """The trading day whose books are open or open next: today until the last session closes, then the next."""
        today = kst_date(moment)
        if self.is_trading_day(today) and moment < self.last_close(today):
            return today
        return self.next_trading_day(today)

    @staticmethod
    def _bounds(known: TradingDay, rule: SessionRule) -> SessionBounds:
        opens, closes = rule.opens_at, rule.closes_at
        if rule.session is Session.REGULAR:  # the day's own hours win over the pattern
            opens, closes = known.regular_open or opens, known.regular_close or closes
        enters, opens_at, closes_at = (_moment(known.day, at) for at in (rule.enters_at, opens, closes))
        return SessionBounds(rule.session, enters, opens_at, closes_at)


def _moment(day: date, at: time) -> datetime:
    return datetime.combine(day, at, KST)
