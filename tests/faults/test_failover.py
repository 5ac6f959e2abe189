"""Row 18 of `docs/faults.md`: the database dies in the midst of transactions and a synchronous standby takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from ops.campaigns.ground import Urls, fresh_database
from ops.invariants import violations
from service.controls.fence import fence
from service.core.clock import ManualClock
from service.infra.db import Database
from service.infra.postgres import SUPERUSER, EmbeddedPostgres
from service.infra.postgres_host import find_account, find_binaries
from tests.executions.test_order_life import Life
from tests.makers import BROKER, fetch, make_world
from tests.orders.test_submit import place
from tests.waiting import until

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, TimeoutError)
PORT = 5433
CALLERS, BEFORE = 6, 25


@dataclass
class Standby:
    """A copy of a server on the same machine, that follows it and has every commit before its caller hears of it."""

    primary: EmbeddedPostgres

    def __post_init__(self) -> None:
        self._account = find_account(self.primary.place)
        self._binaries = find_binaries(self._account)
        self._data = self.primary.place / "standby"

    async def begin(self, *, synchronous: bool = True) -> None:
        source = self.primary.url(SUPERUSER, "postgres")
        await self._run("pg_basebackup", "-D", self._data, "-d", source, "-R", "-X", "stream", "-c", "fast")
        (most,) = (await fetch(source, "show max_connections"))[0]
        self._options = f"-c listen_addresses='' -c unix_socket_directories='{self.primary.sockets}' -c port={PORT}"
        self._options += f" -c max_connections={most}"
        await self._start()
        if synchronous:
            await self._on_primary("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
        self._kind = "sync" if synchronous else "async"
        await until(self.follows, 30)

    async def _start(self) -> None:
        log = self.primary.place / "standby.log"
        await self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", log, "-o", self._options)

    async def follows(self) -> bool:
        """And has everything."""
        question = "select sync_state, flush_lsn >= pg_current_wal_lsn() as whole from pg_stat_replication"
        rows = await fetch(self.primary.url(SUPERUSER, "postgres"), question)
        return [(row["sync_state"], row["whole"]) for row in rows] == [(self._kind, True)]

    async def lag(self) -> None:
        """From now on it hears nothing."""
        await self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data)

    async def take_over(self, *, lagged: bool = False) -> None:
        if lagged:
            await self._start()
        await self._run("pg_ctl", "promote", "-w", "-D", self._data)

    async def end(self) -> None:
        """The old primary is as it was, alone."""
        await self._run("pg_ctl", "stop", "-m", "immediate", "-D", self._data)
        await asyncio.to_thread(self.primary.restart)
        await self._on_primary("alter system reset synchronous_standby_names", "select pg_reload_conf()")

    async def _on_primary(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.primary.url(SUPERUSER, "postgres"))
        try:
            await connection.execute("set synchronous_commit = local")
            for one in statements:
                await connection.execute(one)
        finally:
            await connection.close()

    async def _run(self, program: str, *arguments: str | Path) -> None:
        done = await asyncio.to_thread(self._account.run, self._binaries / program, *arguments, cwd=self.primary.place)
        assert done.returncode == 0, done.stderr

    def instead(self, urls: Urls) -> Urls:
        """The same logins, here."""
        moved = {name: f"{getattr(urls, name)}&port={PORT}" for name in ("owner", "app", "worker", "superuser")}
        return Urls(urls.name, **moved)


@asynccontextmanager
async def house(urls: Any, clock: ManualClock, before: Life | None = None) -> AsyncIterator[Life]:
    """Api and worker on a database; after another one, with what that one's broker has."""
    app, worker = (Database(url, application="test-failover", pool_size=8, hot_pool_size=8) for url in (urls.app, urls.worker))
    try:
        await app.open()
        await worker.open()
        world = before.world if before else await make_world(urls.superuser, cash=10**11)
        made = Life(app, worker, urls, clock, world)
        if before:
            made.gateway = before.gateway
            gateway: Any = before.gateway
            made.dispatcher, made.applier = (replace(one, gateway=gateway) for one in (made.dispatcher, made.applier))
        yield made
    finally:
        await app.close()
        await worker.close()


