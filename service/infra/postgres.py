"""The embedded PostgreSQL: a real server of this machine's own, for newcomers and for tests.

Invariants. One process owns a data directory (flock); only the owner starts and stops the server; everybody else just
connects. The server never outlives its owner, not even one that was killed. It listens on a Unix socket in a private
directory, never on TCP. Passwords are random, SCRAM only. Durability settings are never touched.
"""

import fcntl
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

from service.core.clock import monotonic
from service.core.secret import Secret
from service.infra import roles
from service.infra.postgres_host import (
    Account,
    PostgresError,
    existing_place,
    find_account,
    find_binaries,
    find_place,
    socket_directory,
)

SUPERUSER = "postgres"
DATABASE = "ilim"
START_ATTEMPTS_SECONDS = 60  # after a crash the old children hold postmaster.pid for some seconds
START_TIMEOUT_SECONDS = 120  # of one attempt: crash recovery may be long

__all__ = ["DATABASE", "SUPERUSER", "EmbeddedPostgres", "PostgresError", "attach", "start"]


@dataclass
class EmbeddedPostgres:
    """A running server. `url()` for anybody; `stop()`, `kill_immediate()` and `restart()` for its owner."""

    place: Path
    sockets: Path
    passwords: dict[str, Secret]
    _owner: "_Owner | None" = field(default=None, repr=False)

    def url(self, login: str, database: str = DATABASE) -> str:
        """A `postgresql://` URL, password included, for `ilim_owner`, `ilim_app`, `ilim_worker` or the superuser."""
        password = quote(self.passwords[login].reveal(), safe="")
        return f"postgresql://{login}:{password}@/{database}?host={quote(str(self.sockets), safe='')}"

    def stop(self) -> None:
        """Fast shutdown; returns when the server is gone. Does nothing when another process owns the server."""
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def kill_immediate(self) -> None:
        """Stop without a checkpoint, as a power cut would; `restart()` then recovers from the log. For fault tests."""
        self._owned().control("stop", "-m", "immediate")

    def restart(self) -> None:
        """Start again after `kill_immediate()` or after the postmaster was killed."""
        self._owned().run()

    def listens(self) -> bool:
        """Whether a postmaster is there, be it only recovering. Children that outlive it for a moment do not listen."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.sockets / ".s.PGSQL.5432"))
            except OSError:
                return False
            return True

    def _owned(self) -> "_Owner":
        if self._owner is None:
            raise PostgresError("another process owns this server")
        return self._owner

    def __enter__(self) -> "EmbeddedPostgres":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.stop()


def start(data_dir: Path, *, binaries: str | None = None, max_connections: int = 200) -> EmbeddedPostgres:
    """Start the server whose files lie under `data_dir`, making it when there is none, with logins and database.

    Blocks for about 2 s the first time and 0.2 s later. Raises PostgresError; `attach` when another process owns it.
    """
    account = find_account(existing_place(data_dir))
    place = find_place(account, data_dir)
    lock = _own(place)
    try:
        owner = _Owner(account, place, find_binaries(account, binaries), max_connections, lock)
        passwords = owner.initialise()
        owner.run()
    except BaseException:
        lock.close()
        raise
    server = EmbeddedPostgres(place, owner.sockets, passwords, owner)
    try:
        owner.guard()
        _in_a_loop(lambda: roles.prepare(server.url(SUPERUSER, "postgres"), DATABASE, server.passwords))
    except BaseException:
        server.stop()
        raise
    return server


def attach(data_dir: Path) -> EmbeddedPostgres:
    """The server another process runs on `data_dir`. Raises PostgresError when there is none."""
    place = existing_place(data_dir)
    if not (place / "data" / "postmaster.pid").exists():
        raise PostgresError(f"no embedded PostgreSQL runs on {data_dir}: start `ilim up`, or set ILIM_DATABASE_URL")
    account = find_account(place)
    return EmbeddedPostgres(place, socket_directory(account, place), _read_passwords(place))


def _own(place: Path) -> IO[str]:
    handle = open(place / "lock", "a+")  # noqa: SIM115 - held for the life of the server
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise PostgresError(f"another process already runs the embedded PostgreSQL in {place}") from None
    return handle


def _in_a_loop(make: Callable[[], Any]) -> None:
    """Run a coroutine from synchronous code, also when the caller's thread has a loop of its own."""
    import asyncio

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(make())).result()


def _read_passwords(place: Path) -> dict[str, Secret]:
    texts: dict[str, str] = json.loads((place / "passwords.json").read_text())
    return {login: Secret(text) for login, text in texts.items()}


