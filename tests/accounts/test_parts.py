"""The counters of a day and their guards: what one statement may move, and what it must leave alone."""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from service.accounts import parts, store
from service.accounts.move import Movement, PositionMismatch, bookings
from service.infra.db import Books, Database, HotStatement
from service.infra.effects import write
from tests.accounts.books import DAY, SAMSUNG, Book, make_opening

RESERVE_CASH = HotStatement(parts.reserve_cash())
RESERVE_HOLDING = HotStatement(parts.reserve_holding())
OTHER = "KR7000660001"


@dataclass(frozen=True)
class Position:
    orderable: int
    held: int
    sellable: int


async def moved(database: Database, statement: HotStatement, book: Book, **values: Any) -> bool:
    """Whether the guard let the statement through."""
    names = {"account": book.account.id, "day": DAY, "instrument": SAMSUNG} | values
    async with database.hot() as connection:
        return await statement.row(connection, **names) is not None


async def booked(database: Database, book: Book, *movements: dict[str, Any]) -> bool:
    """Whether the guards let these movements through, all in one statement."""
    named = [Movement(**({"account_id": book.account.id, "isin": SAMSUNG, "day": DAY} | one)) for one in movements]
    try:
        async with database.hot() as connection:
            changes = await bookings(connection, named)
            await write(connection, changes)
    except PositionMismatch:
        return False
    return any(one.rows for one in changes)


async def position(database: Database, book: Book, isin: str = SAMSUNG) -> Position:
    async with database.transaction(books=Books.ALL) as connection:
        cash = await store.cash_of(connection, book.account.id)
        holding = await store.holding_of(connection, book.account.id, isin)
    assert cash is not None
    assert holding is not None
    return Position(cash.orderable, holding.quantity, holding.sellable)


async def test_cash_is_reserved_up_to_the_last_won_and_no_further(worker_database: Database, book: Book) -> None:
    assert await moved(worker_database, RESERVE_CASH, book, won=9_999_999)
    assert not await moved(worker_database, RESERVE_CASH, book, won=2)
    assert await moved(worker_database, RESERVE_CASH, book, won=1)
    assert (await position(worker_database, book)).orderable == 0


async def test_racing_buys_never_reserve_more_than_there_is(worker_database: Database, book: Book) -> None:
    tries = [moved(worker_database, RESERVE_CASH, book, won=3_000_000) for _ in range(8)]
    assert sum(await asyncio.gather(*tries)) == 3
    assert (await position(worker_database, book)).orderable == 1_000_000


async def test_sale_proceeds_may_be_used_again_at_once(worker_database: Database, book: Book) -> None:
    assert await moved(worker_database, RESERVE_CASH, book, won=10_000_000)
    assert await booked(worker_database, book, {"sold_won": 700_000})
    assert await moved(worker_database, RESERVE_CASH, book, won=700_000)


async def test_a_fill_uses_up_its_reservation_and_not_that_of_others(worker_database: Database, book: Book) -> None:
    await moved(worker_database, RESERVE_CASH, book, won=5_000_000)
    assert await booked(worker_database, book, {"bought_won": 1_990_000, "released_cash": 2_000_000})
    assert (await position(worker_database, book)).orderable == 10_000_000 - 3_000_000 - 1_990_000
    assert not await booked(worker_database, book, {"bought_won": 1, "released_cash": 3_000_001})
    assert await booked(worker_database, book, {"released_cash": 3_000_000})


async def test_what_is_bought_today_can_be_sold_today(worker_database: Database, book: Book) -> None:
    """C20: an executed, unsettled buy may be sold within its quantity."""
    assert not await moved(worker_database, RESERVE_HOLDING, book, shares=101)
    assert await booked(worker_database, book, {"bought_shares": 1, "bought_won": 71_000})
    assert await moved(worker_database, RESERVE_HOLDING, book, shares=101)
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (101, 0)


async def test_the_first_purchase_of_an_instrument_makes_its_row(worker_database: Database, book: Book) -> None:
    assert await booked(worker_database, book, {"isin": OTHER, "bought_shares": 3, "bought_won": 600_000})
    assert (await position(worker_database, book, OTHER)).sellable == 3


