"""The scripts a newcomer runs: present, runnable, honest about failure, and locked to exact packages."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "ops" / name for name in ("start", "test", "check", "bench", "soak", "lock")] + [ROOT / ".ci/run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_run_and_stops_at_the_first_surprise(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert re.search(r"(?m)^set -e?uo pipefail$", text)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_is_locked_by_hash_and_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    wanted = re.split(r"(?m)^(?=[a-z0-9])", text.strip())
    for requirement in filter(None, wanted):
        assert re.match(r"[a-z0-9._-]+==\S+", requirement), requirement[:60]
        assert "--hash=sha256:" in requirement, requirement[:60]


def names(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / lock).read_text()))


def test_tests_run_with_the_packages_that_run() -> None:
    assert names("requirements.txt").items() <= names("requirements-dev.txt").items()


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {re.match(r"[a-zA-Z0-9_.-]+", line)[0].lower() for line in project["project"]["dependencies"]}  # type: ignore[index]
    assert asked <= set(names("requirements.txt"))


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    """`ensure_venv` with a venv whose stamp matches installs nothing, from any directory."""
    script = """
        source "$1/ops/lib.sh"
        place="$2"
        venv_directory() { echo "$place/venv"; }
        python="$(find_python)"
        "$python" -m venv --without-pip "$2/venv"
        echo "$(cat requirements.txt | cksum) $("$python" -c 'import sys; print(*sys.version_info[:2])')" \\
            >"$2/venv/.locked-requirements.txt"
        ensure_venv requirements.txt
        command -v python; pwd
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "bash", ROOT, tmp_path],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{tmp_path}/venv/bin/python", str(ROOT)]
    assert "installing" not in done.stderr
