"""The routine round: a fill nobody told us of is found, and the day's calls last."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.console.status import named, status
from service.core.clock import KST, ManualClock
from service.executions.rounds import TARGET, Rounds, interval
from service.executions.sweep import Sweeper
from service.gateway import CallClass, Complete, ExecutionRow, Incomplete, Inquiry, OrderRow
from service.infra.db import Books, Database
from service.koscom.budget import LIMITS, MemoryBudget, ServiceName
from service.koscom.calls import Purse
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.executions.test_order_trouble import acknowledged, row
from tests.makers import FakeGateway, fetch, make_world

A_MINUTE = timedelta(seconds=60)


class Inquired(FakeGateway):
    """Shows these rows whenever it is asked; what stands in `first` it answers before."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[OrderRow] = ()
        self.first: list[Inquiry[OrderRow]] = []
        self.asked: list[tuple[datetime, CallClass]] = []
        self.clock: ManualClock | None = None

    async def orders(self, _broker: str, _account: Any, _day: date, call_class: CallClass) -> Inquiry[OrderRow]:
        assert self.clock is not None
        self.asked.append((self.clock.now(), call_class))
        page = f"page {len(self.asked)}".encode()
        return self.first.pop(0) if self.first else Complete(tuple(self.rows), (page,), self.clock.now())


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    made = Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser))
    gateway: Any = Inquired()
    gateway.clock = clock
    made.gateway, made.applier = gateway, replace(made.applier, gateway=gateway)
    made.dispatcher = replace(made.dispatcher, gateway=gateway)
    return made


async def plenty() -> int:
    return 37_000


async def swept(life: Life, seconds: int) -> None:
    """So many seconds of market time with a sweep in each."""
    asking = Sweeper(life.applier, plenty)
    for _ in range(seconds):
        await asking.sweep()
        life.clock.advance(timedelta(seconds=1))


async def test_p18_a_fill_lost_on_a_healthy_stream_is_found_within_a_minute_of_market_time(life: Life) -> None:
    await acknowledged(life)
    gateway: Any = life.gateway
    lost_at = life.clock.now()
    gateway.rows = [row(life, executed=4, executions=(ExecutionRow(4, Decimal(70_000), None, lost_at),))]
    asking = Sweeper(life.applier, plenty)
    while not await life.fills():
        await asking.sweep()
        life.clock.advance(timedelta(seconds=1))
        assert life.clock.now() - lost_at <= A_MINUTE
    assert [(one["quantity"], one["source"]) for one in await life.fills()] == [(4, "inquiry")]
    assert [call_class for _, call_class in gateway.asked] == [CallClass.ROUTINE]


async def test_p17_an_incomplete_round_proves_nothing_and_is_made_again_soon(life: Life) -> None:
    await acknowledged(life)
    gateway: Any = life.gateway
    gateway.first = [Incomplete("page-repeated", "2"), Incomplete("timeout", "")]
    gateway.rows = [row(life, executed=4, executions=(ExecutionRow(4, Decimal(70_000), None, None),))]
    await swept(life, 62)
    gaps = [later - earlier for (earlier, _), (later, _) in zip(gateway.asked, gateway.asked[1:], strict=False)]
    assert gaps[:2] == [timedelta(seconds=5)] * 2
    assert len(await life.fills()) == 1


async def test_p21_looks_that_tell_nothing_leave_no_rows(life: Life) -> None:
    await acknowledged(life)
    gateway: Any = life.gateway
    gateway.rows = [row(life)]
    await swept(life, 110)
    assert len(gateway.asked) == 2
    assert await fetch(life.urls.superuser, "select 1 from order_sighting") == []
    assert len(await fetch(life.urls.superuser, "select 1 from audit.record where kind = 'inquiry.orders'")) == 2


async def test_p21_the_round_of_now_is_there_for_people(life: Life) -> None:
    await acknowledged(life)
    await swept(life, 3)
    (shown,) = await fetch(life.urls.superuser, "select * from sweep_round")
    assert (shown["accounts"], shown["every_s"]) == (1, 50)
    assert shown["oldest_at"] == datetime(2026, 11, 23, 10, 0, tzinfo=KST)


async def sweeps_part(life: Life) -> Any:
    async def left() -> dict[str, dict[str, int]]:
        return {}

    async with life.app.transaction(books=Books.ALL) as connection:
        names = await named(connection, life.clock)
        parts = await status(connection, clock=life.clock, brokers=[], budgets=left, licensed=True, names=names)
    return parts["sweeps"]


