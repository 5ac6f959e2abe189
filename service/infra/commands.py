"""What the groups of the command line share: a verb is run in a world that the root opens, and a refusal is said and ends it."""

import asyncio
import os
import pwd
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import typer

from service.core.errors import ServiceError

World = TypeVar("World")
Result = TypeVar("Result")


def run(
    open_world: Callable[[], AbstractAsyncContextManager[World]], verb: Callable[[World], Coroutine[Any, Any, Result]]
) -> Result:
    """The verb's result. Exit status 1 with the detail when it is refused."""

    async def inside() -> Result:
        async with open_world() as world:
            return await verb(world)

    try:
        return asyncio.run(inside())
    except ServiceError as error:
        typer.echo("\n".join([error.detail, *(f"  - {one.field}: {one.message}" for one in error.violations)]), err=True)
        raise typer.Exit(1) from None


def operator() -> str:
    """Whoever sits at the machine, for the ledger: no user of the service asks. By what the system knows of this process, not by
    the environment, where one may set any name. A container's user may have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
