"""Each safeguard, weakened in a copy of the tree, is missed by somebody (`ops.campaigns.mutants`)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ops.campaigns.mutants import ROOT, Mutant, judge, mutants

ALL = mutants()


def test_there_are_at_least_twenty_and_each_fits_the_tree() -> None:
    """A patch whose text is found nowhere, or twice, guards nothing any more: the safeguard was rewritten."""
    stale = {
        (one.name, file)
        for one in ALL
        for file, before, _ in one.changes
        if not (ROOT / file).is_file() or (ROOT / file).read_text().count(before) != 1
    }
    assert stale == set()
    assert len(ALL) >= 20


@pytest.mark.parametrize("mutant", ALL, ids=lambda one: one.name)
@pytest.mark.usefixtures("template")  # is lent
def test_a_weakened_safeguard_is_noticed(
    mutant: Mutant, postgres_home: Path, record_property: Callable[[str, object], None]
) -> None:
    verdict = judge(mutant, postgres_home)
    by = f"{verdict.after} simulated days" if verdict.after else "one test"
    record_property("figure", f"{mutant.name}: {'noticed' if verdict.caught else 'NOT NOTICED'} by {by}")
    assert verdict.caught, f"{mutant.weakens}: nobody noticed\n{verdict.said}"
