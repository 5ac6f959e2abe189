"""One JSON line a record, no secret in it, nothing that fools its reader."""

import errno
import io
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
import structlog

from service.accounts.model import Account
from service.accounts.store import add_account
from service.core.clock import KST
from service.core.ids import uuid7
from service.core.secret import AccountNumber, Secret
from service.infra import logs
from service.infra.db import Books, Database
from service.infra.metrics import REGISTRY

CI = "Ab3+" * 21 + "Zz=="
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJraW0ifQ.c2lnbmF0dXJl"
CANARY = "canary-5f2b"


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """This process's log, in memory; afterwards everything is as it was."""
    root, levels = logging.getLogger(), {}
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "uvicorn.access", "apscheduler")}
    out = io.BytesIO()
    logs.configure("INFO", "test", out)
    yield out
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_line_with_its_request(stream: io.BytesIO) -> None:
    token = logs.request_id.set("request-1")
    structlog.get_logger().info("orders.submitted", quantity=3, price=Decimal("0.10"))
    logs.request_id.reset(token)
    [line] = lines(stream)
    assert line | {"at": ""} == {
        "at": "", "level": "info", "event": "orders.submitted", "process": "test", "request_id": "request-1",
        "quantity": 3, "price": "0.10",
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"account": AccountNumber(CANARY), "key": Secret(CANARY)},
        {"headers": {"Authorization": CANARY, "apikey": CANARY, "Set-Cookie": CANARY}},
        {"rows": [{"ci": CANARY}, {"CI": CANARY}, {"x-api-key": CANARY}]},
        {"raw": CANARY.encode()},
        {"said": f"Authorization: Basic {CANARY}="},
        {"said": f"Bearer {CANARY}"},
        {"said": f"cannot connect to postgresql://ilim_app:{CANARY}@db/ilim"},
        {"said": f"GET /v3/market?apikey={CANARY}&x=1"},
        {"said": f'{{"secret": "{CANARY}"}}'},
        {"deep": {"a": {"b": {"c": {"password": CANARY}}}}},
    ],
)
def test_no_field_shows_a_secret(stream: io.BytesIO, fields: dict[str, Any]) -> None:
    structlog.get_logger().warning("wire.answer", **fields)
    assert lines(stream)
    assert CANARY.encode() not in stream.getvalue()


@pytest.mark.parametrize("secret", [CI, JWT])
def test_known_shapes_are_cut_out_of_any_text(stream: io.BytesIO, secret: str) -> None:
    structlog.get_logger().info("x", said=f"upstream said <{secret}> to us")
    logging.getLogger("some.library").warning("upstream said %s", secret)
    assert len(lines(stream)) == 2
    assert secret.encode() not in stream.getvalue()


def test_an_exceptions_text_is_cleaned_too(stream: io.BytesIO) -> None:
    try:
        raise ValueError(f"postgresql://u:{CANARY}@db")
    except ValueError:
        structlog.get_logger().exception("db.failed")
    [line] = lines(stream)
    assert "ValueError" in line["exception"]
    assert CANARY.encode() not in stream.getvalue()


NINE = datetime(2026, 11, 23, 9, 0, tzinfo=KST)
CLIENT = "insert into client (id, name, kind, created_at) values ($1, $2, 'none such', $3)"


async def values(database: Database) -> None:
    """The library quotes the values of a statement that failed."""
    number = AccountNumber(CANARY)
    account = Account(uuid7(), "00991", number, CANARY, number, "none such", NINE, NINE, None)
    async with database.transaction(books=Books.ALL) as connection:
        await add_account(connection, account)


async def row(database: Database) -> None:
    """PostgreSQL quotes the row that it refused."""
    async with database.hot() as connection:
        await connection.execute(CLIENT, uuid7(), CANARY, NINE)


@pytest.mark.parametrize("fail", [values, row], ids=lambda one: str(one.__name__))
async def test_p32_a_statement_that_failed_tells_the_log_nothing_of_a_client(
    stream: io.BytesIO, database: Database, fail: Callable[[Database], Awaitable[None]]
) -> None:
    try:
        await fail(database)
    except Exception:
        structlog.get_logger().exception("worker.job_failed")
    [line] = lines(stream)
    assert "CheckViolation" in line["exception"]
    assert CANARY.encode() not in stream.getvalue()


@pytest.mark.parametrize("trick", ["\r\n{}", "\x1b[2J", "\u2028", "\u2029", "\x00", "\u202e", "\u2066", "\x85", "\u200b"])
def test_no_text_fools_a_reader(stream: io.BytesIO, trick: str) -> None:
    structlog.get_logger().info("x", **{f"name{trick}": f"kim{trick}park"})
    [line] = lines(stream)
    for text in (*line, *map(str, line.values())):
        assert not set(trick) - set("{}[2J") & set(text)


def test_a_long_text_is_cut(stream: io.BytesIO) -> None:
    structlog.get_logger().info("x", page="y" * 100_000)
    assert len(stream.getvalue()) < 2 * logs.MAX_TEXT


def test_libraries_go_through_the_same_door(stream: io.BytesIO) -> None:
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("apscheduler.executors").warning("missed %s", "a job")
    logging.getLogger("httpx").info("HTTP Request: GET https://host/?apikey=x")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [line["event"] for line in lines(stream)] == ["started", "missed a job"]


def test_an_unloggable_value_does_not_end_what_it_speaks_of(stream: io.BytesIO) -> None:
    structlog.get_logger().info("x", value=object(), numbers={1: {2, 3}}, big=2**80)
    assert len(lines(stream)) == 1


class _Full(io.BytesIO):
    """A log whose disk is full."""

    def write(self, _line: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_row_21_a_log_that_cannot_be_written_does_not_end_what_it_speaks_of(stream: io.BytesIO) -> None:
    logs.configure("INFO", "test", _Full())
    before = REGISTRY.get_sample_value("ilim_log_failures_total") or 0
    structlog.get_logger().info("request.answered", outcome="accepted")
    logging.getLogger("some.library").warning("x")
    assert REGISTRY.get_sample_value("ilim_log_failures_total") == before + 2
    assert stream.getvalue() == b""


def test_row_21_a_real_full_device_keeps_nobody_from_going_on(stream: io.BytesIO) -> None:
    with open("/dev/full", "wb") as full:
        logs.configure("INFO", "test", full)
        for _ in range(2000):  # beyond the stream's buffer
            structlog.get_logger().info("request.answered", outcome="accepted")
        with pytest.raises(OSError, match="No space"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
