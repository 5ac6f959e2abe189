"""How fast orders may go to each broker: one per interval, evenly, so that a burst of ours never becomes a refusal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Pace:
    """A leaky bucket per broker for one process. `now` is monotonic seconds; `burst` sends may go at once."""

    per_second: Callable[[str], int]
    now: Callable[[], float]
    burst: int = 5
    _next: dict[str, float] = field(default_factory=dict)

    def open(self, brokers: tuple[str, ...]) -> list[str]:
        """Brokers that may be sent to now."""
        return [one for one in brokers if self._lead(one) < self.burst / self.per_second(one)]

    def room(self, brokers: Sequence[str]) -> int:
        """How many sends may go at once to whichever of these brokers has least room; at least one to any that is open."""
        return min(max(int(self.burst - self._lead(one) * self.per_second(one)), 1) for one in brokers)

    def spend(self, broker: str) -> None:
        """One send to a broker."""
        self._next[broker] = max(self._next.get(broker, 0.0), self.now()) + 1 / self.per_second(broker)

    def wait_s(self, brokers: tuple[str, ...]) -> float:
        """Seconds until the first broker opens."""
        return max(min(self._lead(one) - self.burst / self.per_second(one) for one in brokers), 0.0)

    def _lead(self, broker: str) -> float:
        return max(self._next.get(broker, 0.0) - self.now(), 0.0)
