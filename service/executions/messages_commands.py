"""`ilim messages …`: what was set aside, for whoever runs the service. The root hands in the world."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.audit.evidence import Vault
from service.core.clock import real_now
from service.core.errors import NotFound
from service.core.secret import AccountNumber
from service.executions import messages
from service.executions.messages import Aside, MessageRow
from service.gateway import RawReport, Report, Unreadable
from service.infra.commands import operator, run
from service.infra.db import Transaction
from service.infra.logs import clean_text

SHOWN = 4000  # bytes of a message that cannot be read
# What could be an account number; but not a ClOrdID of ours (a date and twelve characters, a letter among them), which leads
# whoever looks to the order.
OURS = r"(?<![0-9A-Za-z])20[0-9]{6}(?=[0-9]*[A-Z])[0-9A-Z]{12}(?![0-9A-Za-z])"
DIGITS = re.compile(rf"(?P<ours>{OURS})|[0-9][0-9-]{{5,}}")
FREE_TEXT = {"text", "reason", "reject_reason"}  # of a report: whatever its sender likes to say


@dataclass(frozen=True)
class World:
    """What the commands need of the world; the worker's login, which alone may read evidence."""

    transaction: Transaction
    vault: Vault
    read_report: Callable[[RawReport], Report]


Open = Callable[[], AbstractAsyncContextManager[World]]


def make_commands(open_world: Open) -> typer.Typer:
    """The `messages` group of the command line."""
    commands = typer.Typer(help="Messages of the broker that were set aside.", no_args_is_help=True)

    @commands.command("list")
    def show_all(
        state: Annotated[Aside | None, typer.Option(help="only these")] = None, limit: Annotated[int, typer.Option(min=1)] = 100
    ) -> None:
        """What is parked, quarantined or unmatched: why, since when, about which order. Oldest first."""
        _print(run(open_world, lambda world: _list(world, state, limit)))

    @commands.command("show")
    def show(raw_id: UUID) -> None:
        """One message, or other evidence a timeline names: what became of it and what it says. Account numbers are masked."""
        for line in run(open_world, lambda world: _show(world, raw_id)):
            typer.echo(line)

    @commands.command("replay")
    def replay(
        reason: Annotated[str, typer.Option(help="why, for whoever reads the ledger later")],
        raw_id: Annotated[UUID | None, typer.Argument(help="one message")] = None,
        state: Annotated[Aside | None, typer.Option(help="or all of a state")] = None,
    ) -> None:
        """Have a message, or all of a state, applied again after a fix. Doing it twice is harmless."""
        if (raw_id is None) == (state is None) or not reason.strip():
            typer.echo("name one message, or --state; and say why", err=True)
            raise typer.Exit(2)
        count = run(open_world, lambda world: _replay(world, raw_id, state, reason))
        typer.echo(f"{count} waiting to be applied again; a worker takes them up. Then: ilim messages list")

    return commands


async def _list(world: World, state: Aside | None, limit: int) -> list[MessageRow]:
    async with world.transaction() as connection:
        return await messages.set_aside(connection, state=state, limit=limit)


async def _show(world: World, raw_id: UUID) -> list[str]:
    async with world.transaction() as connection:
        body = (await world.vault.read(connection, [raw_id])).get(raw_id)
        try:
            found = await messages.find(connection, raw_id)
        except NotFound:
            if body is None:
                raise
            return _kept(body)
    told = [clean_text(f"{one.name}: {getattr(found, one.name)}") for one in fields(found)]
    if body is None:
        return [*told, "it does not decrypt with this data key"]
    report = world.read_report(RawReport(found.com_id, None, found.seq, body))
    return [*told, f"size: {len(body)} bytes", *_said(report, body)]


def _kept(body: bytes) -> list[str]:
    """Evidence that is no report: what a timeline or a request in doubt names as well."""
    said = ["no report: an answer or an inquiry of the platform, kept as evidence", f"size: {len(body)} bytes"]
    return [*said, f"sha256: {sha256(body).hexdigest()}", _discreet(body[:SHOWN].decode("utf-8", "backslashreplace"))]


def _said(report: Report, body: bytes) -> list[str]:
    """Read by meaning where it can be; an account number there is masked by its type, in sentences and bytes by its look."""
    if isinstance(report, Unreadable):
        text = body[:SHOWN].decode("utf-8", "backslashreplace")
        return [clean_text(f"cannot be read: {report.reason}"), _discreet(text)]
    said = {one.name: getattr(report, one.name) for one in fields(report)}
    written = {name: str(value) for name, value in said.items() if value is not None}
    return [f"  {name}: {_discreet(value) if name in FREE_TEXT else clean_text(value)}" for name, value in written.items()]


def _discreet(text: str) -> str:
    return DIGITS.sub(_masked, clean_text(text))


def _masked(found: re.Match[str]) -> str:
    return found.group() if found["ours"] else str(AccountNumber(found.group()))


async def _replay(world: World, raw_id: UUID | None, state: Aside | None, reason: str) -> int:
    by = operator()
    if raw_id is not None:
        found = await messages.replay(world.transaction, raw_id, reason=reason, by=by)
        return int(found.state == "waiting")
    assert state is not None  # noqa: S101 - one of the two is given
    return await messages.replay_all(world.transaction, state, reason=reason, by=by)


def _print(rows: list[MessageRow]) -> None:
    table = Table("message", "state", "reason", "since", "order")
    for one in rows:
        age = real_now() - (one.settled_at or one.received_at)
        said = (str(one.raw_id), one.state, one.reason or "", f"{age.total_seconds() // 60:.0f} min", str(one.order_id or ""))
        table.add_row(*[Text(clean_text(cell)) for cell in said])  # Text: what a broker wrote in brackets is no markup
    Console(width=150).print(table)
