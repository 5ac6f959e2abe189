"""The embedded server: private, durable, owned by one process, and gone when its owner is gone."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service.infra.postgres import SUPERUSER, EmbeddedPostgres, PostgresError, attach, start
from service.infra.postgres_host import Account, find_account, find_binaries, find_place, socket_directory
from service.infra.roles import APP, DURABILITY, LOGINS, OWNER

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory every user may pass; pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="ilim-postgres-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def runs(place: Path) -> bool:
    return (place / "data" / "postmaster.pid").exists()


async def asked(url: str, question: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


# --- on the server all tests share ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", LOGINS)
async def test_every_login_connects_with_its_password(postgres: EmbeddedPostgres, login: str) -> None:
    assert await asked(postgres.url(login), "select current_user") == login


async def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    url = postgres.url(APP).replace(postgres.passwords[APP].reveal(), "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asked(url, "select 1")


@pytest.mark.parametrize("login", LOGINS)
async def test_no_login_is_more_than_it_must_be(postgres: EmbeddedPostgres, login: str) -> None:
    might = "rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls"
    assert await asked(postgres.url(SUPERUSER), f"select {might} from pg_roles where rolname = '{login}'") is False


@pytest.mark.parametrize("setting", DURABILITY)
async def test_durability_is_never_touched(postgres: EmbeddedPostgres, setting: str) -> None:
    source = f"select source from pg_settings where name = '{setting}'"
    assert await asked(postgres.url(SUPERUSER), source) == "default"
    assert await asked(postgres.url(APP), f"select current_setting('{setting}')") == "on"


async def test_it_sorts_alike_everywhere_and_checks_its_pages(postgres: EmbeddedPostgres) -> None:
    locale = "select datlocprovider::text || datlocale from pg_database where datname = 'ilim'"
    assert await asked(postgres.url(SUPERUSER), locale) == "bC.UTF-8"
    assert await asked(postgres.url(APP), "select current_setting('data_checksums')") == "on"


async def test_it_cannot_be_reached_by_network(postgres: EmbeddedPostgres) -> None:
    assert await asked(postgres.url(APP), "select current_setting('listen_addresses')") == ""


def test_nobody_else_may_look(postgres: EmbeddedPostgres) -> None:
    assert stat.S_IMODE(postgres.place.stat().st_mode) == 0o700
    assert stat.S_IMODE((postgres.place / "passwords.json").stat().st_mode) == 0o600
    assert not (postgres.place / "superuser.password").exists()
    assert postgres.passwords[OWNER].reveal() not in repr(postgres)


def test_a_second_owner_is_refused_and_may_attach(postgres: EmbeddedPostgres) -> None:
    data_dir = postgres.place.parent
    with pytest.raises(PostgresError, match="another process already runs"):
        start(data_dir)
    attached = attach(data_dir)
    assert attached.url(APP) == postgres.url(APP)
    attached.stop()
    assert runs(postgres.place)
    with pytest.raises(PostgresError, match="another process owns"):
        attached.kill_immediate()


# --- on a server of the test's own -----------------------------------------------------------------------------------------


async def test_what_was_committed_survives_crashes_and_restarts(home: Path) -> None:
    with start(home) as server:
        await asked(server.url(OWNER), "create table kept as select 1 as one")
        server.kill_immediate()
        server.restart()
        assert await asked(server.url(OWNER), "select one from kept") == 1
        pid = int((server.place / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        server.restart()
        assert await asked(server.url(OWNER), "select one from kept") == 1
    assert not runs(server.place)
    with start(home) as again:
        assert await asked(again.url(OWNER), "select one from kept") == 1


def test_the_server_ends_with_an_owner_that_was_killed(home: Path) -> None:
    script = f"""
import pathlib, sys
from service.infra.postgres import start
server = start(pathlib.Path({str(home)!r}))
print(server._owner._guardian.pid, flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    guardian = int(owner.stdout.readline())
    watched = os.pidfd_open(guardian)  # readable when the guardian, and so pg_ctl stop, has ended
    assert runs(home / "postgres")
    owner.kill()
    owner.wait()
    import select

    assert select.select([watched], [], [], 30)[0]
    os.close(watched)
    assert not runs(home / "postgres")
    owner.stdout.close()
    assert owner.stdin is not None
    owner.stdin.close()


def test_files_of_another_version_are_refused_with_advice(home: Path) -> None:
    with start(home) as server:
        data = server.place / "data"
    (data / "PG_VERSION").write_text("14\n")
    with pytest.raises(PostgresError, match="pg_upgrade"):
        start(home)


def test_a_start_that_was_cut_short_leaves_nothing_to_trip_over(home: Path) -> None:
    account = find_account(home / "postgres")
    place = find_place(account, home)
    (place / "data.new").mkdir()
    (place / "data.new" / "half").write_text("")
    account.own(place / "data.new")
    account.own(place / "data.new" / "half")
    with start(home) as server:
        assert (server.place / "data" / "PG_VERSION").exists()


def test_nothing_runs_on_an_empty_directory(home: Path) -> None:
    with pytest.raises(PostgresError, match="ilim up"):
        attach(home)


# --- where things lie ------------------------------------------------------------------------------------------------------


def test_binaries_that_are_not_there_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="ILIM_POSTGRES_BIN"):
        find_binaries(find_account(tmp_path / "none"), str(tmp_path))


def test_a_long_path_gets_a_short_socket(home: Path) -> None:
    account = find_account(home / "none")
    deep = home / ("d" * 100)
    short = socket_directory(account, deep)
    try:
        assert len(str(short)) < 90
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
        assert socket_directory(account, deep) == short
        short.chmod(0o777)
        with pytest.raises(PostgresError, match="not ours"):
            socket_directory(account, deep)
    finally:
        short.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another user")
def test_a_private_home_is_left_private_and_the_files_go_elsewhere(tmp_path: Path) -> None:
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    account = find_account(private / "postgres")
    place = find_place(account, private)
    try:
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not place.is_relative_to(private)
        assert place.stat().st_uid == account.uid != 0
        private.chmod(0o755)  # even when it could be entered later, the files stay where they are
        assert find_place(account, private) == place
        assert find_account(place) == Account(account.uid, account.gid, switch=True)
    finally:
        place.rmdir()
