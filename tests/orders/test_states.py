"""The table of an order's life: the fold moves by it and by nothing else, and the page is printed from it."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.gateway import ExecType, ExecutionReport
from service.orders.machine import Facts, view
from service.orders.model import PRECEDENCE, REQUEST_MOVES, REQUEST_WHY, Status, move
from service.orders.reading import Known
from service.orders.states import ENDED, HELD, LIVES, MOVES, ORD_STATUS, WHY, Event, shown_of
from service.orders.states_page import ALL, BY_QUANTITY, HAPPENS, MEANING, NONE, PART, executed_after, executed_under, moves, page
from tests.makers import report
from tests.orders.test_machine import X

DOCUMENT = Path(__file__).parents[2] / "docs/states.md"
ORDERED, SOME = 100, 40
T, G, H = ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL
EXECUTED = {NONE: 0, PART: SOME, ALL: ORDERED}
AS = {Event.RECEIVED: ("A", "A"), Event.ACKNOWLEDGED: ("0", "0"), Event.CANCELED: ("4", "4"), Event.EXPIRED: ("C", "C"),
      Event.REJECTED: ("8", "8"), Event.DONE_FOR_DAY: ("3", "3"), Event.STOPPED: ("7", "7"), Event.SUSPENDED: ("9", "9"),
      Event.CALCULATED: ("B", "B")}  # fmt: skip


@dataclass
class Stream:
    """Reports that bring an order to a place in the table, and what our fills add up to after each."""

    reports: list[Known]
    executed: int = 0
    ordered: int = ORDERED

    def say(self, exec_type: str, status: str, **more: Any) -> None:
        # What holds the order goes on holding it unless a report says otherwise: leaves tell that the day is not the last.
        more = {"cumulative_quantity": self.executed, "order_quantity": self.ordered, "leaves_quantity": 1} | more
        number = f"E{len(self.reports)}"
        self.reports.append(report(ExecType(exec_type), status, "X", exec_id=number, **more))

    def trade(self, executed: int, status: str) -> None:
        self.executed, last = executed, executed - self.executed
        self.say("F", status, last_quantity=last, last_price=Decimal(1))

    def shown(self) -> Status:
        return view(Facts(ORDERED, None, (X,)), self.reports, self.executed).status


def wire(life: Status) -> str:
    """An OrdStatus that leaves a life alone."""
    return "6" if life in HELD or life in ENDED else "1"


def brought_to(life: Status, executed: str) -> Stream:
    stream = Stream([])
    if life is not Status.PENDING_NEW:
        stream.say("0", "0")
    if executed != NONE:
        stream.trade(EXECUTED[executed], "1")
    if life not in (Status.PENDING_NEW, Status.NEW):
        stream.say(ORD_STATUS[life], ORD_STATUS[life])
    return stream


def let_happen(stream: Stream, life: Status, event: Event, after: str) -> None:
    keeps, executed = wire(life), EXECUTED[after]
    if event is Event.EXECUTED:
        stream.trade(executed, keeps)
    elif event is Event.BUSTED:
        stream.executed = executed
        stream.say("H", keeps)
    elif event is Event.CHANGED:
        stream.ordered = stream.executed if after == ALL else 200
        stream.say("D", keeps)
    elif event is Event.RESUMED:
        stream.say("D", "0")
    else:
        exec_type, status = AS[event]
        stream.say(exec_type, status)


PLACES = [
    (life, executed, event, after)
    for life in LIVES
    for executed in executed_under(life)
    for event in Event
    for after in executed_after(executed, event)
]


def test_every_place_of_the_table_is_where_the_fold_goes() -> None:
    wrong = []
    for life, executed, event, after in PLACES:
        stream = brought_to(life, executed)
        assert stream.shown() is shown_of(life, executed != NONE, executed == ALL), (life, executed)
        if event is Event.ACKNOWLEDGED and life in HELD:
            stream.reports.pop(0)  # the first acknowledgement comes late; a second one would be another event
        let_happen(stream, life, event, after)
        wanted = shown_of(MOVES[life, event], after != NONE, after == ALL)
        if stream.shown() is not wanted:
            wrong.append((life, executed, event, after, stream.shown(), wanted))
    assert wrong == []
    assert len(PLACES) == 334


def test_the_table_has_every_place_and_reasons_stand_in_it() -> None:
    assert set(MOVES) == {(life, event) for life in LIVES for event in Event}
    assert set(WHY) <= set(MOVES)
    assert set(REQUEST_WHY) <= set(REQUEST_MOVES)
    assert {(now, event, then) for now, _, event, _, then, _ in moves()} >= set(BY_QUANTITY)
    assert set(MEANING) == set(PRECEDENCE)
    assert {event for event, _ in HAPPENS} == set(Event)


def test_ends_absorb_whatever_order_they_come_in() -> None:
    """So that reports without a sequence end alike."""
    for first in ENDED:
        for second in ENDED:
            there, back = MOVES[first, Event(second)], MOVES[second, Event(first)]
            assert there is back, (first, second)


# What the standard's table of illustrated transitions shows (row: from, then: to), in its own codes.
ILLUSTRATED = {"A": "08", "0": "01236E87", "1": "1236E4", "2": "12E", "3": "1", "6": "01264", "E": "0124E", "7": "1"}


def test_transitions_the_standard_illustrates_are_possible() -> None:
    pending = {"6", "E"}  # over the table: a request's
    seen = {(ORD_STATUS[now], ORD_STATUS[then]) for now, _, _, _, then, _ in moves()}
    wanted = {(now, then) for now, row in ILLUSTRATED.items() for then in row if not {now, then} & pending}
    assert wanted - seen == set()


@pytest.mark.parametrize("end", sorted(ENDED))
def test_an_ended_order_never_opens_again_by_a_status(end: Status) -> None:
    for said in ("0", "5", "D", "I", "9", "7"):
        stream = brought_to(end, NONE)
        stream.say(said, "0")
        assert stream.shown() is end


def test_the_page_is_what_the_command_prints() -> None:
    text = DOCUMENT.read_text()
    assert text.endswith(page()), "ilim orders states prints something else: write it to docs/states.md below the introduction"
    introduction = text.removesuffix(page())
    assert introduction.startswith("# ")
    assert "\n## " not in introduction


def test_every_reason_is_on_the_page() -> None:
    printed = page()
    assert [why for why in [*BY_QUANTITY.values(), *REQUEST_WHY.values()] if why not in printed] == []
    hidden = [key for key, why in WHY.items() if why not in printed]
    assert hidden == []


def test_p02_unknown_is_never_queued_again() -> None:
    from service.orders.model import RequestEvent, RequestState

    assert all(move(RequestState.UNKNOWN, event) is not RequestState.QUEUED for event in RequestEvent)


def test_a_report_of_every_type_is_read() -> None:
    for exec_type in ExecType:
        one: ExecutionReport = report(exec_type, "0", "X", cumulative_quantity=0)
        assert view(Facts(ORDERED, None, (X,)), (one,), 0).remaining_quantity in (0, ORDERED)
