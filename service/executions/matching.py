"""Which executions an order has: the same set from any mixture of push, resend and inquiry (P6, P7).

Push and inquiry are merged as multisets of (quantity, price): each side may know a fill the other does not. The highest
cumulative quantity arbitrates: no union may exceed it, and nothing is invented to reach it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from service.executions.told import Key, Pushed, Reversal, Trade
from service.orders.identity import telling
from service.orders.model import ROWS_ARE_LATE


class Held(Protocol):
    """What merging must know of a fill. A reversal has the opposite quantity and names the fill it reverses."""

    @property
    def id(self) -> UUID: ...
    @property
    def quantity(self) -> int: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def exec_id(self) -> str | None: ...
    @property
    def evidence(self) -> UUID: ...
    @property
    def reverses(self) -> UUID | None: ...


Fill = TypeVar("Fill", bound=Held)


@dataclass(frozen=True)
class Maker(Generic[Fill]):
    """How a fill is made of a trade, and its opposite of a reversal; each with its number within the order."""

    trade: Callable[[Trade, int], Fill]
    reversal: Callable[[Fill, Reversal, int], Fill]


@dataclass(frozen=True)
class Found(Generic[Fill]):
    """What is to be recorded, and the reversals whose execution nobody can name."""

    fills: tuple[Fill, ...]
    unresolved: tuple[Reversal, ...]


def missing(
    held: Sequence[Fill], said: Pushed, make: Maker[Fill], inquiry: Sequence[Trade] = (), counted: int = 0
) -> Found[Fill]:
    """Fills that evidence shows and we do not hold: trades of the stream, reversals, then what only an inquiry shows, up to
    `counted`, the executed quantity by all evidence. A correction whose execution nobody can name waits where it would be
    held beside that one: more than was counted."""
    found = _missing(held, said, make, inquiry, counted, frozenset())
    waiting = _too_early([*held, *found.fills], found, max(counted, said.cumulative))
    return _missing(held, said, make, inquiry, counted, waiting) if waiting else found


def _missing(
    held: Sequence[Fill], said: Pushed, make: Maker[Fill], inquiry: Sequence[Trade], counted: int, waiting: frozenset[UUID]
) -> Found[Fill]:
    book = list(held)
    told = replace(said, trades=tuple(one for one in said.trades if waiting.isdisjoint(one.evidences)))
    _record(book, _untold(book, told, counted), make)
    unresolved: tuple[Reversal, ...] = ()
    if told.reversals:
        unresolved = _reverse(book, told, make, waiting)
        _record(book, _untold(book, told, counted), make)  # what a bust undid explains nothing that was made after it
    if inquiry:
        keys = [(one.quantity, one.price) for one in standing(book)]
        room = max(counted, told.cumulative) - sum(quantity for quantity, _ in keys)
        _record(book, unpushed([*keys, *_undone_since(book, told, inquiry[0].asked_at)], inquiry, room), make)
    return Found(tuple(book[len(held) :]), unresolved)


def _too_early(book: Sequence[Fill], found: Found[Fill], most: int) -> frozenset[UUID]:
    """The messages of corrections without a target that we would hold beyond what was counted, the latest first."""
    over = sum(one.quantity for one in standing(book)) - most
    corrections = {evidence for one in found.unresolved if one.corrects for evidence in one.evidences}
    waiting: set[UUID] = set()
    for one in reversed(found.fills):
        if over > 0 and one.quantity > 0 and one.evidence in corrections:
            waiting.add(one.evidence)
            over -= one.quantity
    return frozenset(waiting)


def standing(book: Sequence[Fill]) -> list[Fill]:
    """The fills that hold."""
    undone = {one.reverses for one in book}
    return [one for one in book if one.quantity > 0 and one.id not in undone]


def _undone_since(book: Sequence[Fill], said: Pushed, asked_at: datetime | None) -> list[Key]:
    """What a bust took back after an inquiry was asked, or just before: the inquiry still lists it, and it is no new fill."""
    later = {
        evidence
        for one in said.reversals
        if one.at is None or asked_at is None or one.at + ROWS_ARE_LATE > asked_at
        for evidence in one.evidences
    }
    undone = {one.reverses for one in book if one.reverses is not None and one.evidence in later}
    return [(one.quantity, one.price) for one in book if one.id in undone]


def _record(book: list[Fill], trades: Iterable[Trade], make: Maker[Fill]) -> None:
    for one in trades:
        book.append(make.trade(one, len(book) + 1))


def _reverse(book: list[Fill], said: Pushed, make: Maker[Fill], waiting: frozenset[UUID]) -> tuple[Reversal, ...]:
    """Record the opposite of each busted fill, once. What has no target yet waits: its execution may still be on its way."""
    done = {one.evidence for one in book if one.reverses is not None}
    corrected: dict[str | None, str | None] = {}
    unresolved: list[Reversal] = []
    for one in said.reversals:
        if done.isdisjoint(one.evidences):
            target = _target(book, said, one, corrected) if waiting.isdisjoint(one.evidences) else None
            if target is None:
                unresolved.append(one)
            else:
                book.append(make.reversal(target, one, len(book) + 1))
        if one.corrects and telling(one.exec_ref):
            corrected[one.exec_ref] = one.exec_id
    return tuple(unresolved)


def _target(book: Sequence[Fill], said: Pushed, reversal: Reversal, corrected: dict[str | None, str | None]) -> Fill | None:
    """The fill a reversal means, by the broker's reference; where it gives none, by the quantity that was taken back. A
    reference to what is not here yet waits for it: a guess could hit another execution."""
    holding = standing(book)
    candidates = [one for one in holding if one.evidence not in reversal.evidences]
    ref, tried = reversal.exec_ref, set[str | None]()
    excess = sum(one.quantity for one in holding) - said.cumulative
    if not telling(ref):
        return _by_drop(candidates, reversal, excess)
    while ref is not None and telling(ref) and ref not in tried:
        tried.add(ref)
        found = _named(candidates, said, ref, reversal.drop)
        if found is not None:
            return found
        ref = corrected.get(ref)  # some name the execution as it was first told, not its correction
    return _only_listed([one for one in candidates if one.quantity == excess], said, reversal)


def _named(candidates: Sequence[Fill], said: Pushed, ref: str, drop: int | None) -> Fill | None:
    """By number. A fill an inquiry showed first has no number of the stream: the stream's trade says which one it is, and what
    the stream told under another number is none of it. Of several that were given one number it is that of which as much was
    taken back."""
    meant = [one for one in said.trades if ref in one.numbers]
    keys, told = {one.key for one in meant}, {evidence for one in meant for evidence in one.evidences}
    others = {evidence for one in said.trades if one.numbers and ref not in one.numbers for evidence in one.evidences}
    fitting = [one for one in candidates if one.evidence not in others and (not keys or (one.quantity, one.price) in keys)]
    numbered = [one for one in fitting if one.exec_id == ref or one.evidence in told]
    named = numbered or (fitting if keys else [])
    return next((one for one in named if one.quantity == drop), next(iter(named), None))


def _only_listed(candidates: Sequence[Fill], said: Pushed, reversal: Reversal) -> Fill | None:
    """Of fills that are just what we hold beyond the broker's count the one that only an inquiry showed: where brokers number
    executions in their lists, the number in the stream ends in that one. Where they do not, a correction says enough: what it
    corrects is counted once and held twice. A bust does not, for its execution may have no fill here yet."""
    told, ref = said.told, reversal.exec_ref or ""
    listed = [one for one in candidates if one.evidence not in told]
    fitting = [one for one in listed if telling(one.exec_id) and ref.endswith(one.exec_id or ref)]
    plain = [one for one in listed if reversal.corrects and not telling(one.exec_id)]
    alike = plain[:1] if len({one.price for one in plain}) == 1 else []
    found = fitting or alike
    return found[0] if len(found) == 1 else None


def _by_drop(candidates: Sequence[Fill], reversal: Reversal, excess: int) -> Fill | None:
    """Only where it is just what we hold beyond the broker's count, and where all that fit are alike. What a reversal took
    that was told before its execution, only that excess can say."""
    told_first = reversal.drop is not None and reversal.drop <= 0
    fitting = [one for one in candidates if one.quantity == excess and (told_first or reversal.drop == excess)]
    return fitting[0] if len({one.price for one in fitting}) == 1 else None


def unrecorded(recorded: Sequence[Held], stream: Sequence[Trade]) -> list[Trade]:
    """Trades of the stream with no fill yet. `recorded` are all fills ever recorded, those busted since included: a bust
    undoes a fill, it does not unmake it. A fill of the same message is that trade; for the others, a fill first seen by
    inquiry is the same fill when the stream shows it."""
    told_by = {one.evidence: one for one in recorded}
    taken: set[UUID] = set()
    others: list[Trade] = []
    for trade in stream:
        same = next((told_by[one] for one in trade.evidences if one in told_by), None)
        if same is not None and (same.quantity, same.price) == trade.key:
            taken.add(same.id)
        else:
            others.append(trade)
    if not others:
        return []
    return _beyond(Counter((one.quantity, one.price) for one in recorded if one.id not in taken), others)


def _untold(held: Sequence[Held], said: Pushed, counted: int) -> list[Trade]:
    """Trades of the stream with no fill yet, without those that an inquiry listed before the stream told them, as one sum or
    at their average: together with what we hold they would be more than was ever counted, so they are in it, the earliest
    first. What was busted since explains no trade that was made after the bust."""
    new = unrecorded([one for one in held if one.quantity > 0], said.trades)
    told = said.told
    busts = {evidence: place for place, one in enumerate(said.reversals) for evidence in one.evidences}
    until = {one.reverses: busts.get(one.evidence, 0) for one in held if one.reverses is not None}
    listed = [one for one in held if one.quantity > 0 and one.evidence not in told]
    if not listed:
        return new
    last = max(until.get(one.id, len(said.reversals)) for one in listed)
    plain = [one for one in new if one.cumulative is not None and not one.corrects and one.after <= last]
    counting = [one for one in held if one.quantity > 0 and (one.evidence not in told or one.id not in until)]
    most = max([counted, *[one.cumulative or 0 for one in said.trades]])
    held_and_new = sum(one.quantity for one in counting) + sum(one.quantity for one in plain)
    again = _in_it(plain, min(held_and_new - most, sum(one.quantity for one in listed)))
    return [one for one in new if one.evidence not in again]


def _in_it(plain: Sequence[Trade], excess: int) -> set[UUID]:
    """Of trades that are `excess` too many those that are not booked. One that is so only in part is none either: what it leaves
    is unaccounted for and asked about, while a share booked beyond the count stays."""
    again: set[UUID] = set()
    for whole in (True, False):
        for one in plain:
            if one.evidence not in again and excess > 0 and (one.quantity <= excess or not whole):
                again.add(one.evidence)
                excess -= one.quantity
    return again


def unpushed(explained: Sequence[Key], inquiry: Sequence[Trade], room: int) -> list[Trade]:
    """Trades only the inquiry shows. `explained` are the fills that hold and those undone since it was asked; `room` is what
    evidence counts beyond the fills that hold: no more than that is taken, so that rows a broker adds up differently invent
    nothing."""
    missing: list[Trade] = []
    for one in _beyond(Counter(explained), inquiry):
        if one.quantity <= room:
            missing.append(one)
            room -= one.quantity
    return missing


def _beyond(held: Counter[Key], trades: Sequence[Trade]) -> list[Trade]:
    left = held.copy()
    extra: list[Trade] = []
    for one in trades:
        if left[one.key] > 0:
            left[one.key] -= 1
        else:
            extra.append(one)
    return extra
