"""Once per slot, however many workers there are, and again only after a kill."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from service.core.clock import ManualClock
from service.core.ids import uuid7
from service.infra import failpoints, jobs
from service.infra.db import Database
from service.infra.jobs import Slot
from service.infra.leases import Held

ONE = UUID(int=1)


async def test_twenty_workers_run_each_of_ten_slots_once(worker_database: Database, clock: ManualClock) -> None:
    ran: list[Slot] = []

    async def worker(slot: Slot) -> None:
        async def work(_held: Held) -> str:
            ran.append(slot)
            return "done"

        await jobs.run_once(worker_database.transaction, slot, uuid7(), work)

    slots = [Slot("night", clock.now() + timedelta(days=day)) for day in range(10)]
    for slot in slots:
        await asyncio.gather(*(worker(slot) for _ in range(20)))
    assert ran == slots


async def test_the_record_says_who_and_how_it_ended(worker_database: Database, clock: ManualClock) -> None:
    slot = Slot("night", clock.now())

    async def work(_held: Held) -> str:
        return "3 breaks"

    assert await jobs.run_once(worker_database.transaction, slot, ONE, work) == "3 breaks"
    assert await jobs.run_once(worker_database.transaction, slot, ONE, work) is None
    async with worker_database.transaction() as connection:
        run = await jobs.find(connection, slot)
        assert await jobs.find(connection, Slot("day", slot.at)) is None
    assert run is not None
    assert (run.holder, run.outcome, run.finished_at is not None) == (ONE, "3 breaks", True)


@pytest.mark.parametrize("place", ["jobs.claimed", "jobs.done"])
async def test_a_run_cut_short_is_begun_again_by_the_next(worker_database: Database, clock: ManualClock, place: str) -> None:
    slot, runs = Slot("night", clock.now()), []

    async def work(_held: Held) -> str:
        runs.append(slot)
        return "done"

    def dies() -> None:
        raise failpoints.FailpointError(place)

    failpoints.arm(place, dies)
    try:
        with pytest.raises(failpoints.FailpointError):
            await jobs.run_once(worker_database.transaction, slot, ONE, work)
    finally:
        failpoints.disarm()
    assert await jobs.run_once(worker_database.transaction, slot, uuid7(), work) == "done"
    assert await jobs.run_once(worker_database.transaction, slot, uuid7(), work) is None
    assert len(runs) == (1 if place == "jobs.claimed" else 2)


async def test_work_that_raises_leaves_its_slot_open(worker_database: Database, clock: ManualClock) -> None:
    slot = Slot("night", clock.now())

    async def fails(_held: Held) -> str:
        raise ValueError("broker did not answer")

    with pytest.raises(ValueError, match="broker"):
        await jobs.run_once(worker_database.transaction, slot, ONE, fails)
    async with worker_database.transaction() as connection:
        run = await jobs.find(connection, slot)
    assert run is not None
    assert run.finished_at is None


async def test_who_was_overtaken_does_not_write_the_end(worker_database: Database, clock: ManualClock) -> None:
    slot = Slot("night", clock.now())
    async with worker_database.transaction() as connection:
        assert await jobs.claim(connection, slot, ONE)
        assert not await jobs.claim(connection, slot, ONE)
        assert await jobs.take_over(connection, slot, UUID(int=2))
        assert not await jobs.finish(connection, slot, ONE, "late")
        assert await jobs.finish(connection, slot, UUID(int=2), "done")
        assert not await jobs.take_over(connection, slot, ONE)


def test_a_failpoint_nobody_knows_cannot_be_armed() -> None:
    with pytest.raises(KeyError):
        failpoints.arm("orders.sumbit", lambda: None)
