"""The data key of a machine that was given none."""

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


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "canary not base64", "a" * 43])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="ILIM_DATA_KEY") as refused:
        key_bytes(Secret(text))
    assert "canary" not in str(refused.value)
