"""An order as callers see it (`docs/api`): decimal strings, RFC 3339 instants, nothing binary."""

from collections.abc import Sequence
from typing import Any

from service.core.money import average_price, plain
from service.orders.doubt import Decision, Step, document, instant
from service.orders.model import Order, Request


def order_document(order: Order, steps: Sequence[Step] = (), decisions: Sequence[Decision] = ()) -> dict[str, Any]:
    """The order resource; `steps` and `decisions` are what was tried and decided about its requests in doubt."""
    return {
        "id": str(order.id),
        "business_date": order.business_date.isoformat(),
        "account_id": str(order.account_id),
        "isin": order.isin,
        "symbol": order.short_code,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "quantity": order.quantity,
        "price": None if order.price is None else plain(order.price),
        "time_in_force": order.time_in_force.value,
        "session": order.session.value,
        "client_order_id": order.client_order_id,
        "rationale": order.rationale,
        "status": order.status.value,
        "filled_quantity": order.filled_quantity,
        "unaccounted_quantity": order.unaccounted_quantity,
        "remaining_quantity": order.remaining_quantity,
        "average_price": plain(average_price(order.filled_amount, order.filled_quantity)) if order.filled_quantity else None,
        "broker": order.broker,
        "broker_order_number": order.broker_order_number,
        "requests": [request_document(one) for one in order.requests],
        "in_doubt": document(order, steps, decisions),
        "manager_id": None if order.manager_id is None else str(order.manager_id),
        "external": order.external,
        "needs_review": order.needs_review,
        "created_at": instant(order.created_at),
        "updated_at": instant(order.updated_at),
        "version": order.version,
    }


def request_document(request: Request) -> dict[str, Any]:
    return {
        "id": str(request.id),
        "kind": request.kind.value,
        "cl_ord_id": request.cl_ord_id,
        "state": request.state.value,
        "quantity": request.quantity,
        "price": None if request.price is None else plain(request.price),
        "sent_at": instant(request.sent_at),
        "answered_at": instant(request.answered_at),
        "reason": request.reason,
    }
