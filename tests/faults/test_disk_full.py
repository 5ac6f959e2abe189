"""Row 21 of `docs/faults.md`: the database's disk is full, its log's disk is full, our own log's disk is full."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from ops.campaigns.ground import Urls, fresh_database
from ops.invariants import violations
from service.core.clock import ManualClock, stand_in
from service.gateway import Refused
from service.infra.db import is_away, is_full
from service.infra.metrics import REGISTRY
from service.infra.postgres import SUPERUSER, EmbeddedPostgres, start
from service.orders.dispatch import RECORDING_S
from tests.executions.test_order_life import Life, ack, life, trade  # noqa: F401 - a fixture
from tests.faults.test_failover import house
from tests.makers import BROKER, fetch
from tests.orders.test_submit import place
from tests.waiting import until

MOST = 3_000  # orders after which a disk that takes still more is not full
LEFT = 3 << 18  # bytes of the write-ahead log that still have their place
BEFORE = 30  # orders that wait when it fills
APART = "ILIM_TEST_MAY_MOUNT"  # set where a process has a mount table of its own
UNSHARE = ("unshare", "--user", "--mount", "--map-current-user", "--keep-caps")


@dataclass(frozen=True)
class Disk:
    """A file system of its own with so many MiB."""

    at: Path

    @classmethod
    @contextlib.contextmanager
    def of(cls, at: Path, mib: int) -> Iterator["Disk"]:
        at.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0711", "ilim-test", str(at)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"a file system of a given size cannot be mounted here: {done.stderr.strip()}")
        try:
            yield cls(at)
        finally:
            subprocess.run(["umount", "--lazy", str(at)], check=True)

    def fill(self) -> None:
        """Ballast to the last byte."""
        with open(self.at / "ballast", "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass

    def make_room(self) -> None:
        (self.at / "ballast").unlink()


@dataclass(frozen=True)
class Small:
    """A server whose tables lie on one small disk and whose log (WAL) on another."""

    server: EmbeddedPostgres
    tables: Disk
    wal: Disk
    urls: Urls

    async def checkpoint(self) -> None:
        """A database just copied lies in memory, its files are holes."""
        await fetch(self.urls.superuser, "checkpoint")

    async def write_log(self, *, but: int) -> None:
        """The log's present file, but for so many bytes: after them a new one is needed."""
        ((written,),) = await fetch(self.urls.superuser, "select ((pg_current_wal_lsn() - '0/0') % 16777216)::int")
        await fetch(self.urls.superuser, "select pg_logical_emit_message(false, '', repeat('x', $1))", (16 << 20) - written - but)


@pytest.fixture
async def small() -> AsyncIterator[Small]:
    if os.geteuid() != 0 and APART not in os.environ:
        pytest.skip("not root: it runs in name spaces of its own, see the test of that name")
    home = Path(tempfile.mkdtemp(prefix="ilim-full-"))
    os.chmod(home, 0o711)
    try:
        with Disk.of(home / "tables", 200) as tables, Disk.of(home / "wal", 96) as wal:
            await asyncio.to_thread(_wal_apart, tables.at, wal.at)
            with await asyncio.to_thread(start, tables.at) as server:
                admin = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
                for setting in ("max_wal_size = '48MB'", "min_wal_size = '32MB'", "wal_recycle = off", "wal_init_zero = on"):
                    await admin.execute(f"alter system set {setting}")
                await admin.execute("select pg_reload_conf()")
                await admin.close()
                async with fresh_database(server) as urls:
                    yield Small(server, tables, wal, urls)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wal_apart(tables: Path, wal: Path) -> None:
    with start(tables) as server:
        place = server.place
    data = place / "data"
    owner = data.stat()
    (place / "log").unlink()
    (place / "log").symlink_to(wal.parent / "log")
    (wal.parent / "log").touch()
    os.chown(wal.parent / "log", owner.st_uid, owner.st_gid)
    shutil.move(data / "pg_wal", wal / "pg_wal")
    for one in (wal / "pg_wal", *(wal / "pg_wal").rglob("*")):
        os.chown(one, owner.st_uid, owner.st_gid)
    (data / "pg_wal").symlink_to(wal / "pg_wal")


