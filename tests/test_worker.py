"""The worker's loops: nothing that ends them goes unheard."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from service.audit.evidence import Vault
from service.core.clock import ManualClock
from service.gateway import AccountRow, CallClass, Inquiry
from service.infra.db import Database
from service.worker import DAILY, _until_lost
from tests.accounts.platform import Platform, complete
from tests.conftest import DatabaseUrls
from tests.makers import BROKER, TODAY, make_world


async def test_what_work_under_a_lease_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("the sweep broke")

    with pytest.raises(ValueError, match="the sweep broke"):
        await _until_lost(work(), asyncio.Event())


async def test_work_stops_when_its_lease_is_lost() -> None:
    lost, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asyncio.get_running_loop().call_soon(lost.set)
    async with asyncio.timeout(5):
        await _until_lost(work(), lost)
    assert ended.is_set()


class Listening(Platform):
    """Also remembers whose lists were asked for."""

    async def accounts(self, broker: str, call_class: CallClass) -> Inquiry[AccountRow]:
        self.asked.append(broker)
        return await super().accounts(broker, call_class)


@pytest.mark.parametrize("name", ["accounts", "openings"])
async def test_without_a_licence_no_job_asks_about_clients_accounts(
    worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock, name: str
) -> None:
    """As the call that does the same: it is refused. The next slot asks again."""
    await make_world(database_urls.superuser, opened_on=TODAY - timedelta(days=7))
    platform = Listening(account_lists={BROKER: complete()}, balances={"1234567890": complete(), "9876543210": complete()})
    licensed = False
    wiring: Any = SimpleNamespace(
        transaction=worker_database.transaction, clock=clock, gateway=platform, vault=Vault(bytes(32)), brokers=(BROKER,),
        settings=SimpleNamespace(licence_valid=lambda _day: licensed),
    )  # fmt: skip
    job = next(one for one in DAILY if one.name == name)
    assert (await job.work(wiring), platform.asked) == ("incomplete", [])
    licensed = True
    await job.work(wiring)
    assert platform.asked
