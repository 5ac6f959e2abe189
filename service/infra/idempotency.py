"""The same key and body never makes a second effect (P1).

The key is inserted in the statement of its effect, so that the two commit or vanish together. A parallel twin waits on
the unique index, then meets the first one's answer; while the first call holds its answer back (`Prefer: wait`) the key
is in progress, so that there never are two first answers. Scope: user, method and path template, key; the hash covers the
validated, canonical body, so that spacing and key order do not matter.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import FromClause, Insert, Integer, Select, bindparam, case, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.errors import BadRequest, Conflict, Invalid, Violation
from service.infra.db import Transaction
from service.infra.tables import idempotency_key

STORED = ("user_id", "route", "key", "body_hash", "status", "response", "content_type")
KEY = re.compile(r"[\x21-\x7e]{1,128}")
KEPT = timedelta(hours=48)
SOME = 5000  # keys deleted in one transaction


@dataclass(frozen=True)
class Intent:
    """What an idempotent call is known by."""

    user_id: UUID
    route: str  # "POST /v1/orders"
    key: str
    body_hash: bytes
    hold_s: int = 0  # so many seconds the first call may still wait before its answer is final


@dataclass(frozen=True)
class Answer:
    """A stored first answer, given again byte for byte."""

    status: int
    body: bytes
    replayed: bool = False
    content_type: str = "application/json"


def intent(*, user_id: UUID, route: str, key: str | None, body: Any, hold_s: int = 0) -> Intent:
    """Read the `Idempotency-Key`. Raises BadRequest when it is missing or not 1 to 128 visible ASCII characters."""
    if key is None or not KEY.fullmatch(key):
        what = "is missing" if key is None else "is not 1 to 128 visible ASCII characters"
        raise BadRequest(
            "idempotency-key-required",
            f"The header Idempotency-Key {what}. Send a new random key for every new intent, and the same key to retry it.",
            violations=(Violation("idempotency-key", "Idempotency-Key", f"header {what}"),),
        )
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Intent(user_id, route, key, hashlib.sha256(canonical).digest(), hold_s)


def insert_part(source: FromClause) -> Insert:
    """The insert as a part of a hot statement, one row for each row of `source`: binds `idem_user_id, idem_route,
    idem_key, idem_body_hash, idem_status, idem_response, idem_content_type, idem_hold_s`."""
    binds = [bindparam(f"idem_{name}", type_=idempotency_key.c[name].type) for name in STORED]
    return insert(idempotency_key).from_select((*STORED, "held_until"), select(*binds, _held_until()).select_from(source))


def _held_until() -> Any:
    """By the database's clock, for every process asks it; null when the first answer is final at once."""
    seconds = bindparam("idem_hold_s", type_=Integer)
    return case((seconds > 0, func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)))


def part_values(wanted: Intent, answer: Answer) -> dict[str, Any]:
    return {
        "idem_user_id": wanted.user_id,
        "idem_route": wanted.route,
        "idem_key": wanted.key,
        "idem_body_hash": wanted.body_hash,
        "idem_status": answer.status,
        "idem_response": answer.body,
        "idem_content_type": answer.content_type,
        "idem_hold_s": wanted.hold_s if answer.status < 300 else 0,
    }


def lookup_part() -> Select[Any]:
    """The stored answer for `idem_user_id, idem_route, idem_key`, as a part of a hot read."""
    table = idempotency_key.c
    return select(
        table.body_hash.label("idem_body_hash"),
        table.status.label("idem_status"),
        table.response.label("idem_response"),
        table.content_type.label("idem_content_type"),
        (table.held_until > func.clock_timestamp()).label("idem_held"),
    ).where(
        table.user_id == bindparam("idem_user_id"),
        table.route == bindparam("idem_route"),
        table.key == bindparam("idem_key"),
    )


async def stored(connection: AsyncConnection, wanted: Intent) -> Answer | None:
    """The first answer to this intent, if there is one. Raises Invalid when the key was used with another body."""
    values = {"idem_user_id": wanted.user_id, "idem_route": wanted.route, "idem_key": wanted.key}
    row = (await connection.execute(lookup_part(), values)).mappings().first()
    return replay(row, wanted) if row is not None else None


def replay(row: Any, wanted: Intent) -> Answer:
    """The stored answer of a look-up row. Raises Invalid when the body differs, Conflict while the first call waits for the
    broker to speak: until then there is no answer that could be repeated."""
    if row["idem_body_hash"] != wanted.body_hash:
        raise Invalid(
            "idempotency-key-reused",
            "This Idempotency-Key was used with another body. Nothing was done. Use a new key for a new intent.",
            violations=(Violation("idempotency-key-reused", "Idempotency-Key", "used before with another body"),),
        )
    if row["idem_held"]:
        raise still_running()
    return Answer(row["idem_status"], row["idem_response"], replayed=True, content_type=row["idem_content_type"])


async def remember(connection: AsyncConnection, wanted: Intent, answer: Answer) -> None:
    """Store a first answer in the caller's transaction; a twin that came first makes this raise Conflict."""
    binds = {name: bindparam(f"idem_{name}", type_=idempotency_key.c[name].type) for name in STORED}
    written = upsert(idempotency_key).values(**binds, held_until=_held_until()).on_conflict_do_nothing()
    done = await connection.execute(written, part_values(wanted, answer))
    if done.rowcount == 0:
        raise still_running()


async def finish(connection: AsyncConnection, wanted: Intent, answer: Answer) -> bool:
    """The first call has waited: this is the first answer, and from now on every replay's. False when it came too late: the
    stored answer may have been given since, so it stands."""
    table = idempotency_key.c
    mine = (table.user_id == wanted.user_id) & (table.route == wanted.route) & (table.key == wanted.key)
    done = await connection.execute(
        update(idempotency_key)
        .where(mine, table.held_until > func.clock_timestamp())
        .values(status=answer.status, response=answer.body, held_until=None)
    )
    return done.rowcount == 1


async def forget(transaction: Transaction) -> int:
    """Delete keys older than KEPT, a few thousand in a transaction so that nobody waits for it. Returns how many. For the
    worker's login; both times are the database's, which is real time."""
    table, gone = idempotency_key.c, 0
    old = select(table.user_id, table.route, table.key).where(table.created_at < func.clock_timestamp() - KEPT).limit(SOME)
    statement = delete(idempotency_key).where(tuple_(table.user_id, table.route, table.key).in_(old))
    while True:
        async with transaction() as connection:
            deleted = (await connection.execute(statement)).rowcount
        gone += deleted
        if deleted < SOME:
            return gone


def still_running() -> Conflict:
    return Conflict(
        "idempotency-in-progress",
        "The first call with this Idempotency-Key is still running. Repeat this one in a second to get its answer.",
    )
