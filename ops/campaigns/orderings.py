"""Every order of arrival of a set of messages, with every subset of them told twice: one end (P6, P7).

A message is a report with its place in the stream, or an inquiry that shows the order as the broker had it then. Told twice
means: once more at the end, with evidence and a place of its own, as a resend in another envelope. The step that applies one
message is the service's own and pure, so it is computed once for each state it is met in; every ordering is then walked.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations, permutations
from typing import Any
from uuid import UUID

from ops.campaigns.figure import Figure
from service.executions.matching import missing, standing
from service.executions.plain import MAKER, Life, Told, tell
from service.executions.told import Trade, pushed
from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind
from service.orders.machine import Facts, View, executed_by, view
from service.orders.model import Proof, Proven, Request, RequestState

ABOUT = "every order of arrival of seven messages, each subset told twice: one end"
SHARE = 0.05

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
NEW, AMEND, CANCEL = RequestKind.NEW, RequestKind.AMENDMENT, RequestKind.CANCELLATION
ORDERED = 100


@dataclass(frozen=True)
class Inquiry:
    """A complete inquiry: executed quantity and executions as the broker listed them at a moment."""

    evidence: UUID
    at: datetime
    executed: int
    trades: tuple[Trade, ...]
    proven: tuple[Proven, ...] = ()  # what its rows prove about changes


Message = Told | Inquiry


@dataclass(frozen=True)
class Sighted:
    """A life, and what inquiries showed of it."""

    life: Life
    seen: tuple[Inquiry, ...] = ()

    def facts(self) -> Facts:
        counts = tuple((one.executed, one.at) for one in self.seen)
        proven = tuple({one.cl_ord_id: one for look in self.seen for one in look.proven}.values())
        return Facts(ORDERED, None, self.life.requests, sighted=bool(counts), sighted_executed=counts, proven=proven)

    def view(self) -> View:
        return view(self.facts(), [one.report for one in self.life.told], self.life.filled)


def apply(state: Sighted, news: Message) -> Sighted:
    """What the applier and the sweep do with a message, without the database."""
    if isinstance(news, Told):
        return _settle(replace(state, life=tell(state.life, news)))
    if (state.view().closed and not _unanswered(state)) or news in state.seen:
        return state
    state = replace(state, seen=(*state.seen, news))
    life = state.life
    said = pushed((one.evidence, one.report) for one in life.told if isinstance(one.report, ExecutionReport))
    counted = executed_by(state.facts(), [one.report for one in life.told])
    found = missing(life.fills, said, MAKER, news.trades, counted)
    return _settle(replace(state, life=replace(life, fills=(*life.fills, *found.fills))))


def _unanswered(state: Sighted) -> bool:
    return any(one.kind is AMEND and (one.reason or "").startswith("order-closed") for one in state.life.requests)


def _settle(state: Sighted) -> Sighted:
    if not state.seen:
        return state  # `tell` has settled it
    states = state.view().requests
    moved = tuple(replace(one, state=states[one.cl_ord_id][0], reason=states[one.cl_ord_id][1]) for one in state.life.requests)
    return replace(state, life=replace(state.life, requests=moved))


def end(state: Sighted) -> tuple[object, ...]:
    """All that a person or a book would see of the order."""
    seen, life = state.view(), state.life
    fills = sorted((one.quantity, one.price) for one in standing(life.fills))
    requests = tuple((name, *seen.requests[name]) for name in sorted(seen.requests))
    return (
        seen.status, seen.quantity, seen.reported_quantity, life.filled, seen.remaining_quantity, seen.closed, seen.order_numbers,
        requests, tuple(fills),
    )  # fmt: skip


# --- the walk --------------------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """States by number, and where each message leads from each."""

    first: Sighted
    states: list[Sighted] = field(default_factory=list)
    numbers: dict[Sighted, int] = field(default_factory=dict)
    leads: dict[tuple[int, int], int] = field(default_factory=dict)

    def number(self, state: Sighted) -> int:
        if state not in self.numbers:
            self.numbers[state] = len(self.states)
            self.states.append(state)
        return self.numbers[state]

    def step(self, state: int, place: int, message: Message) -> int:
        if (state, place) not in self.leads:
            self.leads[state, place] = self.number(apply(self.states[state], message))
        return self.leads[state, place]


@dataclass(frozen=True)
class Ends:
    """What came of every ordering of a set: the ends, each with how many orderings led to it."""

    trials: int
    ends: dict[tuple[object, ...], int]

    @property
    def otherwise(self) -> int:
        """Orderings that do not end as most do."""
        return self.trials - max(self.ends.values())


def every_ordering(case: "Case", count: int) -> Ends:
    """Tell the first `count` messages of a set in every order, followed by every subset of them told again."""
    messages = case.messages[:count]
    told = [*messages, *(again(one) for one in messages)]
    subsets = [one for size in range(count + 1) for one in combinations(range(count), size)]
    walk = Walk(Sighted(Life(ORDERED, case.requests)))
    ends: dict[int, int] = {}
    begin = walk.number(walk.first)
    for order in permutations(range(count)):
        after = begin
        for place in order:
            after = walk.step(after, place, told[place])
        rank = {place: i for i, place in enumerate(order)}
        for subset in subsets:
            last = after
            for place in sorted(subset, key=rank.__getitem__):
                last = walk.step(last, count + place, told[count + place])
            ends[last] = ends.get(last, 0) + 1
    found: dict[tuple[object, ...], int] = {}
    for state, times in ends.items():
        found[end(walk.states[state])] = found.get(end(walk.states[state]), 0) + times
    return Ends(sum(ends.values()), found)


def again(message: Message) -> Message:
    """The same said once more: other evidence, a later place."""
    if isinstance(message, Inquiry):
        return replace(message, evidence=UUID(int=message.evidence.int + 1000))
    return Told(message.place + 1000, UUID(int=message.evidence.int + 1000), message.report)


# --- sets of messages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A set of messages in the broker's order; the first six make sense by themselves."""

    name: str
    requests: tuple[Request, ...]
    messages: tuple[Message, ...]


