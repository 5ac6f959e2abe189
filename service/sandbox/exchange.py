"""The imaginary exchange: what happens is a function of (books, orders, clock, seed) and nothing else.

It knows orders by an opaque `ref` and answers with events; whose order it is, and who must be told, is the brokers'
business. One book per instrument and session, because a remainder never travels from one session to the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from service.sandbox import background, calendar, matching, rules
from service.sandbox.background import Terms
from service.sandbox.calendar import Day, Window
from service.sandbox.instruments import Instrument
from service.sandbox.matching import Book, Trade

FIXED_PRICE = ("pre_close", "post_close")


@dataclass(frozen=True, slots=True)
class Entry:
    """An order as the exchange sees it; `price` None is a market order (or the closing price off hours)."""

    ref: str
    isin: str
    session: str
    side: str
    price: int | None
    quantity: int
    tif: str = "0"


@dataclass(frozen=True, slots=True)
class Filled:
    ref: str
    price: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will happen to the order: `why` is ioc, fok or session."""

    ref: str
    quantity: int
    why: str


Event = Filled | Ended


@dataclass(slots=True)
class Listing:
    """What one instrument is worth on this day, in won."""

    instrument: Instrument
    base: int
    upper: int
    lower: int
    last: int
    halted: bool


class Exchange:
    """All books of one day. Every method returns the events in the order in which they happened."""

    def __init__(self, instruments: Iterable[Instrument], *, seed: int) -> None:
        self._seed = seed
        self.books: dict[tuple[str, str], Book] = {}
        self._entries: dict[str, Entry] = {}
        self.day: Day | None = None
        self.listings = {one.isin: _listing(one, one.base, halted=one.halted) for one in instruments}

    def start_day(self, day: date) -> None:
        """Yesterday's regular close is today's reference price; all books begin empty."""
        self.books.clear()
        self._entries.clear()
        self.day = calendar.hours(day) if calendar.is_trading_day(day) else None
        for isin, listing in self.listings.items():
            self.listings[isin] = _listing(listing.instrument, listing.last, halted=listing.halted)

    def boundaries(self) -> list[datetime]:
        return self.day.boundaries() if self.day else []

    def at_boundary(self, now: datetime) -> list[Event]:
        """Openings, auctions and closings due exactly now; closings first."""
        if self.day is None:
            return []
        events: list[Event] = []
        for window in self.day.windows:
            if window.close == now:
                events += self._close(window)
        for window in self.day.windows:
            if window.entry == now:
                self._open(window, now)
            if window.match == now:
                events += self._begin_matching(window)
        if self.day.closing_auction == now:
            self._gather("regular", now)
        return events

    def beat(self, now: datetime) -> list[Event]:
        """One slot of the background in every book that trades continuously or at the closing price."""
        events: list[Event] = []
        slot = now.isoformat()
        for (isin, session), book in list(self.books.items()):
            if self.listings[isin].halted or not self.matching(session, now):
                continue
            act = background.beat_fixed if session in FIXED_PRICE else background.beat
            events += self._settle(session, *act(book, self._terms(isin), f"{session}|{slot}"))
        return events

    def matching(self, session: str, now: datetime) -> bool:
        """Do orders trade at once now? In a call auction they only gather."""
        if self.day is None:
            return False
        window = self.day.window(session)
        end = self.day.closing_auction if session == "regular" else window.close
        return window.match <= now < end

    def submit(self, entry: Entry, now: datetime) -> list[Event]:
        """Take an order whose price, session and instrument the broker has checked."""
        self._entries[entry.ref] = entry
        if not self.matching(entry.session, now):
            self._rest(entry, entry.quantity, gathering=True)
            return []
        book = self.books[entry.isin, entry.session]
        limit = self._limit(entry)
        if entry.tif == "4" and matching.fillable(book, entry.side, limit) < entry.quantity:
            return [self._end(entry.ref, entry.quantity, "fok")]
        book, trades, left = matching.take(book, entry.side, limit, entry.quantity, entry.ref)
        events = self._settle(entry.session, book, trades)
        if left and entry.tif == "3":
            return [*events, self._end(entry.ref, left, "ioc")]
        if left:
            self._rest(entry, left)
        return events

    def cancel(self, ref: str) -> None:
        entry = self._entries.pop(ref)
        self._change(entry, matching.withdraw(self._book(entry), entry.side, ref))

    def reduce(self, ref: str, leaves: int) -> None:
        """A lower quantity keeps its place."""
        entry = self._entries[ref]
        self._change(entry, matching.reduce(self._book(entry), entry.side, ref, leaves))

    def reprice(self, ref: str, price: int, leaves: int, now: datetime) -> list[Event]:
        """A new price is a new arrival: it may trade at once."""
        entry = self._entries[ref]
        self.cancel(ref)
        return self.submit(replace(entry, price=price, quantity=leaves), now)

    def restore(self, entry: Entry, now: datetime) -> list[Event]:
        """Put a quantity back to work that is no longer executed: a new arrival."""
        if entry.ref in self._entries and any(one.ref == entry.ref for one in self._book(entry).side(entry.side)):
            self.cancel(entry.ref)
        return self.submit(entry, now)

    def open(self, isin: str, session: str, now: datetime) -> bool:
        """Does the session still take orders of this instrument?"""
        window = self.day.window(session) if self.day else None
        return window is not None and window.open_at(now) and (isin, session) in self.books

    def quote(self, isin: str, session: str, sides: dict[str, tuple[int, int]], *, pinned: bool) -> list[Event]:
        """Control: the background stands exactly here, (price, quantity) by side, until unpinned or the day's end."""
        book = replace(matching.clear_background(self.books[isin, session]), pinned=pinned)
        trades: list[Trade] = []
        for side, (price, quantity) in sides.items():
            book, more, left = matching.take(book, side, price, quantity, "")
            trades += more
            book = matching.rest(book, side, price, left, "") if left else book
        return self._settle(session, book, trades)

    def trade_through(self, isin: str, session: str, price: int, quantity: int) -> list[Event]:
        """Control: somebody trades `quantity` with clients' orders at `price` or better, before any background."""
        book = self.books[isin, session]
        kept = book
        trades: list[Trade] = []
        for side in ("buy", "sell"):
            crowd = [order for order in book.side(side) if not order.ref]
            book = book.with_side(side, tuple(order for order in book.side(side) if order.ref))
            book, more, quantity = matching.take(book, matching.other(side), price, quantity, "")
            trades += more
            for order in crowd:
                book = matching.rest(book, side, order.price, order.quantity, "")
        return self._settle(session, replace(book, last=kept.last if not trades else trades[-1].price), trades)

    def _open(self, window: Window, now: datetime) -> None:
        for isin, listing in self.listings.items():
            if window.session == "after_market" and not after_market(listing.instrument):
                continue
            price = listing.base if window.session in ("pre_close", "regular") else listing.last
            self.books[isin, window.session] = Book(isin, price, price)
        if window.session == "regular":
            self._gather("regular", now)

    def _gather(self, session: str, now: datetime) -> None:
        for (isin, name), book in list(self.books.items()):
            if name == session and not self.listings[isin].halted:
                self.books[isin, name] = background.gather(book, self._terms(isin), now.isoformat())

    def _begin_matching(self, window: Window) -> list[Event]:
        events: list[Event] = []
        for (isin, session), book in list(self.books.items()):
            if session != window.session or self.listings[isin].halted:
                continue
            if session == "regular":
                events += self._auction(session, book)
            elif session in FIXED_PRICE:
                events += self._settle(session, *matching.uncross(book, book.anchor))
            if session not in FIXED_PRICE and not book.pinned:
                opened = self.books[isin, session]
                events += self._settle(session, *background.open_continuous(opened, self._terms(isin)))
        return events

    def _auction(self, session: str, book: Book) -> list[Event]:
        book, trades = matching.uncross(book, self.listings[book.isin].base)
        # What a market order could not trade in the auction stands at the auction's price.
        for side in ("buy", "sell"):
            for order in [one for one in book.side(side) if one.market]:
                book = matching.withdraw(book, side, order.ref)
                book = matching.rest(book, side, book.last, order.quantity, order.ref)
        book = replace(book, anchor=book.last)
        return self._settle(session, book, trades)

    def _close(self, window: Window) -> list[Event]:
        events: list[Event] = []
        for (isin, session), book in list(self.books.items()):
            if session != window.session:
                continue
            if session == "regular" and not self.listings[isin].halted:
                events += self._settle(session, *matching.uncross(book, book.last))
            left = self.books[isin, session]
            rests = sorted((*left.bids, *left.asks), key=lambda order: order.arrival)
            events += [self._end(order.ref, order.quantity, "session") for order in rests if order.ref]
            del self.books[isin, session]
        return events

    def _settle(self, session: str, book: Book, trades: list[Trade]) -> list[Event]:
        self.books[book.isin, session] = book
        if session == "regular" and trades:
            self.listings[book.isin].last = book.last
        events: list[Event] = []
        for trade in trades:
            events += [Filled(ref, trade.price, trade.quantity) for ref in (trade.buy, trade.sell) if ref]
        return events

    def _rest(self, entry: Entry, quantity: int, *, gathering: bool = False) -> None:
        """A market order gathers at its limit price; in continuous trading its remainder stands at the last price."""
        book = self._book(entry)
        market = gathering and entry.price is None and entry.session == "regular"
        price = self._limit(entry) if entry.price is not None or market or entry.session in FIXED_PRICE else book.last
        self._change(entry, matching.rest(book, entry.side, price, quantity, entry.ref, market=market))

    def _limit(self, entry: Entry) -> int:
        if entry.session in FIXED_PRICE:
            return self.books[entry.isin, entry.session].anchor
        if entry.price is not None:
            return entry.price
        listing = self.listings[entry.isin]
        return listing.upper if entry.side == "buy" else listing.lower

    def _end(self, ref: str, quantity: int, why: str) -> Ended:
        self._entries.pop(ref, None)
        return Ended(ref, quantity, why)

    def _book(self, entry: Entry) -> Book:
        return self.books[entry.isin, entry.session]

    def _change(self, entry: Entry, book: Book) -> None:
        self.books[entry.isin, entry.session] = book

    def _terms(self, isin: str) -> Terms:
        listing = self.listings[isin]
        return Terms(self._seed, listing.instrument.fund, listing.upper, listing.lower)


def after_market(instrument: Instrument) -> bool:
    """Funds and administrative issues stay out of the after-market."""
    return not instrument.fund and not instrument.administrative


def _listing(instrument: Instrument, base: int, *, halted: bool) -> Listing:
    upper, lower = rules.limits(base, fund=instrument.fund)
    return Listing(instrument, base, upper, lower, base, halted)
