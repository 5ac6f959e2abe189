"""Two clocks, never mixed.

*Business* time decides dates, sessions and windows; it is injected and a sandbox may drive it. *Real* time decides
timeouts, deadlines, leases and log stamps. This module is the only one that reads the machine's clocks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KST = timezone(timedelta(hours=9), "KST")  # Korea keeps no daylight-saving time


class Clock(Protocol):
    """Business time: always aware, always in KST."""

    def now(self) -> datetime: ...


class SystemClock:
    """Business time is the machine's time."""

    def now(self) -> datetime:
        return datetime.now(KST)


@dataclass
class ManualClock:
    """Business time as a value, for tests and for a driven market."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def advance(self, delta: timedelta) -> None:
        self.moment += delta


def kst_date(moment: datetime) -> date:
    """The KST calendar day of an aware moment."""
    return moment.astimezone(KST).date()


@dataclass
class _Machine:
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)


_machine = _Machine()


def stand_in(*, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], datetime] | None = None) -> None:
    """Real time from another source, for a simulation. Without arguments the machine's own again."""
    _machine.monotonic, _machine.wall = monotonic, wall or _Machine.wall


def real_now() -> datetime:
    """Wall-clock UTC, for log stamps and for rows that say when *we* learned something."""
    return _machine.wall()


def real_ms() -> int:
    """The same in whole milliseconds since 1970."""
    return (_machine.wall() - EPOCH) // timedelta(milliseconds=1)


MonotonicSeconds = float  # of the clock below; never a time of day, never money


def monotonic() -> float:
    """Seconds for deadlines; unaffected by a stepped wall clock."""
    return _machine.monotonic()
