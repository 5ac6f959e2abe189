"""Calendar and ticks in memory: read often, changed rarely, never older than a few seconds."""

import asyncio
from dataclasses import dataclass

from service.core.clock import monotonic
from service.infra.db import Transaction
from service.market.calendar import Calendar
from service.market.rules import Ticks
from service.market.store import load_calendar, load_ticks

FRESH_S = 5.0


@dataclass(frozen=True)
class MarketRules:
    calendar: Calendar
    ticks: Ticks


class MarketBook:
    """The dated rules of the market for one process. A change made elsewhere is seen after `fresh_s` seconds at most."""

    def __init__(self, transaction: Transaction, fresh_s: float = FRESH_S) -> None:
        self._transaction = transaction
        self._fresh_s = fresh_s
        self._held: MarketRules | None = None
        self._until = 0.0
        self._loading = asyncio.Lock()

    async def rules(self) -> MarketRules:
        if self._held is not None and monotonic() <= self._until:
            return self._held
        async with self._loading:  # however many ask at once, one of them loads
            if self._held is None or monotonic() > self._until:
                async with self._transaction() as connection:
                    self._held = MarketRules(await load_calendar(connection), await load_ticks(connection))
                self._until = monotonic() + self._fresh_s
            return self._held
