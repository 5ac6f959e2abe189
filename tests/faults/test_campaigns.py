"""The campaigns of `ops/soak`, in small: real processes, a real database, the sandbox as the broker that counts."""

from pathlib import Path
from typing import Any

from ops.campaigns import kills, naive, stops, twins
from ops.campaigns.nursery import nursery
from service.core.clock import monotonic
from service.infra import failpoints
from service.infra.postgres import EmbeddedPostgres
from tests.faults.conftest import Note

PATIENCE_S = 240.0  # a machine that is busy with something else gets fewer trials, never none
STOPS, KEYS = 20, 50


async def test_p01_p02_what_was_acknowledged_outlives_a_power_cut(server: EmbeddedPostgres, note: Note) -> None:
    found = stops.Stops()
    async with nursery() as born_by:
        await stops.episode(server, born_by, found, seed=1, goal=STOPS, until_s=monotonic() + PATIENCE_S)
    note(found.figures())
    assert dict(found.found) == {}, found.examples
    assert found.commits > 0


async def test_p01_one_key_64_times_at_once_makes_one_order(server: EmbeddedPostgres, note: Note) -> None:
    state: dict[str, Any] = {}
    async with nursery() as born_by:
        await twins.episode(server, born_by, state, seed=1, goal=KEYS, until_s=monotonic() + PATIENCE_S)
    note(twins.figures(state))
    assert state["wrong"] == []
    assert state["keys"] > 0


def test_every_failpoint_is_visited_but_those_of_the_daily_jobs() -> None:
    visited = {place for places in kills.PLACES.values() for place in places}
    assert visited == {name for name in failpoints.NAMES if not name.startswith("jobs.")}  # those: tests/infra/test_jobs.py
    assert set(naive.PLACES["worker"]) <= visited


def test_the_naive_patch_still_applies(tmp_path: Path) -> None:
    naive.patched_copy(tmp_path)
    assert (tmp_path / "service/orders/dispatch.py").read_text() != (naive.ROOT / "service/orders/dispatch.py").read_text()


def test_the_same_harness_sees_a_naive_service_send_twice(note: Note) -> None:
    found = naive.trial(1, 12, 60.0)
    note(naive.figures(dict(found)))
    assert found["kills"] > 0
    assert found["twice"] >= naive.LEAST * found["kills"], found
