"""What `ops/soak` keeps between two runs."""

from pathlib import Path

from ops.campaigns.__main__ import progress, version
from ops.campaigns.figure import Figure


def test_a_run_goes_on_where_the_last_one_ended_and_knows_what_code_that_was(tmp_path: Path) -> None:
    begun = progress(tmp_path, "kills", None)
    begun.state["kills"] = 7
    begun.figures = [Figure("orders lost", 7, 0, "kills", 1.5)]
    begun.versions = ["0123456789ab", version()]
    begun.save()
    assert progress(tmp_path, "kills", None) == begun
    assert progress(tmp_path, "kills", begun.seed + 1).state == {}, "other faults are another campaign"


def test_the_version_is_that_of_what_is_in_the_files() -> None:
    assert version() == version()
    assert len(version()) == 12
