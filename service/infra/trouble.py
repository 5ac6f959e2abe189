"""What a person is told when a command meets not an error of ours but of its surroundings: one line, and what to do."""

import socket

import asyncpg
from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, DBAPIError

from service.infra.postgres import PostgresError

LOOK = "`ilim doctor` says what is wrong"
NO_TABLE = "42P01"
SURROUNDINGS = ("08", "28", "3D", "53", "57")  # classes of SQLSTATE: connection, login, database, resources, an operator


def told(error: Exception) -> str:
    """The line. Raises the error again when it is none of these: then it is ours, and wants its traceback."""
    said = _of(error) or (_of(_driver_s(error)) if isinstance(error, DBAPIError) else None)
    if said is None:
        raise error
    return said


def _driver_s(error: BaseException) -> BaseException:
    """What SQLAlchemy has wrapped."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _of(error: BaseException) -> str | None:
    if isinstance(error, PostgresError | CommandError):
        return str(error)
    if isinstance(error, ArgumentError):
        return f"A database URL cannot be read; {LOOK}."
    if isinstance(error, ConnectionError | socket.gaierror):
        return f"The database does not answer ({type(error).__name__}); {LOOK}."
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate == NO_TABLE:
        return "The tables are not there, or of another version: `ilim database upgrade`."
    if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(SURROUNDINGS):
        return f"The database refuses ({error}); {LOOK}."
    return None
