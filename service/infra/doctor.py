"""What is misconfigured, and how to mend it: the checks behind `ilim doctor`, each of them only looks."""

import asyncio
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
import httpx
from sqlalchemy import make_url

from service.core.clock import real_now
from service.core.secret import Secret
from service.infra import migrations
from service.infra.db import Database, driver_dsn
from service.infra.roles import APP, OWNER, WORKER, durability_problems

LEAST_FREE_BYTES = 1 << 30
MAX_CLOCK_SKEW_SECONDS = 1


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is well, and if not how to mend it."""

    part: str
    ok: bool
    said: str
    mend: str = ""


async def examine_database(urls: dict[str, Secret]) -> list[Finding]:
    """Every login, the server's durability and clock, and the migrations. `urls` by login name."""
    findings = [await _login(login, urls[login]) for login in (APP, WORKER, OWNER) if urls.get(login)]
    app_url = urls.get(APP)
    if app_url is None or not findings or not findings[0].ok:
        return findings
    return [*findings, *await _server(app_url), await _migrations(app_url)]


async def _login(login: str, url: Secret) -> Finding:
    part = f"database as {login}"
    if make_url(url.reveal()).username != login:
        return Finding(part, False, "the URL names another login", f"use login {login}; `ilim database prepare` makes it")
    try:
        connection = await asyncpg.connect(driver_dsn(url.reveal()), timeout=5)
        await connection.close()
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        return Finding(part, False, f"no connection: {type(error).__name__}", "is it running, is the password right?")
    return Finding(part, True, "connects")


async def _server(url: Secret) -> list[Finding]:
    connection = await asyncpg.connect(driver_dsn(url.reveal()), timeout=5)
    try:
        forgets = await durability_problems(connection)
        version = int(await connection.fetchval("select current_setting('server_version_num')"))
        skew = abs((await connection.fetchval("select clock_timestamp()") - real_now()).total_seconds())
    finally:
        await connection.close()
    return [
        Finding("durability", not forgets, "; ".join(forgets) or "acknowledged commits are kept", "see postgresql.conf"),
        Finding("PostgreSQL version", version >= 150000, str(version // 10000), "use 15 or newer"),
        Finding("database clock", skew <= MAX_CLOCK_SKEW_SECONDS, f"{skew:.3f} s from ours", "synchronise both by NTP"),
    ]


async def _migrations(url: Secret) -> Finding:
    database = Database(url.reveal(), application="ilim-doctor", pool_size=1)
    try:
        async with database.transaction() as connection:
            present = await migrations.present(connection)
    finally:
        await database.close()
    wanted = await asyncio.to_thread(migrations.heads)
    said = f"at {', '.join(sorted(present)) or 'nothing'}, this code wants {', '.join(sorted(wanted))}"
    return Finding("migrations", present == wanted, said, "run `ilim database upgrade`")


async def examine_clock(url: str) -> Finding:
    """The driven clock, or nothing to look at."""
    if url == "system":
        return Finding("business clock", True, "the machine's own")
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            moment = datetime.fromisoformat((await client.get(url)).json()["now"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return Finding("business clock", False, f"no answer: {type(error).__name__}", "start `ilim sandbox`, or set ILIM_CLOCK")
    return Finding("business clock", True, f"driven, now {moment.isoformat()}")


def examine_directory(directory: Path) -> Finding:
    """The data directory: there or can be made, writable, with room."""
    existing = next(path for path in (directory.resolve(), *directory.resolve().parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data directory", False, f"{existing} cannot be written", "change its owner, or set ILIM_DATA_DIR")
    free = shutil.disk_usage(existing).free
    return Finding("data directory", free >= LEAST_FREE_BYTES, f"{free >> 20} MiB free", "make room: a full disk stops orders")
