import pytest

from service.infra.db import Database
from tests.accounts.books import Book, make_book


@pytest.fixture
async def book(database: Database) -> Book:
    return await make_book(database)
