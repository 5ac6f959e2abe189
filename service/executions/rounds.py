"""The routine round: every account with live orders is asked about now and then, so that a fill lost on a healthy stream is
found within 60 s of market time (P18). It takes what the day's routine share of calls allows, and no more (P21).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.orders.places import Place

TARGET = timedelta(seconds=50)  # market time between two looks at an account: found within 60 s, the call included
AGAIN = timedelta(seconds=5)  # after an inquiry that was not complete
SPENT = timedelta(hours=1)  # with no call left: look again whether the day has turned


def interval(accounts: int, calls_left: int, time_left: timedelta) -> timedelta:
    """Market time between two looks at each of `accounts`, so that `calls_left` last for `time_left`. An inquiry of several
    pages costs several calls: then fewer are left, and the rounds become longer by themselves."""
    if calls_left <= 0:
        return SPENT
    return max(TARGET, timedelta(seconds=math.ceil(time_left.total_seconds() * accounts / calls_left)))


@dataclass
class Rounds:
    """When each account was last looked at, and what the present round allows. Times on the business clock."""

    every: timedelta = TARGET
    _asked: dict[Place, datetime] = field(default_factory=dict)
    _shown: dict[Place, datetime] = field(default_factory=dict)  # by a complete inquiry; else, when it was first heard of

    def take(self, live: Iterable[Place], now: datetime, every: timedelta) -> list[Place]:
        """The places whose turn it is, the longest waiting first. One that is new has just been heard of."""
        self.every = every
        self._asked = {place: self._asked.get(place, now) for place in live}
        self._shown = {place: self._shown.get(place, now) for place in self._asked}
        due = [place for place, asked in self._asked.items() if now - asked >= every]
        return sorted(due, key=lambda place: (self._asked[place], str(place)))

    def done(self, place: Place, now: datetime) -> None:
        """A complete inquiry showed the place, whoever asked for it."""
        if place in self._asked:
            self._asked[place] = self._shown[place] = now

    def failed(self, place: Place, now: datetime) -> None:
        """An inquiry that was not complete proves nothing: the account's turn comes again soon, and not at once."""
        if place in self._asked:
            self._asked[place] = min(now - self.every + AGAIN, now)

    @property
    def accounts(self) -> int:
        return len(self._asked)

    @property
    def oldest(self) -> datetime | None:
        """The complete look that is longest ago: one that was not complete showed nothing."""
        return min(self._shown.values(), default=None)
