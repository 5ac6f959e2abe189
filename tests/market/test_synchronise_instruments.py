"""Reading the market: what is taken over, what is left alone, and who is right about a closing day."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from service.audit.tables import record
from service.core.clock import KST, ManualClock
from service.gateway import Failure, InstrumentMaster, ListedInstrument
from service.infra.db import Database
from service.market import store
from service.market.synchronise_instruments import InstrumentsDiff, synchronise_instruments
from tests.accounts.platform import Platform, complete, incomplete

TODAY = date(2026, 11, 23)
SAMSUNG = InstrumentMaster(
    "KR7005930003", "A005930", "삼성전자", "kospi", "ST", Decimal(70_900), Decimal(92_100), Decimal(49_700),
    False, False, False, "00", False, "0", 1, 5_969_782_550,
)  # fmt: skip
KODEX = replace(SAMSUNG, isin="KR7069500007", short_code="A069500", name="KODEX 200", group="EF")


def listed(*masters: InstrumentMaster) -> list[ListedInstrument]:
    return [ListedInstrument(one.isin, one.short_code, one.name, one.market) for one in masters]


@pytest.fixture
def platform() -> Platform:
    return Platform(
        lists={"kospi": complete(*listed(SAMSUNG, KODEX))},
        masters={"A005930": SAMSUNG, "A069500": KODEX},
        closing_days=complete(date(2026, 12, 25), date(2026, 12, 31)),
    )


async def synchronised(database: Database, clock: ManualClock, platform: Platform) -> InstrumentsDiff:
    return await synchronise_instruments(transaction=database.transaction, clock=clock, gateway=platform)  # type: ignore[arg-type]


async def test_the_master_of_the_day_is_taken_over(database: Database, clock: ManualClock, platform: Platform) -> None:
    diff = await synchronised(database, clock, platform)
    assert (diff.listed, diff.refreshed, diff.failed, diff.closed, diff.disputed) == (2, 2, {}, [], [])
    async with database.transaction() as connection:
        days = await store.instrument_days(connection, [SAMSUNG.isin, KODEX.isin], TODAY)
        found = await store.find_by_short_code(connection, "A005930")
    assert found is not None
    assert (found.isin, found.short_code, found.product) == (SAMSUNG.isin, "005930", "stock")
    assert (days[SAMSUNG.isin].business_date, days[SAMSUNG.isin].upper_limit) == (TODAY, 92_100)
    assert (days[SAMSUNG.isin].after_market_eligible, days[KODEX.isin].after_market_eligible) == (True, False)


async def test_a_second_reading_updates_the_day(database: Database, clock: ManualClock, platform: Platform) -> None:
    await synchronised(database, clock, platform)
    platform.masters["A005930"] = replace(SAMSUNG, halted=True)
    await synchronised(database, clock, platform)
    async with database.transaction() as connection:
        assert (await store.instrument_days(connection, [SAMSUNG.isin], TODAY))[SAMSUNG.isin].halted


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Failure("timeout", ""), "timeout"),
        (replace(SAMSUNG, isin=KODEX.isin), "wrong-instrument"),
        (replace(SAMSUNG, base_price=Decimal(0)), "impossible-figures"),
        (replace(SAMSUNG, base_price=Decimal("0.00001")), "impossible-figures"),
        (replace(SAMSUNG, trading_unit=3_000_000_000), "impossible-figures"),
    ],
    ids=["lost", "other", "price-zero", "price-too-fine", "unit-too-large"],
)
async def test_a_master_that_cannot_be_used_leaves_the_older_day(
    database: Database, clock: ManualClock, platform: Platform, answer: InstrumentMaster | Failure, reason: str
) -> None:
    await synchronised(database, clock, platform)
    clock.moment = clock.moment.replace(day=24)
    platform.masters["A005930"] = answer
    diff = await synchronised(database, clock, platform)
    assert diff.failed == {SAMSUNG.isin: reason}
    async with database.transaction() as connection:
        days = await store.instrument_days(connection, [SAMSUNG.isin, KODEX.isin], diff.business_date)
    assert (days[SAMSUNG.isin].business_date, days[KODEX.isin].business_date) == (TODAY, diff.business_date)


@pytest.mark.parametrize(
    "read_at", [datetime(2026, 11, 23, 20, 5, tzinfo=KST), datetime(2026, 11, 28, 11, 0, tzinfo=KST)], ids=["evening", "saturday"]
)
async def test_p23_a_master_read_when_the_day_is_over_tells_nothing_of_the_next(
    database: Database, clock: ManualClock, platform: Platform, read_at: datetime
) -> None:
    """Its base price and limits are those of the day that is over. Stored under the next day they would check its orders,
    and hold cash back for them, wherever the morning's reading fails."""
    clock.moment = read_at
    diff = await synchronised(database, clock, platform)
    assert diff.business_date > read_at.date()
    async with database.transaction() as connection:
        assert await store.instrument_days(connection, [SAMSUNG.isin], diff.business_date) == {}
        assert await store.find_by_short_code(connection, "A005930") is not None


async def test_the_platform_closes_a_day_we_thought_open(database: Database, clock: ManualClock, platform: Platform) -> None:
    platform.closing_days = complete(date(2026, 11, 24), date(2026, 12, 31))
    diff = await synchronised(database, clock, platform)
    assert diff.closed == [date(2026, 11, 24)]
    assert diff.disputed == [date(2026, 12, 25)]  # not named by the platform: reported, and still closed
    async with database.transaction() as connection:
        calendar = await store.load_calendar(connection)
        kinds = (await connection.execute(select(record.c.kind))).scalars().all()
    assert calendar.add_trading_days(TODAY, 2) == date(2026, 11, 26)
    assert not calendar.is_trading_day(date(2026, 12, 25))
    assert calendar.day(date(2026, 11, 24)).source == "platform"
    assert {"calendar.day_closed", "calendar.day_disputed"} <= set(kinds)
    assert (await synchronised(database, clock, platform)).closed == []


async def test_p17_a_list_of_closing_days_that_broke_off_disputes_nothing(
    database: Database, clock: ManualClock, platform: Platform
) -> None:
    platform.closing_days = incomplete("timeout", date(2026, 11, 24), date(2026, 12, 31))
    diff = await synchronised(database, clock, platform)
    assert (diff.closed, diff.disputed, diff.incomplete) == ([date(2026, 11, 24)], [], {"holidays": "timeout"})
