"""Named places where a fault test may kill the process, raise, or step in. No-ops unless armed.

`ILIM_FAILPOINTS="orders.dispatch.before_send=kill,…"` with `kill` or `raise`; in process `arm(name, callback)`.
Every name stands in NAMES and in exactly one `fp("…")`; a test sees to it.
"""

import os
import signal
from collections.abc import Callable

NAMES: dict[str, str] = {  # name: what has just happened there
    "jobs.claimed": "the claim row of a job's slot is committed, nothing of the job has run",
    "submit.before_commit": "an order is written, not committed",
    "submit.after_commit": "an order is committed, its answer is not given",
    "change.before_commit": "an amendment or a cancellation is written, not committed",
    "change.after_commit": "an amendment or a cancellation is committed, its answer is not given",
    "refusal.before_commit": "the last look before sending refused, not committed",
    "claim.before_commit": "an attempt is written, not committed",
    "send.before": "an attempt is committed, no byte has left",
    "send.counted": "a call is counted against the day's budget, not made",
    "send.half": "half of a request's body has left (the other half follows at once, unless this place is armed)",
    "send.after": "the call has ended, its outcome is not written",
    "record.begun": "an answer is about to be written, its transaction is open",
    "record.before_commit": "an outcome is written, not committed",
    "record.after_commit": "an outcome is committed, nobody was told",
    "orphan.before_commit": "an attempt is given up, not committed",
    "inbox.before_commit": "a message is stored, not committed, so not acknowledged",
    "inbox.after_commit": "a message is committed, not acknowledged",
    "apply.before_commit": "reports are applied, not committed",
    "apply.after_commit": "reports are applied and committed, nobody was told",
    "inquiry.answered": "a complete inquiry is here, nothing of it is stored",
    "inquiry.stored": "an inquiry's pages are committed, nothing is applied",
    "sighting.before_commit": "an inquiry's rows are applied to an order, not committed",
    "feed.before_commit": "events are numbered, not committed",
    "jobs.done": "the job has run, its claim row does not say so yet",
}


class FailpointError(Exception):
    """Raised by a place armed with `raise`."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raising(name: str) -> Callable[[], None]:
    def fail() -> None:
        raise FailpointError(name)

    return fail


def _parsed(text: str) -> dict[str, Callable[[], None]]:
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name: _kill if action == "kill" else _raising(name) for name, _, action in pairs}


_armed: dict[str, Callable[[], None]] = _parsed(os.environ.get("ILIM_FAILPOINTS", ""))


def fp(name: str) -> None:
    if _armed and (action := _armed.get(name)) is not None:
        action()


def armed(name: str) -> bool:
    """Whether anything would happen there: a place may have to be made first."""
    return name in _armed


def arm(name: str, action: Callable[[], None]) -> None:
    """Have `action` run at that place. Raises KeyError for a name nobody knows."""
    NAMES[name]
    _armed[name] = action


def disarm() -> None:
    _armed.clear()
