"""The worker's loops: nothing that ends them goes unheard."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from service.accounts.take_opening import take_opening
from service.audit.evidence import Vault
from service.console.status import _jobs
from service.controls.store import gate
from service.core import clock as clocks
from service.core.clock import KST, ManualClock
from service.core.errors import Unavailable
from service.core.secret import AccountNumber
from service.executions.inbox import Inbox
from service.gateway import AccountRow, BalanceRow, BrokerProfile, CallClass, Inquiry, ListedInstrument, RawReport
from service.infra import leases
from service.infra.db import Books, Database
from service.koscom.stomp import Frame, encode
from service.market.book import MarketBook
from service.worker import DAILY, Worker, _until_lost
from tests.accounts.platform import Platform, balance, cash_row, complete, incomplete
from tests.conftest import DatabaseUrls
from tests.koscom.makers import config
from tests.makers import BROKER, PROFILE, TODAY, fetch, make_world

NEXT_MORNING = datetime(2026, 11, 24, 7, 0, tzinfo=KST)


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


class Brokers(Listening):
    """What a worker asks of its gateway when it is made, besides; lists of instruments may be `slow`."""

    def __init__(self) -> None:
        super().__init__(account_lists={BROKER: incomplete("timeout")})
        self.slow, self.listing = asyncio.Event(), asyncio.Event()
        self.slow.set()
        self.broken = False

    async def instruments(self, market: str) -> Inquiry[ListedInstrument]:
        self.listing.set()
        await self.slow.wait()
        if self.broken:
            raise ValueError("whatever it is, the job ends with an error")
        return await super().instruments(market)

    def brokers(self) -> list[BrokerProfile]:
        return [PROFILE]

    async def calls_left(self, _service: object, _class: CallClass) -> int:
        return 1000

    def profile(self, _broker: str) -> BrokerProfile:
        return PROFILE

    async def balance(self, _broker: str, account: AccountNumber, _class: CallClass) -> Inquiry[BalanceRow]:
        return complete(balance(account.reveal(), (cash_row(1_000, 2),)), asked_at=NEXT_MORNING)


@pytest.fixture
def platform() -> Brokers:
    return Brokers()


@pytest.fixture
def worker(worker_database: Database, platform: Brokers) -> Worker:
    wiring: Any = SimpleNamespace(
        transaction=worker_database.transaction, hot=worker_database.hot, gateway=platform, vault=Vault(bytes(32)),
        clock=ManualClock(NEXT_MORNING), market=MarketBook(worker_database.transaction, fresh_s=0), brokers=(BROKER,),
        notifier=SimpleNamespace(poke=lambda _channel: None), koscom=config(), listener=NoBell(),
        settings=SimpleNamespace(licence_valid=lambda _day: True),
    )  # fmt: skip
    return Worker(wiring)


async def in_turn(worker: Worker) -> None:
    for row in DAILY:
        await worker._tick(row)


@pytest.mark.parametrize("known", [True, False])
async def test_row_17_masters_that_take_all_morning_keep_no_account_closed(
    database_urls: DatabaseUrls, worker: Worker, platform: Brokers, known: bool
) -> None:
    """Balances are served until 08:30 only; the job before the openings read thousands of masters from a slow platform. On the
    first day of all the openings wait for them: without a master nobody knows what is held."""
    await make_world(database_urls.superuser, opened_on=TODAY)
    if not known:
        for table in ("instrument_day", "instrument"):
            await fetch(database_urls.superuser, f"delete from {table}")
    worker.wiring.clock.advance(timedelta(minutes=80))  # type: ignore[attr-defined]
    platform.slow = asyncio.Event()
    masters, openings = (asyncio.create_task(worker._tick(row)) for row in DAILY)
    async with asyncio.timeout(10):
        await platform.listing.wait()
        await openings
        assert await opened_on(database_urls) == {NEXT_MORNING.date() if known else TODAY}
        platform.slow.set()
        await masters
    await in_turn(worker)
    assert await opened_on(database_urls) == {NEXT_MORNING.date()}


async def test_row_19_nor_does_a_call_to_a_server_whose_clock_is_wrong(
    database_urls: DatabaseUrls, worker: Worker, database: Database
) -> None:
    """An opening cannot be taken back: today's orders would be refused until the night."""
    await make_world(database_urls.superuser, opened_on=TODAY)
    w = worker.wiring
    clocks.stand_in(wall=lambda: datetime.now(UTC) + timedelta(hours=22))
    try:
        with pytest.raises(Unavailable) as refused:
            await take_opening(transaction=database.transaction, clock=w.clock, gateway=w.gateway, vault=w.vault)
    finally:
        clocks.stand_in()
    assert (refused.value.slug, await opened_on(database_urls)) == ("clock-wrong", {TODAY})


@dataclass
class Part:
    """The jobs on the status page at a moment."""

    database: Database

    async def at(self, moment: datetime) -> str:
        """What a person is told to do; nothing when all is well."""
        async with self.database.transaction(books=Books.ALL) as connection:
            return str((await _jobs(connection, moment)).get("what_now", ""))


