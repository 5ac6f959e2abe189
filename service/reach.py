"""The database that a command reaches: the embedded server or the one the settings name, as the login it needs.

What a command needs is imported when it runs, so that --help is quick.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from service.core.secret import Secret
    from service.infra.postgres import EmbeddedPostgres
    from service.settings import Settings

MISCONFIGURED = 2  # exit status: nothing was started


@contextmanager
def embedded(present: "Settings") -> Iterator["EmbeddedPostgres"]:
    """The embedded server: the one that runs already, or our own for the block."""
    from service.infra.postgres import PostgresError, attach, start

    try:
        server = start(present.data_dir, binaries=present.postgres_bin or None)
    except PostgresError as not_ours:
        try:
            server = attach(present.data_dir)
        except PostgresError:
            raise not_ours from None
    with server:
        yield server


@contextmanager
def app_url(present: "Settings", *, worker: bool = False) -> Iterator[str]:
    """What the service itself connects with, or its worker, which alone may read evidence."""
    from service.infra.roles import APP, WORKER

    if not present.embedded_database:
        yield (present.database_worker_url if worker else present.database_url).reveal()
        return
    with embedded(present) as server:
        yield server.url(WORKER if worker else APP)


@contextmanager
def owner_url(present: "Settings") -> Iterator[str]:
    """Where migrations run."""
    from service.infra.roles import OWNER

    if present.embedded_database:
        with embedded(present) as server:
            yield server.url(OWNER)
        return
    if not present.database_admin_url:
        typer.echo("ILIM_DATABASE_ADMIN_URL: needed for migrations, with login ilim_owner", err=True)
        raise typer.Exit(MISCONFIGURED)
    yield present.database_admin_url.reveal()


def database_urls(present: "Settings") -> dict[str, "Secret"]:
    """The URLs that are set, by the login each must name."""
    from service.infra.roles import APP, OWNER, WORKER

    named = {APP: present.database_url, WORKER: present.database_worker_url, OWNER: present.database_admin_url}
    return {login: url for login, url in named.items() if url}


def password_of(url: "Secret") -> "Secret":
    """What a login is to have, or the end of this process."""
    from sqlalchemy import make_url

    from service.core.secret import Secret

    password = make_url(url.reveal()).password
    if not password:
        typer.echo("each database URL must have a password: it becomes that login's", err=True)
        raise typer.Exit(MISCONFIGURED)
    return Secret(str(password))
