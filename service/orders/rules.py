"""Rules about one order, without the world: what an amendment may do, and what must be held in reserve.

Sources: the platform's manual (a price amend covers the whole remainder; a quantity can only fall; one or the other),
promise P14; the worst case of priceless buys at the upper limit is market practice (시장가 매수 증거금).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from service.core.errors import Violation
from service.core.money import Won, amount, plain
from service.gateway import OrderType, RequestKind, Side
from service.orders.model import OPEN_REQUEST, Order, Request


@dataclass(frozen=True)
class Reserve:
    """What an order keeps from being used twice: won for a buy, shares for a sell."""

    cash: Won
    quantity: int


def worst_value(quantity: int, price: Decimal, commission_rate: Decimal) -> Won:
    """The most a buy can cost: value and commission, rounded up to the won (ours, to be on the safe side)."""
    value = price * quantity * (1 + commission_rate)
    return Won(int(value.to_integral_value(rounding=ROUND_UP)))


def reserve(side: Side, quantity: int, price: Decimal, commission_rate: Decimal) -> Reserve:
    if side is Side.SELL:
        return Reserve(Won(0), quantity)
    return Reserve(worst_value(quantity, price, commission_rate), 0)


def reserve_of(order: Order, requests: Iterable[Request], commission_rate: Decimal) -> Reserve:
    """What a live order must keep: its remainder and what is executed but not yet recorded, at the dearest price that
    any request in flight may still give it."""
    if order.closed:
        return Reserve(Won(0), 0)
    asked = [one.price for one in requests if one.state in OPEN_REQUEST and one.price is not None]
    dearest = max([order.limit_price, *asked])
    return reserve(order.side, order.remaining_quantity + order.unaccounted_quantity, dearest, commission_rate)


def newly_claimed(order: Order, price: Decimal) -> Won:
    """What a new price of the remainder adds to the value that counts in the mandate's turnover. An order trades at most its
    quantity at the dearest price it was asked for at; as with an order, nothing is given back when less comes of it."""
    claimed = [amount(one.quantity, one.price) for one in order.requests if one.price is not None]
    return Won(max(amount(order.quantity, price) - max(claimed, default=Won(0)), 0))


def amendment_violations(order: Order, price: Decimal | None, quantity: int | None) -> list[Violation]:
    """Why this amendment is refused before any network call; every failed rule, in this order."""
    if price is not None and quantity is not None:
        return [
            Violation(
                "partial-price-amend-not-supported",
                "price",
                "Give either price or quantity. A price amend always covers the whole remainder; repricing a part of it "
                "is not supported by the platform.",
            )
        ]
    if price is None and quantity is None:
        return [Violation("amendment-empty", "price", "Give a new price (for the whole remainder) or a lower quantity.")]
    return _price_violations(order, price) if price is not None else _quantity_violations(order, quantity or 0)


def _price_violations(order: Order, price: Decimal) -> list[Violation]:
    if order.order_type is not OrderType.LIMIT:
        return [Violation("price-amend-needs-limit-order", "price", "A market order has no price to amend; cancel it.")]
    if price == order.price:
        return [Violation("price-unchanged", "price", "The order stands at this price already.", actual=plain(price))]
    return []


def _quantity_violations(order: Order, quantity: int) -> list[Violation]:
    found: list[Violation] = []
    if quantity > order.quantity:
        found.append(
            Violation(
                "quantity-increase-not-supported",
                "quantity",
                "The platform can only lower a quantity. Submit another order for more.",
                limit=str(order.quantity),
                actual=str(quantity),
            )
        )
    elif quantity == order.quantity:
        found.append(Violation("quantity-unchanged", "quantity", "The order has this quantity already.", actual=str(quantity)))
    if quantity <= order.executed_at_least:
        found.append(
            Violation(
                "quantity-not-above-executed",
                "quantity",
                "So much has executed already. Cancel the remainder instead.",
                limit=str(order.executed_at_least),
                actual=str(quantity),
            )
        )
    return found


def overtaken(order: Order, amendment: Request) -> str | None:
    """Why an amendment that was right when it was asked for must not go out now; None when it still changes one thing alone:
    the price of all that remains, or the quantity to fewer than ordered and more than executed."""
    if amendment.quantity <= order.executed_at_least:
        return "quantity-not-above-executed"
    enlarges, reprices = amendment.quantity > order.quantity, amendment.price != order.price
    return "order-changed" if enlarges or (reprices and amendment.quantity != order.quantity) else None


def blocking_request(order: Order, kind: RequestKind) -> Request | None:
    """The request that must be answered first, if any: one amendment and one cancellation at a time."""
    if kind is RequestKind.CANCELLATION:
        return order.in_flight(RequestKind.CANCELLATION)
    waiting = (order.in_flight(one) for one in RequestKind)
    return next((one for one in waiting if one is not None), None)
