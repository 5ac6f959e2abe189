"""Which rows of a complete order inquiry are about which of our orders, and what they prove. Pure.

A row carries no ClOrdID. It belongs to an order by the broker's number (leading zeros do not count) or by naming such a
number as its original. Only an order whose acknowledgement was lost may be recognised by its terms, and only when exactly one
row that nobody owns fits exactly one such order: as it was asked for; or, once its session is over and of an order which the
platform took, as its broker may have changed it since.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.gateway import CANCELLED_WORDS, OrderRow, RequestKind
from service.orders.doubt import ended_on_absence
from service.orders.known import Sightings
from service.orders.model import OPEN_REQUEST, ROWS_ARE_LATE, Order, RequestState, Status
from service.orders.numbers import bare

CLOCKS_DIFFER = timedelta(seconds=60)
NOT_KNOWN = frozenset({RequestState.SENDING, RequestState.SENT, RequestState.UNKNOWN})
TAKEN = frozenset({RequestState.SENT, RequestState.ACKNOWLEDGED})  # the platform said so, or the broker
LOOKS_APART = timedelta(seconds=20)  # market time between two inquiries that must agree before a row ends an order in session
# What rows say is free text: in session only whole words count that can mean nothing else. A part cancelled (일부취소), a
# cancellation received (취소접수) or refused (취소거부) is none of them, and what is not known here waits for the close.
CANCELLED = CANCELLED_WORDS | {"취소"}
AMENDED_AWAY = CANCELLED | {"정정확인", "정정완료"}
AMENDED = frozenset({"정정", "정정확인", "정정완료"})  # of the row that an amendment replaced
REJECTED = frozenset({"거부", "접수거부", "주문거부"})


@dataclass(frozen=True)
class Sighted:
    """The rows of one order, with their places in the answer."""

    order: Order
    rows: tuple[tuple[int, OrderRow], ...]
    number: str | None  # the broker's present number
    confirmed: frozenset[str] = CANCELLED_WORDS  # words of this broker that can only mean that a cancellation is done
    renumbers: bool = False  # whether an amendment gives the order a new number at this broker

    @property
    def cancelled(self) -> frozenset[str]:
        """Words that mean a cancellation where nothing of ours is under way."""
        return CANCELLED | self.confirmed

    @property
    def executed(self) -> int:
        return sum(row.executed_quantity for _, row in self.rows if not row.is_cancel)

    @property
    def crossed_its_end(self) -> bool:
        """Whether the rows list executions that a closed order lacks by all that was told of it."""
        listed = sum(one.quantity for _, row in self.rows for one in row.executions)
        return self.order.closed and self.order.executed_at_least < self.executed == listed <= self.order.quantity

    @property
    def present(self) -> OrderRow | None:
        """The row of the order as it is now: the one that no amendment has replaced, if that is one."""
        plain = [row for _, row in self.rows if _is_of_the_order(row)]
        replaced = {bare(row.original_number) for row in plain if row.is_amend}
        left = [row for row in plain if bare(row.order_number) not in replaced or len(plain) == 1]
        return left[0] if len(left) == 1 else None

    @property
    def whole(self) -> bool:
        """Whether the number that the broker told last is among them, and of what an amendment replaced its successor: rows that
        lack these are not all of the order's."""
        known = bare(self.order.broker_order_number)
        there = known is None or any(known in (bare(row.order_number), bare(row.original_number)) for _, row in self.rows)
        return there and not self.lacks_successor

    @property
    def lacks_successor(self) -> bool:
        """Whether a row says that it was amended, of a broker who lists the amendment as a row of its own, and that row is not
        among them."""
        changed = {bare(row.original_number) for _, row in self.rows}
        plain = [row for _, row in self.rows if not row.is_amend and not row.is_cancel]
        return self.renumbers and any(word(row) in AMENDED and bare(row.order_number) not in changed for row in plain)

    @property
    def contradicts_itself(self) -> bool:
        """Whether a row lists executions of more shares than it counts: it was read while it changed, or means something else."""
        rows = [row for _, row in self.rows if not row.is_cancel]
        return any(sum(one.quantity for one in row.executions) > row.executed_quantity for row in rows)

    def claimed(self) -> Status | None:
        """What the rows say about an end before the session is over; nothing while it could mean something else: a request
        under way, a row replaced only in part, an execution the rows do not show yet or do not count."""
        present, order = self.present, self.order
        if present is None or self.executed < order.executed_at_least or _open_but_cancellations(order):
            return None
        if self.contradicts_itself:
            return None
        earlier = [row for _, row in self.rows if row is not present and _is_of_the_order(row)]
        if any(word(row) not in AMENDED_AWAY and row.executed_quantity < row.quantity for row in earlier):
            return None
        asked = any(one.state in OPEN_REQUEST for one in order.requests)  # then a word may only say what was asked for
        if word(present) in (self.confirmed if asked else self.cancelled) or self.withdrawn(present):
            return Status.CANCELED
        unchanged = len(self.rows) == 1 and all(one.kind is RequestKind.NEW for one in order.requests)
        return Status.REJECTED if unchanged and self.executed == 0 and word(present) in REJECTED else None

    def withdrawn(self, present: OrderRow) -> bool:
        """Whether a confirmed cancellation has a row of its own that covers all that remained."""
        rest = self.order.quantity - self.executed
        mine = [row for _, row in self.rows if row.is_cancel and bare(row.original_number) == bare(present.order_number)]
        return rest > 0 and any(word(row) in self.confirmed and row.quantity == rest for row in mine)

    def ended(self, now: datetime, seen: Sightings) -> Status | None:
        """What the rows prove about the order's end. While its session lives, two looks with some time between them and
        none between that says otherwise must claim the same: a false end would give back what a live order needs. Nor does a
        list that may be older than the close, that lacks the order's present row or does not count what it lists, tell what the
        closing auction left."""
        if now < self.order.session_ends + ROWS_ARE_LATE:
            claim, last = self.claimed(), seen.last
            agreed = last is not None and last.claim == claim and last.executed == self.executed
            return claim if agreed and last is not None and now - last.seen_at >= LOOKS_APART else None
        if not self.whole or self.contradicts_itself:
            return None
        words = [row.state_text or "" for _, row in self.rows]
        if self.executed == 0 and len(self.rows) == 1 and "거부" in words[0]:
            return Status.REJECTED
        cancelled = any(
            "취소" in (row.state_text or "") for _, row in self.rows if not (row.is_cancel and "거부" in (row.state_text or ""))
        )
        return Status.CANCELED if cancelled else Status.EXPIRED