async def test_p17_looks_that_are_never_complete_are_no_looks_on_the_status_page(life: Life) -> None:
    """It said that all was well while a broker's every answer was incomplete and no lost fill could be found."""
    await acknowledged(life)
    gateway: Any = life.gateway
    began = life.clock.now()
    gateway.first = [Incomplete("another-day", "") for _ in range(100)]
    await swept(life, 100)
    assert (await sweeps_part(life))["ok"]  # one that fails is tried again within the minute
    asking = Sweeper(life.applier, plenty)
    await asking.sweep()
    for _ in range(130):
        life.clock.advance(timedelta(seconds=1))
        await asking.sweep()
    part = await sweeps_part(life)
    assert (part["ok"], part["every_seconds"]) == (False, 50)
    assert datetime.fromisoformat(part["oldest_at"]) == began + timedelta(seconds=100)
    assert "sweep.incomplete" in part["what_now"]
    gateway.first, gateway.rows = [], [row(life)]
    life.clock.advance(timedelta(seconds=6))
    await asking.sweep()
    await asking.sweep()  # what this one is like the next one notes
    assert (await sweeps_part(life))["ok"]


DAY = timedelta(hours=11)
ROUNDS = {  # accounts, calls left, time left: market seconds between two looks
    "a-few": (1, 37_000, DAY, 50),
    "as-many-as-the-share-carries": (40, 37_000, DAY, 50),
    "more-than-it-carries": (200, 37_000, DAY, 215),
    "much-spent-early": (40, 4_000, DAY, 396),
    "nothing-left": (40, 0, DAY, 3600),
    "at-the-end-of-the-day": (40, 40, timedelta(seconds=30), 50),
}


@pytest.mark.parametrize("name", list(ROUNDS))
def test_p21_rounds_become_longer_where_the_calls_would_not_last(name: str) -> None:
    accounts, left, time_left, seconds = ROUNDS[name]
    assert interval(accounts, left, time_left) == timedelta(seconds=seconds)


def test_p18_who_waits_longest_is_asked_first() -> None:
    rounds, day = Rounds(), date(2026, 11, 23)
    places = [(UUID(int=n), day) for n in range(3)]
    now = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
    assert rounds.take(places, now, TARGET) == []
    rounds.done(places[0], now + timedelta(seconds=10))
    rounds.failed(places[2], now - timedelta(seconds=20))
    assert rounds.take(places, now + TARGET + timedelta(seconds=10), TARGET) == [places[2], places[1], places[0]]


@pytest.mark.parametrize("accounts", [40, 400, 2_000])
async def test_p21_on_the_worst_day_the_cancellations_share_is_whole_at_the_close(accounts: int) -> None:
    """Market from 09:00 to 20:00 in steps of a second: rounds of three pages an account, a storm of requests in doubt, the
    night job's inquiries asked too early, orders as fast as they can be. Then cancellations."""
    clock = ManualClock(datetime(2026, 11, 23, 9, 0, tzinfo=KST))
    purse, close = Purse(MemoryBudget(), dict(LIMITS), clock), datetime(2026, 11, 23, 20, 0, tzinfo=KST)
    looked = clock.now()
    while clock.now() < close:
        left = await purse.left(ServiceName.INQUIRIES, CallClass.ROUTINE)
        if clock.now() - looked >= interval(accounts, left, close - clock.now()):
            looked = clock.now()
            await _spend(purse, ServiceName.INQUIRIES, CallClass.ROUTINE, min(3 * accounts, left))
        await _spend(purse, ServiceName.INQUIRIES, CallClass.RESOLVE, 1)
        await _spend(purse, ServiceName.INQUIRIES, CallClass.NIGHT, 1)
        await _spend(purse, ServiceName.ORDERS, CallClass.ORDER, 2)
        clock.advance(timedelta(seconds=1))
    for service, limit in LIMITS.items():
        reserve = limit.reserves.get(CallClass.CANCEL, 0)
        assert await purse.left(service, CallClass.CANCEL) >= reserve
        assert await _spend(purse, service, CallClass.CANCEL, reserve) == reserve


async def _spend(purse: Purse, service: ServiceName, call_class: CallClass, calls: int) -> int:
    return sum([await purse.refuses(service, call_class) is None for _ in range(calls)])
