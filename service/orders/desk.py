"""What every verb on orders is given: the same few collaborators, made once in `wiring`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from service.controls.model import Gate, Subject
from service.core.clock import Clock, kst_date
from service.core.errors import Busy, ServiceError, Unavailable, Violation
from service.gateway import BrokerProfile, Session
from service.infra.db import HotTransaction, Transaction
from service.infra.idempotency import Answer
from service.market.book import MarketBook
from service.market.calendar import Calendar
from service.orders.checks import SessionFacts

SEND_WITHIN = timedelta(seconds=30)
SETTLES_WITHIN = 2  # trading days; the cycle itself is dated data of settlement, and is not going to be longer
CLOCK_PATIENCE_S = 30  # real seconds until a caller asks again
BLIND_PATIENCE_S = 5  # real seconds: so long a stream may be away and an order is taken all the same


@dataclass(frozen=True)
class Desk:
    """Collaborators of the verbs."""

    transaction: Transaction
    hot: HotTransaction
    clock: Clock
    market: MarketBook
    profile: Callable[[str], BrokerProfile]
    licence_valid: Callable[[date], bool]
    render: Callable[[ServiceError], Answer]  # a refusal as the caller will read it
    poke: Callable[[str], None]  # tells waiting processes after a commit
    orders_left: Callable[[], Awaitable[bool]]  # whether the day's order calls, cancellations' reserve apart, last
    com_id: str | None = None  # the report stream that must be seen; none asks about no stream


def session_facts(calendar: Calendar, now: datetime, wanted: Session | None) -> tuple[SessionFacts | None, str]:
    """The session an order given now would live in, and the words for a person if there is none."""
    today = kst_date(now)
    try:
        bounds = calendar.bounds(today, wanted) if wanted else calendar.session_at(now)
        calendar.add_trading_days(today, SETTLES_WITHIN)  # a fill that can be given no settlement date cannot be booked
    except Unavailable as error:
        return None, error.detail
    if bounds is None:
        return None, f"No session takes orders at {now:%Y-%m-%d %H:%M:%S} KST. {_next_session(calendar, now)}"
    facts = SessionFacts(bounds.session, bounds.takes_orders(now), bounds.closes)
    return facts, f"The session {bounds.session} takes orders from {bounds.enters:%H:%M} to {bounds.closes:%H:%M} KST."


def _next_session(calendar: Calendar, now: datetime) -> str:
    today = kst_date(now)
    later = [one for one in calendar.sessions_of(today) if one.enters > now]
    if not later:
        later = list(calendar.sessions_of(calendar.next_trading_day(today)))
    first = min(later, key=lambda one: one.enters)
    return f"The next one is {first.session}, from {first.enters:%Y-%m-%d %H:%M} KST."


def budget_exhausted() -> Busy:
    return Busy(
        "budget-exhausted",
        "The platform's order calls of the day are used up, except those kept for cancellations. The day turns at 09:00 KST.",
        extra={"retry_after_seconds": 60},
    )


def watch(gate: Gate) -> None:
    """Raises Unavailable when the report stream has not been seen for longer than a reconnect takes: an order taken now
    would most likely never go out; and when this machine's clock or the database's is wrong."""
    if gate.clock_wrong:
        raise Unavailable(
            "clock-wrong",
            f"The clocks of this server and of the database are {abs(gate.clock_ahead).total_seconds():.1f} s apart, so nobody "
            "knows which session an order would join. Cancellations still pass.",
            extra={"retry_after_seconds": CLOCK_PATIENCE_S},
        )
    if gate.blind and gate.blind_s >= BLIND_PATIENCE_S:
        raise Unavailable(
            "stream-blind",
            f"The report stream has not been seen for {gate.blind_s} s, so nobody could tell what became of an order. "
            "Cancellations still pass.",
            extra={"retry_after_seconds": BLIND_PATIENCE_S},
        )


def stopped(gate: Gate, subject: Subject) -> list[Violation]:
    """What a person or a broker's drift stops."""
    halt = gate.halt(subject)
    if halt is not None:
        said = f"New orders and amendments are halted ({halt.scope}, halt {halt.id}). Cancellations pass."
        return [Violation("halted", "scope", said, actual=halt.scope)]
    if subject.broker in gate.drifted:
        said = f"Messages of broker {subject.broker} are not as they should be; it gets no new orders until a person has looked."
        return [Violation("broker-drift", "account_id", said, actual=subject.broker)]
    return []


def send_by(now: datetime, session_ends: datetime) -> datetime:
    """When a new order or an amendment is too late to go out: 30 s after it was asked for, or the session's end."""
    return min(now + SEND_WITHIN, session_ends)
