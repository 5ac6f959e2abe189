"""What rows of a complete inquiry prove about amendments and cancellations that were sent. Pure.

A change with a row of its own is in force where that row stands in the order's chain; at a broker that keeps one number the
order's only row shows it by its terms. What could be told in two ways proves nothing, nor does a row that may be older than
the change; and that a row is missing proves nothing while the order may still trade.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.executions.sighting import (
    AMENDED,
    AMENDED_AWAY,
    CLOCKS_DIFFER,
    REJECTED,
    Sighted,
    refuses,
    word,
)
from service.gateway import BrokerProfile, OrderRow, RequestKind
from service.orders.model import ROWS_ARE_LATE, Proof, Proven, Request
from service.orders.numbers import bare


@dataclass(frozen=True)
class Answer:
    """What a broker's complete inquiry said about one order."""

    found: Sighted
    profile: BrokerProfile
    asked_at: datetime  # business time

    @property
    def executed(self) -> int:
        return max(self.found.executed, self.found.order.executed_at_least)

    def sent(self, kind: RequestKind) -> list[Request]:
        """Requests that may have left, also after the broker was asked."""
        return [one for one in self.found.order.requests if one.kind is kind and one.sent_at is not None]

    def tells_of(self, one: Request) -> bool:
        """Whether its rows may decide the request at all. What a broker who is asked for a remainder makes of a lower quantity
        depends on the executions that crossed it, which only matters while the order may trade."""
        crossed = self.crossing(one) > 0 and not self.over(one)
        return one.sent_at is not None and one.sent_at < self.asked_at and not crossed

    def crossing(self, one: Request) -> int:
        """By how much the quantity in force may exceed the one that an amendment asked for."""
        if one.kind is RequestKind.CANCELLATION or self.profile.order_qty == "total":
            return 0
        before = [each for each in self.found.order.requests if each.number < one.number]
        repriced = any(one.quantity == each.quantity and one.price != each.price for each in before if each.price is not None)
        return 0 if repriced else self.executed

    def over(self, one: Request) -> bool:
        """Whether rows that lack the change lack it for good: the order is over at the broker, no row is late any more, and the
        one that is known to be there is."""
        present, order = self.found.present, self.found.order
        ended = present is not None and (word(present) in self.found.cancelled | REJECTED or self.found.withdrawn(present))
        ended = ended or self.found.executed >= order.quantity or self.asked_at >= order.session_ends + ROWS_ARE_LATE
        return ended and self.found.whole and one.sent_at is not None and self.asked_at >= one.sent_at + ROWS_ARE_LATE

    def has_terms(self, row: OrderRow, one: Request) -> bool:
        """Brokers list an amendment with what it left to trade, or with the total. Of an order that is over they may have lowered
        it by themselves (in session fewer shares may be somebody's amendment of a part): then its price tells."""
        least, most = one.quantity - self.executed, one.quantity + self.crossing(one)
        enough = least <= row.quantity or (self.over(one) and self.alone_at_its_price(one))
        return (one.price is None or row.price == one.price) and row.quantity <= most and enough

    def alone_at_its_price(self, one: Request) -> bool:
        """Whether no other request of the order could have left it at that price."""
        others = (each for each in self.found.order.requests if each is not one and each.kind is not RequestKind.CANCELLATION)
        return one.price is not None and all(each.price not in (None, one.price) for each in others)

    def fits(self, row: OrderRow, one: Request) -> bool:
        return self.has_terms(row, one) and _in_time(row, one)


def proven(found: Sighted, profile: BrokerProfile, asked_at: datetime) -> tuple[Proven, ...]:
    """What the rows prove about the order's changes, as they were asked for at `asked_at`."""
    answer = Answer(found, profile, asked_at)
    amendments = answer.sent(RequestKind.AMENDMENT)
    shown = (_by_chain if profile.new_number_on_amend else _by_terms)(answer, amendments) if amendments else []
    names = {one.cl_ord_id for one in amendments if answer.tells_of(one)}
    return (*(one for one in shown if one.cl_ord_id in names), *_cancellations(answer))


def _in_time(row: OrderRow, one: Request) -> bool:
    return row.order_time is None or one.sent_at is None or row.order_time >= one.sent_at - CLOCKS_DIFFER


# --- amendments with rows of their own ------------------------------------------------------------------------------------


def _by_chain(answer: Answer, sent: Sequence[Request]) -> list[Proven]:
    own = [row for _, row in answer.found.rows if row.is_amend and row.original_number]
    refused, standing = [row for row in own if refuses(row)], [row for row in own if not refuses(row)]
    chain = _chain([row for row in standing if _decided(row, answer.found)])
    if chain is None:
        return []
    told = _told(answer, chain, sent)
    shown = [Proven(one.cl_ord_id, Proof.IN_FORCE, row.order_number, row.original_number) for row, one in told]
    shown += _refused(answer, refused, sent)
    explained = len(_read(answer, chain, sent)) == len(standing)  # else one of them may be any of ours
    gone = [one for one in sent if explained and answer.over(one) and not any(answer.fits(row, one) for row in own)]
    return shown + [Proven(one.cl_ord_id, Proof.NO_EFFECT) for one in gone]


