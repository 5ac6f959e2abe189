"""`ilim` (일임): the command line. What a command needs is imported when it runs, so that --help is quick."""

import importlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.reach import MISCONFIGURED, app_url, database_urls, embedded, owner_url, password_of

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer(
    name="ilim", help="일임: discretionary-trading operations.", no_args_is_help=True, pretty_exceptions_enable=False
)
database = typer.Typer(help="Logins, migrations and their state.", no_args_is_help=True)
app.add_typer(database, name="database")
orders = typer.Typer(help="How an order moves; no database is needed.", no_args_is_help=True)
app.add_typer(orders, name="orders")


def main() -> None:
    """Entry point of `ilim` and `python -m service`."""
    # The slice's commands import the database; any other command does without.
    app.add_typer(users_group() if "users" in sys.argv[1:2] else typer.Typer(), name="users", help=USERS_HELP)
    app.add_typer(messages_group() if "messages" in sys.argv[1:2] else typer.Typer(), name="messages", help=MESSAGES_HELP)
    try:
        app()
    except Exception as error:
        typer.echo(_part("service.infra.trouble", "told")(error), err=True)
        sys.exit(MISCONFIGURED)


USERS_HELP = "Users, their roles and their API keys."
MESSAGES_HELP = "Messages of the broker that were set aside: look at them, have them applied again."


def users_group() -> typer.Typer:
    """The commands of the slice `people`, given this process's database."""
    from service.people.commands import World, make_commands

    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        from service.infra.db import Database
        from service.infra.local_key import key_bytes
        from service.people.rules import pepper_from

        present = load_settings()
        with app_url(present) as url:
            reached = Database(url, application="ilim-users", pool_size=1, hot_pool_size=1)
            await reached.open()
            try:
                yield World(reached.transaction, pepper_from(key_bytes(present.data_key)))
            finally:
                await reached.close()

    return make_commands(opened)


def messages_group() -> typer.Typer:
    """The commands about messages, with the worker's login: no other may read evidence."""
    from service.executions.messages_commands import World, make_commands

    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        from service.infra.db import Database
        from service.koscom.dialect import read_report
        from service.wiring import vault_of

        present = load_settings()
        with app_url(present, worker=True) as url:
            reached = Database(url, application="ilim-messages", pool_size=1, hot_pool_size=1)
            await reached.open()
            try:
                yield World(reached.transaction, vault_of(present), read_report)
            finally:
                await reached.close()

    return make_commands(opened)


def load_settings(*, embedded: bool = True) -> "Settings":
    """The settings, or the end of this process with every problem said. A newcomer's data key is made here."""
    from service.infra.local_key import key_bytes, local_data_key
    from service.settings import SettingsError, load

    try:
        present = load(os.environ, Path(".env"))
        if present.deployment == "local" and not present.data_key:
            present = present.model_copy(update={"data_key": local_data_key(present.data_dir)})
        key_bytes(present.data_key)
        if present.embedded_database and not embedded:
            raise ValueError("ILIM_DATABASE_URL and ILIM_DATABASE_WORKER_URL: needed. `ilim up` does with an embedded database")
    except (SettingsError, ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISCONFIGURED) from None
    return present


@app.command()
def settings() -> None:
    """Print every setting with its meaning, default and present value (secrets masked)."""
    from rich.console import Console
    from rich.table import Table

    from service.settings import rows

    table = Table("setting", "meaning", "default", "present value")
    for row in rows(load_settings()):
        table.add_row(row.name, row.meaning, row.default, row.value)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


# --- processes ---------------------------------------------------------------------------------------------------------


@app.command()
def serve() -> None:
    """Run the service (HTTP)."""
    from service.infra import logs

    present = load_settings(embedded=False)
    logs.configure(present.log_level, "api")
    _part("service.app", "run")(present)


@app.command()
def up() -> None:
    """Run everything on this machine: embedded database, sandbox, service, worker."""
    import asyncio

    from service.up import StartError, run

    try:
        status = asyncio.run(run(load_settings(), dict(os.environ)))
    except StartError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISCONFIGURED) from None
    raise typer.Exit(status)


@app.command()
def worker() -> None:
    """Run the worker: dispatcher, report reader and scheduler."""
    from service.infra import logs

    present = load_settings(embedded=False)
    logs.configure(present.log_level, "worker")
    raise typer.Exit(_part("service.worker", "run")(present))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def sandbox(context: typer.Context) -> None:
    """Run the imaginary platform; its own options follow (`ilim sandbox --help`)."""
    present = load_settings()
    given = list(context.args)
    if "--port" not in given:
        given += ["--port", str(present.sandbox_port)]
    if "--host" not in given:
        given += ["--host", present.host]
    raise typer.Exit(_part("service.sandbox.__main__", "main")(given))


