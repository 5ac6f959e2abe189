"""Processes of the service, quickly: forked from one that has imported everything, armed to kill themselves.

`python -m ops.campaigns.nursery` reads one JSON line per child from its standard input and answers with one: what it forked
(`born`) and, later, how it ended (`died`, a wait status). It runs no thread and opens no socket before it forks; each child
builds its own loop, pools and connections. When its input ends, it kills what it forked and ends; when it is killed
itself, the kernel kills its children.
"""

import asyncio
import contextlib
import ctypes
import gc
import itertools
import json
import os
import selectors
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
COMMANDS = ("serve", "worker")

# What a process imports on its way up, some of it only when it runs.
WARM = (
    "service.__main__", "service.app", "service.worker", "service.up", "service.infra.local_key", "service.market.seed",
    "service.settlement.seed", "anyio._backends._asyncio", "apscheduler.executors.asyncio", "apscheduler.triggers.interval",
    "encodings.idna", "fastapi.telemetry._runtime", "httpcore", "importlib.resources.readers", "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.protocols.websockets.websockets_sansio_impl",
)  # fmt: skip

Armed = Mapping[str, tuple[signal.Signals, int]]  # by place: which signal, at which visit


# --- the nursery itself -------------------------------------------------------------------------------------------------


def main() -> None:
    """Until standard input ends."""
    warm()
    children: set[int] = set()
    bell, ring = os.pipe()
    for end in (bell, ring):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the harness's to act on
    eyes = selectors.DefaultSelector()
    eyes.register(sys.stdin.buffer, selectors.EVENT_READ)
    eyes.register(bell, selectors.EVENT_READ)
    say({"ready": os.getpid()})
    reader = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
    pending = b""
    while True:
        for key, _ in eyes.select():
            if key.fileobj == bell:
                with contextlib.suppress(BlockingIOError):
                    os.read(bell, 4096)
                bury(children)
                continue
            more = reader.read(65536)
            if not more:
                end_all(children)
                return
            *lines, pending = (pending + more).split(b"\n")
            for line in lines:
                bear(json.loads(line), children)


def warm() -> None:
    """Import all that a child needs, and keep the collector from touching (and so copying) what they share."""
    for name in WARM:
        import_module(name)
    import_module("service.infra.tls").verifying()
    gc.collect()
    gc.freeze()


def bear(order: dict[str, Any], children: set[int]) -> None:
    pid = os.fork()
    if pid == 0:
        live(order)
    children.add(pid)
    say({"born": pid, "ticket": order["ticket"]})


def bury(children: set[int]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            say({"died": pid, "status": os.waitstatus_to_exitcode(status)})


def end_all(children: set[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def say(words: dict[str, Any]) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def live(order: dict[str, Any]) -> NoReturn:
    """In the child: become the process, and never return into the nursery's loop."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        empty = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((empty, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(order["environ"])
        status = become(order["command"], order["armed"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def become(command: str, armed: Mapping[str, list[Any]]) -> int:
    from service import __main__ as ilim
    from service.infra import failpoints

    for place, (number, visit) in armed.items():
        failpoints.arm(place, _signalling(signal.Signals(number), visit))
    {"serve": ilim.serve, "worker": ilim.worker}[command]()
    return 0


def _signalling(number: signal.Signals, visit: int) -> Callable[[], None]:
    """Send ourselves a signal when a place is reached for the n-th time."""
    visits = itertools.count(1)

    def act() -> None:
        if next(visits) == visit:
            os.kill(os.getpid(), number)

    return act


# --- seen from the harness ----------------------------------------------------------------------------------------------


@dataclass
class Child:
    """One forked process. `died` is set once it has been reaped; `status` is minus the signal that ended it."""

    pid: int
    died: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None
    reaper: "asyncio.Task[None] | None" = None  # of one that is no child of the nursery

    @property
    def alive(self) -> bool:
        return not self.died.is_set()

    def signal(self, number: signal.Signals) -> None:
        """To a child that has not been reaped: its pid can be nobody else's."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """The harness's end of the pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._children: dict[int, Child] = {}
        self._born: dict[int, asyncio.Future[Child]] = {}
        self._tickets = 0

    async def fork(self, command: str, environ: Mapping[str, str], log: Path, armed: Armed | None = None) -> Child:
        """A new process running `ilim COMMAND` with this environment, that sends itself a signal at the n-th visit of these
        places."""
        assert command in COMMANDS
        self._tickets += 1
        born: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._born[self._tickets] = born
        order = {
            "ticket": self._tickets, "command": command, "environ": dict(environ), "log": str(log), "armed": dict(armed or {}),
        }  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await born

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._hear(json.loads(line))

    def _hear(self, said: dict[str, Any]) -> None:
        if "born" in said:
            child = self._children[said["born"]] = Child(said["born"])
            self._born.pop(said["ticket"]).set_result(child)
        elif "died" in said:
            child = self._children.pop(said["died"])
            child.status = said["status"]
            child.died.set()


@contextlib.asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """Warmed and listening; whatever it forked is dead at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.campaigns.nursery", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    made = Nursery(process)
    try:
        await process.stdout.readline()
        listening = asyncio.create_task(made._listen())
        yield made
    finally:
        process.stdin.close()
        await process.wait()
        await asyncio.gather(listening, return_exceptions=True)


if __name__ == "__main__":
    main()
