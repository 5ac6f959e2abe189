"""Which sequence numbers of a day are still missing, as ranges: a garbled number may name a billion of them."""

from dataclasses import dataclass, field
from datetime import date

NEWEST = 0  # an end of a range: whatever is the newest


@dataclass
class Holes:
    """The numbers seen and asked for on one connection."""

    newest: dict[date, int | None] = field(default_factory=dict)  # None: this day was asked about, its newest is unknown
    _ranges: dict[date, list[tuple[int, int]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self._ranges.values())

    def forget(self) -> None:
        self._ranges.clear()

    def expect(self, day: date, ranges: list[tuple[int, int]]) -> None:
        """What the store says is missing of a day; an open range also tells the newest number that is stored."""
        for begin, end in ranges:
            if end == NEWEST:
                self.newest[day] = max(self.newest.get(day) or 0, begin - 1)
            else:
                self._ranges.setdefault(day, []).append((begin, end))
                self.newest[day] = max(self.newest.get(day) or 0, end)
        self.newest.setdefault(day, None)

    def seen(self, day: date, number: int) -> tuple[int, int] | None:
        """Note a number; the range skipped before it, where it jumps ahead. A new day begins at 1."""
        self._fill(day, number)
        newest = self.newest.get(day, 0)
        if newest is not None and number <= newest:
            return None
        self.newest[day] = number
        if newest is None or number == newest + 1:
            return None
        return newest + 1, number - 1

    def _fill(self, day: date, number: int) -> None:
        kept: list[tuple[int, int]] = []
        for begin, end in self._ranges.get(day, []):
            parts = [(begin, min(end, number - 1)), (max(begin, number + 1), end)] if begin <= number <= end else [(begin, end)]
            kept += [part for part in parts if part[0] <= part[1]]
        if kept or day in self._ranges:
            self._ranges[day] = kept