def _part(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


# --- database ----------------------------------------------------------------------------------------------------------


@database.command()
def prepare(
    superuser_url: Annotated[
        str, typer.Option(envvar="ILIM_DATABASE_SUPERUSER_URL", help="superuser of your own PostgreSQL", show_envvar=True)
    ] = "",
) -> None:
    """Make the logins, the database and their rights; may be run again at any time."""
    import asyncio

    from sqlalchemy import make_url

    from service.infra import roles

    present = load_settings()
    if present.embedded_database:
        with embedded(present) as server:
            typer.echo(f"the embedded PostgreSQL in {server.place} is prepared")
        return
    urls = database_urls(present)
    if not superuser_url or set(urls) != set(roles.LOGINS):
        typer.echo("needed: --superuser-url, and ILIM_DATABASE_URL, _WORKER_URL and _ADMIN_URL with a login each", err=True)
        raise typer.Exit(MISCONFIGURED)
    passwords = {login: password_of(url) for login, url in urls.items()}
    name = make_url(urls[roles.OWNER].reveal()).database or "ilim"
    asyncio.run(roles.prepare(superuser_url, name, passwords))
    typer.echo(f"database {name} and logins {', '.join(roles.LOGINS)} are prepared")


@database.command()
def upgrade(revision: Annotated[str, typer.Argument(help="head, or a revision")] = "head") -> None:
    """Bring the tables up to what this code wants."""
    from service.infra import migrations

    with owner_url(load_settings()) as url:
        migrations.upgrade(url, revision)
    typer.echo("the database is up to date")


@database.command()
def check() -> None:
    """Compare the migrated database with the tables in the code; exit status 1 when they differ."""
    from service.infra import migrations

    with owner_url(load_settings()) as url:
        differences = migrations.differences(url)
    for line in differences:
        typer.echo(line, err=True)
    raise typer.Exit(1 if differences else 0)


@database.command()
def fence(
    missing: Annotated[bool | None, typer.Option("--commits-missing/--complete", help="a synchronous standby has all")] = None,
) -> None:
    """After the database failed over: nothing is sent by whoever began before, nor again what may have been sent."""
    from asyncio import run

    if missing is None:
        typer.echo("say --commits-missing, which is safe always, or --complete, after a synchronous standby took over", err=True)
        raise typer.Exit(MISCONFIGURED)
    present = load_settings()
    with app_url(present, worker=True) as url:
        epoch = run(_part("service.wiring", "fence_cluster")(present, url, missing))
        typer.echo(f"the epoch is {epoch}: start the workers again, they ask about every live account first")


# --- orders ------------------------------------------------------------------------------------------------------------


@orders.command("states")
def order_states() -> None:
    """Print the states of an order and of its requests, and every move between them (markdown)."""
    typer.echo(_part("service.orders.states_page", "page")(), nl=False)


@orders.command("replay")
def order_replay(
    file: Annotated[str, typer.Argument(help="scenarios as JSON; - reads standard input")],
    fix42: Annotated[bool, typer.Option("--fix42", help="read the FIX 4.2 rendering of each report")] = False,
) -> None:
    """Replay order state scenarios: one JSON line a step with status, cumulative, leaves and fills. 2 if malformed."""
    raise typer.Exit(_part("service.executions.replay_command", "run")(file, fix42=fix42))


# --- doctor ------------------------------------------------------------------------------------------------------------


@app.command()
def doctor() -> None:
    """Say what is misconfigured and how to mend it; exit status 1 when something is."""
    import asyncio

    from service.core.secret import Secret
    from service.infra import doctor as checks
    from service.infra.roles import LOGINS

    present = load_settings()
    findings = [checks.Finding("settings", True, "read"), checks.examine_directory(present.data_dir)]
    if present.embedded_database:
        with embedded(present) as server:
            urls = {login: Secret(server.url(login)) for login in LOGINS}
            findings += asyncio.run(checks.examine_database(urls))
    else:
        findings += asyncio.run(checks.examine_database(database_urls(present)))
    findings.append(asyncio.run(checks.examine_clock(present.clock)))
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.part}: {finding.said}")
        if not finding.ok:
            typer.echo(f"     → {finding.mend}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


if __name__ == "__main__":
    main()