def request(name: str, kind: RequestKind, quantity: int = ORDERED) -> Request:
    number = ord(name) - ord("X")
    return Request(
        id=UUID(int=number), order_id=UUID(int=0), kind=kind, number=number, cl_ord_id=name, orig_cl_ord_id=None,
        quantity=quantity, price=Decimal(70_000), state=RequestState.SENT, reason=None, user_id=None, send_by=T0,
        queued_at=T0, sent_at=T0,
    )  # fmt: skip


Said = Callable[[int], Message]


def case(name: str, requests: Sequence[Request], *said: Said) -> Case:
    return Case(name, tuple(requests), tuple(one(i + 1) for i, one in enumerate(said)))


def report(
    kind: str, status: str, executed: int | None, *, by: str = "X", last: int | None = None, price: int | None = None,
    ordered: int = ORDERED, leaves: int | None = None, ref: str | None = None, number: str | None = "", order: str = "1001",
) -> Said:  # fmt: skip
    """A report; `number` is its ExecID: made of its place unless given, None when the broker leaves it out."""

    def told(place: int) -> Told:
        body = ExecutionReport(
            exec_type=ExecType(kind), ord_status=status, order_id=order, cl_ord_id=by, orig_cl_ord_id=None,
            exec_id=f"E{place}" if number == "" else number, exec_ref_id=ref, account=None, isin=None, short_code=None, side=None,
            order_quantity=ordered, price=None, last_quantity=last, last_price=None if price is None else Decimal(price),
            leaves_quantity=leaves, cumulative_quantity=executed, transact_time=T0 + timedelta(seconds=place),
            reject_reason=None, restatement_reason=None, text=None, sender=None,
        )  # fmt: skip
        return Told(place, UUID(int=place), body)

    return told


def fill(quantity: int, executed: int | None, status: str = "1", *, price: int = 70_000, **more: Any) -> Said:
    return report("F", status, executed, last=quantity, price=price, **more)


def refused(by: str, status: str, kind: RequestKind) -> Said:
    return lambda place: Told(place, UUID(int=place), CancelReject(status, "1001", by, "X", kind, "0", None, None))


def inquiry(executed: int, *fills: tuple[int, int], proven: tuple[Proven, ...] = ()) -> Said:
    def told(place: int) -> Inquiry:
        evidence = UUID(int=place)
        at = T0 + timedelta(seconds=place)
        trades = (Trade(n, Decimal(price), None, None, "inquiry", evidence, i, at) for i, (n, price) in enumerate(fills))
        return Inquiry(evidence, at, executed, tuple(trades), proven)

    return told


X, CANCEL_Y, AMEND_Y, AMEND_Z = request("X", NEW), request("Y", CANCEL), request("Y", AMEND, 80), request("Z", AMEND, 60)
new = report("0", "0", 0)