class _Owner:
    """The process that starts and stops."""

    def __init__(self, account: Account, place: Path, binaries: Path, max_connections: int, lock: IO[str]) -> None:
        self._account = account
        self._place = place
        self._data = place / "data"
        self._binaries = binaries
        self._max_connections = max_connections
        self._lock = lock
        self._guardian: subprocess.Popen[bytes] | None = None
        self.sockets = socket_directory(account, place)

    def initialise(self) -> dict[str, Secret]:
        """Make the cluster unless it is there. It appears whole, by a rename, so a kill half-way leaves none."""
        if self._data.exists():
            self._refuse_other_version()
            return _read_passwords(self._place)
        texts = {login: secrets.token_urlsafe(32) for login in (SUPERUSER, *roles.LOGINS)}
        self._private_file("passwords.json", json.dumps(texts))
        password_file = self._private_file("superuser.password", texts[SUPERUSER])
        unfinished = self._place / "data.new"
        self._account.run("/bin/rm", "-rf", unfinished)
        self._initdb(unfinished, password_file)
        password_file.unlink()
        unfinished.rename(self._data)
        return _read_passwords(self._place)

    def _initdb(self, directory: Path, password_file: Path) -> None:
        # The builtin provider sorts by code point: the same on every machine, whatever its C library.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command: list[str | Path] = [
            self._binaries / "initdb",
            "-D",
            directory,
            "--auth=scram-sha-256",
            f"--username={SUPERUSER}",
        ]
        command += [f"--pwfile={password_file}", "--data-checksums", "--encoding=UTF8"]
        made = self._account.run(*command, *(locale if self._major() >= 17 else ["--locale=C.UTF-8"]), cwd=self._place)
        if made.returncode != 0:
            raise PostgresError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")

    def _private_file(self, name: str, text: str) -> Path:
        path = self._place / name
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)
        self._account.own(path)
        return path

    def _major(self) -> int:
        answer = self._account.run(self._binaries / "postgres", "--version").stdout
        return int(answer.rpartition(" ")[2].partition(".")[0])

    def _refuse_other_version(self) -> None:
        made_by, present = (self._data / "PG_VERSION").read_text().strip(), str(self._major())
        if made_by != present:
            raise PostgresError(
                f"{self._data} was made by PostgreSQL {made_by}, the programs in {self._binaries} are {present}: "
                f"run {self._binaries}/pg_upgrade, or set ILIM_POSTGRES_BIN to PostgreSQL {made_by}"
            )

    def run(self) -> None:
        """Start, again and again after a crash: children that are still dying hold the old pid file."""
        give_up = monotonic() + START_ATTEMPTS_SECONDS
        while (started := self._start_once()) is not None:
            if monotonic() > give_up:
                raise PostgresError(f"PostgreSQL does not start: {started}; see {self._place / 'log'}")
            time.sleep(0.2)

    def _start_once(self) -> str | None:
        """None when it runs, else what pg_ctl and the log's end say."""
        # Asked by a connection: `pg_ctl status` also believes a killed postmaster that nobody has reaped yet.
        if self._account.run(self._binaries / "pg_isready", "-h", self.sockets).returncode == 0:
            return None  # left by an owner that was killed before it had a guardian
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.sockets}' -c port=5432"
        options += f" -c max_connections={self._max_connections} -c unix_socket_permissions=0700"
        answer = self._control("start", "-w", "-t", str(START_TIMEOUT_SECONDS), "-l", "log", "-o", options)
        return None if answer.returncode == 0 else answer.stderr.strip() or answer.stdout.strip()

    def _control(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        here = [part if part != "log" else str(self._place / "log") for part in arguments]
        return self._account.run(self._binaries / "pg_ctl", verb, "-D", self._data, *here, cwd=self._place)

    def control(self, verb: str, *arguments: str) -> None:
        answer = self._control(verb, *arguments)
        if answer.returncode != 0:
            raise PostgresError(f"pg_ctl {verb} failed: {answer.stderr.strip()}")

    def guard(self) -> None:
        """A shell that reads a pipe of ours: when we end, however we end, the pipe closes and it stops the server.

        Its own session keeps a terminal's Ctrl-C away, so that connections close before their server does.
        """
        script = 'read -r _; exec "$1" stop -D "$2" -m fast -w -t 120'
        self._guardian = subprocess.Popen(  # noqa: S603 - a script of ours
            ["/bin/sh", "-c", script, "sh", str(self._binaries / "pg_ctl"), str(self._data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._place,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,
            user=self._account.user,
            group=self._account.group,
            extra_groups=self._account.extra_groups,
        )

    def close(self) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            self._guardian.wait(timeout=START_TIMEOUT_SECONDS)
        if self._control("status").returncode == 0:
            self.control("stop", "-m", "fast", "-w", "-t", str(START_TIMEOUT_SECONDS))
        self._lock.close()