async def test_a_sale_takes_shares_and_reservation_together(worker_database: Database, book: Book) -> None:
    await moved(worker_database, RESERVE_HOLDING, book, shares=60)
    assert await booked(worker_database, book, {"sold_shares": 40, "released_shares": 40})
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (60, 40)
    assert await booked(worker_database, book, {"released_shares": 20})
    assert not await booked(worker_database, book, {"released_shares": 1})


async def test_an_external_sale_may_overtake_our_resting_order(worker_database: Database, book: Book) -> None:
    """P13: it is a fact. Sellable then is zero, never negative."""
    await moved(worker_database, RESERVE_HOLDING, book, shares=100)
    assert await booked(worker_database, book, {"sold_shares": 30})
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (70, 0)


async def test_p11_selling_what_was_never_held_is_refused_by_the_database(worker_database: Database, book: Book) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await booked(worker_database, book, {"sold_shares": 101})


async def test_p12_a_busted_buy_is_taken_back_whole(worker_database: Database, book: Book) -> None:
    await booked(worker_database, book, {"bought_shares": 5, "bought_won": 350_000})
    assert not await booked(worker_database, book, {"bought_shares": -6})
    assert await booked(worker_database, book, {"bought_shares": -5, "bought_won": -350_000})
    assert (await position(worker_database, book)).held == 100


async def test_movements_of_one_account_are_added_up_and_one_bad_one_undoes_all(worker_database: Database, book: Book) -> None:
    """A row is touched once in a statement: two movements of it must not overwrite each other."""
    buy, sell = {"bought_shares": 5, "bought_won": 350_000}, {"sold_shares": 2, "sold_won": 150_000}
    other = {"isin": OTHER, "bought_shares": 3, "bought_won": 600_000}
    assert await booked(worker_database, book, buy, sell, buy, other)
    found = await position(worker_database, book)
    assert (found.held, found.orderable) == (108, 10_000_000 - 700_000 + 150_000 - 600_000)
    assert not await booked(worker_database, book, sell, {"isin": OTHER, "bought_shares": -4, "bought_won": -1})
    assert await position(worker_database, book) == found
    assert (await position(worker_database, book, OTHER)).held == 3


async def test_racing_bookings_over_the_same_accounts_never_wait_for_each_other_in_a_ring(
    worker_database: Database, book: Book
) -> None:
    there = [{"isin": SAMSUNG, "bought_shares": 1}, {"isin": OTHER, "bought_shares": 1}]
    both_ways = [booked(worker_database, book, *(there if i % 2 else reversed(there))) for i in range(8)]
    assert all(await asyncio.gather(*both_ways))
    assert (await position(worker_database, book, OTHER)).held == 8


@pytest.mark.parametrize(
    ("statement", "values"), [(RESERVE_CASH, {"won": 1}), (RESERVE_HOLDING, {"shares": 1})], ids=["cash", "holding"]
)
async def test_no_part_moves_a_row_of_another_day(
    worker_database: Database, book: Book, statement: HotStatement, values: dict[str, int]
) -> None:
    assert not await moved(worker_database, statement, book, day=DAY.replace(day=24), **values)


async def test_a_booking_of_another_day_is_in_that_days_opening_already(worker_database: Database, book: Book) -> None:
    before = await position(worker_database, book)
    assert not await booked(worker_database, book, {"day": DAY.replace(day=20), "bought_shares": 1, "bought_won": 70_000})
    assert await position(worker_database, book) == before


async def test_an_opening_is_set_once_a_day(worker_database: Database, book: Book) -> None:
    """A second opening of the day would forget what was bought, sold and reserved since."""
    await moved(worker_database, RESERVE_CASH, book, won=400)
    async with worker_database.transaction(books=Books.ALL) as connection:
        assert not await store.open_the_day(connection, book.account.id, DAY, make_opening(1))
        assert not await store.open_the_day(connection, book.account.id, DAY.replace(day=20), make_opening(1))
    assert (await position(worker_database, book)).orderable == 10_000_000 - 400
    async with worker_database.transaction(books=Books.ALL) as connection:
        assert await store.open_the_day(connection, book.account.id, DAY.replace(day=24), make_opening(77))
    found = await position(worker_database, book)
    assert (found.orderable, found.held) == (77, 0)
