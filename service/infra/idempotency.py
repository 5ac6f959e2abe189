"""The same key and body never makes a second effect (P1).

The key is inserted in the statement of its effect, so that the two commit or vanish together. A parallel twin waits on
the unique index, then meets the first one's answer. Scope: user, method and path template, key; the hash covers the
validated, canonical body, so that spacing and key order do not matter.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import FromClause, Insert, Select, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.errors import BadRequest, Conflict, Invalid, Violation
from service.infra.tables import idempotency_key

KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class Intent:
    """What an idempotent call is known by."""

    user_id: UUID
    route: str  # "POST /v1/orders"
    key: str
    body_hash: bytes


@dataclass(frozen=True)
class Answer:
    """A stored first answer, given again byte for byte."""

    status: int
    body: bytes
    replayed: bool = False
    content_type: str = "application/json"


def intent(*, user_id: UUID, route: str, key: str | None, body: Any) -> Intent:
    """Read the `Idempotency-Key`. Raises BadRequest when it is missing or not 1 to 128 visible ASCII characters."""
    if key is None or not KEY.fullmatch(key):
        what = "is missing" if key is None else "is not 1 to 128 visible ASCII characters"
        raise BadRequest(
            "idempotency-key-required",
            f"The header Idempotency-Key {what}. Send a new random key for every new intent, and the same key to retry it.",
            violations=(Violation("idempotency_key", "Idempotency-Key", f"header {what}"),),
        )
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Intent(user_id, route, key, hashlib.sha256(canonical).digest())


def insert_part(source: FromClause) -> Insert:
    """The insert as a part of a hot statement, one row for each row of `source`: binds `idem_user_id, idem_route,
    idem_key, idem_body_hash, idem_status, idem_response, idem_content_type`."""
    names = ("user_id", "route", "key", "body_hash", "status", "response", "content_type")
    binds = [bindparam(f"idem_{name}", type_=idempotency_key.c[name].type) for name in names]
    return insert(idempotency_key).from_select(names, select(*binds).select_from(source))


def part_values(wanted: Intent, answer: Answer) -> dict[str, Any]:
    return {
        "idem_user_id": wanted.user_id,
        "idem_route": wanted.route,
        "idem_key": wanted.key,
        "idem_body_hash": wanted.body_hash,
        "idem_status": answer.status,
        "idem_response": answer.body,
        "idem_content_type": answer.content_type,
    }


def lookup_part() -> Select[Any]:
    """The stored answer for `idem_user_id, idem_route, idem_key`, as a part of a hot read."""
    table = idempotency_key.c
    return select(
        table.body_hash.label("idem_body_hash"),
        table.status.label("idem_status"),
        table.response.label("idem_response"),
        table.content_type.label("idem_content_type"),
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
    """The stored answer of a look-up row, or the refusal when the body differs."""
    if row["idem_body_hash"] != wanted.body_hash:
        raise Invalid(
            "idempotency-key-reused",
            "This Idempotency-Key was used with another body. Nothing was done. Use a new key for a new intent.",
            violations=(Violation("idempotency_key_reused", "Idempotency-Key", "used before with another body"),),
        )
    return Answer(row["idem_status"], row["idem_response"], replayed=True, content_type=row["idem_content_type"])


async def remember(connection: AsyncConnection, wanted: Intent, answer: Answer) -> None:
    """Store a first answer in the caller's transaction; a twin that came first makes this raise Conflict."""
    values = {name.removeprefix("idem_"): value for name, value in part_values(wanted, answer).items()}
    done = await connection.execute(upsert(idempotency_key).values(values).on_conflict_do_nothing())
    if done.rowcount == 0:
        raise still_running()


async def revise(connection: AsyncConnection, wanted: Intent, answer: Answer) -> None:
    """Replace the stored answer before it was first given (a caller that asked to wait)."""
    table = idempotency_key.c
    await connection.execute(
        update(idempotency_key)
        .where(table.user_id == wanted.user_id, table.route == wanted.route, table.key == wanted.key)
        .values(status=answer.status, response=answer.body)
    )


def still_running() -> Conflict:
    return Conflict(
        "idempotency-in-progress",
        "The first call with this Idempotency-Key is still running. Repeat this one in a second to get its answer.",
    )