@pytest.fixture
def page(database: Database) -> Part:
    return Part(database)


async def test_row_17_a_morning_nobody_read_is_told_and_no_week_end(page: Part, worker: Worker) -> None:
    """The page was silent about a trading day on which no job had begun: it showed the one before."""
    assert await page.at(NEXT_MORNING.replace(hour=6, minute=44)) == ""
    assert "Not begun today: instruments" in await page.at(NEXT_MORNING.replace(hour=6, minute=46))
    assert "Not begun today: accounts, instruments, openings" in await page.at(NEXT_MORNING)
    await in_turn(worker)  # the broker's list of accounts breaks off
    assert await page.at(NEXT_MORNING) == "Incomplete: accounts. The next slot tries again."
    assert await page.at(NEXT_MORNING + timedelta(days=4)) == ""  # a Saturday
    assert await page.at(NEXT_MORNING.replace(day=25, hour=1)) == ""
    assert "trading day is not known" in await page.at(NEXT_MORNING.replace(year=2040))


async def test_row_17_a_job_that_fails_again_and_again_is_not_shown_as_running(
    page: Part, worker: Worker, platform: Brokers
) -> None:
    platform.account_lists[BROKER], platform.broken = complete(), True
    await in_turn(worker)
    assert "Failed: instruments;" in await page.at(NEXT_MORNING)
    platform.broken = False
    await in_turn(worker)
    assert await page.at(NEXT_MORNING) == ""


async def opened_on(urls: DatabaseUrls) -> set[date]:
    return {one["opened_on"] for one in await fetch(urls.superuser, "select opened_on from cash")}


@pytest.mark.parametrize("hours", [0, 22])
async def test_row_19_whose_clock_is_wrong_opens_no_other_days_books(
    database_urls: DatabaseUrls, worker: Worker, hours: int
) -> None:
    """22 hours fast it closed the accounts in the middle of the day, and the next morning's jobs had run already."""
    await make_world(database_urls.superuser, opened_on=TODAY)
    clocks.stand_in(wall=lambda: datetime.now(UTC) + timedelta(hours=hours))
    try:
        async with worker.wiring.transaction() as connection:
            worker.fitness.look(await gate(connection, None))
        await in_turn(worker)
    finally:
        clocks.stand_in()
    slots = await fetch(database_urls.superuser, "select job from job_run")
    assert await opened_on(database_urls) == {TODAY if hours else NEXT_MORNING.date()}
    assert bool(slots) is not bool(hours)


class Line:
    """A STOMP server that agrees to everything and tells nothing."""

    def __init__(self, asks: int) -> None:
        self.asked: list[dict[str, Any]] = []
        self.asks, self.all_asked = asks, asyncio.Event()
        self.coming = [encode(Frame("CONNECTED", {"version": "1.2"}))]

    async def send(self, message: bytes | str) -> None:
        text = message if isinstance(message, str) else message.decode()
        if text.startswith("SEND"):
            self.asked.append(json.loads(text.rstrip("\0").partition("\n\n")[2]))
        if len(self.asked) == self.asks:
            self.all_asked.set()

    async def recv(self) -> bytes | str:
        if not self.coming:
            await asyncio.Event().wait()
        return self.coming.pop()


class NoBell:
    @asynccontextmanager
    async def subscribe(self, _channel: str) -> AsyncIterator[Any]:
        async def never(_seconds: float) -> bool:
            return await asyncio.Event().wait()

        yield SimpleNamespace(wait=never)


async def test_p18_who_begins_in_the_morning_asks_for_what_the_evening_told_to_nobody(worker: Worker) -> None:
    """The one before was stopped in the evening: what the stream said after that was never asked for."""
    wiring, line = worker.wiring, Line(asks=3)
    for n in (1, 3):
        await worker_inbox(wiring).store([RawReport("F0001", TODAY, n, f"message {n}".encode())])
    worker.connect = lambda: nullcontext(line)
    async with leases.hold(wiring.transaction, "stream", worker.holder, 60) as held:
        assert held is not None
        reading = asyncio.create_task(worker._read_stream(held))
        try:
            async with asyncio.timeout(5):
                await line.all_asked.wait()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    assert [(one["date"], one["beginSeqNo"], one["endSeqNo"]) for one in line.asked] == [
        ("20261123", 2, 2), ("20261123", 4, 0), ("20261124", 1, 0),
    ]  # fmt: skip


def worker_inbox(wiring: Any) -> Inbox:
    return Inbox(wiring.transaction, wiring.hot, wiring.vault, wiring.clock, "F0001", wiring.notifier.poke)


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
    job = next(one for row in DAILY for one in row if one.name == name)
    assert (await job.work(wiring), platform.asked) == ("incomplete", [])
    licensed = True
    await job.work(wiring)
    assert platform.asked