def _decided(row: OrderRow, found: Sighted) -> bool:
    """Whether the amendment is in force: it replaced its original, was executed, ended, or was changed itself."""
    if row.executed_quantity > 0 or word(row) in AMENDED_AWAY:
        return True
    others = [one for _, one in found.rows if one is not row and not refuses(one)]
    replaced = any(bare(one.order_number) == bare(row.original_number) and word(one) in AMENDED for one in others)
    return replaced or any(bare(one.original_number) == bare(row.order_number) for one in others)


def _chain(rows: Sequence[OrderRow]) -> list[OrderRow] | None:
    """Amendments in the order in which they replaced each other; None when they are not one line."""
    by_original = {bare(one.original_number): one for one in rows}
    numbers = {bare(one.order_number) for one in rows}
    at = next((name for name in by_original if name not in numbers), None)
    line: list[OrderRow] = []
    while at in by_original:
        line.append(by_original.pop(at))
        at = bare(line[-1].order_number)
    return line if len(line) == len(rows) else None


def _told(answer: Answer, chain: Sequence[OrderRow], sent: Sequence[Request]) -> list[tuple[OrderRow, Request]]:
    """Rows that are the same amendment however the chain is read: amendments come into force in the order of their sending,
    some perhaps not at all. Nothing when the chain is not ours from end to end."""
    earliest, latest = _read(answer, chain, sent), _read(answer, chain[::-1], sent[::-1])[::-1]
    pairs = zip(chain, earliest, latest, strict=True) if earliest else ()
    return [(row, one) for row, one, other in pairs if one is other]


def _read(answer: Answer, chain: Sequence[OrderRow], sent: Sequence[Request]) -> list[Request]:
    left, found = iter(sent), []
    for row in chain:
        one = next((each for each in left if answer.fits(row, each)), None)
        if one is None:
            return []
        found.append(one)
    return found


def _refused(answer: Answer, rows: Sequence[OrderRow], sent: Sequence[Request]) -> list[Proven]:
    """Refusals that can only be of one request, and only one of them."""
    pairs = [(row, one) for row in rows for one in sent if answer.fits(row, one)]
    alone = [(row, one) for row, one in pairs if sum(row is other or one is each for other, each in pairs) == 1]
    return [Proven(one.cl_ord_id, Proof.REFUSED, reason=row.reject_reason or row.state_text) for row, one in alone]


# --- amendments at a broker that keeps one number -------------------------------------------------------------------------


def _by_terms(answer: Answer, sent: Sequence[Request]) -> list[Proven]:
    """The order's row has the terms of the last change in force. One that says it was amended is not as it was born."""
    present = answer.found.present
    if present is None or refuses(present):
        return []
    born = [one for one in answer.found.order.requests if one.kind is RequestKind.NEW and not present.is_amend]
    last = [one for one in (*born, *sent) if answer.has_terms(present, one)]
    if len(last) != 1:
        return []
    gone = [one for one in sent if one.number > last[0].number and answer.over(one)]
    shown = [
        Proven(one.cl_ord_id, Proof.IN_FORCE, quantity=max(present.quantity, one.quantity))
        for one in last
        if one.kind is RequestKind.AMENDMENT
    ]
    return shown + [Proven(one.cl_ord_id, Proof.NO_EFFECT) for one in gone]


# --- cancellations ----------------------------------------------------------------------------------------------------------


def _cancellations(answer: Answer) -> list[Proven]:
    """One row for each cancellation that was sent, in their order, or nothing is proven of any. That the order has ended is
    proven elsewhere (`Sighted.ended`)."""
    rows = [row for _, row in answer.found.rows if row.is_cancel and row.original_number]
    sent = answer.sent(RequestKind.CANCELLATION)
    if not rows and answer.found.executed >= answer.found.order.quantity:  # all of it was executed: nothing was left to cancel
        return [Proven(one.cl_ord_id, Proof.NO_EFFECT) for one in sent if answer.over(one)]
    if len(rows) != len(sent) or not all(_in_time(row, one) for row, one in zip(rows, sent, strict=True)):
        return []
    done = answer.found.confirmed
    return [one for row, asked in zip(rows, sent, strict=True) if answer.tells_of(asked) for one in _said(row, asked, done)]


def _said(row: OrderRow, asked: Request, done: Container[str]) -> list[Proven]:
    if refuses(row):
        return [Proven(asked.cl_ord_id, Proof.REFUSED, reason=row.reject_reason or row.state_text)]
    return [Proven(asked.cl_ord_id, Proof.IN_FORCE)] if word(row) in done else []
