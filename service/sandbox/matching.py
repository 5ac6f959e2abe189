"""Price-time priority. Pure: a book goes in, a new book and its trades come out. Prices in won, whole shares.

Kept true by every function here: bids fall, asks rise, equals stand in order of arrival, and (outside an auction) the
best bid stays below the best ask.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Resting:
    """An order in the book. `ref` names a client's order; the seeded background has none."""

    ref: str
    side: str
    price: int
    quantity: int
    arrival: int
    market: bool = False


@dataclass(frozen=True, slots=True)
class Trade:
    price: int
    quantity: int
    buy: str
    sell: str


@dataclass(frozen=True, slots=True)
class Book:
    """One instrument in one session. `anchor` is the price around which the background stands."""

    isin: str
    anchor: int
    last: int
    bids: tuple[Resting, ...] = ()
    asks: tuple[Resting, ...] = ()
    arrivals: int = 0
    pinned: bool = False

    def side(self, side: str) -> tuple[Resting, ...]:
        return self.bids if side == "buy" else self.asks

    def with_side(self, side: str, orders: tuple[Resting, ...]) -> "Book":
        return replace(self, bids=orders) if side == "buy" else replace(self, asks=orders)


def other(side: str) -> str:
    return "sell" if side == "buy" else "buy"


def fillable(book: Book, side: str, price: int) -> int:
    """What an order at `price` could trade at once: decides fill-or-kill before anything moves."""
    return sum(rest.quantity for rest in book.side(other(side)) if _crosses(side, price, rest.price))


def take(book: Book, side: str, price: int, quantity: int, ref: str) -> tuple[Book, list[Trade], int]:
    """Trade against the other side at its prices; the third value is what remains."""
    trades: list[Trade] = []
    queue = list(book.side(other(side)))
    while queue and quantity and _crosses(side, price, queue[0].price):
        rest = queue[0]
        done = min(quantity, rest.quantity)
        trades.append(_trade(side, rest.price, done, ref, rest.ref))
        quantity -= done
        queue[:1] = [replace(rest, quantity=rest.quantity - done)] if done < rest.quantity else []
    book = book.with_side(other(side), tuple(queue))
    return (replace(book, last=trades[-1].price) if trades else book), trades, quantity


def rest(book: Book, side: str, price: int, quantity: int, ref: str, *, market: bool = False) -> Book:
    """Stand at the end of the queue of `price`; nothing is matched."""
    entry = Resting(ref, side, price, quantity, book.arrivals, market)
    orders = book.side(side)
    place = bisect_right(orders, _priority(entry), key=_priority)
    both = {"bids": book.bids, "asks": book.asks, "bids" if side == "buy" else "asks": (*orders[:place], entry, *orders[place:])}
    return Book(book.isin, book.anchor, book.last, **both, arrivals=book.arrivals + 1, pinned=book.pinned)


def withdraw(book: Book, side: str, ref: str) -> Book:
    return book.with_side(side, tuple(order for order in book.side(side) if order.ref != ref))


def reduce(book: Book, side: str, ref: str, quantity: int) -> Book:
    """A smaller quantity keeps its place in the queue."""
    orders = (replace(order, quantity=quantity) if order.ref == ref else order for order in book.side(side))
    return book.with_side(side, tuple(order for order in orders if order.quantity > 0))


def clear_background(book: Book) -> Book:
    return replace(
        book,
        bids=tuple(order for order in book.bids if order.ref),
        asks=tuple(order for order in book.asks if order.ref),
    )


def uncross(book: Book, reference: int) -> tuple[Book, list[Trade]]:
    """A call auction: one price for the largest volume, then the smallest rest, then the nearest to `reference`."""
    price = clearing_price(book, reference)
    if price is None:
        return book, []
    bids, asks, trades = list(book.bids), list(book.asks), []
    while bids and asks and bids[0].price >= price >= asks[0].price:
        done = min(bids[0].quantity, asks[0].quantity)
        trades.append(Trade(price, done, bids[0].ref, asks[0].ref))
        for queue in (bids, asks):
            left = queue[0].quantity - done
            queue[:1] = [replace(queue[0], quantity=left)] if left else []
    return replace(book, bids=tuple(bids), asks=tuple(asks), last=price), trades


def clearing_price(book: Book, reference: int) -> int | None:
    """The auction's price, or None when nothing crosses."""
    if not book.bids or not book.asks or book.bids[0].price < book.asks[0].price:
        return None
    prices = {order.price for order in (*book.bids, *book.asks) if not order.market} or {reference}

    def merit(price: int) -> tuple[int, int, int, int]:
        buy = sum(order.quantity for order in book.bids if order.price >= price)
        sell = sum(order.quantity for order in book.asks if order.price <= price)
        return -min(buy, sell), abs(buy - sell), abs(price - reference), price

    return min(prices, key=merit)


def _crosses(side: str, price: int, resting: int) -> bool:
    return resting <= price if side == "buy" else resting >= price


def _priority(order: Resting) -> tuple[int, int, int]:
    price = -order.price if order.side == "buy" else order.price
    return price, 0 if order.market else 1, order.arrival


def _trade(side: str, price: int, quantity: int, incoming: str, resting: str) -> Trade:
    buy, sell = (incoming, resting) if side == "buy" else (resting, incoming)
    return Trade(price, quantity, buy, sell)
