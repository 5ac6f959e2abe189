"""Simulated trading days (`ops.campaigns.simulation`): the same seed is the same day, and no day breaks an invariant. The
second half of the days is in a file of its own, so that two cores share them."""

import json
from collections.abc import Callable
from typing import Any

from ops.campaigns.simulation import child, count, figures

DAYS = "1-75"


def played(seeds: str, *, twice: int = 0, more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Seeds played by a process of their own: it stands on virtual time, which no test's loop does."""
    one = child(seeds, twice=twice, more=more)
    try:
        said, _ = one.communicate()
    finally:
        one.kill()
    return [json.loads(line) for line in said.splitlines()]


def test_determinism_the_same_seed_gives_the_same_trace_and_another_order_of_tasks_another() -> None:
    first = played("11-12", twice=1)
    assert [one["violations"] for one in first] == [[]] * 2
    again = played("11-12")  # in another process, after other seeds or none
    assert [one["digest"] for one in again] == [one["digest"] for one in first]
    shifted = played("11", more=("--shift",))
    assert shifted[0]["digest"] != first[0]["digest"]


def test_p34_no_simulated_day_breaks_an_invariant(record_property: Callable[[str, object], None]) -> None:
    no_day_breaks_an_invariant(DAYS, record_property)


def no_day_breaks_an_invariant(seeds: str, record_property: Callable[[str, object], None]) -> None:
    days = played(seeds)
    counts: dict[str, Any] = {}
    for one in days:
        count(counts, one)
    counts["seconds"] = sum(one["seconds"] for one in days)
    for figure in figures(counts)[:2]:
        record_property("figure", f"{figure.name}: {figure} in {figure.seconds:.0f} s ({figure.detail})")
    first, _, last = seeds.partition("-")
    assert [one["seed"] for one in days] == list(range(int(first), int(last) + 1))
    broken = {one["seed"]: [*one["tail"][-40:], *one["violations"]] for one in days if one["violations"]}
    assert broken == {}
    assert sum(one["tally"].get("orders", 0) for one in days) >= 10 * len(days)
    assert sum(sum(one["faults"].values()) for one in days) >= 20 * len(days)
    assert sum(one["kills"] for one in days) >= len(days)
    assert sum(one["checks"] for one in days) >= 50 * len(days)
