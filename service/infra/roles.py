"""The three logins and the database: `ilim database prepare`, and the embedded server's first step.

`ilim_owner` owns the tables and runs migrations, `ilim_app` serves requests, `ilim_worker` dispatches and reads
reports. Migrations only GRANT to these names, so they are fixed. Everything here may be run again at any time.
"""

import base64
import hashlib
import hmac
import secrets

import asyncpg
from sqlalchemy import make_url

from service.core.secret import Secret

OWNER = "ilim_owner"
APP = "ilim_app"
WORKER = "ilim_worker"
LOGINS = (OWNER, APP, WORKER)

DURABILITY = {  # setting: values that keep an acknowledged commit
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply", "remote_write"},
}


async def prepare(superuser_url: str, database: str, passwords: dict[str, Secret]) -> None:
    """Create or mend logins, database and rights. `passwords` has an entry for each login.

    Raises asyncpg.PostgresError (not reachable, not allowed) and RuntimeError when the server does not keep commits.
    """
    admin = await asyncpg.connect(_dsn(superuser_url, None), timeout=10)
    try:
        if problems := await durability_problems(admin):
            raise RuntimeError("; ".join(problems))
        for login in LOGINS:
            await _mend_login(admin, login, passwords[login])
        await _make_database(admin, database)
    finally:
        await admin.close()
    inside = await asyncpg.connect(_dsn(superuser_url, database), timeout=10)
    try:
        await inside.execute(";".join(_rights(database)))
    finally:
        await inside.close()


async def durability_problems(connection: asyncpg.Connection) -> list[str]:
    """What would let this server forget an acknowledged commit, in words; empty when nothing does."""
    found = {name: str(await connection.fetchval("select current_setting($1)", name)) for name in DURABILITY}
    return [
        f"{name} is {found[name]}: an acknowledged order could be forgotten in a crash; set it to on"
        for name, safe in DURABILITY.items()
        if found[name] not in safe
    ]


def _dsn(url: str, database: str | None) -> str:
    parsed = make_url(url).set(drivername="postgresql")
    return (parsed.set(database=database) if database else parsed).render_as_string(hide_password=False)


async def _mend_login(admin: asyncpg.Connection, login: str, password: Secret) -> None:
    if await admin.fetchval("select 1 from pg_roles where rolname = $1", login) is None:
        await admin.execute(f"create role {login} login")
    attributes = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    # A verifier instead of the password: a server that logs its DDL logs nothing that opens a door.
    await admin.execute(f"alter role {login} login {attributes} password '{scram_verifier(password.reveal())}'")


async def _make_database(admin: asyncpg.Connection, database: str) -> None:
    if await admin.fetchval("select 1 from pg_database where datname = $1", database) is None:
        name = _quoted(database)
        await admin.execute(f"create database {name} owner {OWNER} encoding 'UTF8' template template0")


def _rights(database: str) -> list[str]:
    name = _quoted(database)
    return [
        f"alter database {name} owner to {OWNER}",
        f"revoke all on database {name} from public",
        f"grant connect on database {name} to {', '.join(LOGINS)}",
        f"alter schema public owner to {OWNER}",
        "revoke all on schema public from public",
        f"grant usage on schema public to {APP}, {WORKER}",
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def scram_verifier(password: str, *, salt: bytes | None = None, iterations: int = 4096) -> str:
    """What PostgreSQL stores for SCRAM-SHA-256 (RFC 5803). The password is ASCII, so SASLprep leaves it as it is."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"
