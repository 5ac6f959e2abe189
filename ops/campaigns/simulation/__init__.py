"""A whole trading day, simulated: real code, real PostgreSQL, virtual time, everything that happens drawn from a seed. Every
sixth seed has a second day, on which the brokers' numbers begin anew.

`loop` is the event loop, `database` makes a transaction one step, `upstream` is the sandbox without sockets, `weather` what
goes wrong, `house` the processes, `player` the people, `oracle` what must hold, `seed` one day of all of it. Seeds are
played in processes of their own (`__main__`), two at a time. `ops/soak --only simulation --fresh --seed N` plays seed N first
and prints the end of its trace if it breaks an invariant; `python -m ops.campaigns.simulation --seeds N --tail` does always.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from ops.campaigns.figure import Figure

ABOUT = "whole days in virtual time, tasks shuffled and faults drawn by a seed; every invariant after every step"
SHARE = 3.0
GOAL = 5_000
BATCH = 50  # seeds a process plays: to set one up takes as long as two of them
AT_ONCE = 2
TWICE = 10  # one seed of so many is played twice
SHOWN = 60


def run(budget_s: float, state: dict[str, Any], seed: int) -> Iterator[list[Figure]]:
    """Seeds from `seed` on, until the budget or the goal is reached."""
    until = time.monotonic() + budget_s
    counts = state.setdefault("counts", {})
    while time.monotonic() < until and counts.get("seeds", 0) < GOAL:
        begun = time.monotonic()
        done = state.get("batches", 0)
        starts = [seed + (done + i) * BATCH for i in range(AT_ONCE)]
        children = [child(f"{one}-{one + BATCH - 1}", twice=TWICE) for one in starts]
        try:
            outcomes = [json.loads(line) for one in children for line in one.communicate()[0].splitlines()]
        finally:
            for one in children:
                one.kill()
        if len(outcomes) != AT_ONCE * BATCH:
            raise RuntimeError("a simulation ended before its seeds were played")
        for outcome in outcomes:
            count(counts, outcome)
        state["batches"] = done + AT_ONCE
        counts["seconds"] = counts.get("seconds", 0.0) + time.monotonic() - begun
        yield figures(counts)


def child(seeds: str, *, twice: int = 0, more: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """A process that plays seeds, one of `twice` two times, and prints a line for each."""
    words = [sys.executable, "-m", "ops.campaigns.simulation", "--seeds", seeds, "--twice", str(twice), *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def count(counts: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Add one seed's outcome; a broken one is shown with the end of its trace."""
    found = {
        "seeds": 1,
        "violated": bool(outcome["violations"]),
        "twice": outcome["twice"],
        "orders": outcome["tally"].get("orders", 0),
        "faults": sum(outcome["faults"].values()),
        "kills": outcome["kills"],
        "doubts": outcome["doubts"],
        "virtual": outcome["virtual_s"],
    }
    for name, value in found.items():
        counts[name] = counts.get(name, 0) + value
    if outcome["violations"]:
        counts.setdefault("first", f"seed {outcome['seed']}: {outcome['violations'][0]}")
        print("\n".join([f"seed {outcome['seed']}", *outcome["tail"][-SHOWN:], *outcome["violations"]]), file=sys.stderr)


def figures(counts: dict[str, Any]) -> list[Figure]:
    """What the counts say."""
    seconds = counts.get("seconds", 0.0)
    said = "{orders:,} orders, {faults:,} faults, {kills:,} kills, {doubts:,} left in doubt".format(**counts)
    rate = f"{counts['seeds'] / seconds:.2f} seeds/s" if seconds else ""
    return [
        Figure("simulated days that break an invariant", counts["seeds"], counts["violated"], "days", seconds,
               f"{said}; {rate}; {counts.get('first', '')}"),
        Figure("orders in them", counts["orders"], counts["violated"], "orders", seconds),
        Figure("days that play differently the second time", counts["twice"], 0, "days played twice", seconds),
    ]  # fmt: skip
