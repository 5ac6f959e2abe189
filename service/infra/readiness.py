"""Whether this process can do its work now: database, migrations, clock. Upstream trouble is no part of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text

from service.core.clock import Clock
from service.infra import migrations
from service.infra.db import Database
from service.infra.driven_clock import DrivenClock

TIMEOUT_SECONDS = 3
Part = dict[str, Any]


async def readiness(database: Database, clock: Clock) -> dict[str, Any]:
    """`{"ready", "database", "migrations", "clock"}`; each part has `ok` and, when it is not, `reason`."""
    parts = {
        "database": await _tried(lambda: _database(database)),
        "migrations": await _tried(lambda: _migrations(database)),
        "clock": await _tried(lambda: _clock(clock)),
    }
    return {"ready": all(part["ok"] for part in parts.values()), **parts}


async def _tried(check: Callable[[], Awaitable[Part]]) -> Part:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await check()
    except Exception as error:  # whatever it is, the part is not ready; a probe must answer
        return {"ok": False, "reason": type(error).__name__}


async def _database(database: Database) -> Part:
    async with database.transaction() as connection:
        await connection.execute(text("select 1"))
    return {"ok": True}


async def _migrations(database: Database) -> Part:
    wanted = await asyncio.to_thread(migrations.heads)
    async with database.transaction() as connection:
        present = await migrations.present(connection)
    if present == wanted:
        return {"ok": True}
    return {"ok": False, "reason": "run `ilim database upgrade`", "present": sorted(present), "wanted": sorted(wanted)}


async def _clock(clock: Clock) -> Part:
    said = {"now": clock.now().isoformat(), "version": 0}
    if isinstance(clock, DrivenClock):
        said["version"] = clock.version
        if clock.stale:
            return {"ok": False, "reason": "the driven clock does not answer", **said}
    return {"ok": True, **said}
