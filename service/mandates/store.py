"""Questions to the database about clients and mandates. `seen_by` narrows an answer to what one manager may see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, exists, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.ids import uuid7
from service.mandates.model import Client, Limits, Linkage, Mandate, MandateStatus, Onboarding
from service.mandates.tables import client as client_table
from service.mandates.tables import client_linkage as linkage_table
from service.mandates.tables import mandate as mandate_table
from service.mandates.tables import mandate_account as account_link
from service.mandates.tables import mandate_manager as manager_link

CLIENT_COLUMNS = (client_table.c.id, client_table.c.name, client_table.c.kind, client_table.c.created_at)  # never the ci


# --- clients ------------------------------------------------------------------------------------------------------------


async def add_client(connection: AsyncConnection, client: Client, sealed_ci: bytes | None) -> None:
    await connection.execute(insert(client_table).values({**vars(client), "ci": sealed_ci}))


async def find_client(connection: AsyncConnection, client_id: UUID, *, seen_by: UUID | None) -> Client | None:
    wanted = select(*CLIENT_COLUMNS).where(client_table.c.id == client_id, *_client_seen(seen_by))
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else Client(*row)


async def clients_page(connection: AsyncConnection, *, seen_by: UUID | None, after: UUID | None, limit: int) -> list[Client]:
    """Clients in the order of their ids, one more than the limit."""
    wanted = select(*CLIENT_COLUMNS).where(*_client_seen(seen_by)).order_by(client_table.c.id).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(client_table.c.id > after)
    return [Client(*row) for row in await connection.execute(wanted)]


async def sealed_ci(connection: AsyncConnection, client_id: UUID) -> bytes | None:
    """Asked by the linkage verb only."""
    wanted = select(client_table.c.ci).where(client_table.c.id == client_id)
    return (await connection.execute(wanted)).scalar_one_or_none()


async def save_linkage(connection: AsyncConnection, linkage: Linkage) -> None:
    values = vars(linkage)
    changed = {name: value for name, value in values.items() if name != "client_id"}
    statement = upsert(linkage_table).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["client_id"], set_=changed))


async def find_linkage(connection: AsyncConnection, client_id: UUID) -> Linkage | None:
    wanted = select(linkage_table).where(linkage_table.c.client_id == client_id)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else Linkage(**{**row._asdict(), "state": Onboarding(row.state)})


# --- mandates -----------------------------------------------------------------------------------------------------------


async def add_mandate(connection: AsyncConnection, mandate: Mandate) -> None:
    await connection.execute(insert(mandate_table).values({"id": mandate.id, "client_id": mandate.client_id, **_row(mandate)}))


async def update_mandate(connection: AsyncConnection, mandate: Mandate) -> None:
    await connection.execute(update(mandate_table).where(mandate_table.c.id == mandate.id).values(_row(mandate)))


async def find_mandate(
    connection: AsyncConnection, mandate_id: UUID, *, seen_by: UUID | None = None, lock: bool = False
) -> Mandate | None:
    """A mandate with its present accounts and managers. `lock` holds it against another amendment."""
    wanted = select(mandate_table).where(mandate_table.c.id == mandate_id, *_mandate_seen(seen_by))
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else (await _with_links(connection, [row]))[0]


async def mandates_page(
    connection: AsyncConnection,
    *,
    seen_by: UUID | None,
    after: UUID | None,
    limit: int,
    client_id: UUID | None = None,
    status: str | None = None,
) -> list[Mandate]:
    """Mandates in the order of their ids, one more than the limit."""
    c = mandate_table.c
    wanted = select(mandate_table).where(*_mandate_seen(seen_by)).order_by(c.id).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(c.id > after)
    if client_id is not None:
        wanted = wanted.where(c.client_id == client_id)
    if status is not None:
        wanted = wanted.where(c.status == status)
    return await _with_links(connection, (await connection.execute(wanted)).all())


async def mandates_of_accounts(connection: AsyncConnection, account_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Account → the mandate that holds it now."""
    c = account_link.c
    wanted = select(c.account_id, c.mandate_id).where(c.account_id.in_(list(account_ids)), c.removed_at.is_(None))
    return {row.account_id: row.mandate_id for row in await connection.execute(wanted)}


async def add_accounts(connection: AsyncConnection, mandate_id: UUID, accounts: Iterable[UUID], at: datetime) -> None:
    for account_id in accounts:
        values = {"id": uuid7(), "mandate_id": mandate_id, "account_id": account_id, "since": at}
        await connection.execute(insert(account_link).values(values))


async def remove_accounts(connection: AsyncConnection, mandate_id: UUID, accounts: Iterable[UUID], at: datetime) -> None:
    c = account_link.c
    present = (c.mandate_id == mandate_id, c.account_id.in_(list(accounts)), c.removed_at.is_(None))
    await connection.execute(update(account_link).where(*present).values(removed_at=at))


async def assign_managers(connection: AsyncConnection, mandate_id: UUID, users: Iterable[UUID], at: datetime) -> None:
    for user_id in users:
        values = {"id": uuid7(), "mandate_id": mandate_id, "user_id": user_id, "assigned_at": at}
        await connection.execute(insert(manager_link).values(values))


async def revoke_managers(connection: AsyncConnection, mandate_id: UUID, users: Iterable[UUID], at: datetime) -> None:
    c = manager_link.c
    present = (c.mandate_id == mandate_id, c.user_id.in_(list(users)), c.revoked_at.is_(None))
    await connection.execute(update(manager_link).where(*present).values(revoked_at=at))


def _manages(seen_by: UUID) -> ColumnElement[bool]:
    c = manager_link.c
    return exists().where(c.mandate_id == mandate_table.c.id, c.user_id == seen_by, c.revoked_at.is_(None))


def _mandate_seen(seen_by: UUID | None) -> list[ColumnElement[bool]]:
    return [] if seen_by is None else [_manages(seen_by)]


def _client_seen(seen_by: UUID | None) -> list[ColumnElement[bool]]:
    if seen_by is None:
        return []
    return [exists().where(mandate_table.c.client_id == client_table.c.id, _manages(seen_by))]


def _row(mandate: Mandate) -> dict[str, Any]:
    return {
        "name": mandate.name,
        "status": mandate.status,
        "starts_on": mandate.starts_on,
        "ends_on": mandate.ends_on,
        "limits": mandate.limits.as_json(),
        "fee_schedule": mandate.fee_schedule,
        "created_at": mandate.created_at,
        "version": mandate.version,
    }


async def _with_links(connection: AsyncConnection, rows: Iterable[Row[Any]]) -> list[Mandate]:
    found = list(rows)
    ids = [row.id for row in found]
    a, m = account_link.c, manager_link.c
    accounts = select(a.mandate_id, a.account_id).where(a.mandate_id.in_(ids), a.removed_at.is_(None)).order_by(a.id)
    managers = select(m.mandate_id, m.user_id).where(m.mandate_id.in_(ids), m.revoked_at.is_(None)).order_by(m.id)
    linked_accounts = (await connection.execute(accounts)).all()
    linked_managers = (await connection.execute(managers)).all()
    return [
        Mandate(
            **{
                **row._asdict(),
                "status": MandateStatus(row.status),
                "limits": Limits.from_json(row.limits),
                "account_ids": tuple(link.account_id for link in linked_accounts if link.mandate_id == row.id),
                "manager_ids": tuple(link.user_id for link in linked_managers if link.mandate_id == row.id),
            }
        )
        for row in found
    ]
