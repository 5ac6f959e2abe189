"""What campaigns stand on: a PostgreSQL server, a migrated database for each episode, and ports nobody uses."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg

from service.infra import migrations
from service.infra.postgres import SUPERUSER, EmbeddedPostgres, start
from service.infra.roles import APP, OWNER, WORKER, prepare

TEMPLATE = "ilim_campaign_template"
_numbers = count(1)


@dataclass(frozen=True)
class Urls:
    """One database through the eyes of each login."""

    name: str
    owner: str
    app: str
    worker: str
    superuser: str


@contextlib.contextmanager
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of our own with the durability a real one has. In /tmp: an unprivileged user must be able to enter."""
    home = Path(tempfile.mkdtemp(prefix="ilim-campaign-"))
    home.chmod(0o711)
    try:
        with start(home, max_connections=200) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def fresh_database(server: EmbeddedPostgres) -> AsyncIterator[Urls]:
    """A migrated, empty database, dropped afterwards with whoever is still connected."""
    await _template(server)
    name = f"campaign_{next(_numbers)}"
    admin = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await admin.execute(f'create database {name} template "{TEMPLATE}" owner {OWNER}')
        await admin.execute(f"revoke all on database {name} from public")
        await admin.execute(f"grant connect on database {name} to {APP}, {WORKER}")
    finally:
        await admin.close()
    yield Urls(name, *(server.url(login, name) for login in (OWNER, APP, WORKER, SUPERUSER)))
    admin = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


async def _template(server: EmbeddedPostgres) -> None:
    admin = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        there = await admin.fetchval("select true from pg_database where datname = $1", TEMPLATE)
    finally:
        await admin.close()
    if not there:
        await prepare(server.url(SUPERUSER, "postgres"), TEMPLATE, server.passwords)
        await asyncio.to_thread(migrations.upgrade, server.url(OWNER, TEMPLATE))


def free_ports(wanted: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(wanted)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
