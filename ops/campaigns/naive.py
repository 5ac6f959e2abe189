"""The control: the kill harness on a service that is deliberately naive must show orders sent twice.

`naive.patch` makes silence mean "not sent": a lost answer and a dead sender are tried again. It is applied to a copy of the
tree in a directory of its own, never to `service/`. Only kills between the claim and its record are tried here, and reports
come late, so that the answer alone could tell; the true service is killed at these places too (`kills`), with zeros.
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from ops.campaigns import kills
from ops.campaigns.figure import Figure
from ops.campaigns.ground import own_server
from ops.campaigns.nursery import nursery
from ops.campaigns.oracle import Oracle
from ops.campaigns.rig import rig
from ops.campaigns.tally import Tally
from ops.campaigns.traders import Traders
from service.core.clock import monotonic

ABOUT = "the control: a naive variant under the same harness sends twice"
SHARE = 0.3
GOAL = 100  # kills at named places

LEAST = 0.2
ROOT = Path(__file__).parents[2]
PATCH = Path(__file__).with_name("naive.patch")
COPIED = ("service", "ops", "migrations", "alembic.ini", "pyproject.toml")
PLACES = {"serve": (), "worker": ("send.after", "record.begun", "record.before_commit")}
FAULTS = {"report_held": "1", "answer_lost_after": "0.05"}


class PatchError(Exception):
    """The patch no longer applies: the code it weakens was changed. Make it anew."""


def patched_copy(target: Path) -> None:
    """A copy of the tree with the patch applied. Raises PatchError."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.log"))
        else:
            shutil.copy(source, target / name)
    done = subprocess.run(
        ["git", "apply", "-p1", str(PATCH)], cwd=target, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(target.parent)},
    )  # fmt: skip
    if done.returncode != 0:
        raise PatchError(done.stderr.strip())


def trial(seed: int, goal: int, within_s: float) -> dict[str, int]:
    """Kills of the naive variant, and requests that arrived more than once. In a process of its own: it imports the copy."""
    with tempfile.TemporaryDirectory(prefix="ilim-naive-") as directory:
        copy = Path(directory)
        patched_copy(copy)
        words = [sys.executable, "-m", "ops.campaigns.naive", str(seed), str(goal), str(within_s)]
        process = subprocess.Popen(
            words, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, stdout=subprocess.PIPE, text=True
        )
        try:
            said, _ = process.communicate(timeout=within_s + 120)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the naive variant's harness ended with status {process.returncode}")
    result: dict[str, int] = json.loads(said.splitlines()[-1])
    return result


async def _inside(seed: int, goal: int, within_s: float) -> dict[str, int]:
    """In the copy: kill until there are enough, and count. Nobody waits for such a service to come to rest."""
    tally, until_s = Tally(), monotonic() + within_s
    with own_server() as server:
        async with nursery() as born_by, rig(server, born_by, seed) as made:
            dice = random.Random(seed)
            traders = Traders(made, dice)
            eye = await asyncpg.connect(made.urls.superuser)
            oracle = Oracle(made.eye, made.stage.sandbox)
            episode = kills.Episode(made, tally, dice, goal, until_s, oracle, traders, eye, places=PLACES, faults=FAULTS)
            try:
                with suppress(asyncio.CancelledError):
                    await episode.kill()
                sends = (await made.stage.sandbox.get("/_sandbox/sends")).json()
            finally:
                eye.terminate()
                await traders.close()
    at_places = sum(n for place, n in tally.kills.items() if place in PLACES["worker"])
    return {"kills": at_places, "twice": sum(one["received"] > 1 for one in sends.values()), "sends": len(sends)}


def figures(state: dict[str, Any]) -> list[Figure]:
    count, twice = state.get("kills", 0), state.get("twice", 0)
    detail = f"{state.get('sends', 0)} requests sent; a harness that finds less than {LEAST:.0%} here sees nothing"
    spent = state.get("seconds", 0.0)
    return [Figure("naive variant: requests sent twice", count, twice, "kills", spent, detail, least=LEAST, most=1_000.0)]


def run(budget_s: float, state: dict[str, Any], seed: int) -> Generator[list[Figure], None, None]:
    """One trial after the other until the time is up or the goal is reached."""
    until_s = monotonic() + budget_s
    while state.get("kills", 0) < GOAL and monotonic() < until_s - 40:
        began, runs = monotonic(), state.get("runs", 0)
        found = trial(seed + runs, GOAL - state.get("kills", 0), max(20.0, until_s - monotonic() - 30))
        for name, n in found.items():
            state[name] = state.get(name, 0) + n
        state["runs"], state["seconds"] = runs + 1, state.get("seconds", 0.0) + monotonic() - began
        yield figures(state)
    yield figures(state)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_inside(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
