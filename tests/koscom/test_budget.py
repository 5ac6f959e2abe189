"""Who may still call today (P21): the rule by example, and the counter in a real PostgreSQL."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from service.core.clock import KST
from service.core.errors import Unavailable
from service.gateway import CallClass
from service.infra.db import Database
from service.koscom.budget import LIMITS, URGENCY, BudgetStore, CallLimit, MemoryBudget, ServiceName, budget_day, ceiling
from service.koscom.store import PostgresBudget

DAY = date(2026, 11, 24)
ORDERS = ServiceName.ORDERS


def test_the_limits_are_the_published_ones() -> None:
    assert {name: limit.calls for name, limit in LIMITS.items()} == {
        ServiceName.ORDERS: 20_000,
        ServiceName.INQUIRIES: 50_000,
        ServiceName.LINKAGE: 50_000,
        ServiceName.MARKET: 50_000,
    }


def test_p21_every_class_stops_before_the_reserves_of_the_more_urgent_ones() -> None:
    limit = CallLimit(100, {CallClass.CANCEL: 10, CallClass.RESOLVE: 20, CallClass.ORDER: 5, CallClass.NIGHT: 15})
    assert {one: ceiling(limit, one) for one in URGENCY} == {
        CallClass.CANCEL: 100,
        CallClass.RESOLVE: 90,
        CallClass.ORDER: 70,
        CallClass.NIGHT: 65,
        CallClass.ROUTINE: 50,
    }
    assert ceiling(CallLimit(5, {CallClass.CANCEL: 10}), CallClass.ORDER) == 0


def test_the_day_turns_at_midnight_utc_unless_a_service_says_otherwise() -> None:
    before, after = datetime(2026, 11, 24, 8, 59, tzinfo=KST), datetime(2026, 11, 24, 9, 0, tzinfo=KST)
    limit = CallLimit(1)
    assert (budget_day(limit, before), budget_day(limit, after)) == (date(2026, 11, 23), DAY)
    korean = CallLimit(1, turns_at=timedelta(hours=-9))
    assert budget_day(korean, datetime(2026, 11, 23, 15, 0, tzinfo=UTC)) == DAY


async def spend_all(store: BudgetStore) -> None:
    """The same story for every store."""
    limit = CallLimit(20, {CallClass.CANCEL: 4, CallClass.RESOLVE: 3})
    taken = dict.fromkeys(CallClass, 0)
    for one in reversed(URGENCY):
        while sum(taken.values()) < 50 and await store.take(ORDERS, DAY, one, ceiling(limit, one)):
            taken[one] += 1
    assert taken == {
        CallClass.ROUTINE: 13,
        CallClass.NIGHT: 0,
        CallClass.ORDER: 0,
        CallClass.RESOLVE: 3,
        CallClass.CANCEL: 4,
    }
    assert await store.spent(ORDERS, DAY) == taken
    assert await store.take(ORDERS, DAY + timedelta(days=1), CallClass.ROUTINE, 1), "a new day, a new budget"
    assert await store.take(ServiceName.MARKET, DAY, CallClass.ROUTINE, 1), "another service, its own budget"
    assert not await store.take(ServiceName.LINKAGE, DAY, CallClass.CANCEL, 0)
    assert sum((await store.spent(ServiceName.LINKAGE, DAY)).values()) == 0


async def test_p21_the_reserve_for_cancellations_is_never_spent_by_others() -> None:
    await spend_all(MemoryBudget())


async def test_p21_the_same_in_postgresql(database: Database) -> None:
    await spend_all(PostgresBudget(database))


async def test_p21_many_at_once_never_pass_the_limit(database: Database) -> None:
    store = PostgresBudget(database)
    orders = [store.take(ORDERS, DAY, CallClass.ORDER, 40) for _ in range(60)]
    cancels = [store.take(ORDERS, DAY, CallClass.CANCEL, 50) for _ in range(60)]
    results = await asyncio.gather(*orders, *cancels)
    spent = await store.spent(ORDERS, DAY)
    assert sum(results) == sum(spent.values()) == 50
    assert spent[CallClass.CANCEL] >= 10


class Cut(Database):
    """A database whose connections are gone."""

    def raw(self) -> Any:
        raise ConnectionResetError("gone")


async def test_a_database_that_is_away_is_named() -> None:
    store = PostgresBudget(Cut("postgresql://nobody@127.0.0.1:1/none", application="test"))
    with pytest.raises(Unavailable):
        await store.take(ORDERS, DAY, CallClass.ORDER, 10)
    with pytest.raises(Unavailable):
        await store.spent(ORDERS, DAY)
