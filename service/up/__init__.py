"""`ilim up`: the whole house on this machine. An embedded PostgreSQL, the sandbox, one api and one worker.

For newcomers and for demonstrations: the platform, the brokers and the licence are invented. Every process started here is
ended here, by its process id, whatever happens in between.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from functools import partial

from service.settings import Settings
from service.up.day import jobs_done, market_time, next_morning, open_market, set_clock, turn_the_days
from service.up.processes import INVENTED, House, StartError, describe, house, write_private

__all__ = [
    "INVENTED", "House", "StartError", "describe", "house", "jobs_done", "market_time", "next_morning", "open_market", "run",
    "set_clock", "stay", "stop_event", "write_private",
]  # fmt: skip


async def run(settings: Settings, environ: dict[str, str]) -> int:
    """`ilim up`: everything, until a signal or until the sandbox ends by itself."""
    stop = stop_event()
    async with house(settings, environ) as built:
        write_private(settings.data_dir / "start.json", json.dumps(describe(built), indent=2))
        await open_market(built)
        print(f"up: {built.api_url}/docs — keys are in {settings.data_dir / 'start.json'}, logs in {built.logs}", flush=True)  # noqa: T201
        ended = await stay(built, stop, partial(print, file=sys.stderr, flush=True))
    if ended:
        print(f"{ended} ended by itself; its log is {built.logs / ended}.log", file=sys.stderr)  # noqa: T201
    return 1 if ended else 0


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def stay(built: House, stop: asyncio.Event, tell: Callable[[str], None]) -> str | None:
    """Until told to stop: look after the market day, and start database, api and worker again when they end. The name of what
    ended by itself and cannot be: the sandbox, whose books are in its memory. Raises PostgresError, StartError."""
    days = asyncio.create_task(turn_the_days(built))
    try:
        while not stop.is_set() and not days.done():
            await _keep_database(built, tell)
            ended = built.ended()
            if ended == "sandbox":
                return ended
            if ended:
                status = built.processes[ended].returncode
                tell(f"{ended} ended with status {status} and is started again; its log is {built.logs / ended}.log")
                built.start_again(ended)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await stop.wait()
        if days.done():
            days.result()
        return None
    finally:
        days.cancel()
        await asyncio.gather(days, return_exceptions=True)


async def _keep_database(built: House, tell: Callable[[str], None]) -> None:
    """Nobody else would start it again. Its log lies where it lies itself."""
    server = built.server
    if server is None or server.listens():
        return
    tell(f"PostgreSQL ended and is started again; its log is {server.place / 'log'}")
    await asyncio.to_thread(server.restart)
