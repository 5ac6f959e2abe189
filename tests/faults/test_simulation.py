"""Simulated trading days (`ops.campaigns.simulation`): the same seed is the same day, and no day breaks an invariant. The
second half of the days is in a file of its own, so that two cores share them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ops.campaigns.simulation import child, count, figures

DAYS = "1-75"


def played(seeds: str, *, more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Seeds played by a process of their own: it stands on virtual time, which no test's loop does."""
    one = child(seeds, more=more)
    try:
        said, _ = one.communicate()
    finally:
        one.kill()
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture(scope="module")
def days() -> list[dict[str, Any]]:
    return played(DAYS)


def test_p34_no_simulated_day_breaks_an_invariant(
    days: list[dict[str, Any]], record_property: Callable[[str, object], None]
) -> None:
    no_day_breaks_an_invariant(days, DAYS, record_property)


def test_determinism_the_same_seed_gives_the_same_trace_and_another_order_of_tasks_another(days: list[dict[str, Any]]) -> None:
    """Day 12, which has a second day, in a process of its own and there after no other."""
    (there,) = [one for one in days if one["seed"] == 12]
    assert [one["digest"] for one in played("12")] == [there["digest"]]
    assert [one["digest"] for one in played("12", more=("--shift",))] != [there["digest"]]


def no_day_breaks_an_invariant(days: list[dict[str, Any]], seeds: str, record_property: Callable[[str, object], None]) -> None:
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