def word(row: OrderRow) -> str:
    """What the row says of itself, without blanks."""
    return "".join((row.state_text or "").split())


def refuses(row: OrderRow) -> bool:
    """Whether it is the row of a change that the broker refused: the order stands as it was."""
    return (row.is_cancel or row.is_amend) and "거부" in word(row)


def _is_of_the_order(row: OrderRow) -> bool:
    """Not a cancellation's row, nor that of an amendment that came to nothing."""
    return not row.is_cancel and not (refuses(row) and row.original_number)


def _open_but_cancellations(order: Order) -> bool:
    """Whether something is under way that rows could be about. A cancellation that has left wants just that end."""
    left = (RequestState.SENT, RequestState.UNKNOWN)
    wanted = [one.kind is RequestKind.CANCELLATION and one.state in left for one in order.requests if one.state in OPEN_REQUEST]
    return not all(wanted)


def tied(orders: Sequence[Order], numbers: Mapping[UUID, Iterable[str]], rows: Sequence[OrderRow]) -> list[tuple[Order, Order]]:
    """Orders of ours with those adopted as external that are the same: a row has the number of one and changes the other."""
    owner = {bare(number): one for one in orders for number in numbers[one.id]}
    found: list[tuple[Order, Order]] = []
    for row in rows:
        pair = [one for one in (owner.get(bare(row.order_number)), owner.get(bare(row.original_number))) if one is not None]
        ours, theirs = [one for one in pair if not one.external], [one for one in pair if one.external]
        same = [(a, b) for a in ours for b in theirs if (a.isin, a.side) == (b.isin, b.side)]
        found += [one for one in same if one not in found]
    return found


def sort_out(
    orders: Sequence[Order], numbers: Mapping[UUID, Iterable[str]], rows: Sequence[OrderRow], asked_at: datetime
) -> tuple[list[Sighted], list[tuple[int, OrderRow]]]:
    """Orders with the rows that show them, and the rows that show none of these orders. `numbers` are all broker numbers known
    for each order."""
    owner = {bare(one): order_id for order_id, known in numbers.items() for one in known}
    placed: dict[UUID, list[tuple[int, OrderRow]]] = {}
    strangers = _own(owner, placed, list(enumerate(rows)))
    for fits in (could_be, may_be):
        lost = [one for one in orders if one.id not in placed and _numberless(one)]
        found = _by_terms(lost, strangers, fits)
        owner |= {bare(row.order_number): order.id for order, row in found if fits is could_be or _listed_by(order, asked_at)}
        # An order recognised by its terms has a number now, and with it the rows that change or cancel it.
        strangers = _own(owner, placed, strangers)
    known = {one.id: one for one in orders}
    rows_of = {order_id: sorted(found, key=lambda one: one[0]) for order_id, found in placed.items() if order_id in known}
    sighted = [Sighted(known[order_id], tuple(found), _present(found)) for order_id, found in rows_of.items()]
    return sighted, strangers


