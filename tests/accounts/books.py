"""An account with an opening position, a manager who may see it and one who may not: values for tests."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text

from service.accounts import store
from service.accounts.model import Account, Opening, OpeningHolding
from service.core.clock import KST
from service.core.ids import uuid7
from service.core.money import Won
from service.core.secret import AccountNumber
from service.infra.db import Books, Database

DAY = date(2026, 11, 23)
SEEN = datetime(2026, 11, 23, 8, 0, tzinfo=KST)
SAMSUNG = "KR7005930003"


def make_account(number: str = "123456789-01", broker: str = "00991", **changes: object) -> Account:
    values = {
        "id": uuid7(),
        "broker": broker,
        "number": AccountNumber(number),
        "name": "홍길동",
        "virtual_number": None,
        "contract_status": "0",
        "first_seen": SEEN,
        "last_seen": SEEN,
        "vanished_at": None,
    }
    return Account(**(values | changes))


def make_opening(cash: int = 10_000_000, **shares: int) -> Opening:
    holdings = tuple(OpeningHolding(isin, quantity, Won(quantity * 70_000)) for isin, quantity in shares.items())
    return Opening(Won(cash), Won(cash), Won(cash), holdings, ())


@dataclass(frozen=True)
class Book:
    """One account in one mandate with one manager, and a stranger who manages another."""

    account: Account
    mandate_id: UUID
    client_id: UUID
    manager_id: UUID
    stranger_id: UUID


MANDATE = """
    insert into app_user (id, name, roles, created_at)
        values (:manager, 'manager', '{manager}', now()), (:stranger, 'stranger', '{manager}', now());
    insert into client (id, name, kind, created_at) values (:client, '홍길동', 'individual', now());
    insert into mandate (id, client_id, name, status, starts_on, limits, created_at)
        values (:mandate, :client, '일임', 'in_force', '2026-01-01', '{}', now());
    insert into mandate_account (id, mandate_id, account_id, since) values (:link, :mandate, :account, now());
    insert into mandate_manager (id, mandate_id, user_id, assigned_at) values (:assignment, :mandate, :manager, now())
"""


async def make_book(database: Database) -> Book:
    """Write it, as the service would."""
    made = Book(make_account(), uuid7(), uuid7(), uuid7(), uuid7())
    values = {
        "manager": made.manager_id,
        "stranger": made.stranger_id,
        "client": made.client_id,
        "mandate": made.mandate_id,
        "account": made.account.id,
        "link": uuid7(),
        "assignment": uuid7(),
    }
    async with database.transaction(books=Books.ALL) as connection:
        await store.add_account(connection, made.account)
        for statement in MANDATE.replace("'{}'", "'{}'::jsonb").split(";"):
            names = [name for name in values if f":{name}" in statement]
            await connection.execute(text(statement), {name: values[name] for name in names})
        await store.open_the_day(connection, made.account.id, DAY, make_opening(**{SAMSUNG: 100}))
    return made
