"""Control calls that make happen what nobody here asked for (`unasked`), and what befalls the stream at once."""

from collections.abc import Callable
from typing import Any

from service.sandbox import poison, unasked, wishes
from service.sandbox.broker import Broker
from service.sandbox.errors import Refused
from service.sandbox.orders import Order
from service.sandbox.world import World

Json = dict[str, Any]
Verb = Callable[[World, Json], object]


def _client_order(world: World, body: Json) -> object:
    if "broker" not in body:
        raise Refused(400, 400, "broker expected")
    broker = wishes.brokers(world, body)[0]
    if body.get("account") not in broker.accounts or body.get("side") not in ("buy", "sell"):
        raise Refused(400, 400, "an account of the broker, and side buy or sell")
    price = None if body.get("price") is None else wishes.whole(body["price"])
    wish = unasked.Wish(
        body["account"], wishes.listed(world, body), body["side"], wishes.whole(body["quantity"]), price,
        str(body.get("cl_ord_id") or ""),
    )  # fmt: skip
    if not wish.quantity:
        raise Refused(400, 400, "quantity above zero")
    return _told(broker, world.place_for_client(broker, wish))


def _client_cancel(world: World, body: Json) -> object:
    broker, order = _order(world, body)
    unasked.cancel(broker, order, by="client")
    return _told(broker, order)


def _mass_cancel(world: World, body: Json) -> object:
    isin = wishes.listed(world, body) if body.get("isin") is not None else None
    gone = unasked.mass_cancel(wishes.brokers(world, body), isin)
    return {"cancelled": [order.ref for order in gone]}


def _bust(world: World, body: Json) -> object:
    broker, order = _order(world, body)
    fill = unasked.bust(broker, order, int(body.get("fill", -1)), reopen=bool(body.get("reopen", True)))
    return {**_told(broker, order), "exec_id": fill.exec_id}


def _correct(world: World, body: Json) -> object:
    broker, order = _order(world, body)
    place = int(body.get("fill", -1))
    if not -len(order.fills) <= place < len(order.fills):
        raise Refused(400, 400, "the order has no such fill")
    before = order.fills[place]
    quantity, price = (wishes.whole(body.get(name, getattr(before, name))) for name in ("quantity", "price"))
    fill = unasked.correct(broker, order, place, quantity, price)
    return {**_told(broker, order), "exec_id": fill.exec_id}


def _late_reject(world: World, body: Json) -> object:
    broker, order = _order(world, body)
    unasked.late_reject(broker, order, str(body.get("reason", "거래소 사후거부")))
    return _told(broker, order)


def _restate(world: World, body: Json) -> object:
    broker, order = _order(world, body)
    unasked.restate(broker, order, wishes.whole(body["quantity"]))
    return _told(broker, order)


def _stream(world: World, body: Json) -> object:
    """Every stream connection at once: cut (`drop`), half-open (`mute`), or a spoilt copy of the newest report (`poison`)."""
    hub, what = world.hub, body.get("do")
    if what == "drop":
        hub.drop_all()
    elif what == "mute":
        hub.mute_all()
    elif what == "poison":
        newest = max((one for day in hub.stored.values() for one in day), key=lambda one: (one.day, one.seq), default=None)
        if newest is None:
            raise Refused(400, 400, "no report yet")
        hub.add_spoilt(newest.message, poison.known(str(body.get("what", "malformed_json"))), world.now)
    else:
        raise Refused(400, 400, "do: drop, mute or poison")
    return {"subscribers": len(hub.subscribers)}


VERBS: dict[str, Verb] = {
    "client-order": _client_order, "client-cancel": _client_cancel, "mass-cancel": _mass_cancel, "bust": _bust,
    "correct": _correct, "late-reject": _late_reject, "restate": _restate, "stream": _stream,
}  # fmt: skip


def _order(world: World, body: Json) -> tuple[Broker, Order]:
    return world.known_order(str(body.get("order", "")), body.get("broker"))


def _told(broker: Broker, order: Order) -> Json:
    return {
        "broker": broker.profile.code, "account": order.account, "order_no": str(order.order_no),
        "cl_ord_ids": order.cl_ord_ids, "executed": order.executed, "leaves": order.leaves, "cancelled": order.cancelled,
    }  # fmt: skip
