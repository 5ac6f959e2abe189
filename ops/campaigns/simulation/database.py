"""PostgreSQL in a simulation: a real server, and a whole transaction is one step.

The driver works on a real loop of its own that runs to the end of each call, so a transaction never lets another task in.
What can go wrong is injected at its edges: it never begins, its COMMIT is lost, or the answer to its COMMIT is. The
database's clock is the simulation's: schema `sim` has a `clock_timestamp()` and a `now()` found before the real ones.
"""

import asyncio
import inspect
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ops.campaigns.simulation.loop import Process, RealLoop, Trace
from ops.campaigns.simulation.weather import Weather
from service.infra import migrations
from service.infra.db import HOT_SETTINGS, SESSION_SETTINGS, Books, Database, Whose, _begin_with, driver_dsn
from service.infra.postgres import SUPERUSER, EmbeddedPostgres, start
from service.infra.roles import APP, OWNER, WORKER, prepare
from service.market.book import MarketBook

DATABASE = "ilim_simulation"
CLOCK = """
create schema sim;
grant usage on schema sim to public;
create function sim.clock_timestamp() returns timestamptz language sql stable
    as $$ select current_setting('sim.now')::timestamptz $$;
create function sim.now() returns timestamptz language sql stable as $$ select current_setting('sim.now')::timestamptz $$;
"""
FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off", "max_wal_size = '4GB'")
WRITES = re.compile(r"\b(?:insert into|delete from|update) ([a-z_.]+)", re.IGNORECASE)


COLUMNS = """
    select string_agg(format('%I', attname), ', ' order by attnum) as names from pg_attribute
    where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = ''"""
PREPARED = asyncpg.prepared_stmt.PreparedStatement


class Killed(BaseException):
    """The process died at the edge of a transaction. Nothing of it may go on."""


class Blocking:
    """A driver's object whose coroutines have run to their end when they are first awaited."""

    def __init__(self, target: Any, run: Callable[[Any], Any], told: Callable[[str], None] | None = None, sql: str = "") -> None:
        self._target, self._run, self._told, self._sql = target, run, told, sql

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        made = self._calling(found) if callable(found) else found
        if callable(found):
            self.__dict__[name] = made
        return made

    def _calling(self, act: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            sql = given[0] if given and isinstance(given[0], str) else self._sql
            if self._told is not None:
                self._told(sql)
            result = act(*given, **named)
            return self._finish(result, sql) if inspect.iscoroutine(result) else result

        return call

    async def _finish(self, work: Any, sql: str) -> Any:
        result = self._run(work)
        return Blocking(result, self._run, self._told, sql) if isinstance(result, PREPARED) else result


class Connection(Blocking):
    """A driver's connection. Its transactions begin with the simulation's time and the books they open, in one message."""

    opening = "BEGIN"

    def transaction(self, **_isolation: Any) -> "Begin":
        return Begin(self)


class Begin:
    """What SQLAlchemy asks of a driver's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        await self._connection.execute(self._connection.opening)

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


class Server:
    """One migrated database on a server of its own, its state taken once and put back for each seed."""

    def __init__(self) -> None:
        self.real = RealLoop()
        self._home = Path(tempfile.mkdtemp(prefix="ilim-simulation-"))
        self._home.chmod(0o711)
        self.postgres: EmbeddedPostgres = start(self._home, max_connections=60)
        self.real.run(prepare(self._url(SUPERUSER, "postgres"), DATABASE, self.postgres.passwords))
        migrations.upgrade(self._url(OWNER))
        self.admin: asyncpg.Connection = self.real.run(asyncpg.connect(self._url(SUPERUSER)))
        for one in FAST:
            self.real.run(self.admin.execute(f"alter system set {one}"))
        self.real.run(self.admin.execute("select pg_reload_conf()"))
        self.real.run(self.admin.execute(CLOCK))
        self.real.run(self.admin.execute("set session_replication_role = replica; set sim.now = '2026-11-22T00:00Z'"))
        self._allow_truncate()
        self.logins = {login: Login(self, login) for login in (APP, WORKER)}
        self._tables: list[str] = []
        self._columns: dict[str, str] = {}  # of the tables that have rows: their columns, as text
        self._sequences: dict[str, int] = {}
        self.market: MarketBook | None = None  # of every process, once it is read
        self.written: set[str] = set()  # tables written to since somebody looked

    def _allow_truncate(self) -> None:
        """The ledger refuses to be emptied, whoever asks. Here it is, between seeds; everything else it refuses it goes on
        refusing."""
        found = self.ask("""select tgrelid::regclass::text as place, tgname as name from pg_trigger
                            where not tgisinternal and tgtype & 32 <> 0""")
        for one in found:
            self.tell(f"alter table {one['place']} disable trigger {one['name']}")

    def _url(self, login: str, database: str = DATABASE) -> str:
        return self.postgres.url(login, database)

    def dsn(self, login: str) -> str:
        return driver_dsn(self._url(login))

    def note(self, sql: str) -> None:
        self.written |= _written(sql)

    def ask(self, sql: str, *given: Any) -> list[asyncpg.Record]:
        """A question past every policy."""
        return list(self.real.run(self.admin.fetch(sql, *given)))

    def tell(self, sql: str) -> None:
        self.real.run(self.admin.execute(sql))

    def remember(self) -> None:
        """What is in the tables now is what every seed begins with, the ledger apart: that begins empty."""
        rows = self.ask("""
            select format('%I.%I', schemaname, tablename) as name from pg_tables
            where schemaname in ('public', 'audit') and tablename <> 'alembic_version' order by 1""")
        self._tables = [row["name"] for row in rows]
        self.tell("create schema if not exists seed")
        for name in self._tables:
            if not name.startswith("audit.") and self.ask(f"select from {name} limit 1"):
                self.tell(f"create table seed.{_kept(name)} as table {name}")
                self._columns[name] = self.ask(COLUMNS, name)[0]["names"]
        found = self.ask("select format('%I.%I', schemaname, sequencename) as name, last_value from pg_sequences order by 1")
        self._sequences = {row["name"]: row["last_value"] or 1 for row in found}

    def restore(self) -> None:
        """As remembered. Foreign keys and the ledger's guards do not look while we do (session_replication_role)."""
        self.tell("truncate " + ", ".join(self._tables))
        for name in self._columns:
            columns = self._columns[name]
            self.tell(f"insert into {name} ({columns}) overriding system value select {columns} from seed.{_kept(name)}")
        for name, last in self._sequences.items():
            self.tell(f"select setval('{name}', {last})")

    def close(self) -> None:
        self.postgres.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@cache
def _written(sql: str) -> frozenset[str]:
    return frozenset(name.lower() for name in WRITES.findall(sql))


def _kept(name: str) -> str:
    return name.replace(".", "_")


class Login:
    """The connections of one login, kept over all seeds: their plans stay warm."""

    def __init__(self, server: Server, login: str) -> None:
        self.server, self.login = server, login
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://", async_creator=self._adapted, pool_size=40, max_overflow=0
        )
        self._idle: list[Blocking] = []

    def _connect(self, extra: dict[str, str]) -> Connection:
        settings = {**SESSION_SETTINGS, **extra, "search_path": "sim, pg_catalog, public", "sim.now": "2026-11-22T00:00Z"}
        made = self.server.real.run(asyncpg.connect(self.server.dsn(self.login), server_settings=settings))
        return Connection(made, self.server.real.run, self.server.note)

    async def _adapted(self, *_given: Any, **_named: Any) -> Blocking:
        return self._connect({})

    @asynccontextmanager
    async def hot(self) -> AsyncIterator[Blocking]:
        connection = self._idle.pop() if self._idle else self._connect(HOT_SETTINGS)
        try:
            yield connection
        finally:
            self._idle.append(connection)


