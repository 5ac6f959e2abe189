"""How migrations run: as the owner, one transaction each, one migrator at a time, never waiting long for a lock."""

import asyncio
import importlib
import os
import pkgutil

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

import service
from service.infra.db import async_url, metadata

SCHEMAS = {None, "public", "audit"}
MIGRATORS = 0x696C696D  # "ilim": the advisory lock that lets one migrator in


def import_tables() -> None:
    """Every slice's tables, found by name, so that a new slice is not forgotten."""
    for module in pkgutil.iter_modules(service.__path__):
        if module.ispkg and importlib.util.find_spec(f"service.{module.name}.tables") is not None:
            importlib.import_module(f"service.{module.name}.tables")


def wanted(name: str | None, kind: str, _parents: object) -> bool:
    return name in SCHEMAS if kind == "schema" else True


def run(connection: Connection) -> None:
    connection.execute(text("set lock_timeout = '60s'"))
    connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATORS})
    # A migration that cannot have its lock at once would make every order queue behind it: give up instead.
    connection.execute(text("set lock_timeout = '5s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=wanted,
        transaction_per_migration=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    url = context.config.attributes.get("url") or os.environ["ILIM_DATABASE_ADMIN_URL"]
    engine = create_async_engine(async_url(url), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


import_tables()
asyncio.run(main())
