"""PostgreSQL: one engine for plain work, one raw pool for the hot writes, and the only door to a transaction.

Row-level security is the second wall around a manager's book. A transaction therefore names whose books it opens:
`Books.ALL` for roles that read everything, a user id for a manager, `Books.NONE` (sees no row of a book) by default.
The login of the worker has a policy of its own and needs no books.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from enum import Enum
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import URL, BigInteger, DateTime, MetaData, Numeric, Select, make_url, text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

from service.core.principal import Principal, Role
from service.infra.metrics import counter

log = structlog.get_logger()

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

WON = BigInteger  # a whole number of won
PRICE = Numeric(20, 4)  # won with up to four decimals: mid-point prices and averages
QUANTITY = BigInteger  # shares
MOMENT = DateTime(timezone=True)

SESSION_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",  # compiling a plan costs more than any statement here runs
    "statement_timeout": "30000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "60000",
}

HOT_SETTINGS = {
    "lock_timeout": "2000",  # a parallel twin waits this long, then 409
    # Hot statements find rows by key and in an index's order, so one plan is right for all values, and planning costs more
    # than running. A plan made while tables are empty would read them whole, or read and sort a whole queue for its first
    # row, for as long as the connection lives.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}


class Books(Enum):
    NONE = ""
    ALL = "*"


Whose = Books | UUID


def books_of(principal: Principal) -> Whose:
    """Whose books a caller opens: a manager's own, whatever else a manager is; all for roles that read all; none for who is
    neither, though a mandate may still name somebody whose role was withdrawn."""
    if principal.has(Role.MANAGER):
        return principal.user_id
    return Books.ALL if principal.sees_all_books else Books.NONE


class Transaction(Protocol):
    """What verbs are given: `async with transaction(books=…) as connection`. Commits at the end, or raises."""

    def __call__(self, *, books: Whose = Books.NONE) -> AbstractAsyncContextManager[AsyncConnection]: ...


class HotTransaction(Protocol):
    """The same on the raw driver, for statements compiled once."""

    def __call__(self, *, books: Whose = Books.NONE) -> AbstractAsyncContextManager[asyncpg.Connection]: ...


def _books_text(books: Whose) -> str:
    return str(books) if isinstance(books, UUID) else books.value


def async_url(url: str) -> URL:
    """The SQLAlchemy URL for a `postgresql://` one, whatever driver it names."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def driver_dsn(url: str) -> str:
    """The same as asyncpg itself reads it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """The connections of one process. `open()` before use, `close()` at the end."""

    def __init__(self, url: str, *, application: str, pool_size: int = 10, hot_pool_size: int = 10) -> None:
        self._dsn = driver_dsn(url)
        self._settings = {**SESSION_SETTINGS, "application_name": application}
        self._hot_pool_size = hot_pool_size
        self._hot: asyncpg.Pool | None = None
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=False,
            hide_parameters=True,  # an error would quote them: account numbers, in whatever log it reaches
            connect_args={"server_settings": self._settings, "timeout": 5},
        )

    async def open(self) -> None:
        """Open the raw pool. Raises OSError or asyncpg.PostgresError when the database cannot be reached."""
        self._hot = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=self._hot_pool_size,
            server_settings=self._settings | HOT_SETTINGS,
            timeout=5,
            reset=_no_reset,
        )

    async def close(self) -> None:
        await self.engine.dispose()
        if self._hot is not None:
            self._hot.terminate()
            self._hot = None

    @asynccontextmanager
    async def transaction(self, *, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        with _told():
            async with self.engine.begin() as connection:
                if books is not Books.NONE:
                    await connection.execute(SET_BOOKS, {"books": _books_text(books)})
                yield connection

    @asynccontextmanager
    async def hot(self, *, books: Whose = Books.NONE) -> AsyncIterator[asyncpg.Connection]:
        """A transaction on the raw driver. BEGIN and the books travel in one message: a round trip is a tenth of a
        hot write."""
        async with self.raw() as connection:
            await connection.execute(_begin_with(books))
            try:
                yield connection
            except BaseException:
                await _rollback(connection)
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[asyncpg.Connection]:
        """A raw connection in autocommit: one statement, one transaction."""
        if self._hot is None:
            raise RuntimeError("Database.open() was not called")
        with _told():
            async with self._hot.acquire(timeout=5) as connection:
                yield connection

    async def connect_alone(self) -> asyncpg.Connection:
        """A connection outside every pool, for LISTEN and for leases. The caller closes it."""
        return await asyncpg.connect(self._dsn, server_settings=self._settings, timeout=5)


SET_BOOKS = text("select set_config('ilim.user', :books, true)")


def _begin_with(books: Whose) -> str:
    # The text is a UUID's own rendering or one of two constants, never a caller's words.
    return "BEGIN" if books is Books.NONE else 'BEGIN; SET LOCAL ilim."user" = \'' + _books_text(books) + "'"


FULL = counter("ilim_database_full_total", "Transactions refused because the database's disk is full")
MAKE_ROOM = "Make room on the database's disk: nothing is taken or sent meanwhile, and everything goes on by itself then."

# All the raw driver raises of a server that is away, busy or refuses. The last but one is what it says when a connection ends in
# the middle of its own words: no kind of the others, and whoever waits for better times must not end over it.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.InsufficientResourcesError,  # class 53: no room, no memory, no connection free
    asyncpg.exceptions.LockNotAvailableError,  # somebody held a row for longer than one may wait; rolled back, like the next two
    asyncpg.exceptions.DeadlockDetectedError,
    asyncpg.exceptions.QueryCanceledError,  # a statement that took too long
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a standby that nobody has promoted yet
    PoolTimeout,
    ConnectionError,
    FileNotFoundError,  # the socket of a server that is not there
    TimeoutError,
)


def is_away(error: BaseException | None) -> bool:
    """Whether the database cannot be reached, is busy or is short of something: trouble that passes, and no fault of the call."""
    return any(isinstance(one, AWAY) for one in _causes(error))


def is_full(error: BaseException | None) -> bool:
    """Whether the database refused for want of room on its disk: rolled back, and until a person makes room nothing else can
    be written. Not when the server ended over it (its own log has no room): what became of a commit is then unknown."""
    chain = list(_causes(error))
    ended = any(isinstance(one, asyncpg.PostgresConnectionError) for one in chain)
    return not ended and any(isinstance(one, asyncpg.DiskFullError) for one in chain)


def passes(error: BaseException | None) -> bool:
    """Whether the database is away, busy or full: what failed so is worth repeating as it is."""
    return is_away(error) or is_full(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or getattr(error, "orig", None)


@contextmanager
def _told() -> Iterator[None]:
    """A full disk needs a person: alarm, whoever met it."""
    try:
        yield
    except Exception as error:
        if is_full(error):
            FULL.inc()
            log.error("database.full", reason=str(error).partition("\n")[0], what_now=MAKE_ROOM)
        raise


async def _no_reset(_connection: asyncpg.Connection) -> None:
    """Nothing on the hot pool outlives its transaction, so the driver's reset (a round trip) is left out."""


