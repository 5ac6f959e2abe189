"""The house on one machine: what ends is started again, as whatever looks after processes in production would."""

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime, time
from pathlib import Path

import httpx
import pytest

from ops.campaigns.ground import free_ports
from service.controls.fence import fence_at
from service.core.clock import KST
from service.infra.roles import APP
from service.settings import load
from service.up import House, house, market_time, stay
from service.up.day import trading_day_after
from tests.waiting import until


@pytest.fixture
async def built() -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="ilim-stay-", dir="/tmp") as place:
        Path(place).chmod(0o711)  # noqa: ASYNC240 - an unprivileged user of the embedded PostgreSQL must be able to enter
        ports = dict(zip(("ILIM_PORT", "ILIM_SANDBOX_PORT", "ILIM_WORKER_PORT"), map(str, free_ports(3)), strict=True))
        own = ports | {"ILIM_DATA_DIR": place}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")} | own
        async with house(load(own), environ) as one:
            yield one


async def test_a_fenced_worker_and_a_killed_api_are_started_again_while_the_night_passes(built: House) -> None:
    told: list[str] = []
    stop = asyncio.Event()
    before = {name: one.pid for name, one in built.processes.items()}
    tomorrow = await trading_day_after(built, built.business_date)
    async with httpx.AsyncClient(base_url=built.sandbox_url, trust_env=False, timeout=60) as sandbox:

        async def reached(hour: int) -> bool:
            return await market_time(sandbox) >= datetime.combine(tomorrow, time(hour), KST)

        await sandbox.post("/_sandbox/clock", json={"now": f"{built.business_date}T15:20:00+09:00", "rate": 1})
        staying = asyncio.create_task(stay(built, stop, told.append))
        await until(lambda: reached(8), seconds=60)  # the readings of the morning begin
        await fence_at(built.database_urls[APP].reveal())
        built.processes["serve"].send_signal(signal.SIGKILL)

        async def both_again() -> bool:
            return len(told) >= len(("serve", "worker")) and await built.ready()

        await until(both_again, seconds=60)
        await until(lambda: reached(10), seconds=60)
    after = {name: one.pid for name, one in built.processes.items()}
    stop.set()
    assert await staying is None
    assert (after["serve"] != before["serve"], after["worker"] != before["worker"]) == (True, True)
    assert after["sandbox"] == before["sandbox"]
    # A supervisor that starts again only what failed must see that a fenced worker did not end because it was asked to.
    assert sorted(re.sub(r"; .*", "", one) for one in told) == [
        "serve ended with status -9 and is started again",
        "worker ended with status 1 and is started again",
    ]


async def test_a_killed_database_is_started_again(built: House) -> None:
    told: list[str] = []
    stop = asyncio.Event()
    staying = asyncio.create_task(stay(built, stop, told.append))
    assert built.server is not None
    os.kill(int((built.server.place / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    async def again() -> bool:
        return bool(told) and await built.ready()

    await until(again, seconds=60)
    stop.set()
    assert await staying is None
    assert [re.sub(r";.*", "", one) for one in told] == ["PostgreSQL ended and is started again"]
