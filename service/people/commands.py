"""`ilim users …`. The root hands in how to reach the database and the pepper: settings are its business."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from service.core.errors import NotFound, ServiceError
from service.core.principal import Role
from service.infra.db import Transaction
from service.people import store
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.model import User

MANY = 10_000
Result = TypeVar("Result")


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
        user = _run(open_world, lambda world: create_user(transaction=world.transaction, name=name, roles=role))
        typer.echo(f"{user.name} {user.id}")

    @commands.command("key")
    def key(name: str) -> None:
        """Issue an API key for the user NAME. It is printed once."""
        typer.echo(_run(open_world, lambda world: _issue(world, name)))

    @commands.command("list")
    def show() -> None:
        """Every user with roles."""
        _print(_run(open_world, _all))

    return commands


async def _issue(world: World, name: str) -> str:
    async with world.transaction() as connection:
        user = await store.user_by_name(connection, name)
    if user is None:
        raise NotFound("not-found", f"There is no user named {name}. `ilim users list` shows all.")
    _, token = await issue_key(transaction=world.transaction, pepper=world.pepper, user_id=user.id)
    return token.reveal()


async def _all(world: World) -> list[User]:
    async with world.transaction() as connection:
        return await store.users_page(connection, after=None, limit=MANY)


def _print(users: list[User]) -> None:
    table = Table("name", "roles", "active", "id")
    for user in users:
        table.add_row(user.name, ", ".join(sorted(user.roles)), "yes" if user.active else "no", str(user.id))
    Console().print(table)


def _run(open_world: Open, verb: Callable[[World], Coroutine[Any, Any, Result]]) -> Result:
    async def inside() -> Result:
        async with open_world() as world:
            return await verb(world)

    try:
        return asyncio.run(inside())
    except ServiceError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None
