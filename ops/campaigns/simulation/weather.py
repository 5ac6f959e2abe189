"""What goes wrong, drawn from the seed: how often each thing does, and how often each thing did."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.campaigns.simulation.loop import Process, SimulatedLoop
from service.sandbox import poison

EPOCH = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)  # real time when the loop's clock says 0

RATES = {
    # at the database, of each transaction
    "database_away": 0.004,
    "commit_lost_before": 0.006,
    "commit_lost_after": 0.008,
    "killed_before_commit": 0.0015,
    "killed_after_commit": 0.003,
    # in a process, of each transaction
    "task_pauses": 0.02,
    "task_freezes": 0.003,
    # on the way to the platform, of each call
    "connection_refused": 0.03,
    "request_slow": 0.04,
    "request_lost": 0.02,
    "answer_slow": 0.04,
    "answer_lost": 0.04,
    "answer_cut": 0.02,
    "connection_reset_late": 0.02,
    # between our processes, of each notification
    "bell_lost": 0.1,
    # of each step
    "killed": 0.0006,
    # of each answer given to a client
    "reply_lost": 0.06,
}
SANDBOX_RATES = {
    # of each call
    "request_reset": 0.01,
    "answer_lost_before": 0.015,
    "answer_lost_after": 0.025,
    "answer_torn": 0.01,
    "answer_foreign": 0.01,
    "answer_delayed": {"rate": 0.02, "seconds": 4},
    "request_delayed": {"rate": 0.01, "seconds": 11},
    "unknown_code": 0.01,
    "unknown_code_after": 0.01,
    "error_inside_after": 0.01,
    "html_after": 0.01,
    "html": 0.005,
    "error": {"rate": 0.005, "code": "9999"},
    "error_after": {"rate": 0.005, "code": "9999"},
    "error_inside": 0.005,
    "redirect_after": 0.005,
    # of each report
    "report_lost": 0.02,
    "report_held": {"rate": 0.02, "seconds": 20},
    "stream_drop": 0.02,
    "stream_duplicate": 0.05,
    "stream_reorder": 0.05,
    "stream_gap": 0.02,
    "stream_gap_lost": 0.005,
    "stream_half_open": 0.005,
    # of each inquiry
    "inquiry_lag": 0.05,
    "inquiry_yesterday": 0.03,
    "inquiry_empty": 0.03,
    "inquiry_page_missing": 0.03,
    "inquiry_rows_missing": 0.03,
    "inquiry_page_repeated": 0.01,
    "inquiry_shrunk": 0.03,
    "inquiry_totals_short": 0.03,
    "inquiry_fills_missing": 0.03,
    # of each beat of the market
    "bust": 0.1,
    "correction": 0.1,
    "late_reject": 0.06,
    "restatement": 0.1,
    "client_order": 0.02,
    "client_cancel": 0.01,
    "mass_cancel": 0.005,
}

SPOILT = sorted(poison.KINDS.keys() - {"huge"})  # ten megabytes a frame are for the tests of the reader
DRIFTS = ("drift_renamed", "drift_missing", "drift_retyped", "drift_page", "drift_side", "drift_report")


def of_the_day(seed: int) -> dict[str, Any]:
    """What the platform does wrong on a day: spoilt frames in one way, for some for good, and on some days one drift."""
    rates: dict[str, Any] = {"stream_poison": {"rate": 0.03, "what": SPOILT[seed % len(SPOILT)], "lasting": seed % 3 == 0}}
    if seed % 5 == 0:
        rates[DRIFTS[seed // 5 % len(DRIFTS)]] = 0.05
    return SANDBOX_RATES | rates


class Weather:
    """One seed's. While `calm` nothing goes wrong."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.chance = random.Random(f"{seed}:weather")
        self.loop = loop
        self.calm = True
        self.fired: Counter[str] = Counter()
        self.kill: Callable[[Process], None] = lambda _process: None
        self.writes = 0
        self.committed: Callable[[], None] = lambda: None
        scale = self.chance.choice((0.3, 1.0, 1.0, 2.0))  # quiet days and wild ones
        self.rates = {name: rate * scale * self.chance.choice((0.0, 1.0, 1.0, 2.0)) for name, rate in RATES.items()}

    def strikes(self, name: str) -> bool:
        if self.calm or self.chance.random() >= self.rates[name]:
            return False
        self.fired[name] += 1
        self.loop.trace.add(f"  weather: {name}")
        return True

    def pause(self, _process: Process) -> float:
        """Seconds a task is held up before its transaction."""
        if self.strikes("task_freezes"):
            return self.chance.uniform(3.0, 9.0)
        return self.chance.uniform(0.0, 0.2) if self.strikes("task_pauses") else 0.0

    def commit(self, process: Process) -> str:
        for name in ("before", "after"):
            if self.strikes(f"commit_lost_{name}"):
                return name
            if process.name != "house" and self.strikes(f"killed_{name}_commit"):
                self.kill(process)
                return name
        return ""

    def between(self, low: float, high: float) -> float:
        return self.chance.uniform(low, high)

    def real_now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    def real_text(self) -> str:
        return self.real_now().isoformat()