def _own(
    owner: dict[str | None, UUID], placed: dict[UUID, list[tuple[int, OrderRow]]], rows: Sequence[tuple[int, OrderRow]]
) -> list[tuple[int, OrderRow]]:
    """Place the rows that name a number somebody owns; their own numbers are owned from then on, and the number they change
    too: the acknowledgement that would have told it may be lost. What is left when nothing more finds its place."""
    left: list[tuple[int, OrderRow]] = []
    for i, row in rows:
        order_id = owner.get(bare(row.order_number)) or owner.get(bare(row.original_number))
        if order_id is None:
            left.append((i, row))
            continue
        owner |= {bare(one): order_id for one in (row.order_number, row.original_number) if one}
        placed.setdefault(order_id, []).append((i, row))
    return _own(owner, placed, left) if len(left) < len(rows) else left


def _present(found: Sequence[tuple[int, OrderRow]]) -> str | None:
    return next((row.order_number for _, row in reversed(found) if _is_of_the_order(row) and row.order_number), None)


def _numberless(order: Order) -> bool:
    """Whether the order may have a number at its broker that nobody told us: also one that only a refused change shows alive."""
    if not order.requests or order.broker_order_number is not None:
        return False
    return order.requests[0].state in NOT_KNOWN | TAKEN or ended_on_absence(order)


def _listed_by(order: Order, asked_at: datetime) -> bool:
    """Whether the broker must list the order: the platform took it, and its session has been over for long enough."""
    return order.requests[0].state in TAKEN and asked_at >= order.session_ends + ROWS_ARE_LATE


def _by_terms(
    orders: Sequence[Order], strangers: Sequence[tuple[int, OrderRow]], fits: Callable[[Order, OrderRow], bool]
) -> list[tuple[Order, OrderRow]]:
    """Rows that fit one order only, which they alone fit. None that may be another order which the platform took, lowered since
    by its broker, and of which no row is found: that one is there, of the other nobody knows."""
    pairs = [(order, i, row) for order in orders for i, row in strangers if fits(order, row)]
    orders_of = [order.id for order, _, _ in pairs]
    rows_of = [i for _, i, _ in pairs]
    sure = [(order, row) for order, i, row in pairs if orders_of.count(order.id) == 1 and rows_of.count(i) == 1]
    placed = {order.id for order, _ in sure}
    taken = [one for one in orders if one.id not in placed and one.requests[0].state in TAKEN]
    return [(order, row) for order, row in sure if not any(may_be(one, row) for one in taken)]


def could_be(order: Order, row: OrderRow) -> bool:
    """Whether the row has the terms of the order: account and day are those asked for."""
    return row.quantity == order.quantity and may_be(order, row)


def may_be(order: Order, row: OrderRow) -> bool:
    """Whether a row that can be read is not provably another order."""
    plain = not row.is_amend and not row.is_cancel and bare(row.order_number) is not None
    return plain and row.side is not None and _instrument_is_read(row) and might_be(order, row)


def might_be(order: Order, row: OrderRow) -> bool:
    """Whether nothing in the row says that it is another order. What cannot be read excludes nothing; nor does the price of a
    change whose original is not listed. A change that was refused shows no order: who does not know one refuses too. Brokers
    lower an order by themselves, or list what is left of it; nobody enlarges one (P14)."""
    ref, sent = row.instrument, order.requests[0].sent_at
    instrument = not _instrument_is_read(row) or order.isin == ref.isin or order.short_code == ref.short_code
    changed = row.is_amend or row.is_cancel
    price = changed or order.price is None or row.price is None or row.price == order.price
    in_time = row.order_time is None or sent is None or row.order_time >= sent - CLOCKS_DIFFER
    fits = instrument and row.side in (None, order.side) and row.quantity <= order.quantity and price and in_time
    return fits and not refuses(row)


def _instrument_is_read(row: OrderRow) -> bool:
    return row.instrument.isin is not None or row.instrument.short_code is not None
