"""Orders with everything known about them, in one statement: requests, reports in their canonical order, inquiry rows.

For the worker's login; a manager's may not read reports. Whoever means to write locks first and reads in a *later*
statement: one that waited for a lock still reads the other tables as they were before it waited.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from service.infra.db import Either, HotStatement
from service.orders.known import Known, Sightings, from_document, plain_json, seen_in
from service.orders.model import Order
from service.orders.store import ORDER_FIELDS, to_order, to_request
from service.orders.tables import order_report, order_request, order_sighting, orders

NOT_SEEN = Sightings(False, 0, None)
Place = tuple[bool, date, bool, int, int]  # where a report stands: stream's date, its sequence (none is last), arrival


def place(seq_date: date | None, seq: int | None, arrived: int) -> Place:
    """What reports are sorted by: the canonical order, as `whole_part` has it in SQL."""
    return (seq_date is None, seq_date or date.min, seq is None, seq or 0, arrived)


@dataclass(frozen=True)
class Whole:
    """An order as it is stored, and what is known about it."""

    order: Order
    evidence: tuple[tuple[UUID, Known], ...] = ()  # reports with their raw messages, in canonical order
    seen: Sightings = NOT_SEEN
    places: tuple[Place, ...] = ()  # of each report

    def with_reports(self, new: Sequence[tuple[Place, UUID, Known]]) -> "Whole":
        """With reports that are about to be stored, each in its place."""
        held = [(at, *one) for at, one in zip(self.places, self.evidence, strict=True)]
        ordered = sorted([*held, *new], key=lambda one: one[0])
        evidence = tuple((raw_id, report) for _, raw_id, report in ordered)
        return replace(self, evidence=evidence, places=tuple(at for at, _, _ in ordered))

    @property
    def reports(self) -> list[Known]:
        return [report for _, report in self.evidence]


async def lock(connection: Either, order_ids: Iterable[UUID]) -> None:
    """Hold these orders until the transaction ends, in the order of their ids. Whoever changes anything about an order
    does this first; cash and holdings come after it, everywhere."""
    await LOCK.on(connection, order_ids=sorted(set(order_ids)))


async def read(connection: Either, order_ids: Iterable[UUID]) -> dict[UUID, Whole]:
    """These orders, whole, by id; those that are not there are left out."""
    rows = await READ.on(connection, order_ids=sorted(set(order_ids)))
    return {row["id"]: whole_of(row) for row in rows}


def whole_of(row: Mapping[str, Any]) -> Whole:
    """From a row of `whole_part`, whichever driver read it."""
    order = to_order(row, [to_request(one) for one in row["whole_requests"]])
    evidence = tuple((one["raw_id"], from_document(plain_json(one))) for one in row["whole_reports"])
    places = tuple(place(one["seq_date"], one["seq"], one["arrived"]) for one in row["whole_reports"])
    return Whole(order, evidence, seen_in(row["whole_sightings"]), places)


def whole_part() -> Select[Any]:
    """Orders with what `whole_of` needs, to be narrowed by the caller. Reports and requests come as arrays of rows."""
    requests = (
        select(order_request.table_valued())
        .where(order_request.c.order_id == orders.c.id)
        .order_by(order_request.c.number)
        .correlate(orders)
    )
    c = order_report.c
    reports = (
        select(order_report.table_valued())
        .where(c.order_id == orders.c.id)
        .order_by(c.seq_date.nulls_last(), c.seq.nulls_last(), c.arrived)
        .correlate(orders)
    )
    sightings = select(order_sighting.table_valued()).where(order_sighting.c.order_id == orders.c.id).correlate(orders)
    return select(
        *[orders.c[name] for name in ORDER_FIELDS],
        func.array(requests.scalar_subquery()).label("whole_requests"),
        func.array(reports.scalar_subquery()).label("whole_reports"),
        func.array(sightings.scalar_subquery()).label("whole_sightings"),
    )


def _wanted() -> Any:
    return orders.c.id == func.any(bindparam("order_ids", type_=ARRAY(Uuid)))


LOCK = HotStatement(select(orders.c.id).where(_wanted()).order_by(orders.c.id).with_for_update())
READ = HotStatement(whole_part().where(_wanted()))
