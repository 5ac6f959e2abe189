"""`ops/soak`: break the service on purpose for some minutes; print one table, write one JSON file.

Progress is kept in `var/soak/` (under ILIM_DATA_DIR, if set): the next run goes on where this one ended, and figures
cumulate until `--fresh`. Status 1 when a figure does not hold or a campaign fails, 2 for words that mean nothing.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ops.campaigns import NAMES, campaign
from ops.campaigns.figure import Figure, table

DEFAULT_SEED = 20261121
ROOT = Path(__file__).parents[2]


@dataclass
class Progress:
    """One campaign's, as it lies on disk."""

    path: Path
    seed: int
    state: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)  # of the code that the figures were gathered on

    def save(self) -> None:
        known = [{name: one.document()[name] for name in Figure.__dataclass_fields__} for one in self.figures]
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({"seed": self.seed, "state": self.state, "figures": known, "versions": self.versions}))
        draft.replace(self.path)


def version() -> str:
    """Of the service's code and migrations, as a digest: figures of another version say little about this one."""
    files = sorted(one for name in ("service", "migrations") for one in (ROOT / name).rglob("*.py"))
    return hashlib.sha256(b"".join(one.read_bytes() for one in files)).hexdigest()[:12]


def progress(directory: Path, name: str, seed: int | None) -> Progress:
    """Where a campaign stands. Another seed than the one it began with begins it anew."""
    path = directory / f"{name}.json"
    kept: dict[str, Any] = {"seed": DEFAULT_SEED if seed is None else seed}
    if path.exists():
        kept = json.loads(path.read_text())
    if seed not in (None, kept["seed"]):
        kept = {"seed": seed}
    figures = [Figure(**one) for one in kept.get("figures", [])]
    return Progress(path, kept["seed"], kept.get("state", {}), figures, kept.get("versions", []))


def main(words: Sequence[str] | None = None) -> int:
    given = _words().parse_args(words)
    directory = Path(os.environ.get("ILIM_DATA_DIR", "var")) / "soak"
    names = given.only or NAMES
    for name in names if given.fresh else ():
        (directory / f"{name}.json").unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us in the background ignores it
    signal.signal(signal.SIGTERM, _interrupt)
    stands = {name: progress(directory, name, given.seed) for name in names}
    failed = _run_all(stands, time.monotonic() + given.minutes * 60)
    figures = [one for stand in stands.values() for one in stand.figures]
    _tell(stands, figures, failed, directory / "figures.json")
    broken = [one.name for one in figures if not one.holds]
    if broken or failed:
        print(f"NOT WELL: {', '.join([*broken, *failed])}", file=sys.stderr)
    return 1 if broken or failed else 0


def _tell(stands: dict[str, Progress], figures: list[Figure], failed: list[str], written: Path) -> None:
    document = {name: [one.document() for one in stand.figures] for name, stand in stands.items()}
    versions = {name: stand.versions for name, stand in stands.items()}
    said = {"campaigns": document, "failed": failed, "versions": versions}
    written.write_text(json.dumps(said, indent=2, ensure_ascii=False))
    print(f"\n{table(figures)}\n")
    for name, several in versions.items():
        if len(several) > 1:
            print(f"{name}: gathered on {len(several)} versions of the code; --fresh forgets")
    print(f"written to {written}")


def _run_all(stands: dict[str, Progress], until: float) -> list[str]:
    """Each campaign for its share of the time; what one leaves is the others'. Returns those that failed."""
    failed: list[str] = []
    shares = {name: campaign(name).SHARE for name in stands}
    for name, stand in stands.items():
        left = max(0.0, until - time.monotonic())
        budget = left * shares[name] / sum(shares.values())
        del shares[name]
        print(f"{name}: {campaign(name).ABOUT} ({budget:.0f} s)", flush=True)
        try:
            _run(name, stand, budget)
        except KeyboardInterrupt:
            failed.append(f"{name} was interrupted")
            break
        except Exception:
            traceback.print_exc()
            failed.append(f"{name} failed")
    return failed


def _run(name: str, stand: Progress, budget_s: float) -> None:
    present = version()
    with closing(campaign(name).run(budget_s, stand.state, stand.seed)) as batches:
        for one in batches:
            stand.figures = one
            stand.versions = [*(had for had in stand.versions if had != present), present]
            stand.save()
            print("  " + "; ".join(f"{figure.name} {figure}" for figure in one), flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """As Ctrl-C: a loop that runs cancels its work then, and whatever that started is ended. Raised here it would break off in
    the middle of anything."""
    signal.raise_signal(signal.SIGINT)


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser("ops/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=10.0, help="real time for all campaigns together (default 10)")
    words.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    words.add_argument("--seed", type=int, help=f"what chance is drawn from (default: as before, at first {DEFAULT_SEED})")
    words.add_argument("--fresh", action="store_true", help="forget what earlier runs of these campaigns found")
    return words


if __name__ == "__main__":
    raise SystemExit(main())
