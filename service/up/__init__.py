"""`ilim up`: the whole house on this machine. An embedded PostgreSQL, the sandbox, one api and one worker.

For newcomers and for demonstrations: the platform, the brokers and the licence are invented. Every process started here is
ended here, by its process id, whatever happens in between.
"""

import asyncio
import contextlib
import json
import signal
import sys

from service.settings import Settings
from service.up.day import jobs_done, market_time, next_morning, open_market, set_clock, turn_the_day
from service.up.processes import INVENTED, House, StartError, describe, house, write_private

__all__ = [
    "INVENTED", "House", "StartError", "describe", "house", "jobs_done", "market_time", "next_morning", "open_market", "run",
    "set_clock", "stay", "stop_event", "write_private",
]  # fmt: skip


async def run(settings: Settings, environ: dict[str, str]) -> int:
    """`ilim up`: everything, until a signal or until a part ends by itself."""
    stop = stop_event()
    async with house(settings, environ) as built:
        write_private(settings.data_dir / "start.json", json.dumps(describe(built), indent=2))
        await open_market(built)
        print(f"up: {built.api_url}/docs — keys are in {settings.data_dir / 'start.json'}, logs in {built.logs}", flush=True)  # noqa: T201
        ended = await stay(built, stop)
    if ended:
        print(f"{ended} ended by itself; its log is {built.logs / ended}.log", file=sys.stderr)  # noqa: T201
    return 1 if ended else 0


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def stay(built: House, stop: asyncio.Event) -> str | None:
    """Until told to stop, looking after the market day; the name of a part that ended by itself."""
    while not stop.is_set():
        ended = built.ended()
        if ended:
            return ended
        await turn_the_day(built)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await stop.wait()
    return None
