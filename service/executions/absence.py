"""What a list proves by what it does not show (P3, P17). Pure.

Absence counts only where the list is whole as far as anybody can tell: it has every order that its broker must list, nothing
in it has lost its shape, and of each row that is nobody's it is certain that it is not the order looked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from service.executions.drift import Drift
from service.gateway import Complete, Incomplete, Inquiry, OrderRow
from service.orders.model import ROWS_ARE_LATE, Order
from service.orders.numbers import bare

LACKS = "lacks-known-order"


def proof(answer: Complete[OrderRow], drift: Drift | None, lacks: Order | None) -> Inquiry[OrderRow]:
    """The answer as evidence of absence. One that lacks what its broker is known to have, or that has lost its shape, is none."""
    if drift is not None:
        return Incomplete(drift.what, drift.field)
    return Incomplete(LACKS, lacks.broker_order_number or str(lacks.id)) if lacks is not None else answer


def lacking(orders: Sequence[Order], numbers: Mapping[UUID, Iterable[str]], answer: Complete[OrderRow]) -> Order | None:
    """An order that lives or has traded and is in none of the rows by any number it ever had, one of ours before others. An order
    that was born just now may be listed late, and one that came to nothing need not be listed."""
    listed = {bare(one) for row in answer.rows for one in (row.order_number, row.original_number)}
    named = {one.id: {bare(number) for number in numbers[one.id]} - {None} for one in orders}
    left = [one for one in orders if named[one.id] and named[one.id].isdisjoint(listed)]
    wanted = [one for one in left if _must_be_listed(one, answer.asked_at)]
    return min(wanted, key=lambda one: one.external, default=None)


def _must_be_listed(order: Order, asked_at: datetime) -> bool:
    born = order.created_at if order.external else order.requests[0].sent_at
    old = born is not None and born + ROWS_ARE_LATE <= asked_at
    return old and (not order.closed or order.executed_at_least > 0)


def unowned(rows: Iterable[OrderRow], owned: Iterable[str]) -> list[OrderRow]:
    """Rows of which nobody is known: neither by their own number nor by the one they change."""
    taken = set(owned)
    return [row for row in rows if taken.isdisjoint(one for one in map(bare, (row.order_number, row.original_number)) if one)]
