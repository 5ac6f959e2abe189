"""The two statements of a submission: one read of everything the decision needs, one write of everything it does.

Both are composed of parts that the slices below offer, compiled once, and run on the raw driver: a submission is two round
trips and a commit. The write carries its own guards; when one fails no row comes back and the caller decides again.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Select,
    Table,
    Text,
    Update,
    Uuid,
    bindparam,
    exists,
    insert,
    literal,
    literal_column,
    select,
    true,
)

from service.accounts.facts import account_part, cash_part, holding_part
from service.accounts.parts import reserve_cash, reserve_holding
from service.audit import append
from service.controls.parts import gate_part
from service.gateway import Side
from service.infra import idempotency
from service.infra.db import HotStatement
from service.infra.tables import cl_ord_id_part
from service.mandates.facts import mandate_part
from service.mandates.parts import claim_turnover
from service.market.facts import instrument_part
from service.orders.tables import doubt_decision, order_request, orders

ORDER_COLUMNS = (
    "id", "business_date", "account_id", "broker", "mandate_id", "manager_id", "isin", "short_code", "side",
    "order_type", "time_in_force", "session", "quantity", "price", "limit_price", "status", "remaining_quantity",
    "reserved_cash", "reserved_quantity", "client_order_id", "rationale", "session_ends", "audit_seq", "created_at",
    "updated_at",
)  # fmt: skip
REQUEST_COLUMNS = (
    "id", "order_id", "kind", "number", "cl_ord_id", "quantity", "price", "state", "user_id", "send_by", "queued_at",
)  # fmt: skip


def _read() -> Select[Any]:
    base = select(literal(1).label("one")).subquery("base")
    account, cash, holding = account_part(), cash_part(), holding_part()
    mandate, instrument = mandate_part(), instrument_part()
    stored, gate = idempotency.lookup_part().subquery("stored"), gate_part()
    joined = (
        base.outerjoin(account, true())
        .outerjoin(cash, true())
        .outerjoin(mandate, true())
        .outerjoin(instrument, true())
        .outerjoin(holding, holding.c.isin == instrument.c.isin)
        .outerjoin(stored, true())
        .outerjoin(gate, true())
    )
    return select(
        account, cash, mandate, instrument, stored, gate,
        holding.c.opened_on.label("holding_opened_on"),
        holding.c.sellable,
        _twin(instrument.c.isin).label("twin_in_doubt"),
        _reused().label("client_order_id_used"),
        cl_ord_id_part(bindparam("business_date"), bindparam("lot", type_=BigInteger)).label("cl_ord_id"),
    ).select_from(joined)  # fmt: skip


def _twin(isin: Any) -> Any:
    """An order of the same account, instrument, side and quantity with an outcome nobody knows (P5), of which no unused
    permission of two people lets a twin pass. For the words of the refusal; what refuses is the guard on the table."""
    allowed = exists().where(
        doubt_decision.c.request_id == order_request.c.id,
        doubt_decision.c.conclusion == literal_column("'twin_allowed'"),
        doubt_decision.c.decision == literal_column("'confirmed'"),
        doubt_decision.c.used_by.is_(None),
    )
    return exists().where(
        orders.c.account_id == bindparam("account_id", type_=Uuid),
        orders.c.business_date == bindparam("business_date"),
        orders.c.isin == isin,
        orders.c.side == bindparam("side", type_=Text),
        order_request.c.quantity == bindparam("quantity", type_=orders.c.quantity.type),
        order_request.c.order_id == orders.c.id,
        order_request.c.kind == literal_column("'new'"),
        order_request.c.state == literal_column("'unknown'"),
        ~allowed,
    )


def _reused() -> Any:
    """By the client's id alone: an index on the manager would read every order of theirs. `is not distinct` uses none."""
    return exists().where(
        orders.c.client_order_id == bindparam("client_order_id", type_=Text),
        orders.c.manager_id.is_not_distinct_from(bindparam("user_id", type_=Uuid)),
    )


def _binds(table: Table, names: tuple[str, ...], prefix: str) -> list[Any]:
    return [bindparam(prefix + name, type_=table.c[name].type) for name in names]


def _guard(side: Side) -> Update:
    if side is Side.BUY:
        return reserve_cash(account="order_account_id", day="order_business_date", won="order_reserved_cash")
    return reserve_holding(
        account="order_account_id", instrument="order_isin", day="order_business_date", shares="order_reserved_quantity"
    )


def _write(side: Side) -> Select[Any]:
    reserved = _guard(side).cte("reserved")
    guard = claim_turnover(reserved, mandate="order_mandate_id", day="order_business_date").cte("claimed")
    placed = (
        insert(orders)
        .from_select(ORDER_COLUMNS, select(*_binds(orders, ORDER_COLUMNS, "order_")).select_from(guard))
        .returning(orders.c.id)
        .cte("placed")
    )
    asked = (
        insert(order_request)
        .from_select(
            [*REQUEST_COLUMNS, "broker"],
            select(*_binds(order_request, REQUEST_COLUMNS, "request_"), bindparam("order_broker", type_=Text)).select_from(
                placed
            ),
        )
        .cte("asked")
    )
    written = append.insert_part(placed).cte("written")
    answered = idempotency.insert_part(placed).cte("answered")
    return select(placed.c.id).add_cte(asked, written, answered)


READ = HotStatement(_read())
WRITE: Mapping[Side, HotStatement] = {side: HotStatement(_write(side)) for side in Side}
REFUSAL = HotStatement(
    select(literal(1)).add_cte(
        append.insert_part(select(literal(1).label("one")).subquery("once")).cte("written"),
        idempotency.insert_part(select(literal(1).label("one")).subquery("once_more")).cte("answered"),
    )
)
NOTE = HotStatement(
    select(literal(1)).add_cte(append.insert_part(select(literal(1).label("one")).subquery("once")).cte("written"))
)
