"""What a step writes, as effects of one statement: the order and its requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import FromClause, Uuid, update

from service.infra.effects import Effect, Returning
from service.orders.model import Order, Request
from service.orders.tables import order_request, orders

ORDER_COLUMNS = (
    "status", "quantity", "price", "limit_price", "filled_quantity", "filled_amount", "reported_quantity",
    "remaining_quantity", "closed", "reserved_cash", "reserved_quantity", "broker_order_number", "audit_seq", "updated_at",
    "needs_review",
)  # fmt: skip
REQUEST_COLUMNS = ("state", "reason", "answered_at", "sent_at", "orig_cl_ord_id")


def _move_orders(rows: FromClause) -> Returning:
    """Under the version the step was made from: an order that moved meanwhile is not touched."""
    new = {name: rows.c[name] for name in ORDER_COLUMNS}
    return (
        update(orders)
        .where(orders.c.id == rows.c.id, orders.c.version == rows.c.version)
        .values(version=orders.c.version + 1, **new)
        .returning(orders.c.id)
    )


def _move_requests(rows: FromClause) -> Returning:
    new = {name: rows.c[name] for name in REQUEST_COLUMNS}
    return update(order_request).where(order_request.c.id == rows.c.id).values(**new).returning(order_request.c.id)


ORDERS_MOVED = Effect(
    "orders_moved", {name: orders.c[name].type for name in ("id", "version", *ORDER_COLUMNS)}, _move_orders
)  # fmt: skip
REQUESTS_MOVED = Effect(
    "requests_moved", {"id": Uuid(), **{name: order_request.c[name].type for name in REQUEST_COLUMNS}}, _move_requests
)  # fmt: skip


def order_row(before: Order, after: Order) -> dict[str, Any]:
    return {"id": before.id, "version": before.version, **{name: getattr(after, name) for name in ORDER_COLUMNS}}


def request_rows(moved: Sequence[Request]) -> list[Mapping[str, Any]]:
    return [{"id": one.id, **{name: getattr(one, name) for name in REQUEST_COLUMNS}} for one in moved]
