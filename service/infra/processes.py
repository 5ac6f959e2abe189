"""Who this process is, in words that another process of the same machine can check: whether it still lives.

Used where waiting for somebody dead would cost a person time. Wrong in one direction only: `is_gone` says True of a process
that is provably gone, and False of all it cannot see, such as one on another host or in another container.
"""

import os
import socket
from functools import cache
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
DEAD = frozenset("ZXx")  # ended and not yet reaped by its parent: it runs nothing any more
SEPARATOR = "/"


def identity() -> str:
    """`host/world/pid/started` of this process. The world is one boot of one machine and one pid namespace of it."""
    return SEPARATOR.join((socket.gethostname(), _world(), str(os.getpid()), _started(os.getpid()) or ""))


def is_gone(who: str) -> bool:
    """Whether the process with this `identity` has ended. A pid that was given to another process since does not fool it."""
    host, _, rest = who.rpartition(SEPARATOR)[0].partition(SEPARATOR)
    world, _, pid = rest.partition(SEPARATOR)
    started = who.rpartition(SEPARATOR)[2]
    if host != socket.gethostname() or not world or world != _world() or not started or not pid.isdecimal():
        return False
    return _started(int(pid)) != started


@cache
def _world() -> str:
    """Empty where the kernel does not tell: then nobody is ever said to be gone."""
    try:
        return f"{BOOT.read_text().strip()[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a living process began, in ticks since boot; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in DEAD else fields[19]