async def _rollback(connection: asyncpg.Connection) -> None:
    if not connection.is_closed():
        try:
            await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            connection.terminate()  # the pool replaces it; the server rolls back what it held


Either: TypeAlias = AsyncConnection | asyncpg.Connection


class HotStatement:
    """A Core statement compiled once for the raw driver; call it with values by bind name."""

    def __init__(self, statement: Select[Any] | UpdateBase) -> None:
        self.statement = statement
        compiled = statement.compile(dialect=asyncpg_dialect.dialect())  # type: ignore[no-untyped-call]
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("only queries and writes can be hot, not DDL")
        self.sql = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._fixed: dict[str, Any] = {
            name: value for name, value in compiled.params.items() if value is not None or name not in self.names
        }

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        return [values[name] if name in values else self._fixed.get(name) for name in self.names]

    async def row(self, connection: asyncpg.Connection, **values: Any) -> asyncpg.Record | None:
        return await connection.fetchrow(self.sql, *self.arguments(values))

    async def rows(self, connection: asyncpg.Connection, **values: Any) -> list[asyncpg.Record]:
        return list(await connection.fetch(self.sql, *self.arguments(values)))

    async def on(self, connection: Either, **values: Any) -> Sequence[Mapping[str, Any]]:
        """The rows, from either driver: inside a plain transaction or a hot one. Errors are the driver's own."""
        if isinstance(connection, AsyncConnection):
            found = (await connection.execute(self.statement, values)).mappings().all()
            return [{str(name): value for name, value in row.items()} for row in found]
        return await self.rows(connection, **values)
