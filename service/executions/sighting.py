"""Which rows of a complete order inquiry are about which of our orders, and what they prove. Pure.

A row carries no ClOrdID. It belongs to an order by the broker's number (leading zeros do not count) or by naming such a
number as its original. Only an order whose acknowledgement was lost may be recognised by its terms, and only when exactly one
row that nobody owns fits exactly one such order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.gateway import OrderRow
from service.orders.doubt import ended_on_absence
from service.orders.model import Order, RequestState, Status
from service.orders.numbers import bare

CLOCKS_DIFFER = timedelta(seconds=60)
NOT_KNOWN = frozenset({RequestState.SENDING, RequestState.SENT, RequestState.UNKNOWN})


@dataclass(frozen=True)
class Sighted:
    """The rows of one order, with their places in the answer."""

    order: Order
    rows: tuple[tuple[int, OrderRow], ...]
    number: str | None  # the broker's present number

    @property
    def executed(self) -> int:
        return sum(row.executed_quantity for _, row in self.rows if not row.is_cancel)

    def ended(self, now: datetime) -> Status | None:
        """What the rows prove about the order's end. While its session lives only fills and reports end it."""
        if now < self.order.session_ends:
            return None
        words = [row.state_text or "" for _, row in self.rows]
        if self.executed == 0 and len(self.rows) == 1 and "거부" in words[0]:
            return Status.REJECTED
        cancelled = any(
            "취소" in (row.state_text or "") for _, row in self.rows if not (row.is_cancel and "거부" in (row.state_text or ""))
        )
        return Status.CANCELED if cancelled else Status.EXPIRED


def sightings(orders: Sequence[Order], numbers: Mapping[UUID, Iterable[str]], rows: Sequence[OrderRow]) -> list[Sighted]:
    """Orders with the rows that show them. `numbers` are all broker numbers known for each order."""
    return sort_out(orders, numbers, rows)[0]


def sort_out(
    orders: Sequence[Order], numbers: Mapping[UUID, Iterable[str]], rows: Sequence[OrderRow]
) -> tuple[list[Sighted], list[tuple[int, OrderRow]]]:
    """The same, and the rows that show none of these orders."""
    owner = {bare(one): order_id for order_id, known in numbers.items() for one in known}
    placed: dict[UUID, list[tuple[int, OrderRow]]] = {}
    strangers: list[tuple[int, OrderRow]] = []
    for i, row in enumerate(rows):
        order_id = owner.get(bare(row.order_number)) or owner.get(bare(row.original_number))
        if order_id is None:
            strangers.append((i, row))
            continue
        owner[bare(row.order_number)] = order_id
        placed.setdefault(order_id, []).append((i, row))
    for order, found in _by_terms([one for one in orders if one.id not in placed], strangers):
        placed[order.id] = [found]
        strangers.remove(found)
    known = {one.id: one for one in orders}
    sighted = [Sighted(known[order_id], tuple(found), _present(found)) for order_id, found in placed.items() if order_id in known]
    return sighted, strangers


def _present(found: Sequence[tuple[int, OrderRow]]) -> str | None:
    return next((row.order_number for _, row in reversed(found) if not row.is_cancel and row.order_number), None)


def _by_terms(orders: Sequence[Order], strangers: Sequence[tuple[int, OrderRow]]) -> list[tuple[Order, tuple[int, OrderRow]]]:
    lost = [one for one in orders if one.requests and (one.requests[0].state in NOT_KNOWN or ended_on_absence(one))]
    pairs = [(order, found) for order in lost for found in strangers if could_be(order, found[1])]
    orders_of = [order.id for order, _ in pairs]
    rows_of = [found[0] for _, found in pairs]
    return [(order, found) for order, found in pairs if orders_of.count(order.id) == 1 and rows_of.count(found[0]) == 1]


def could_be(order: Order, row: OrderRow) -> bool:
    """Whether the row has the terms of the order: account and day are those asked for."""
    sent = order.requests[0].sent_at
    in_time = row.order_time is None or sent is None or row.order_time >= sent - CLOCKS_DIFFER
    same_price = order.price is None or row.price is None or row.price == order.price
    instrument = order.isin == row.instrument.isin or order.short_code == row.instrument.short_code
    plain = not row.is_amend and not row.is_cancel and bool(row.order_number)
    return plain and instrument and row.side is order.side and row.quantity == order.quantity and same_price and in_time