def lost() -> asyncpg.PostgresConnectionError:
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class SimulatedDatabase(Database):
    """The three ports of `Database` for one process of a simulation."""

    def __init__(self, login: Login, process: Process, weather: Weather, trace: Trace) -> None:
        self._login, self._process, self._weather, self._trace = login, process, weather, trace
        self.engine = login.engine
        self.depth = 0

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        """It stays open for the next seed."""

    @asynccontextmanager
    async def transaction(self, *, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        await self._before()
        self.depth += 1
        connection = await self.engine.connect()
        try:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.opening = self._opening(books)
            try:
                begun = await connection.begin()
                yield connection
                fate = self._fate()
                await (begun.rollback() if fate == "before" else begun.commit())
            except BaseException:
                await connection.rollback()
                raise
        finally:
            await connection.close()
            self.depth -= 1
        await self._after(fate, wrapped=True)

    def _opening(self, books: Whose) -> str:
        return f"{_begin_with(books)}; set local sim.now = '{self._weather.real_text()}'"

    @asynccontextmanager
    async def hot(self, *, books: Whose = Books.NONE) -> AsyncIterator[Any]:
        await self._before()
        self.depth += 1
        try:
            async with self._login.hot() as connection:
                await connection.execute(self._opening(books))
                try:
                    yield connection
                    fate = self._fate()
                except BaseException:
                    await connection.execute("ROLLBACK")
                    raise
                await connection.execute("ROLLBACK" if fate == "before" else "COMMIT")
        finally:
            self.depth -= 1
        await self._after(fate, wrapped=False)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        await self._before()
        async with self._login.hot() as connection:
            yield connection  # one statement, which counts calls and asks no clock

    # --- the edges

    async def _before(self) -> None:
        if self.depth == 0:
            await asyncio.sleep(self._weather.pause(self._process))
        self._living()
        if self.depth == 0 and self._weather.strikes("database_away"):
            self._trace.add("  database away")
            raise ConnectionRefusedError("the database is away")

    def _fate(self) -> str:
        """What becomes of the COMMIT: "" it is well, "before" it never arrives, "after" its answer is lost."""
        self._living()
        return "" if self.depth > 1 else self._weather.commit(self._process)

    async def _after(self, fate: str, *, wrapped: bool) -> None:
        if self.depth == 0:
            self._trace.add(f"  transaction of {self._process.name} {_who()} {fate}")
            self._weather.committed()
        if not self._process.alive:
            await asyncio.Event().wait()  # killed in its COMMIT: it never learns more
        if fate:
            raise DBAPIError("COMMIT", None, lost()) if wrapped else lost()
        if self.depth == 0:
            await asyncio.sleep(0)

    def _living(self) -> None:
        if not self._process.alive:
            raise Killed


def _who() -> str:
    task = asyncio.current_task()
    return task.get_name() if task is not None else "?"
