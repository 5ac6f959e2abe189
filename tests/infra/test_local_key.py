"""The data key of a machine that was given none."""

import os
import stat
from pathlib import Path

import pytest

from service.core.secret import Secret
from service.infra.local_key import key_bytes, local_data_key


def test_it_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    made = local_data_key(tmp_path / "var")
    assert local_data_key(tmp_path / "var") == made
    assert len(key_bytes(made)) == 32
    assert stat.S_IMODE((tmp_path / "var" / "data.key").stat().st_mode) == 0o600
    assert local_data_key(tmp_path / "other") != made


def test_processes_that_begin_together_have_one_key(tmp_path: Path) -> None:
    others: list[Secret] = []

    def faster(size: int) -> bytes:
        others.append(local_data_key(tmp_path))
        return bytes(size)

    mine = local_data_key(tmp_path, faster)
    assert [mine] == others
    assert local_data_key(tmp_path) == mine
    assert len(key_bytes(mine)) == 32


def test_one_that_dies_at_it_leaves_no_half_key(tmp_path: Path) -> None:
    def dies(_size: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local_data_key(tmp_path, dies)
    assert list(tmp_path.iterdir()) == []
    assert len(key_bytes(local_data_key(tmp_path))) == 32


def test_nobody_has_it_before_a_power_cut_would_leave_it(tmp_path: Path) -> None:
    """The file first, then the name of it, then the names of the directories made for it."""
    home = tmp_path / "new" / "var"
    synced: list[tuple[int, bool]] = []

    def seen(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, (home / "data.key").exists()))

    local_data_key(home, sync=seen)
    inodes = [one.stat().st_ino for one in (home / "data.key", home, tmp_path / "new", tmp_path)]
    assert synced == list(zip(inodes, (False, True, True, True), strict=True))
    synced.clear()
    local_data_key(home, sync=seen)  # the process that made it may have been ended before the directory was on disk
    assert synced == [(home.stat().st_ino, True)]


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "canary not base64", "a" * 43])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="ILIM_DATA_KEY") as refused:
        key_bytes(Secret(text))
    assert "canary" not in str(refused.value)
