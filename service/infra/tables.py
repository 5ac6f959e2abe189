"""Tables of the tools themselves: first answers of intents, leases, runs of jobs."""

from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from service.core.ids import LOT_BITS, TURN_BITS
from service.infra.db import MOMENT, metadata

# CACHE 1: a number is taken in the write itself, and a session that dies takes no block of them with it.
cl_ord_id_seq = Sequence("cl_ord_id_seq", data_type=BigInteger, cache=1, metadata=metadata)


def cl_ord_id_part(business_date: ColumnElement[date], drawn: ColumnElement[int]) -> ColumnElement[str]:
    """The next ClOrdID of a day, with a `lot()` drawn for it, as a part of a question."""
    turn = cl_ord_id_seq.next_value().bitwise_and(literal((1 << TURN_BITS) - 1, BigInteger))
    return func.ilim_cl_ord_id(business_date, turn.bitwise_lshift(literal(LOT_BITS, Integer)).bitwise_or(drawn))


idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("route", Text, primary_key=True),  # method and path template: "POST /v1/orders"
    Column("key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),  # SHA-256 of the validated, canonical body
    Column("status", SmallInteger, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("content_type", Text, nullable=False, server_default=text("'application/json'")),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),  # real time: keys are kept 48 hours
    Column("held_until", MOMENT, comment="real time until which the first call still waits"),
    CheckConstraint("octet_length(body_hash) = 32", name="body_hash_is_sha256"),
    Index("ix_idempotency_key_created_at", "created_at"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # rises with every change of holder, never falls
    Column("until", MOMENT, nullable=False),  # by the database's clock
    Column("who", Text, comment="process that holds it, as infra.processes names it"),
)

job_run = Table(
    "job_run",
    metadata,
    Column("job", Text, primary_key=True),
    Column("slot", MOMENT, primary_key=True),  # business time at which it was due, not when it ran
    Column("holder", Uuid, nullable=False),
    Column("started_at", MOMENT, nullable=False, server_default=func.now()),
    Column("finished_at", MOMENT),
    Column("outcome", Text),
)


def _told() -> list[Column[Any]]:
    """What an event says; the same before and after it has its number."""
    return [
        Column("kind", Text, nullable=False),
        Column("subject_id", Uuid, nullable=False),
        Column("account_id", Uuid, comment="whose book it is in; none for what concerns everybody"),
        Column("user_id", Uuid, comment="the only manager it concerns, if it concerns one"),
        Column("document", JSON, nullable=False),
        Column("happened_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    ]


# The queue: written by triggers in the transaction of the change, emptied by whoever numbers.
event_pending = Table(
    "event_pending",
    metadata,
    Column("ordinal", BigInteger, Identity(always=True), primary_key=True),
    *_told(),
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "2000"},
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 … in the order readers may rely on"),
    *_told(),
    CheckConstraint("id > 0", name="counts_from_one"),
)
