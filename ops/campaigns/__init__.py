"""Campaigns: what breaks the service on purpose, again and again, and counts what comes of it.

A campaign is a module (or package) of `ops.campaigns` named in NAMES that has

- `ABOUT`: one line;
- `SHARE`: its part of the minutes, relative to the others';
- `run(budget_s, state, seed)`: a generator. It works for about `budget_s` seconds of real time, from where `state` says
  (a dict of JSON values, empty at first, that it changes in place), and after each batch yields all its figures,
  cumulated over every run so far. Whoever drives it saves state and figures at each yield, so that a campaign
  that is killed goes on from its last batch. It returns early when its goal is reached; it ends what it started, also
  when it is closed half-way. With the same seed and an empty state it draws the same faults.
"""

from collections.abc import Generator
from importlib import import_module
from typing import Any, Protocol, cast

from ops.campaigns.figure import Figure

NAMES: tuple[str, ...] = ("kills", "stops", "twins", "naive", "simulation", "mutants", "orderings")


class Campaign(Protocol):
    """What such a module offers."""

    ABOUT: str
    SHARE: float

    def run(self, budget_s: float, state: dict[str, Any], seed: int) -> Generator[list[Figure], None, None]: ...


def campaign(name: str) -> Campaign:
    return cast(Campaign, import_module(f"ops.campaigns.{name}"))