@dataclass
class Caller:
    """Places orders, remembers what it was told, and the key of the first that was refused."""

    life: Life
    told: dict[str, bytes] = field(default_factory=dict)

    async def place(self, key: str) -> bytes:
        number = int(key.partition("-")[2])
        answer = await place(self.life.app, self.life.clock, self.life.world, key=key, quantity=1 + number % 40)
        assert answer.status == 201, answer.body
        return bytes(answer.body)

    async def until_refused(self, expected: Callable[[BaseException], bool]) -> str:
        for n in range(len(self.told), MOST):
            key = f"key-{n}"
            try:
                self.told[key] = await self.place(key)
            except Exception as error:
                if expected(error):
                    return key
                raise
        raise AssertionError("the disk never was full")

    async def nothing_is_lost(self) -> None:
        """Every order that was acknowledged is there, and the answer the same byte for byte."""
        for key, body in self.told.items():
            assert await self.place(key) == body


async def sending(life: Life) -> None:  # noqa: F811
    """As a worker's loop: what fails is tried again, until nothing waits."""
    while True:
        try:
            return await life.dispatch()
        except Exception as error:
            if not is_full(error):
                raise
        await asyncio.sleep(0.05)


def refused_more_often(times: int) -> Callable[[], Awaitable[bool]]:
    def refused() -> float:
        return REGISTRY.get_sample_value("ilim_database_full_total") or 0.0

    enough = refused() + times

    async def holds() -> bool:
        return refused() >= enough

    return holds


async def test_row_21_p01_p02_a_full_disk_takes_nothing_it_cannot_keep_and_then_everything_goes_on(
    small: Small, clock: ManualClock, record_property: Callable[[str, object], None]
) -> None:
    async with house(small.urls, clock) as life:  # noqa: F811
        caller = Caller(life)
        for n in range(BEFORE):
            caller.told[f"key-{n}"] = await caller.place(f"key-{n}")
        (in_hand,) = (await life.dispatcher.claim([BROKER], 1)).claims
        await small.checkpoint()
        small.tables.fill()
        refused = await caller.until_refused(is_full)
        life.gateway.answers = [Refused("3012", "account unknown at broker", b"{}")]
        async with asyncio.TaskGroup() as group:
            group.create_task(life.dispatcher.carry(in_hand))
            group.create_task(sending(life))
            await until(refused_more_often(3))
            small.tables.make_room()
        caller.told[refused] = await caller.place(refused)
        await life.dispatch()
        await caller.nothing_is_lost()
        await all_went_out_once(life, len(caller.told))
        states = {row["cl_ord_id"]: (row["state"], row["reason"]) for row in await life.requests()}
        assert states[in_hand.request.cl_ord_id] == ("refused", "3012: account unknown at broker")
    record_property("figure", f"disk full: {len(caller.told)} acknowledged orders, 0 lost, in 1 trial")


async def all_went_out_once(life: Life, orders: int) -> None:  # noqa: F811
    sent = [one.cl_ord_id for one in life.gateway.sends]
    assert len(set(sent)) == len(sent) == orders
    rows = await fetch(life.urls.superuser, "select cl_ord_id from order_request r join attempt a on a.request_id = r.id")
    assert set(sent) == {row["cl_ord_id"] for row in rows}
    assert await violations(life.urls.superuser) == []
    assert await fetch(life.urls.superuser, "select count(*) from orders") == [(orders,)]


async def test_row_21_p01_a_log_without_room_stops_the_server_and_loses_nothing_acknowledged(
    small: Small, clock: ManualClock, record_property: Callable[[str, object], None]
) -> None:
    """PostgreSQL cannot go on without its write-ahead log: it stops, and starts again once there is room."""
    async with house(small.urls, clock) as life:  # noqa: F811
        caller = Caller(life)
        await small.checkpoint()
        small.wal.fill()
        await small.write_log(but=LEFT)
        refused = await caller.until_refused(lambda error: is_away(error) and not is_full(error))
        assert caller.told
        small.wal.make_room()
        await asyncio.to_thread(small.server.restart)
    async with house(small.urls, clock, life) as life:
        caller.life = life
        caller.told[refused] = await caller.place(refused)
        await caller.nothing_is_lost()
        await life.dispatch()
        await all_went_out_once(life, len(caller.told))
    record_property("figure", f"WAL disk full: {len(caller.told)} acknowledged orders, 0 lost, in 1 trial")


