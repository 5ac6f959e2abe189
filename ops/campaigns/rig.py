"""The house on a fresh database with a market open, and hands to start and kill its processes."""

import asyncio
import base64
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from ops.campaigns.ground import Urls, free_ports, fresh_database
from ops.campaigns.nursery import Armed, Child, Nursery
from ops.campaigns.proxy import NONE, Plan, Proxy
from ops.day.play import Book, furnish
from ops.day.stage import Stage
from service.core.clock import monotonic
from service.infra.postgres import EmbeddedPostgres
from service.settings import load
from service.up import INVENTED, House, house, jobs_done, set_clock

PAPER, TICK = "KR7930050000", 10  # the cheapest bank there is not, and its price step in won
SETTINGS = {
    "ILIM_LOG_LEVEL": "ERROR",
    "ILIM_SENDS_PER_SECOND": "1000",
    "ILIM_DATABASE_POOL": "5",
    "ILIM_DATABASE_HOT_POOL": "4",
}
COMMANDS = {"serve": "serve", "serve-2": "serve", "worker-1": "worker", "worker-2": "worker"}  # by slot


class CampaignError(Exception):
    """The campaign cannot go on; the message says what was waited for."""


@dataclass
class Rig:
    """One episode's world."""

    built: House
    stage: Stage
    urls: Urls
    environ: dict[str, str]
    ports: dict[str, int]
    nursery: Nursery
    eye: asyncpg.Connection  # superuser: sees every row
    books: list[Book]
    price: int  # won at which the market sells as much as anybody wants
    proxy: Proxy
    children: dict[str, Child] = field(default_factory=dict)
    stepping: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, slot: str, armed: Armed | None = None, *, cold: bool = False, **more: str) -> Child:
        """The process of a slot: forked, or (cold) a program begun anew as a supervisor would."""
        command = COMMANDS[slot]
        environ = self.environ | {f"ILIM_{'PORT' if command == 'serve' else 'WORKER_PORT'}": str(self.ports[slot])} | more
        log = self.built.logs / f"{slot}.log"
        if cold:
            self.children[slot] = await _spawn(command, environ, log, armed)
        else:
            self.children[slot] = await self.nursery.fork(command, environ, log, armed)
        return self.children[slot]

    async def kill(self, slot: str) -> None:
        self.children[slot].signal(signal.SIGKILL)
        await self.children[slot].died.wait()

    async def serving(self, slot: str, child: Child, within_s: float = 30.0) -> None:
        """Until the process of a slot answers that it is ready, or is dead."""
        url = f"http://127.0.0.1:{self.ports[slot]}/readyz"
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:

            async def ready() -> bool:
                if not child.alive:
                    return True
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get(url)).status_code == httpx.codes.OK
                return False

            await until(ready, f"{slot} to serve", within_s, every_s=0.03)

    async def step(self, seconds: int) -> None:
        """Move the market on; one step at a time, because a step takes time and time does not go backwards."""
        async with self.stepping:
            await self.stage.control("clock", {"advance_seconds": seconds})


async def _spawn(command: str, environ: Mapping[str, str], log: Path, armed: Armed | None) -> Child:
    places = ",".join(f"{place}=kill" for place in armed or {})
    # As in a real deployment, compiled modules are kept.
    known = {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", command,
            env={**known, "ILIM_FAILPOINTS": places}, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    child = Child(process.pid)

    async def reap() -> None:
        child.status = await process.wait()
        child.died.set()

    child.reaper = asyncio.create_task(reap())
    return child


async def until(ready: Callable[[], Awaitable[bool]], what: str, within_s: float = 30.0, every_s: float = 0.05) -> None:
    """Ask again and again until it is so. Raises CampaignError."""
    end = monotonic() + within_s
    while not await ready():
        if monotonic() > end:
            raise CampaignError(f"waited {within_s:.0f} s for {what}")
        await asyncio.sleep(every_s)


@contextlib.asynccontextmanager
async def meanwhile(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Endless work beside the block; an error of it is raised at the end."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for one in tasks:
            one.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


@contextlib.asynccontextmanager
async def rig(server: EmbeddedPostgres, nursery: Nursery, seed: int, plan: Plan = lambda _number: NONE) -> AsyncIterator[Rig]:
    """A house at 09:01 of a trading day: balances read, mandates in force, one paper offered without end at one price.
    Its own api and worker have stopped; those the campaign starts reach the platform through a proxy that harms their
    connections as `plan` says."""
    with tempfile.TemporaryDirectory(prefix="ilim-rig-") as directory:
        async with fresh_database(server) as urls:
            serve, second, sandbox, *workers = free_ports(5)
            environ = _environ(urls, Path(directory), serve, sandbox, workers[0])
            async with house(load(environ, None), environ, seed=seed) as built, Proxy(("127.0.0.1", sandbox), plan=plan) as proxy:
                stage = Stage(built)
                eye = await asyncpg.connect(urls.superuser)
                clock = {"ILIM_CLOCK": f"http://127.0.0.1:{sandbox}/_sandbox/clock"}
                ports = {"serve": serve, "serve-2": second, "worker-1": workers[0], "worker-2": workers[1]}
                environ = INVENTED | environ | clock | _through(proxy.port)
                made = Rig(built, stage, urls, environ, ports, nursery, eye, [], 0, proxy)
                try:
                    await _open(made)
                    yield made
                finally:
                    for slot in made.children:
                        await made.kill(slot)
                    await eye.close()
                    await stage.close()


def _through(port: int) -> dict[str, str]:
    """The platform by way of the proxy; its clock is no part of it."""
    web = f"http://127.0.0.1:{port}"
    stream = f"ws://127.0.0.1:{port}/v1/order/stream"
    return {"ILIM_KOSCOM_BASE_URL": web, "ILIM_KOSCOM_ORDER_URL": web, "ILIM_KOSCOM_STREAM_URL": stream}


def _environ(urls: Urls, directory: Path, serve: int, sandbox: int, worker: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")}
    return (
        inherited
        | SETTINGS
        | {
            "ILIM_PORT": str(serve),
            "ILIM_SANDBOX_PORT": str(sandbox),
            "ILIM_WORKER_PORT": str(worker),
            "ILIM_DATA_DIR": str(directory),
            "ILIM_DATA_KEY": base64.b64encode(bytes(range(32))).decode(),
            "ILIM_DATABASE_URL": urls.app,
            "ILIM_DATABASE_WORKER_URL": urls.worker,
            "ILIM_DATABASE_ADMIN_URL": urls.owner,
        }
    )


async def _open(made: Rig) -> None:
    built, stage = made.built, made.stage
    await set_clock(built, stage.sandbox, {"now": f"{built.business_date}T08:05:00+09:00"})
    await jobs_done(built, built.business_date)
    made.books = await furnish(stage)
    await stage.at("09:01")
    detail = await stage.get("kim", f"/v1/instruments/{PAPER}")
    made.price = int(float(detail["day"]["base_price"]))
    quote: dict[str, Any] = {"isin": PAPER, "ask": made.price, "ask_quantity": 10_000_000, "pinned": True}
    await stage.control("quote", quote)
    for name in ("worker", "serve"):
        process = built.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)
