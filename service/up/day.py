"""The market's day in that house: its clock is moved, and the service reads the brokers before anybody trades."""

import asyncio
import contextlib
from datetime import date, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from service.core.clock import monotonic
from service.infra.db import Database
from service.infra.roles import WORKER
from service.market.store import load_calendar
from service.up.processes import House, StartError

NIGHT = (timedelta(hours=20, minutes=10), timedelta(hours=8, minutes=5))  # what is looked at between two days
MORNING = timedelta(hours=10)
AFTERNOON = timedelta(hours=15, minutes=20)


async def open_market(built: House) -> None:
    """From the morning's readings to 10:00, then at real speed."""
    async with httpx.AsyncClient(base_url=built.sandbox_url, trust_env=False, timeout=60) as sandbox:
        now = await market_time(sandbox)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for at in (NIGHT[1], MORNING):
            if now < midnight + at:
                await set_clock(built, sandbox, {"now": (midnight + at).isoformat()})
                await jobs_done(built, midnight.date())
        await set_clock(built, sandbox, {"rate": 1})


async def turn_the_days(built: House) -> None:
    """At each 15:20 the night passes quickly, so that a stranger's order always finds a market. Raises StartError."""
    async with httpx.AsyncClient(base_url=built.sandbox_url, trust_env=False, timeout=60) as sandbox:
        while True:
            if await built.ready():
                with contextlib.suppress(httpx.HTTPError, SQLAlchemyError, OSError):  # sandbox or database; they are asked again
                    await turn_the_day(built, sandbox)
            await asyncio.sleep(1)


async def turn_the_day(built: House, sandbox: httpx.AsyncClient) -> None:
    now = await market_time(sandbox)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if now >= midnight + AFTERNOON:
        await next_morning(built, sandbox)


async def next_morning(built: House, sandbox: httpx.AsyncClient) -> None:
    """Through the evening to 10:00 of the next trading day, pausing where the service reads the brokers."""
    now = await market_time(sandbox)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = await trading_day_after(built, midnight.date())  # first: a database that is away must not leave the clock stopped
    await set_clock(built, sandbox, {"rate": 0})
    if now < midnight + NIGHT[0]:
        await set_clock(built, sandbox, {"now": (midnight + NIGHT[0]).isoformat()})
    morning = midnight + (day - midnight.date())
    await set_clock(built, sandbox, {"now": (morning + NIGHT[1]).isoformat()})
    await jobs_done(built, day)
    await set_clock(built, sandbox, {"now": (morning + MORNING).isoformat()})
    await set_clock(built, sandbox, {"rate": 1})


async def trading_day_after(built: House, day: date) -> date:
    database = Database(built.database_urls[WORKER].reveal(), application="ilim-up")
    try:
        async with database.transaction() as connection:
            return (await load_calendar(connection)).next_trading_day(day)
    finally:
        await database.close()


async def market_time(sandbox: httpx.AsyncClient) -> datetime:
    return datetime.fromisoformat((await sandbox.get("/_sandbox/clock")).json()["now"])


async def set_clock(built: House, sandbox: httpx.AsyncClient, change: dict[str, Any]) -> None:
    """Move the market's clock and wait until api and worker have seen it."""
    answer = (await sandbox.post("/_sandbox/clock", json=change)).raise_for_status()
    version = answer.json()["version"]
    async with httpx.AsyncClient(trust_env=False) as client:
        for url in (built.api_url, built.worker_url):
            while await _seen(client, url) < version:  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(0.01)


async def _seen(client: httpx.AsyncClient, url: str) -> int:
    """The clock's version as a process has it; 0 while it is not there, for it is started again."""
    try:
        return int((await client.get(f"{url}/readyz")).json()["clock"].get("version", 0))
    except httpx.HTTPError:
        return 0


async def jobs_done(built: House, day: date, within_s: float = 60.0) -> None:
    """Wait until the morning's readings of a day are complete. Raises StartError."""
    until = monotonic() + within_s
    headers = {"Authorization": f"Bearer {built.users['operations']['key']}"}
    async with httpx.AsyncClient(base_url=built.api_url, headers=headers, trust_env=False) as client:
        while monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                last = (await client.get("/v1/status")).raise_for_status().json()["jobs"]["last"]
                fresh = [
                    name for name, one in last.items() if one["slot"].startswith(day.isoformat()) and one["outcome"] == "complete"
                ]
                if {"instruments", "accounts", "openings"} <= set(fresh):
                    return
            await asyncio.sleep(0.1)
    raise StartError(f"the morning's readings of {day} did not complete; see {built.logs / 'worker'}.log")
