"""`python -m ops.campaigns.simulation --seeds 1-150`: play seeds, one JSON line each.

`--twice N` plays one seed of N two times and says whether both traces were the same; `--shift` draws one number more from the
order of tasks, which must give another trace; `--tail` adds the trace's last lines, which a violation always brings.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from ops.campaigns.simulation.seed import Outcome, Simulation, silence


def main() -> int:
    given = _words().parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets of text must not differ from run to run
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name.removesuffix(".__main__"), *sys.argv[1:]],
                  {**os.environ, "PYTHONHASHSEED": "0"})  # fmt: skip
    silence()
    simulation = Simulation()
    violated = False
    try:
        for outcome, seconds in _played(simulation, given):
            violated = violated or bool(outcome.violations)
            document = asdict(outcome) | {"seconds": round(seconds, 3)}
            if not (outcome.violations or given.tail):
                del document["tail"]
            print(json.dumps(document), flush=True)
    finally:
        simulation.close()
    return 1 if violated else 0


def _played(simulation: Simulation, given: argparse.Namespace) -> Iterator[tuple[Outcome, float]]:
    for seed in given.seeds:
        begun = time.monotonic()
        outcome = simulation.play(seed, shift=given.shift)
        outcome.twice = bool(given.twice) and seed % given.twice == 0
        if outcome.twice and simulation.play(seed, shift=given.shift).digest != outcome.digest:
            outcome.violations.append("the same seed gave another trace")
        yield outcome, time.monotonic() - begun


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="python -m ops.campaigns.simulation", description=__doc__)
    words.add_argument("--seeds", type=_range, required=True, help="one, or first-last")
    words.add_argument("--twice", type=int, default=0, metavar="N")
    words.add_argument("--shift", action="store_true")
    words.add_argument("--tail", action="store_true")
    return words


if __name__ == "__main__":
    raise SystemExit(main())
