"""The counters of a day and their guards: what one statement may move, and what it must leave alone."""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select

from service.accounts import parts, store
from service.infra.db import Books, Database, HotStatement
from tests.accounts.books import DAY, SAMSUNG, Book, make_opening

RESERVE_CASH = HotStatement(parts.reserve_cash())
RELEASE_CASH = HotStatement(parts.release_cash())
RESERVE_HOLDING = HotStatement(parts.reserve_holding())
RELEASE_HOLDING = HotStatement(parts.release_holding())
BOOK_CASH = HotStatement(parts.book_cash())
BOOK_BUY = HotStatement(parts.book_buy())
REVERSE_BUY = HotStatement(parts.reverse_buy())
BOOK_SELL = HotStatement(parts.book_sell())


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
    assert await moved(worker_database, BOOK_CASH, book, bought_won=0, sold_won=700_000, costs_won=0, released_won=0)
    assert await moved(worker_database, RESERVE_CASH, book, won=700_000)


async def test_a_fill_uses_up_its_reservation_and_not_that_of_others(worker_database: Database, book: Book) -> None:
    await moved(worker_database, RESERVE_CASH, book, won=5_000_000)
    assert await moved(worker_database, BOOK_CASH, book, bought_won=1_990_000, sold_won=0, costs_won=0, released_won=2_000_000)
    assert (await position(worker_database, book)).orderable == 10_000_000 - 3_000_000 - 1_990_000
    assert not await moved(worker_database, BOOK_CASH, book, bought_won=1, sold_won=0, costs_won=0, released_won=3_000_001)
    assert not await moved(worker_database, RELEASE_CASH, book, won=3_000_001)
    assert await moved(worker_database, RELEASE_CASH, book, won=3_000_000)


async def test_what_is_bought_today_can_be_sold_today(worker_database: Database, book: Book) -> None:
    """C20: an executed, unsettled buy may be sold within its quantity."""
    assert not await moved(worker_database, RESERVE_HOLDING, book, shares=101)
    assert await moved(worker_database, BOOK_BUY, book, shares=1, cost_won=71_000)
    assert await moved(worker_database, RESERVE_HOLDING, book, shares=101)
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (101, 0)


async def test_the_first_purchase_of_an_instrument_makes_its_row(worker_database: Database, book: Book) -> None:
    assert await moved(worker_database, BOOK_BUY, book, instrument="KR7000660001", shares=3, cost_won=600_000)
    assert (await position(worker_database, book, "KR7000660001")).sellable == 3


async def test_a_sale_takes_shares_and_reservation_together(worker_database: Database, book: Book) -> None:
    await moved(worker_database, RESERVE_HOLDING, book, shares=60)
    assert await moved(worker_database, BOOK_SELL, book, shares=40, released_shares=40)
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (60, 40)
    assert await moved(worker_database, RELEASE_HOLDING, book, shares=20)
    assert not await moved(worker_database, RELEASE_HOLDING, book, shares=1)


async def test_an_external_sale_may_overtake_our_resting_order(worker_database: Database, book: Book) -> None:
    """P13: it is a fact. Sellable then is zero, never negative."""
    await moved(worker_database, RESERVE_HOLDING, book, shares=100)
    assert await moved(worker_database, BOOK_SELL, book, shares=30, released_shares=0)
    found = await position(worker_database, book)
    assert (found.held, found.sellable) == (70, 0)


async def test_p11_selling_what_was_never_held_is_refused_by_the_database(worker_database: Database, book: Book) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await moved(worker_database, BOOK_SELL, book, shares=101, released_shares=0)


async def test_p12_a_busted_buy_is_taken_back_whole(worker_database: Database, book: Book) -> None:
    await moved(worker_database, BOOK_BUY, book, shares=5, cost_won=350_000)
    assert not await moved(worker_database, REVERSE_BUY, book, shares=6, cost_won=420_000)
    assert await moved(worker_database, REVERSE_BUY, book, shares=5, cost_won=350_000)
    assert (await position(worker_database, book)).held == 100


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (RESERVE_CASH, {"won": 1}),
        (BOOK_CASH, {"bought_won": 1, "sold_won": 0, "costs_won": 0, "released_won": 0}),
        (RESERVE_HOLDING, {"shares": 1}),
        (BOOK_BUY, {"shares": 1, "cost_won": 1}),
        (BOOK_SELL, {"shares": 1, "released_shares": 0}),
    ],
)
async def test_no_part_moves_a_row_of_another_day(
    worker_database: Database, book: Book, statement: HotStatement, values: dict[str, int]
) -> None:
    assert not await moved(worker_database, statement, book, day=DAY.replace(day=24), **values)


async def test_parts_compose_into_one_statement(worker_database: Database, book: Book) -> None:
    """An amendment: give back, take again, and ask once whether both happened."""
    back = parts.release_cash(won="won_back").cte("back")
    take = parts.reserve_holding().cte("take")
    both = HotStatement(
        select(back.c.account_id, take.c.account_id.label("again")).select_from(
            back.join(take, back.c.account_id == take.c.account_id)
        )
    )
    await moved(worker_database, RESERVE_CASH, book, won=500)
    assert await moved(worker_database, both, book, won_back=500, shares=10)
    found = await position(worker_database, book)
    assert (found.orderable, found.sellable) == (10_000_000, 90)


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
