"""Questions to the database about users and keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Row, Text, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.principal import Role
from service.infra.db import HotStatement
from service.people.model import ApiKey, KeyRecord, User
from service.people.tables import api_key, app_user

BY_PREFIX = HotStatement(
    select(
        api_key.c.id.label("key_id"),
        app_user.c.id.label("user_id"),
        app_user.c.name,
        app_user.c.roles,
        app_user.c.active,
        api_key.c.digest,
        api_key.c.expires_at,
        api_key.c.revoked_at,
    )
    .select_from(api_key.join(app_user, app_user.c.id == api_key.c.user_id))
    .where(api_key.c.prefix == bindparam("key_prefix", type_=Text()))
)


def roles_of(texts: list[str]) -> frozenset[Role]:
    return frozenset(Role(text) for text in texts)


async def key_by_prefix(connection: asyncpg.Connection, prefix: str) -> KeyRecord | None:
    row = await BY_PREFIX.row(connection, key_prefix=prefix)
    return None if row is None else KeyRecord(**{**dict(row), "roles": roles_of(row["roles"])})


async def find_user(connection: AsyncConnection, user_id: UUID, *, lock: bool = False) -> User | None:
    """`lock` holds the user against another change; what only refers to the user does not wait."""
    wanted = select(app_user).where(app_user.c.id == user_id)
    row = (await connection.execute(wanted.with_for_update(key_share=True) if lock else wanted)).one_or_none()
    return None if row is None else _user(row)


async def user_by_name(connection: AsyncConnection, name: str) -> User | None:
    row = (await connection.execute(select(app_user).where(app_user.c.name == name))).one_or_none()
    return None if row is None else _user(row)


async def users_page(connection: AsyncConnection, *, after: UUID | None, limit: int) -> list[User]:
    """Users in the order of their ids, one more than the limit."""
    wanted = select(app_user).order_by(app_user.c.id).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(app_user.c.id > after)
    return [_user(row) for row in await connection.execute(wanted)]


async def add_user(connection: AsyncConnection, user: User) -> None:
    await connection.execute(insert(app_user).values({**vars(user), "roles": sorted(user.roles)}))


async def update_user(connection: AsyncConnection, user: User) -> None:
    changed = {"roles": sorted(user.roles), "active": user.active}
    await connection.execute(update(app_user).where(app_user.c.id == user.id).values(changed))


async def add_key(connection: AsyncConnection, key: ApiKey, digest: bytes) -> None:
    await connection.execute(insert(api_key).values({**vars(key), "digest": digest}))


async def find_key(connection: AsyncConnection, key_id: UUID) -> ApiKey | None:
    row = (await connection.execute(select(api_key).where(api_key.c.id == key_id))).one_or_none()
    return None if row is None else _key(row)


async def keys_page(connection: AsyncConnection, *, after: UUID | None, limit: int, user_id: UUID | None = None) -> list[ApiKey]:
    """Keys in the order of their ids, one more than the limit."""
    wanted = select(api_key).order_by(api_key.c.id).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(api_key.c.id > after)
    if user_id is not None:
        wanted = wanted.where(api_key.c.user_id == user_id)
    return [_key(row) for row in await connection.execute(wanted)]


async def revoke(connection: AsyncConnection, key_id: UUID, at: datetime) -> bool:
    """False when it was revoked before: the first moment stands."""
    c = api_key.c
    statement = update(api_key).where(c.id == key_id, c.revoked_at.is_(None)).values(revoked_at=at).returning(c.id)
    return (await connection.execute(statement)).one_or_none() is not None


def _user(row: Row[Any]) -> User:
    return User(row.id, row.name, roles_of(row.roles), row.active, row.created_at)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(row.id, row.user_id, row.prefix, row.created_at, row.expires_at, row.revoked_at)