@pytest.mark.skipif(os.geteuid() == 0 or APART in os.environ, reason="this process may mount: both tests ran here")
def test_row_21_who_is_not_root_runs_both_in_name_spaces_of_its_own() -> None:
    allowed = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "ilim-test", "/tmp"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0:
        pytest.skip(f"a file system of a given size cannot be mounted here: {allowed.stderr.strip()}")
    command = [
        *UNSHARE,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "full_disk or without_room",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, APART: "1"})
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" 0 lost, in 1 trial") == 2


NO_ROOM = (
    """create function no_room() returns trigger language plpgsql as $$ begin
        raise exception using errcode = '53100', message = 'could not extend file: No space left on device'; end $$""",
    """do $$ declare one regclass; begin
        for one in select c.oid from pg_class c where c.relkind in ('r', 'p') and not c.relispartition
            and c.relnamespace in ('public'::regnamespace, 'audit'::regnamespace)
        loop execute format('create trigger no_room before insert or update on %s for each row execute function no_room()', one);
        end loop; end $$""",
)
ROOM = "drop function no_room() cascade"
COUNTED = """
    select (select count(*) from orders), (select count(*) from order_request), (select count(*) from inbox),
        (select count(*) from attempt where outcome is null), (select count(*) from idempotency_key),
        (select sum(version) from orders)"""


@contextlib.contextmanager
def later(seconds: float) -> Iterator[None]:
    stand_in(monotonic=lambda: time.monotonic() + seconds)
    try:
        yield
    finally:
        stand_in()


async def test_row_21_p02_p04_with_no_room_nothing_happens_and_a_known_outcome_is_kept_until_there_is(
    life: Life,  # noqa: F811
    clock: ManualClock,
) -> None:
    """The database's own error for every write, without a disk that must be filled."""
    first = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    await life.submit(key="k2", quantity=7)
    (in_hand,) = (await life.dispatcher.claim([BROKER], 1)).claims
    await life.submit(key="k3", quantity=8)  # waits
    before = await fetch(life.urls.superuser, COUNTED)
    for statement in NO_ROOM:
        await fetch(life.urls.superuser, statement)
    for act in (
        lambda: place(life.app, clock, life.world, key="k4"),
        lambda: life.amend(first, "a1", price=Decimal(70_100)),
        lambda: life.cancel(first, "c1"),
        lambda: life.dispatcher.claim([BROKER], 8),
        lambda: life.receive(trade(cl, 4, 4)),
    ):
        with pytest.raises((asyncpg.PostgresError, SQLAlchemyError)) as refused:
            await act()
        assert is_full(refused.value)
    assert await fetch(life.urls.superuser, COUNTED) == before
    life.gateway.answers = [Refused("3012", "account unknown at broker", b"{}")]
    carrying = asyncio.create_task(life.dispatcher.carry(in_hand))
    await until(refused_more_often(2))
    with later(RECORDING_S + 1):  # longer than a database that merely is away is waited for
        await until(refused_more_often(1))
    assert await fetch(life.urls.superuser, COUNTED) == before
    await fetch(life.urls.superuser, ROOM)
    await carrying
    await life.receive(trade(cl, 4, 4))
    await life.dispatch()
    states = {row["quantity"]: (row["state"], row["reason"]) for row in await life.requests()}
    assert states[7] == ("refused", "3012: account unknown at broker")
    assert [row["quantity"] for row in await life.fills()] == [4]
    assert len({one.cl_ord_id for one in life.gateway.sends}) == len(life.gateway.sends) == 3
    assert await violations(life.urls.superuser) == []