CASES = (
    case("fills and a cancellation", [X, CANCEL_Y], new, fill(20, 20), fill(10, 30), report("6", "6", 30, by="Y"),
         fill(5, 35, "6"), report("4", "4", 35, by="Y", leaves=0), report("A", "A", 0)),
    case("a chain of amendments", [X, AMEND_Y, AMEND_Z], new, fill(10, 10), report("E", "E", 10, by="Y"),
         fill(5, 15, "E"), report("5", "1", 15, by="Y", ordered=80, order="1002"),
         report("5", "1", 15, by="Z", ordered=60, order="1003"), fill(45, 60, "2", by="Z", ordered=60, order="1003")),
    case("a bust and a correction", [X], new, fill(20, 20), fill(80, 100, "2"), report("H", "1", 80, ref="E2", last=0),
         fill(20, 100, "2", price=71_000), report("G", "2", 100, ref="E5", last=20, price=70_500),
         report("4", "4", 100, leaves=0)),
    case("an execution crosses the cancellation, and is taken back", [X, CANCEL_Y], new, fill(30, 30),
         report("6", "6", 30, by="Y"), report("4", "4", 30, by="Y", leaves=0), fill(10, 40, "4"),
         report("H", "4", 30, ref="E5", last=0), fill(10, 40, "4", price=69_000)),
    case("three twins within one second", [X, CANCEL_Y], new, fill(10, 10, number="0"), fill(10, 20, number="0"),
         fill(10, 30, number="0"), report("6", "6", 30, by="Y", number="0"), report("4", "4", 30, by="Y", leaves=0, number="0"),
         fill(10, 40, "4", number="0")),
    case("executions without numbers", [X], new, fill(10, 10, number=None), fill(20, 30, number=None),
         fill(10, 40, number=None, price=70_100), fill(60, 100, "2", number=None), report("3", "3", 100, leaves=0, number=None),
         report("B", "B", 100, leaves=0, number=None)),
    case("executions that tell no sum", [X, CANCEL_Y], new, fill(10, None), fill(10, None), fill(10, None),
         report("6", "6", 30, by="Y"), report("4", "4", 30, by="Y", leaves=0), report("I", "4", 30, by="X", leaves=0)),
    case("an amendment refused, a cancellation too late", [X, AMEND_Y, request("Z", CANCEL)], new, fill(60, 60),
         refused("Y", "1", AMEND), fill(40, 100, "2"), refused("Z", "2", CANCEL), report("0", "0", 0),
         report("3", "3", 100, leaves=0)),
    case("refused by the exchange, yet it traded", [X], report("A", "A", 0), new, report("8", "8", 0), fill(10, 10),
         report("4", "4", 10, leaves=0), report("0", "0", 0), fill(5, 15, "4")),
    case("suspended, taken up, expired", [X], new, fill(10, 10), report("9", "9", 10), report("D", "1", 10),
         fill(5, 15), report("C", "C", 15, leaves=0), fill(3, 18, "C")),
    case("push and inquiry of the same executions", [X, CANCEL_Y], new, fill(20, 20), inquiry(30, (20, 70_000), (10, 70_000)),
         fill(10, 30), fill(10, 40), report("4", "4", 40, by="Y", leaves=0), inquiry(20, (20, 70_000))),
    case("an inquiry older than the bust", [X], new, fill(20, 20), inquiry(20, (20, 70_000)),
         report("H", "0", 0, ref="E2", last=0), fill(30, 30), report("4", "4", 30, leaves=0), report("6", "6", 30, by="Y")),
    case("an amendment that only an inquiry shows, and the end", [X, AMEND_Y, request("Z", CANCEL, 80)], new, fill(20, 20),
         report("E", "E", 20, by="Y"), inquiry(20, (20, 70_000), proven=(Proven("Y", Proof.IN_FORCE, "01002", "01001"),)),
         fill(5, 25), report("4", "4", 25, by="Z", ordered=80, leaves=0, order="1003"), report("A", "A", 0)),
    case("an amendment that a row shows and a report refuses", [X, AMEND_Y], new, fill(20, 20),
         inquiry(20, (20, 70_000), proven=(Proven("Y", Proof.IN_FORCE, "1002", "1001"),)), refused("Y", "1", AMEND),
         fill(5, 25), report("4", "4", 25, leaves=0), report("A", "A", 0)),
)  # fmt: skip


# --- the campaign ------------------------------------------------------------------------------------------------------------


def run(budget_s: float, state: dict[str, Any], seed: int) -> Iterator[list[Figure]]:
    """Seven messages of every set; exhaustive, so the seed changes nothing and every set is walked once."""
    del seed
    until = time.monotonic() + budget_s
    for one in CASES:
        done = state.setdefault("done", {})
        if one.name in done or time.monotonic() > until:
            continue
        began = time.monotonic()
        found = every_ordering(one, 7)
        done[one.name] = {
            "trials": found.trials, "otherwise": found.otherwise, "ends": len(found.ends), "seconds": time.monotonic() - began,
        }  # fmt: skip
        yield [_figure(done)]
    yield [_figure(state.get("done", {}))]


def _figure(done: dict[str, dict[str, Any]]) -> Figure:
    worse = [name for name, one in done.items() if one["ends"] != 1]
    return Figure(
        name="orderings of seven reports that end otherwise",
        trials=sum(one["trials"] for one in done.values()),
        count=sum(one["otherwise"] for one in done.values()),
        unit="orderings",
        seconds=sum(one["seconds"] for one in done.values()),
        detail=", ".join(worse) or f"{len(done)} sets of messages, one end each",
    )
