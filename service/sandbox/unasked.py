"""What happens to orders though nobody here asked for it: the client himself, the broker, the exchange.

Every verb keeps the books, the reports and the inquiries in step: whatever is told is also true. Each raises `Refused`
when the order is not in a state in which it could happen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from service.sandbox.account import Piece
from service.sandbox.broker import Broker
from service.sandbox.errors import Refused
from service.sandbox.exchange import Event
from service.sandbox.orders import CANCELED, REJECTED, Fill, Order, entry_of
from service.sandbox.requests import Request

EXCHANGE_OPTION, PARTIAL_DECLINE = "8", "5"
"""ExecRestatementReason (378)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants; `price` None is a market order, `cl_ord_id` empty: his terminal gives none."""

    account: str
    isin: str
    side: str
    quantity: int
    price: int | None
    cl_ord_id: str = ""


def place(broker: Broker, wish: Wish, *, name: str) -> Order:
    """The client's own order, from his terminal or the counter. What his broker refuses raises `Refused`."""
    request = Request(
        "D", broker.profile.name, "", wish.cl_ord_id, "", "", wish.account, wish.isin,
        broker.exchange.listings[wish.isin].instrument.short_code, wish.side, wish.quantity, wish.price,
        "1" if wish.price is None else "2", "0", "",
    )  # fmt: skip
    order = broker.new(request, placed_by="client", name=name)
    _require(order.status != REJECTED, f"the broker refuses: {order.text}")
    return order


def cancel(broker: Broker, order: Order, *, by: str, reason: str = "") -> None:
    """An unsolicited cancel: no new ClOrdID, no OrigClOrdID. The client's own has a row, the exchange's has none."""
    _require(order.live, "the order is not live")
    if by == "client":
        broker.number_row(order, "cancel", order.leaves, order.price or 0)
    broker.exchange.cancel(order.ref)
    order.pending, order.ended_by = "", by
    order.end(CANCELED)
    broker.report(order, CANCELED, CANCELED, extra={"ExecRestatementReason": reason} if reason else None)


def mass_cancel(brokers: Iterable[Broker], isin: str | None) -> list[Order]:
    """The exchange throws out every live order of an instrument, or of everything the given brokers have."""
    gone = [
        (broker, order) for broker in brokers for order in broker.orders if order.live and isin in (None, order.instrument.isin)
    ]
    for broker, order in gone:
        cancel(broker, order, by="exchange", reason=EXCHANGE_OPTION)
    return [order for _, order in gone]


def late_reject(broker: Broker, order: Order, text: str) -> None:
    """Acknowledged, and rejected all the same. Only what has not traded can be."""
    _require(order.live and not order.fills, "the order is not live, or has traded")
    broker.exchange.cancel(order.ref)
    order.pending, order.leaves, order.status, order.text, order.ended_by = "", 0, REJECTED, text, "late_reject"
    order.rows[-1].reason = text
    broker.report(order, REJECTED, REJECTED, extra={"OrdRejReason": "99", "Text": text})


def restate(broker: Broker, order: Order, quantity: int) -> None:
    """The broker lowers an order by itself (ExecType D): part of the quantity is declined."""
    leaves = quantity - order.executed
    _require(order.live and 0 < leaves < order.leaves, "quantity: less than ordered, more than executed")
    broker.exchange.reduce(order.ref, leaves)
    order.ordered, order.leaves = quantity, leaves
    order.rows[-1].quantity = quantity if order.order_no == order.first_no else leaves
    broker.report(order, "D", order.shown_status, extra={"ExecRestatementReason": PARTIAL_DECLINE})


def bust(broker: Broker, order: Order, place: int, *, reopen: bool) -> Fill:
    """Take a fill back (Trade Cancel). What it had filled works again while its session takes orders and `reopen`."""
    fill = _fill(order, place)
    _unbook(broker, order, fill)
    order.fills.remove(fill)
    order.busted.append(fill)
    events = _free(broker, order, fill.quantity, reopen=reopen)
    extra = {"ExecRefID": fill.exec_id, "LastQty": "0", "LastPx": "0"}
    broker.report(order, "H", order.shown_status, extra=extra)
    broker.dispatch(events)
    return fill


def correct(broker: Broker, order: Order, place: int, quantity: int, price: int) -> Fill:
    """Another price, or fewer shares (Trade Correct). The fewer work again, or end with the order."""
    fill = _fill(order, place)
    _require(0 < quantity <= fill.quantity and price > 0, "quantity: at most the fill's; price: above zero")
    _unbook(broker, order, fill)
    corrected = broker.teller.correction(fill, quantity, price, broker.now)
    order.fills[order.fills.index(fill)] = corrected
    order.corrected.append(fill)
    broker.accounts[order.account].book(broker.profile, *order.trade, Piece(order.ref, quantity, price))
    lost = fill.quantity - quantity
    events = _free(broker, order, lost, reopen=True) if lost else []
    broker.report(order, "G", order.shown_status, fill=corrected, extra={"ExecRefID": fill.exec_id})
    broker.dispatch(events)
    return corrected


def _free(broker: Broker, order: Order, quantity: int, *, reopen: bool) -> list[Event]:
    """What is no longer executed: back to work, or never to trade (FIX order state matrices J.1.a and J.1.b)."""
    working = order.live or order.status == "2"
    here = broker.exchange.open(order.instrument.isin, order.session, broker.now)
    if working and here and (reopen or order.live):
        was_live = order.live
        order.leaves += quantity
        order.status = order.working_status()
        if not was_live:
            broker.works(order)
        return broker.exchange.restore(entry_of(order), broker.now)
    order.cancelled += quantity
    if order.status == "2":
        order.status = CANCELED
    return []


def _unbook(broker: Broker, order: Order, fill: Fill) -> None:
    piece = Piece(order.ref, fill.quantity, fill.price)
    taken = broker.accounts[order.account].unbook(broker.profile, *order.trade, piece)
    _require(taken, "the fill has settled, or its shares are gone")


def _fill(order: Order, place: int) -> Fill:
    _require(-len(order.fills) <= place < len(order.fills), "the order has no such fill")
    return order.fills[place]


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise Refused(400, 400, why)
