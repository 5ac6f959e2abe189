"""Figures say no more than their trials allow."""

import json
from pathlib import Path

import pytest

from ops.campaigns.__main__ import Progress, progress
from ops.campaigns.figure import Figure, quantile, table, upper_bound


# Published values: 3/N for zero; one-sided 95 % Clopper-Pearson limits.
@pytest.mark.parametrize(
    ("count", "trials", "bound"),
    [(0, 300, 0.01), (0, 0, 1.0), (1, 100, 0.0466), (5, 100, 0.1023), (10, 20, 0.6980), (100, 100, 1.0), (0, 2, 1.0)],
)
def test_the_bound_is_the_exact_one(count: int, trials: int, bound: float) -> None:
    assert upper_bound(count, trials) == pytest.approx(bound, abs=5e-5)


def test_a_zero_is_said_with_its_trials_and_its_bound() -> None:
    assert str(Figure("orders sent twice", 300, 0, "kills")) == "0 of 300 kills (95 % bound 1.0e-02)"
    assert str(Figure("orders sent twice", 0, 0, "kills")) == "no trial yet"


def test_what_holds_depends_on_what_was_wanted() -> None:
    assert Figure("lost", 10, 0, "kills").holds
    assert not Figure("lost", 10_000, 1, "kills").holds
    assert Figure("the naive variant sends twice", 10, 2, "kills", least=0.2, most=1.0).holds
    assert not Figure("the naive variant sends twice", 10, 1, "kills", least=0.2, most=1.0).holds
    assert "BROKEN" in table([Figure("lost", 10, 1, "kills")])


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(one) for one in range(1, 101)], 0.99) == 99.0


def test_progress_is_found_again_unless_chance_is_another(tmp_path: Path) -> None:
    Progress(tmp_path / "kills.json", 7, {"kills": 12}, [Figure("lost", 12, 0, "kills", 3.5)]).save()
    json.loads((tmp_path / "kills.json").read_text())
    found = progress(tmp_path, "kills", None)
    assert (found.seed, found.state, found.figures) == (7, {"kills": 12}, [Figure("lost", 12, 0, "kills", 3.5)])
    assert progress(tmp_path, "kills", 7).state == {"kills": 12}
    assert progress(tmp_path, "kills", 8).state == {}
