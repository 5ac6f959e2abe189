"""A process may be said to be gone only when it is."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from service.infra.processes import identity, is_gone

ASK = "from service.infra.processes import identity; print(identity(), flush=True); input()"


def test_somebody_who_lives_is_not_gone_and_somebody_killed_is() -> None:
    with subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        who = other.stdout.readline().strip()
        assert not is_gone(who)
        other.send_signal(signal.SIGSTOP)  # paused is not dead: it may wake up and go on
        assert not is_gone(who)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
        assert is_gone(who)
    assert is_gone(who)


def test_we_are_not_gone() -> None:
    assert not is_gone(identity())


def test_a_pid_given_to_somebody_else_since_is_gone() -> None:
    host, world, pid, started = identity().split("/")
    assert is_gone("/".join((host, world, pid, str(int(started) - 1))))


@pytest.mark.parametrize(
    "who",
    [
        "",
        "bench",
        f"{socket.gethostname()}:99999999",
        "/".join(("elsewhere", identity().split("/")[1], "99999999", "1")),
        "/".join((socket.gethostname(), "another-world", "99999999", "1")),
        "/".join((socket.gethostname(), "", "99999999", "1")),
        "/".join((socket.gethostname(), identity().split("/")[1], "", "1")),
        "/".join((socket.gethostname(), identity().split("/")[1], "99999999", "")),
    ],
    ids=["nothing", "a word", "an older form", "elsewhere", "another world", "no world", "no pid", "no start"],
)
def test_of_whom_we_cannot_see_we_say_nothing(who: str) -> None:
    assert not is_gone(who)