@dataclass
class Callers:
    """Many who place orders until nobody answers any more, and remember what they were told."""

    life: Life
    told: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, name: int) -> None:
        n = 0
        while True:
            n += 1
            key = f"{name}-{n}"
            self.asked.append(key)
            try:
                self.told[key] = await self.place(self.life, key)
            except AWAY:
                return
            if len(self.told) >= BEFORE:
                self.enough.set()

    async def place(self, life: Life, key: str) -> bytes:
        answer = await place(life.app, life.clock, life.world, key=key, quantity=1 + self.asked.index(key))
        assert answer.status == 201
        return bytes(answer.body)


async def sending(life: Life) -> None:
    try:
        while True:
            if not await life.dispatcher.dispatch_one([BROKER]):
                await asyncio.sleep(0.005)
    except AWAY:
        return


@pytest.fixture
async def standby(server: EmbeddedPostgres) -> AsyncIterator[tuple[Standby, Urls]]:
    async with fresh_database(server) as urls:
        made = Standby(server)
        await made.begin()
        try:
            yield made, urls
        finally:
            await made.end()


async def test_row_18_p01_p02_a_standby_takes_over_in_mid_transaction_and_nothing_is_lost_or_sent_twice(
    standby: tuple[Standby, Urls], server: EmbeddedPostgres, clock: ManualClock
) -> None:
    follower, urls = standby
    async with house(urls, clock) as old:
        callers = Callers(old)
        await old.submit(key="under-way", quantity=999)
        (under_way,) = (await old.dispatcher.claim([BROKER], 1)).claims
        async with asyncio.TaskGroup() as group:
            for i in range(CALLERS):
                group.create_task(callers.call(i))
            sender = group.create_task(sending(old))
            await callers.enough.wait()
            await asyncio.to_thread(server.kill_immediate)
            sender.cancel()  # in whatever it was doing: its host died too
        await follower.take_over()
        sent = [one.cl_ord_id for one in old.gateway.sends]
        async with house(follower.instead(urls), clock, old) as new:
            await nothing_is_lost(new, callers, sent)
            await one_epoch_sends(new, under_way.request.cl_ord_id)


async def nothing_is_lost(new: Life, callers: Callers, sent: list[str]) -> None:
    """What was acknowledged is there, byte for byte; what was sent has its attempt; what was not answered is asked again."""
    assert len(callers.told) >= BEFORE
    for key in callers.asked:
        again = await callers.place(new, key)
        assert callers.told.get(key, again) == again
    rows = await fetch(new.urls.superuser, "select cl_ord_id from order_request r join attempt a on a.request_id = r.id")
    assert set(sent) <= {row["cl_ord_id"] for row in rows}
    assert await fetch(new.urls.superuser, "select count(*) from orders") == [(len(callers.asked) + 1,)]


async def one_epoch_sends(new: Life, under_way: str) -> None:
    """Who began before the fail-over sends nothing; who begins after it sends each order that was not sent, once."""
    before = len(new.gateway.sends)
    assert await fence(new.app.transaction) == 2
    await new.dispatch()
    assert len(new.gateway.sends) == before
    new.dispatcher = replace(new.dispatcher, epoch=2)
    assert await new.dispatcher.orphans() >= 1
    await new.dispatch()
    sent = [one.cl_ord_id for one in new.gateway.sends]
    states = {row["cl_ord_id"]: row["state"] for row in await new.requests()}
    assert len(set(sent)) == len(sent)
    assert states[under_way] == "unknown"
    assert under_way not in sent
    assert set(states.values()) == {"sent", "unknown"}
    assert {name for name, state in states.items() if state == "sent"} <= set(sent)
    assert await violations(new.urls.superuser) == []
