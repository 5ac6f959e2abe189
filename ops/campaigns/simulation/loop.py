"""An event loop without a world: time is a number, the next task is drawn by a seed, and a process can be killed.

There is no input and no output here: nothing is waited for but other tasks and timers. When nothing is ready, time jumps to
the next timer. Which of the ready callbacks runs next is drawn, one at a time, so that a seed is one interleaving of
everything that goes on. A callback belongs to the process whose context it was made in; those of a killed process are
dropped unrun, as a SIGKILL drops them: no `finally`, no `except`.
"""

import asyncio
import contextvars
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

TAIL = 400


@dataclass(eq=False)
class Process:
    """Something that can be killed. `name` tells incarnations apart: "worker-1.3"."""

    name: str
    alive: bool = True
    context: contextvars.Context = field(default_factory=contextvars.Context)

    def __post_init__(self) -> None:
        self.context.run(PROCESS.set, self)


PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("simulated_process")


class Trace:
    """What happened, in order: hashed whole, the tail kept to be read."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.lines = 0

    def add(self, line: str) -> None:
        self._hash.update(line.encode() + b"\n")
        self.tail.append(line)
        self.lines += 1

    def digest(self) -> str:
        return self._hash.hexdigest()


class Stuck(Exception):
    """Nothing is ready and no timer is set: somebody waits for what can never come."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """One seed's interleaving. `after_step` is called after every callback, with nothing half-way through a transaction."""

    def __init__(self, chance: random.Random, trace: Trace) -> None:
        super().__init__()
        self.chance = chance
        self.trace = trace
        self.after_step: Callable[[], None] = lambda: None
        self.steps = 0
        self.dropped: list[Any] = []  # of killed processes: collecting them would run their `finally`
        self._time = 1000.0
        self._numbers = 0
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, _what: None)  # of killed processes; a worker that ends is seen by its house

    def time(self) -> float:
        return self._time

    def spawn(self, process: Process, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task of `process`, and so of everything it starts."""
        return self.create_task(work, context=process.context.copy())

    # --- what asyncio asks of a loop

    def _make_task(self, _loop: asyncio.AbstractEventLoop, work: Any, **given: Any) -> "asyncio.Task[Any]":
        self._numbers += 1
        task = asyncio.Task(work, loop=self, name=f"{getattr(work, '__qualname__', '?')}#{self._numbers}", **given)
        task._log_destroy_pending = False  # type: ignore[attr-defined] # a killed process leaves them
        return task

    def _run_once(self) -> None:
        self._wake_timers()
        handle = self._draw()
        if handle is None:
            return
        self.steps += 1
        self.trace.add(f"{self._time:.4f} {_owner(handle)} {_name(handle)}")
        handle._run()
        self.after_step()

    def _draw(self) -> Any:
        ready = self._ready  # type: ignore[attr-defined]
        index = self.chance.randrange(len(ready)) if len(ready) > 1 else 0
        handle = ready[index]
        del ready[index]
        if handle._cancelled:
            return None
        process = handle._context.get(PROCESS, None)
        if process is not None and not process.alive:
            self.dropped.append(handle)
            return None
        return handle

    def _wake_timers(self) -> None:
        import heapq

        timers, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise Stuck
            self._time = max(self._time, timers[0]._when)
        while timers and timers[0]._when <= self._time:
            handle = heapq.heappop(timers)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)

    def _process_events(self, event_list: Any) -> None:
        """There is nothing to read."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def run_in_executor(self, _executor: Any, func: Any, *_given: Any) -> Any:
        """A thread would end when it likes, and the day would differ from play to play."""
        raise AssertionError(f"a simulated process used a thread: {func!r}")


def _owner(handle: Any) -> str:
    process = handle._context.get(PROCESS, None)
    return process.name if process is not None else "-"


def _name(handle: Any) -> str:
    callback = handle._callback
    subject = getattr(callback, "__self__", None)
    if isinstance(subject, asyncio.Task):
        return subject.get_name()
    return getattr(callback, "__qualname__", type(callback).__name__)


class RealLoop:
    """A second, real loop in the same thread that runs one piece of work to its end while the simulated one stands still."""

    def __init__(self) -> None:
        self._loop = asyncio.SelectorEventLoop()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        outer = events._get_running_loop()
        events._set_running_loop(self._loop)
        try:
            task = self._loop.create_task(work)
            while not task.done():
                self._loop._run_once()  # type: ignore[attr-defined]
            return task.result()
        finally:
            events._set_running_loop(outer)

    def close(self) -> None:
        self._loop.close()
