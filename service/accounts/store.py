"""Questions to the database about accounts. Which rows answer is decided by row-level security: see `Books`."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Uuid, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account, Cash, Holding, Opening, Statement
from service.accounts.tables import account as account_table
from service.accounts.tables import broker_statement as statement_table
from service.accounts.tables import cash as cash_table
from service.accounts.tables import holding as holding_table
from service.core.secret import AccountNumber


async def find_account(connection: AsyncConnection, account_id: UUID) -> Account | None:
    row = (await connection.execute(select(account_table).where(account_table.c.id == account_id))).one_or_none()
    return None if row is None else _account(row)


async def numbers_of(connection: AsyncConnection, account_ids: Sequence[UUID]) -> dict[UUID, AccountNumber]:
    """계좌번호 by account."""
    c = account_table.c
    rows = await connection.execute(select(c.id, c.number).where(c.id == func.any(literal(account_ids, ARRAY(Uuid)))))
    return {row.id: AccountNumber(row.number) for row in rows}


async def accounts_of(connection: AsyncConnection, broker: str, *, lock: bool = False) -> list[Account]:
    """Every account ever listed by a broker, vanished ones included. `lock` holds them against another list."""
    wanted = select(account_table).where(account_table.c.broker == broker).order_by(account_table.c.number)
    rows = await connection.execute(wanted.with_for_update(key_share=True) if lock else wanted)
    return [_account(row) for row in rows]


async def accounts_by_number(connection: AsyncConnection, numbers: Sequence[AccountNumber]) -> dict[AccountNumber, list[Account]]:
    """Accounts of these numbers at any broker: a report does not always say whose it is."""
    wanted = sorted({one.reveal() for one in numbers})
    rows = await connection.execute(select(account_table).where(account_table.c.number.in_(wanted))) if wanted else ()
    found: dict[AccountNumber, list[Account]] = {}
    for row in rows:
        account = _account(row)
        found.setdefault(account.number, []).append(account)
    return found


async def accounts_page(
    connection: AsyncConnection, *, after: UUID | None, limit: int, broker: str | None = None
) -> list[Account]:
    """Accounts in the order of their ids, one more than the limit."""
    c = account_table.c
    wanted = select(account_table).order_by(c.id).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(c.id > after)
    if broker is not None:
        wanted = wanted.where(c.broker == broker)
    return [_account(row) for row in await connection.execute(wanted)]


async def tradable_accounts(connection: AsyncConnection) -> list[Account]:
    """Accounts whose contract is in force and which their broker still lists."""
    c = account_table.c
    wanted = select(account_table).where(c.contract_status == "0", c.vanished_at.is_(None)).order_by(c.broker, c.number)
    return [_account(row) for row in await connection.execute(wanted)]


async def add_account(connection: AsyncConnection, account: Account) -> None:
    virtual = account.virtual_number
    await connection.execute(
        insert(account_table).values(
            id=account.id,
            broker=account.broker,
            number=account.number.reveal(),
            name=account.name,
            virtual_number=virtual.reveal() if virtual is not None else None,
            contract_status=account.contract_status,
            first_seen=account.first_seen,
            last_seen=account.last_seen,
            vanished_at=account.vanished_at,
        )
    )


async def update_account(connection: AsyncConnection, account: Account) -> None:
    """Write what a broker's list may change of an account."""
    virtual = account.virtual_number
    await connection.execute(
        update(account_table)
        .where(account_table.c.id == account.id)
        .values(
            name=account.name,
            virtual_number=virtual.reveal() if virtual is not None else None,
            contract_status=account.contract_status,
            last_seen=account.last_seen,
            vanished_at=account.vanished_at,
        )
    )


# --- balances ---------------------------------------------------------------------------------------------------------


async def cash_of(connection: AsyncConnection, account_id: UUID, *, lock: bool = False) -> Cash | None:
    wanted = select(cash_table).where(cash_table.c.account_id == account_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else Cash(**row._asdict())


async def holdings_of(connection: AsyncConnection, account_id: UUID) -> list[Holding]:
    c = holding_table.c
    rows = await connection.execute(select(holding_table).where(c.account_id == account_id).order_by(c.isin))
    return [Holding(**row._asdict()) for row in rows]


async def holding_of(connection: AsyncConnection, account_id: UUID, isin: str, *, lock: bool = False) -> Holding | None:
    c = holding_table.c
    wanted = select(holding_table).where(c.account_id == account_id, c.isin == isin)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else Holding(**row._asdict())


async def open_the_day(connection: AsyncConnection, account_id: UUID, day: date, opening: Opening) -> bool:
    """Set cash and holdings to the opening of `day`. False when that day, or a later one, is open already: what was
    bought, sold and reserved since is then left alone. The cash row is taken first and decides."""
    fresh: dict[str, Any] = {
        "opened_on": day,
        "opening": opening.orderable,
        "deposit": opening.deposit,
        "deposit_next": opening.deposit_next,
        "bought": 0,
        "sold": 0,
        "costs": 0,
        "reserved": 0,
    }
    c = cash_table.c
    statement = (
        upsert(cash_table)
        .values(account_id=account_id, **fresh)
        .on_conflict_do_update(index_elements=[c.account_id], set_=fresh, where=c.opened_on < day)
        .returning(c.account_id)
    )
    if (await connection.execute(statement)).one_or_none() is None:
        return False
    await _open_holdings(connection, account_id, day, opening)
    return True


async def _open_holdings(connection: AsyncConnection, account_id: UUID, day: date, opening: Opening) -> None:
    """Every holding begins the day: those the broker no longer shows begin it empty."""
    empty = {"opened_on": day, "opening": 0, "bought": 0, "sold": 0, "reserved_sell": 0, "opening_cost": 0, "bought_cost": 0}
    await connection.execute(update(holding_table).where(holding_table.c.account_id == account_id).values(empty))
    rows = [
        {**empty, "account_id": account_id, "isin": one.isin, "opening": one.quantity, "opening_cost": one.cost}
        for one in opening.holdings
    ]
    if rows:
        c = holding_table.c
        statement = upsert(holding_table).values(rows)
        changed = {"opening": statement.excluded.opening, "opening_cost": statement.excluded.opening_cost}
        await connection.execute(statement.on_conflict_do_update(index_elements=[c.account_id, c.isin], set_=changed))


async def add_statement(connection: AsyncConnection, statement: Statement) -> None:
    await connection.execute(
        insert(statement_table).values(
            id=statement.id,
            account_id=statement.account_id,
            kind=statement.kind,
            taken_at=statement.taken_at,
            complete=statement.complete,
            document=statement.document,
            raw_ids=list(statement.raw_ids),
        )
    )


async def last_complete_balance(
    connection: AsyncConnection, account_id: UUID, since: datetime | None = None, until: datetime | None = None
) -> Statement | None:
    """The broker's newest complete balance, taken at `since` or later and before `until`."""
    c = statement_table.c
    wanted = (
        select(statement_table)
        .where(c.account_id == account_id, c.kind == "balance", c.complete)
        .order_by(c.taken_at.desc(), c.id.desc())
        .limit(1)
    )
    if since is not None:
        wanted = wanted.where(c.taken_at >= since)
    if until is not None:
        wanted = wanted.where(c.taken_at < until)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else Statement(**{**row._asdict(), "raw_ids": tuple(row.raw_ids)})


def _account(row: Row[Any]) -> Account:
    number = row.virtual_number
    return Account(
        **{
            **row._asdict(),
            "number": AccountNumber(row.number),
            "virtual_number": AccountNumber(number) if number is not None else None,
        }
    )
