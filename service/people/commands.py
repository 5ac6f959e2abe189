"""`ilim users …`. The root hands in how to reach the database and the pepper: settings are its business."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.core.errors import NotFound
from service.core.principal import Role
from service.infra.commands import operator, run
from service.infra.db import Transaction
from service.people import store
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.model import User

MANY = 10_000


@dataclass(frozen=True)
class World:
    """What the commands need of the world."""

    transaction: Transaction
    pepper: bytes


Open = Callable[[], AbstractAsyncContextManager[World]]


def make_commands(open_world: Open) -> typer.Typer:
    """The `users` group of the command line."""
    commands = typer.Typer(help="Users, their roles and their API keys.", no_args_is_help=True)

    @commands.command("create")
    def create(name: str, role: Annotated[list[Role], typer.Option(help="may be given several times")]) -> None:
        """Create the user NAME."""
        user = run(open_world, lambda world: create_user(transaction=world.transaction, name=name, roles=role, by=operator()))
        typer.echo(f"{user.name} {user.id}")

    @commands.command("key")
    def key(name: str) -> None:
        """Issue an API key for the user NAME. It is printed once."""
        typer.echo(run(open_world, lambda world: _issue(world, name)))

    @commands.command("list")
    def show() -> None:
        """Every user with roles."""
        _print(run(open_world, _all))

    return commands


async def _issue(world: World, name: str) -> str:
    async with world.transaction() as connection:
        user = await store.user_by_name(connection, name)
    if user is None:
        raise NotFound("not-found", f"There is no user named {name}. `ilim users list` shows all.")
    _, token = await issue_key(transaction=world.transaction, pepper=world.pepper, user_id=user.id, by=operator())
    return token.reveal()


async def _all(world: World) -> list[User]:
    async with world.transaction() as connection:
        return await store.users_page(connection, after=None, limit=MANY)


def _print(users: list[User]) -> None:
    table = Table("name", "roles", "active", "id")
    for user in users:
        table.add_row(user.name, ", ".join(sorted(user.roles)), "yes" if user.active else "no", str(user.id))
    Console(width=150).print(table)
