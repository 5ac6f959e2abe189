"""Row-level security: the second wall, with the application's own checks taken away."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from service.core.ids import uuid7
from service.infra.db import Books, Database, Whose
from tests.accounts.books import Book

BOOKS = ("account", "holding", "cash", "broker_statement")


async def run(database: Database, statement: str, books: Whose = Books.NONE, **values: object) -> None:
    async with database.transaction(books=books) as connection:
        await connection.execute(text(statement), values)


async def rows(database: Database, table: str, books: Whose = Books.NONE) -> int:
    async with database.transaction(books=books) as connection:
        return (await connection.execute(text(f"select count(*) from {table}"))).scalar_one()


@pytest.fixture
async def whole(book: Book, database: Database) -> Book:
    insert = "insert into broker_statement values (:id, :account, 'balance', now(), true, '{}', '{}')"
    async with database.transaction(books=Books.ALL) as connection:
        await connection.execute(text(insert), {"id": uuid7(), "account": book.account.id})
    return book


@pytest.mark.parametrize("table", BOOKS)
async def test_only_its_manager_and_roles_that_read_all_see_a_book(whole: Book, database: Database, table: str) -> None:
    assert await rows(database, table, whole.manager_id) == 1
    assert await rows(database, table, Books.ALL) == 1
    assert await rows(database, table, whole.stranger_id) == 0
    assert await rows(database, table, uuid7()) == 0
    assert await rows(database, table) == 0


@pytest.mark.parametrize("table", BOOKS)
async def test_the_worker_sees_every_book(whole: Book, worker_database: Database, table: str) -> None:
    assert await rows(worker_database, table) == 1


async def test_a_revoked_manager_sees_nothing_at_once(whole: Book, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("update mandate_manager set revoked_at = now()"))
    assert await rows(database, "account", whole.manager_id) == 0


async def test_an_account_taken_out_of_the_mandate_is_out_of_sight(whole: Book, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("update mandate_account set removed_at = now()"))
    assert await rows(database, "holding", whole.manager_id) == 0


async def test_a_suspended_mandate_is_still_seen(whole: Book, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("update mandate set status = 'suspended'"))
    assert await rows(database, "cash", whole.manager_id) == 1


async def test_a_stranger_can_neither_change_nor_add(whole: Book, database: Database) -> None:
    async with database.transaction(books=whole.stranger_id) as connection:
        changed = await connection.execute(text("update cash set reserved = reserved + 1"))
        assert changed.rowcount == 0
    insert = "insert into holding (account_id, isin, opened_on) values (:account, 'X', now())"
    with pytest.raises(ProgrammingError, match="row-level security"):
        await run(database, insert, whole.stranger_id, account=whole.account.id)


async def test_the_setting_does_not_outlive_its_transaction(whole: Book, database: Database) -> None:
    for _ in range(12):  # more than the pool has connections
        await rows(database, "account", Books.ALL)
    assert await rows(database, "account") == 0


@pytest.mark.parametrize("table", [*BOOKS, "client", "mandate", "app_user", "api_key", "instrument", "trading_day"])
async def test_nobody_may_delete(database: Database, worker_database: Database, table: str) -> None:
    for login in (database, worker_database):
        with pytest.raises(ProgrammingError, match="permission denied"):
            await run(login, f"delete from {table}", Books.ALL)


async def test_p32_the_worker_cannot_read_the_ci(worker_database: Database) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        await run(worker_database, "select ci from client")
