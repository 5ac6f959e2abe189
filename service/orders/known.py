"""What is known about an order: reports and inquiry rows, kept as read, in their canonical order.

Canonical is the stream's own order (date, sequence); what has no sequence comes after, by arrival. Because every fold over
reports runs in this order, the order in which they happened to reach us cannot matter.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import FromClause, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind, Side
from service.infra.effects import Change, Effect, Returning
from service.orders.model import Proof, Proven, Status
from service.orders.tables import order_report, order_sighting

Known = ExecutionReport | CancelReject
KINDS: dict[str, type[Known]] = {"execution": ExecutionReport, "reject": CancelReject}


@dataclass(frozen=True)
class Look:
    """One complete inquiry's rows of an order, as kept."""

    seen_at: datetime
    executed: int
    claim: str | None  # the end its words claim, though the session lives


@dataclass(frozen=True)
class Sightings:
    """What complete inquiries showed of an order, taken together."""

    seen: bool
    executed: int
    ended: Status | None
    counts: tuple[tuple[int, datetime], ...] = ()  # executed quantities, each with when it was last seen (business clock)
    last: Look | None = None  # the newest that is kept
    proven: tuple[Proven, ...] = ()  # what they proved about changes, each once


def to_document(report: Known) -> dict[str, Any]:
    """A report as JSON. The account number is left out: the order has the account, and the raw message the rest."""
    kind = "execution" if isinstance(report, ExecutionReport) else "reject"
    return {"kind": kind} | {one.name: _plain(getattr(report, one.name)) for one in fields(report) if one.name != "account"}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


READERS: dict[str, Any] = {
    "exec_type": ExecType,
    "side": Side,
    "response_to": RequestKind,
    "price": Decimal,
    "last_price": Decimal,
    "transact_time": datetime.fromisoformat,
}


def from_document(document: dict[str, Any]) -> Known:
    """The report a document was made of, its account number apart."""
    shape = KINDS[document["kind"]]
    values = {name: value for name, value in document.items() if name != "kind"}
    read = {name: READERS[name](value) if name in READERS and value is not None else value for name, value in values.items()}
    if shape is ExecutionReport:
        read["account"] = None
    return shape(**read)


def _keep(rows: FromClause) -> Returning:
    names = [one.name for one in order_report.columns]
    return insert(order_report).from_select(names, select(*[rows.c[name] for name in names])).returning(order_report.c.raw_id)


REPORTS_KEPT = Effect("reports_kept", {one.name: one.type for one in order_report.columns}, _keep)


def kept(rows: Sequence[dict[str, Any]]) -> Change:
    """Reports of orders as one of the changes of `effects.write`: raw_id, order_id, seq_date, seq, arrived, document."""
    return Change(REPORTS_KEPT, rows)


async def reports(connection: AsyncConnection, order_id: UUID) -> list[tuple[UUID, Known]]:
    """Every report of an order with its evidence, in canonical order."""
    table = order_report.c
    question = (
        select(table.raw_id, table.document)
        .where(table.order_id == order_id)
        .order_by(table.seq_date.nulls_last(), table.seq.nulls_last(), table.arrived)
    )
    return [(row.raw_id, from_document(row.document)) for row in await connection.execute(question)]


async def add_sightings(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep inquiry rows that show orders: raw_id, row, order_id, seen_at, executed_quantity, ended, document."""
    if rows:
        await connection.execute(insert(order_sighting).values(list(rows)).on_conflict_do_nothing())


async def sightings(connection: AsyncConnection, order_id: UUID) -> Sightings:
    rows = (await connection.execute(select(order_sighting).where(order_sighting.c.order_id == order_id))).mappings()
    return seen_in(rows)


def seen_in(rows: Iterable[Mapping[Any, Any]]) -> Sightings:
    """What rows of `order_sighting` show, taken together: each executed quantity with when it was last seen."""
    counts: dict[int, datetime] = {}
    ends: set[str] = set()
    last: Look | None = None
    changes: list[Proven] = []
    for one in rows:
        executed, at = one["executed_quantity"], one["seen_at"]
        changes += [Proven(**change | {"proof": Proof(change["proof"])}) for change in plain_json(one).get("changes", ())]
        counts[executed] = max(counts.get(executed, at), at)
        ends |= {one["ended"]} - {None}
        last = Look(at, executed, plain_json(one).get("claim")) if last is None or at >= last.seen_at else last
    ended = Status(max(ends)) if ends else None
    return Sightings(bool(counts), max(counts, default=0), ended, tuple(counts.items()), last, _strongest(changes))


def _strongest(changes: Iterable[Proven]) -> tuple[Proven, ...]:
    """Of what several inquiries proved about one change the strongest word, whichever was read first: a broker lists what
    he has not worked on yet without it, never the other way round."""
    ranked = sorted(changes, key=lambda one: (one.cl_ord_id, list(Proof).index(one.proof), str(one)))
    return tuple({one.cl_ord_id: one for one in ranked}.values())


def plain_json(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The document of a row, whichever driver read it."""
    document = row["document"]
    return dict(document) if isinstance(document, Mapping) else dict(json.loads(document))


async def hand_over(connection: AsyncConnection, order_id: UUID, to: UUID) -> None:
    """What was said about one order was said about another: they are the same."""
    for table in (order_report, order_sighting):
        await connection.execute(update(table).where(table.c.order_id == order_id).values(order_id=to))
