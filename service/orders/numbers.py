"""Which order a name or a number belongs to: ours by any ClOrdID of its requests, anybody's by the broker's number.

A broker's numbers repeat the next day, so one means something only with account and business date; leading zeros do not
count (P10). A number an order has lost to an amendment still leads to it: a late report of it is history, not a stranger.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from service.orders.tables import order_report, order_request, order_sighting, orders

Place = tuple[UUID, date]  # account and business date
Number = tuple[UUID, date, str]  # with the broker's number, bare


def bare(number: str | None) -> str | None:
    """A broker's number as it is compared: text without leading zeros; None when nothing is left."""
    return number.lstrip("0") or None if number else None


async def by_cl_ord_ids(connection: AsyncConnection, names: Iterable[str]) -> dict[str, UUID]:
    """Orders by those of the ClOrdIDs that are ours."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    c = order_request.c
    return {row[0]: row[1] for row in await connection.execute(select(c.cl_ord_id, c.order_id).where(c.cl_ord_id.in_(wanted)))}


async def by_numbers(connection: AsyncConnection, places: Iterable[Place]) -> dict[Number, UUID]:
    """Every number ever given to an order of these accounts and days. One that two orders claim leads to neither."""
    wanted = sorted(set(places))
    if not wanted:
        return {}
    mine = tuple_(orders.c.account_id, orders.c.business_date).in_(wanted)
    owners: dict[Number, set[UUID]] = {}
    for row in await connection.execute(union(*_given(mine))):
        name = bare(row[2])
        if name is not None:
            owners.setdefault((row[0], row[1], name), set()).add(row[3])
    return {number: next(iter(found)) for number, found in owners.items() if len(found) == 1}


def _given(mine: ColumnElement[bool]) -> list[Select[Any]]:
    """The number an order has, those reports gave it, and those inquiry rows showed."""
    o, number = orders.c, order_report.c.document["order_id"].astext
    shown = func.jsonb_array_elements_text(order_sighting.c.document["numbers"])
    where = (o.account_id, o.business_date)
    return [
        select(*where, o.broker_order_number, o.id).where(mine, o.broker_order_number.is_not(None)),
        select(*where, number, o.id).join(order_report, order_report.c.order_id == o.id).where(mine, number.is_not(None)),
        select(*where, shown, o.id).join(order_sighting, order_sighting.c.order_id == o.id).where(mine),
    ]


def owner_of(numbers: Mapping[Number, UUID], places: Iterable[Place], number: str | None) -> UUID | None:
    """The one order the number belongs to in any of these places; None when it is nobody's, or two brokers' alike."""
    name = bare(number)
    found = {numbers[(*place, name)] for place in places if name is not None and (*place, name) in numbers}
    return next(iter(found)) if len(found) == 1 else None
