"""A figure: how many of how many trials, and what may be concluded from it with 95 % confidence."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """`count` of `trials` `unit`. It holds when the share lies between `least` and `most`: none by default."""

    name: str  # what is counted: "orders sent twice"
    trials: int
    count: int
    unit: str  # what a trial is: "kills"
    seconds: float = 0.0  # real time spent on the trials
    detail: str = ""  # what else was measured, or the first violations
    least: float = 0.0
    most: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it is as it should be. Nothing tried shows nothing, and breaks nothing either."""
        return self.trials == 0 or self.least <= self.count / self.trials <= self.most

    def bound(self) -> float:
        """Upper end of what the true share may be, one-sided 95 %."""
        return upper_bound(self.count, self.trials)

    def __str__(self) -> str:
        if self.trials == 0:
            return "no trial yet"
        said = f"{self.count:,} of {self.trials:,} {self.unit}"
        return said if self.least > 0 else f"{said} (95 % bound {self.bound():.1e})"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "bound_95": self.bound(), "holds": self.holds}


def upper_bound(count: int, trials: int) -> float:
    """The rule of three for zero (3/N), Clopper and Pearson's exact upper bound otherwise. 1.0 when nothing was tried."""
    if trials == 0 or count >= trials:
        return 1.0
    if count == 0:
        return min(1.0, 3 / trials)
    low, high = count / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, trials, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def _at_most(count: int, trials: int, share: float) -> float:
    """P(X <= count) of a binomial distribution."""
    return math.fsum(math.exp(_log_chance(one, trials, share)) for one in range(count + 1))


def _log_chance(count: int, trials: int, share: float) -> float:
    choices = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return choices + count * math.log(share) + (trials - count) * math.log1p(-share)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed. NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def table(rows: Sequence[Figure]) -> str:
    """Rows for people."""
    cells = [(one.name, str(one), f"{one.seconds:,.0f} s", "holds" if one.holds else "BROKEN", one.detail) for one in rows]
    titles = ("figure", "result", "time", "", "detail")
    wide = [max(len(row[i]) for row in [titles, *cells]) for i in range(4)]
    return "\n".join("  ".join([*(row[i].ljust(wide[i]) for i in range(4)), row[4]]).rstrip() for row in [titles, *cells])
