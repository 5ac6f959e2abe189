"""Submit one order (주문 제출): read everything, decide, write everything or nothing.

Refusals (every failed check is listed; stored under the key, recorded in the ledger):
licence-required 403 · halted, broker-drift, twin-in-doubt 409 · all others of `checks.CHECKS` 422.
Not stored: budget-exhausted 429, stream-blind, clock-wrong 503, account-not-found 404, idempotency-in-progress 409,
idempotency-key-reused 422.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
import orjson

from service.audit import append
from service.controls.model import Gate
from service.core.clock import kst_date
from service.core.errors import NotFound, ServiceError
from service.core.ids import lot
from service.core.principal import Principal
from service.infra import idempotency
from service.infra.failpoints import fp
from service.infra.idempotency import Answer, Intent
from service.orders.decide import Asked, Decision, decide
from service.orders.desk import Desk, budget_exhausted, watch
from service.orders.model import Order
from service.orders.resource import order_document
from service.orders.submit_store import ORDER_COLUMNS, READ, REFUSAL, REQUEST_COLUMNS, WRITE
from service.orders.weigh import weighed

ROUTE = "POST /v1/orders"
TRIES = 3  # a guard that fails means somebody was faster: decide again on what is true now
NAMED_ONCE = "uq_orders_client_order_id_manager_id"


class _Overtaken(Exception):
    """A guard of the write failed; nothing was written."""


async def submit(desk: Desk, asked: Asked, *, principal: Principal, intent: Intent, request_id: str) -> Answer:
    """One order, durably on disk with its ledger entry, or a refusal that names every failed check. Raises Busy when the
    day's order calls are used up, so that nothing is queued that cannot go out."""
    reused = False
    for _ in range(TRIES):
        try:
            answer = await _try(desk, asked, reused, principal=principal, intent=intent, request_id=request_id)
        except _Overtaken:
            continue
        except asyncpg.UniqueViolationError as error:
            # A twin with the same key: the next read shows it. Not always an earlier order with the same client_order_id:
            # its book may have been taken from the caller.
            reused = reused or error.constraint_name == NAMED_ONCE
            continue
        except asyncpg.ExclusionViolationError:
            continue  # a twin became unknown meanwhile, or somebody else used the permission: the next read shows it
        except asyncpg.LockNotAvailableError:
            raise idempotency.still_running() from None
        if answer.status == 201 and not answer.replayed:
            desk.poke("orders")
        return answer
    raise idempotency.still_running()


async def _try(desk: Desk, asked: Asked, reused: bool, *, principal: Principal, intent: Intent, request_id: str) -> Answer:
    rules, left = await desk.market.rules(), await desk.orders_left()
    async with desk.hot(books=principal.user_id) as connection:
        now = desk.clock.now()
        row = await READ.row(connection, **read_values(desk, asked, principal, intent, kst_date(now)))
        assert row is not None  # noqa: S101 - the read starts from a constant row
        if row["idem_status"] is not None:
            return idempotency.replay(row, intent)
        if row["account_id"] is None:
            raise account_not_found()
        if not left:
            raise budget_exhausted()
        watch(Gate.of(row))
        facts = {**row, "client_order_id_used": reused or row["client_order_id_used"]}
        decision = decide(
            asked, facts, rules, principal=principal, profile=desk.profile(row["broker"]),
            licensed=desk.licence_valid(kst_date(now)), now=now,
        )  # fmt: skip
        decision = await weighed(connection, asked, row, decision, kst_date(now))
        refused = decision.refusal()
        if refused is not None:
            answer = desk.render(refused)
            await _remember(connection, asked, refused, answer, principal=principal, intent=intent, request_id=request_id)
            return answer
        answer = await _write(connection, decision, principal=principal, intent=intent, request_id=request_id)
        fp("submit.before_commit")
    fp("submit.after_commit")
    return answer


def read_values(desk: Desk, asked: Asked, principal: Principal, intent: Intent | None, today: Any) -> dict[str, Any]:
    wish = asked.wish
    return {
        "com_id": desk.com_id,
        "lot": lot(),
        "account_id": asked.account_id,
        "business_date": today,
        "user_id": principal.user_id,
        "isin": wish.isin,
        "symbol": wish.symbol,
        "side": wish.side.value,
        "quantity": wish.quantity,
        "client_order_id": asked.client_order_id,
        "idem_user_id": principal.user_id,
        "idem_route": intent.route if intent else "",
        "idem_key": intent.key if intent else "",
    }


async def _write(
    connection: asyncpg.Connection, decision: Decision, *, principal: Principal, intent: Intent, request_id: str
) -> Answer:
    order = decision.order
    assert order is not None  # noqa: S101 - a decision without violations carries the order
    answer = Answer(201, orjson.dumps(order_document(order)))
    values = order_values(order) | {"value_won": decision.value, "turnover_limit": decision.turnover_limit}
    entry = submitted(order, principal, request_id)
    row = await WRITE[order.side].row(connection, **values, **entry.values("audit_"), **idempotency.part_values(intent, answer))
    if row is None:
        raise _Overtaken
    return answer


def order_values(order: Order) -> dict[str, Any]:
    request = order.requests[0]
    first = {f"order_{name}": getattr(order, name) for name in ORDER_COLUMNS}
    return first | {f"request_{name}": getattr(request, name) for name in REQUEST_COLUMNS}


def submitted(order: Order, principal: Principal, request_id: str) -> append.Entry:
    body: Mapping[str, Any] = {
        "cl_ord_id": order.requests[0].cl_ord_id,
        "account": str(order.account_id),
        "mandate": str(order.mandate_id),
        "isin": order.isin,
        "side": order.side,
        "order_type": order.order_type,
        "quantity": order.quantity,
        "price": order.price,
        "time_in_force": order.time_in_force,
        "session": order.session,
        "rationale": order.rationale,
        "client_order_id": order.client_order_id,
    }
    return append.entry(
        kind="order.submitted", subject=("order", order.id), seq=1, body=body, principal=principal, request_id=request_id,
        at=order.created_at,
    )  # fmt: skip


async def _remember(
    connection: asyncpg.Connection,
    asked: Asked,
    refused: ServiceError,
    answer: Answer,
    *,
    principal: Principal,
    intent: Intent,
    request_id: str,
) -> None:
    """A refusal is committed before it is told: the ledger has it and the key remembers it."""
    wish = asked.wish
    entry = append.entry(
        kind="order.refused",
        subject=("account", asked.account_id),
        body={
            "isin": wish.isin or wish.symbol,
            "side": wish.side,
            "quantity": wish.quantity,
            "price": wish.price,
            "violations": [one.as_dict() for one in refused.violations],
        },
        principal=principal,
        request_id=request_id,
    )
    await REFUSAL.row(connection, **entry.values("audit_"), **idempotency.part_values(intent, answer))


def account_not_found() -> NotFound:
    return NotFound("account-not-found", "There is no such account in your books.")
