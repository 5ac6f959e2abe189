"""Call budgets as rules: who may still spend a call today (P21).

Each class may spend until the calls of all classes together reach its ceiling: the day's limit less everything kept
back for more urgent classes. So the reserve for cancellations is whole until nobody else may call any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from service.gateway import CallClass

URGENCY = (CallClass.CANCEL, CallClass.RESOLVE, CallClass.ORDER, CallClass.NIGHT, CallClass.ROUTINE)


class ServiceName(StrEnum):
    ORDERS = "orders"
    INQUIRIES = "inquiries"
    LINKAGE = "linkage"
    MARKET = "market"


@dataclass(frozen=True)
class CallLimit:
    """Calls a day, what is kept back for a class alone, and when the day turns (UTC time of day)."""

    calls: int
    reserves: Mapping[CallClass, int] = field(default_factory=dict)
    turns_at: timedelta = timedelta(0)


LIMITS: dict[ServiceName, CallLimit] = {
    ServiceName.ORDERS: CallLimit(20_000, {CallClass.CANCEL: 2_000}),
    ServiceName.INQUIRIES: CallLimit(
        50_000, {CallClass.CANCEL: 500, CallClass.RESOLVE: 4_500, CallClass.ORDER: 1_000, CallClass.NIGHT: 7_000}
    ),
    ServiceName.LINKAGE: CallLimit(50_000),
    ServiceName.MARKET: CallLimit(50_000),
}


def ceiling(limit: CallLimit, call_class: CallClass) -> int:
    """How many calls of the day may be spent, by all together, when this class spends its next one."""
    kept_back = sum(limit.reserves.get(other, 0) for other in URGENCY[: URGENCY.index(call_class)])
    return max(limit.calls - kept_back, 0)


def budget_day(limit: CallLimit, now: datetime) -> date:
    """The day a call counts to. By default it turns at 00:00 UTC, the minute the Korean market opens."""
    return (now.astimezone(UTC) - limit.turns_at).date()


class BudgetStore(Protocol):
    """Where calls are counted. Raises `service.core.errors.Unavailable` when it cannot be reached."""

    async def take(self, service: ServiceName, day: date, call_class: CallClass, ceiling: int) -> bool:
        """Count one call, unless the day's calls have reached `ceiling`."""
        ...

    async def spent(self, service: ServiceName, day: date) -> dict[CallClass, int]: ...


class MemoryBudget:
    """A store for one process: tests, and tools that must not touch the service's counters."""

    def __init__(self) -> None:
        self._counts: dict[tuple[ServiceName, date], dict[CallClass, int]] = {}

    async def take(self, service: ServiceName, day: date, call_class: CallClass, ceiling: int) -> bool:
        counts = self._counts.setdefault((service, day), dict.fromkeys(CallClass, 0))
        if sum(counts.values()) >= ceiling:
            return False
        counts[call_class] += 1
        return True

    async def spent(self, service: ServiceName, day: date) -> dict[CallClass, int]:
        return dict(self._counts.get((service, day), dict.fromkeys(CallClass, 0)))
