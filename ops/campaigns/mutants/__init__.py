"""Design mutants: safeguards of the service weakened by a line or two, each of which something must notice.

A mutant is a patch `NN-name.patch` beside this file. Above its hunks stand two lines:

    weakens: what is no longer so
    caught by: tests/…::test_…          one test that fails with it, or
    caught by: simulation 1-50          seeds of which at least one breaks an invariant

It is applied to a copy of the tree, never in place. A hunk is found by its text, not by its line number; one that is found
nowhere, or twice, means that the safeguard was rewritten: make the patch anew (`diff -U1`).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.campaigns.figure import Figure

ABOUT = "each safeguard weakened in a copy of the tree: does anybody notice?"
SHARE = 0.5
ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
TREE = ("service", "migrations", "ops", "tests", "pyproject.toml")
HUNK = re.compile(r"^@@ .*$\n", re.MULTILINE)
PATIENCE_S = 600


class Stale(Exception):
    """A patch no longer fits the tree."""


@dataclass(frozen=True)
class Mutant:
    """One weakening, as its patch says it."""

    name: str
    weakens: str
    catcher: str
    changes: tuple[tuple[str, str, str], ...]  # file, the text before, the text after

    @property
    def migrates(self) -> bool:
        """Whether its database is another."""
        return any(name.startswith("migrations/") for name, _, _ in self.changes)

    def apply(self, tree: Path) -> None:
        """Change the files of `tree`. Raises Stale."""
        for name, before, after in self.changes:
            text = (tree / name).read_text()
            if text.count(before) != 1:
                raise Stale(f"{self.name}: a hunk is found {text.count(before)} times in {name}")
            (tree / name).write_text(text.replace(before, after))


@dataclass(frozen=True)
class Verdict:
    """Whether a mutant was noticed. `after`: seeds it took, 0 for a test."""

    mutant: Mutant
    caught: bool
    after: int
    seconds: float
    said: str


def mutants() -> list[Mutant]:
    """All of them, by number."""
    return [_read(path) for path in sorted(HERE.glob("*.patch"))]


def _read(path: Path) -> Mutant:
    head, *files = re.split(r"^--- ", path.read_text(), flags=re.MULTILINE)
    said = dict(line.split(": ", 1) for line in head.strip().splitlines())
    changes = [change for one in files for change in _changes(one)]
    return Mutant(path.stem, said["weakens"], said["caught by"], tuple(changes))


def _changes(text: str) -> Iterator[tuple[str, str, str]]:
    names, *hunks = HUNK.split(text)
    name = names.splitlines()[1].removeprefix("+++ ").strip()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        yield (
            name,
            "".join(line[1:] for line in lines if line[0] in " -"),
            "".join(line[1:] for line in lines if line[0] in " +"),
        )


@contextmanager
def tree(mutant: Mutant | None = None) -> Iterator[Path]:
    """A copy of the tree, weakened."""
    place = Path(tempfile.mkdtemp(prefix="ilim-mutant-"))
    place.chmod(0o755)
    try:
        for name in TREE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place / name)  # with what is compiled already: times are kept
            else:
                shutil.copy(ROOT / name, place / name)
        if mutant is not None:
            mutant.apply(place)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def judge(mutant: Mutant, postgres: Path | None = None) -> Verdict:
    """Weaken a copy and run what should notice, on the migrated server whose files lie in `postgres` if the mutant lets the
    migrations be. Raises Stale."""
    begun = time.monotonic()
    lent = {} if postgres is None or mutant.migrates else {"ILIM_TEST_POSTGRES": str(postgres)}
    with tree(mutant) as place:
        kind, _, seeds = mutant.catcher.partition(" ")
        caught, after, said = _simulate(place, seeds) if kind == "simulation" else _test(place, mutant.catcher, lent)
    return Verdict(mutant, caught, after, time.monotonic() - begun, said)


def _test(place: Path, test: str, lent: dict[str, str]) -> tuple[bool, int, str]:
    """Caught when the test ran and failed; one that could not run has noticed nothing."""
    words = ["pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", test]
    lean = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # to load them all takes as long as the test
    surroundings = _surroundings(place) | lent | lean
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=place, env=surroundings, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    failed = done.returncode == 1 and re.search(r"^FAILED ", done.stdout, re.MULTILINE) is not None
    return failed, 0, done.stdout[-600:]


def _simulate(place: Path, seeds: str) -> tuple[bool, int, str]:
    words = [sys.executable, "-m", "ops.campaigns.simulation", "--seeds", seeds]
    with subprocess.Popen(words, cwd=place, env=_surroundings(place), stdout=subprocess.PIPE, text=True) as playing:
        assert playing.stdout is not None
        try:
            for played, line in enumerate(playing.stdout, 1):
                violations = json.loads(line)["violations"]
                if violations:
                    return True, played, violations[0]
        finally:
            playing.terminate()
    return False, 0, "no seed broke an invariant"


def _surroundings(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}


def run(budget_s: float, state: dict[str, Any], seed: int) -> Iterator[list[Figure]]:  # noqa: ARG001 - nothing is drawn here
    """Every mutant once; what was judged is not judged again."""
    until = time.monotonic() + budget_s
    known: dict[str, Any] = state.setdefault("verdicts", {})
    for mutant in mutants():
        if time.monotonic() > until:
            return
        if mutant.name not in known:
            verdict = judge(mutant)
            known[mutant.name] = {"caught": verdict.caught, "after": verdict.after, "seconds": verdict.seconds}
            yield [_figure(known)]


def _figure(known: dict[str, Any]) -> Figure:
    missed = [name for name, one in known.items() if not one["caught"]]
    most = max((one["after"] for one in known.values()), default=0)
    said = f"missed: {', '.join(missed)}" if missed else f"by one test each, or at most {most} simulated days"
    seconds = sum(one["seconds"] for one in known.values())
    return Figure("weakened safeguards that nobody notices", len(known), len(missed), "mutants", seconds, said)
