"""The front door: a whole trading day, played by the program a stranger would start."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST_S = 280


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def play(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    names = ("ILIM_PORT", "ILIM_SANDBOX_PORT", "ILIM_WORKER_PORT")
    ports = dict(zip(names, map(str, free_ports(3)), strict=True))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")}
    environ |= ports | {"ILIM_DATA_DIR": str(directory)}
    return subprocess.run(
        [sys.executable, "-m", "ops.day", "--exit", *words],
        cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip


def test_a_day_is_played_twice_and_both_times_our_books_are_the_exchanges() -> None:
    with tempfile.TemporaryDirectory(prefix="ilim-day-", dir="/tmp") as place:
        Path(place).chmod(0o711)  # an unprivileged user of the embedded PostgreSQL must be able to enter
        first, second = play(Path(place)), play(Path(place), "--seed", "11")
    for day, done in (("2026-11-23", first), ("2026-11-24", second)):
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"playing {day}" in done.stdout
        assert "no difference" in done.stdout
        counted = dict(re.findall(r"│ (orders|fills|holdings|cash) +│ (\d+) +│ 0 ", done.stdout))
        assert int(counted["orders"]) >= 40
        assert int(counted["fills"]) >= 20
        assert int(counted["cash"]) >= 36
        assert re.search(r"fault: answer_lost_after +│ 3 ", done.stdout)
        assert re.search(r"fault: answer_lost_before +│ 2 ", done.stdout)
        assert re.search(r"requests that were in doubt +│ 5 ", done.stdout)
        settled = dict(re.findall(r"settled by: (\w+) +│ (\d+) ", done.stdout))
        assert (settled.pop("person"), settled.keys() - {"push", "resend", "inquiry"}) == ("2", set())
        assert re.search(r"refused by us: twin-in-doubt +│ 2 ", done.stdout)
        assert re.search(r"stream disconnects +│ [2-9]", done.stdout)
