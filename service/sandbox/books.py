"""The sandbox's own truth as JSON, for comparison (`GET /_sandbox/books`). Amounts in whole won. Pure reading."""

from datetime import date

from service.sandbox.account import Account, Settlement
from service.sandbox.broker import Broker
from service.sandbox.orders import REJECTED, STATUS_WORDS, Fill, Order
from service.sandbox.world import World

Json = dict[str, object]


def books(world: World, day: date | None) -> Json:
    """Everything, or the orders and settlements of one business date."""
    return {
        "business_date": (day or world.now.date()).isoformat(),
        "clock": world.now.isoformat(),
        "brokers": {
            broker.profile.code: {
                "name": broker.profile.name,
                "accounts": [_account(broker, account, world.now.date(), day) for account in broker.accounts.values()],
            }
            for broker in world.brokers.values()
        },
    }


def _account(broker: Broker, account: Account, today: date, day: date | None) -> Json:
    d0, d1, d2 = account.ladder(today)
    return {
        "account": account.number,
        "contract_status": account.contract,
        "cash": {"d0": d0, "d1": d1, "d2": d2, "deposit": account.deposit},
        "holdings": [
            {"isin": isin, "quantity": one.quantity, "average_cost": one.average_cost}
            for isin, one in sorted(account.holdings.items())
        ],
        "orders": [
            _order(one)
            for (number, business_date), kept in broker.book.items()
            if number == account.number and day in (None, business_date)
            for one in kept
        ],
        "settlements": [_settlement(one) for one in account.settlements if day in (None, one.business_date)],
    }  # fmt: skip


def _order(order: Order) -> Json:
    return {
        "order_no": str(order.order_no),
        "org_order_no": str(order.first_no) if order.first_no != order.order_no else None,
        "order_nos": [str(row.order_no) for row in order.rows],
        "cl_ord_ids": list(order.cl_ord_ids),
        "business_date": order.business_date.isoformat(),
        "isin": order.instrument.isin,
        "side": order.side,
        "ordered": order.ordered,
        "price": order.price,
        "order_type": {"1": "market", "2": "limit"}[order.order_type],
        "tif": {"0": "day", "3": "ioc", "4": "fok"}.get(order.tif, order.tif),
        "session": order.session,
        "executed": order.executed,
        "cancelled": order.cancelled,
        "leaves": order.leaves,
        "status": STATUS_WORDS[order.status],
        "text": order.text,
        "placed_by": order.placed_by,
        "ended_by": order.ended_by,
        "accepted": order.status != REJECTED,
        "fills": [_fill(one) for one in order.fills],
        "busted": [_fill(one) for one in order.busted],
    }


def _fill(one: Fill) -> Json:
    return {
        "quantity": one.quantity, "price": one.price, "time": one.time.isoformat(), "exec_no": one.exec_no,
        "exec_id": one.exec_id,
    }  # fmt: skip


def _settlement(one: Settlement) -> Json:
    return {
        "business_date": one.business_date.isoformat(),
        "isin": one.isin,
        "side": one.side,
        "quantity": one.quantity,
        "amount": one.amount,
        "commission": one.costs.commission,
        "taxes": {"거래세": one.costs.transaction, "농특세": one.costs.rural},
        "settle_date": one.settle_date.isoformat(),
        "settled": one.settled,
    }
