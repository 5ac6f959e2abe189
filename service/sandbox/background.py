"""The seeded background market: everybody else who trades. Pure; a slot is one beat of ten seconds.

Each draw is a hash of (seed, instrument, session, slot), so a slot acts the same however the clock was stepped there.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct

from service.sandbox import matching, rules
from service.sandbox.matching import Book, Trade

SLOT_SECONDS = 10
LEVELS = 5
SIXTEEN_NUMBERS = Struct(">16H")
LEVEL_VALUE = 30_000_000
"""Won standing at one price level, roughly."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the background needs to know of an instrument on a day."""

    seed: int
    fund: bool
    upper: int
    lower: int

    def depth(self, price: int) -> int:
        return max(10, LEVEL_VALUE // price)

    def clip(self, price: int) -> int:
        return min(self.upper, max(self.lower, price))


class Dice:
    """Numbers from a hash: no state, no floating point, the same on every machine."""

    def __init__(self, *key: object) -> None:
        digest = hashlib.blake2b("|".join(map(str, key)).encode(), digest_size=32).digest()
        self._numbers: tuple[int, ...] = SIXTEEN_NUMBERS.unpack(digest)

    def below(self, place: int, bound: int) -> int:
        return self._numbers[place % 16] % bound


def open_continuous(book: Book, terms: Terms) -> tuple[Book, list[Trade]]:
    return _quote(book, terms, Dice(terms.seed, book.isin, "open", book.anchor))


def beat(book: Book, terms: Terms, slot: str) -> tuple[Book, list[Trade]]:
    """One slot of continuous trading: the anchor may move, quotes follow it, and somebody may want to trade now."""
    if book.pinned:
        return book, []
    dice = Dice(terms.seed, book.isin, slot)
    book = _move(book, terms, dice)
    book, trades = _quote(book, terms, dice)
    book, more = _aggress(book, terms, dice)
    return book, trades + more


def gather(book: Book, terms: Terms, slot: str) -> Book:
    """Before a call auction: the background's orders overlap, so that there is a price and a volume."""
    if book.pinned:
        return book
    dice = Dice(terms.seed, book.isin, slot, "auction")
    depth = terms.depth(book.anchor)
    for place in range(3):
        for side, way in (("buy", 1), ("sell", -1)):
            price = terms.clip(rules.step(book.anchor, way * place, fund=terms.fund))
            quantity = depth + dice.below(place * 2 + (way > 0), depth)
            book = matching.rest(book, side, price, quantity, "")
    return book


def beat_fixed(book: Book, terms: Terms, slot: str) -> tuple[Book, list[Trade]]:
    """One slot of an off-hours session at the closing price: sometimes somebody takes the other side."""
    if book.pinned:
        return book, []
    dice = Dice(terms.seed, book.isin, slot, "fixed")
    if dice.below(0, 100) >= 30:
        return book, []
    side = ("buy", "sell")[dice.below(1, 2)]
    book, trades, left = matching.take(book, side, book.anchor, 1 + dice.below(2, terms.depth(book.anchor)), "")
    if left and not book.side(side):
        book = matching.rest(book, side, book.anchor, left, "")
    return book, trades


def _move(book: Book, terms: Terms, dice: Dice) -> Book:
    draw = dice.below(0, 100)
    if draw >= 16:
        return book
    anchor = rules.step(book.anchor, 1 if draw < 8 else -1, fund=terms.fund)
    room_up = rules.step(terms.upper, -LEVELS, fund=terms.fund)
    room_down = rules.step(terms.lower, LEVELS, fund=terms.fund)
    return replace(book, anchor=min(room_up, max(room_down, anchor)))


def _quote(book: Book, terms: Terms, dice: Dice) -> tuple[Book, list[Trade]]:
    """Bids from the anchor down, asks from one tick above it up; a level is topped up, never rebuilt, to keep places."""
    ladder = _ladder(book.anchor, terms.fund)
    for side, prices in ladder.items():
        standing = book.side(side)
        kept = tuple([order for order in standing if order.ref or order.price in prices])
        book = book.with_side(side, kept) if len(kept) < len(standing) else book
    trades: list[Trade] = []
    for side, prices in ladder.items():
        present = dict.fromkeys(prices, 0)
        for order in book.side(side):
            if not order.ref:
                present[order.price] += order.quantity
        for level, price in enumerate(prices):
            wanted = terms.depth(price) * (2 + dice.below(level, 4)) // 3
            if present[price] * 2 < wanted:
                book, more = _top_up(book, side, price, wanted - present[price])
                trades += more
    return book, trades


@lru_cache(maxsize=4_096)
def _ladder(anchor: int, fund: bool) -> dict[str, tuple[int, ...]]:
    """Kept, because an anchor seldom moves and its ladder would be climbed at every beat of every book."""
    return {
        "buy": tuple(rules.step(anchor, -n, fund=fund) for n in range(LEVELS)),
        "sell": tuple(rules.step(anchor, n + 1, fund=fund) for n in range(LEVELS)),
    }


def _top_up(book: Book, side: str, price: int, lacking: int) -> tuple[Book, list[Trade]]:
    book, trades, left = matching.take(book, side, price, lacking, "")
    return (matching.rest(book, side, price, left, "") if left else book), trades


def _aggress(book: Book, terms: Terms, dice: Dice) -> tuple[Book, list[Trade]]:
    if dice.below(6, 100) >= 35:
        return book, []
    side = ("buy", "sell")[dice.below(7, 2)]
    facing = book.side(matching.other(side))
    if not facing:
        return book, []
    quantity = 1 + dice.below(8, terms.depth(book.anchor))
    book, trades, _ = matching.take(book, side, facing[0].price, quantity, "")
    return book, trades
