"""P2, P6, P7, P12: reports and lists that contradict each other, or say in one field what another denies."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from service.gateway import ExecType
from service.orders.known import Known
from service.orders.machine import Facts, View, view
from service.orders.model import Request, RequestState, Status
from tests.makers import report
from tests.orders.test_held_up import WON, X, Y, at, fill, heard, look, undo

AVERAGE = Decimal("70000.1429")
LISTED = {
    "one sum": [(7, WON)],
    "at its average": [(4, AVERAGE), (3, AVERAGE)],
    "split further": [(2, WON), (2, WON), (3, WON)],
    "joined otherwise": [(5, WON), (2, WON)],
}
TOLD = [fill(50, 4, 4, "E1"), fill(100, 3, 7, "E2"), fill(300, 1, 8, "E3"), fill(400, 2, 10, "E4")]


@pytest.mark.parametrize("name", LISTED)
def test_p07_what_is_listed_otherwise_is_never_booked_beyond_the_count(name: str) -> None:
    """Two fills after the look, and the reports in every order: what is not certain stays unaccounted for."""
    for turn in permutations([*TOLD, look(205, *LISTED[name])]):
        state = heard(*turn)
        counted = state.view().reported_quantity
        assert (state.life.filled <= 10, counted) == (True, 10), turn
        assert state.life.filled == 10 or not state.view().closed
        if name in ("one sum", "at its average"):
            assert state.life.filled == 10, turn


@pytest.mark.parametrize("number", [None, "0"], ids=["no number", "zero"])
def test_p12_a_second_bust_in_the_words_of_the_first_is_another(number: str | None) -> None:
    said = (fill(10, 30, 30, number), undo(20, 0, None, number), fill(30, 50, 50, number), undo(40, 0, None, number))
    state = heard(*said, said[-1])  # and the second one once more
    assert (state.life.filled, state.view().reported_quantity, state.life.unresolved) == (0, 0, ())


def told(*reports: Known, requests: tuple[Request, ...] = (X,)) -> View:
    return view(Facts(100, None, requests), reports, 0)


def order(kind: ExecType, status: str, **given: Any) -> Known:
    return report(kind, status, "X", **{"cumulative_quantity": 0, "order_quantity": 100, "leaves_quantity": 100} | given)


NEW = order(ExecType.NEW, "0")
AGAIN = order(ExecType.REJECTED, "8", order_id=None, reject_reason="6", leaves_quantity=0)


def test_p02_a_duplicate_that_was_refused_as_such_leaves_the_first_order_alive() -> None:
    """Delivered twice behind us: who says that the ClOrdID was there before has the order."""
    shown = told(NEW, AGAIN)
    assert (shown.status, shown.closed, shown.remaining_quantity) == (Status.NEW, False, 100)
    assert shown.requests["X"][0] is RequestState.ACKNOWLEDGED
    alone = told(AGAIN)  # its acknowledgement may be lost: nobody knows, and no verdict is made of it
    assert (alone.closed, alone.requests["X"][0]) == (False, RequestState.SENT)


def test_p06_a_cancellation_of_a_part_leaves_the_rest_alive() -> None:
    shown = told(NEW, order(ExecType.CANCELED, "0", order_quantity=40, leaves_quantity=40))
    assert (shown.status, shown.closed, shown.quantity, shown.remaining_quantity) == (Status.NEW, False, 40, 40)


def test_p06_a_broker_who_tells_the_remainder_as_quantity_has_not_lowered_the_order() -> None:
    done = {"orig_cl_ord_id": "X", "order_quantity": 50, "cumulative_quantity": 30, "leaves_quantity": 50}
    first, amended = fill(10, 30, 30, "E1"), report(ExecType.REPLACED, "1", "Y", transact_time=at(20), **done)
    of_trade = {"last_quantity": 30, "last_price": WON, "exec_id": "E2", "transact_time": at(30)}
    last = report(ExecType.TRADE, "1", "Y", order_quantity=50, cumulative_quantity=60, leaves_quantity=20, **of_trade)
    shown = view(Facts(100, None, (X, Y)), (first, amended, last), 60)
    assert (shown.status, shown.closed, shown.quantity, shown.remaining_quantity) == (Status.PARTIALLY_FILLED, False, 80, 20)


@pytest.mark.parametrize(("status", "end"), [("4", Status.CANCELED), ("C", Status.EXPIRED)])
def test_p06_an_order_that_its_first_report_shows_ended_has_ended(status: str, end: Status) -> None:
    """An exchange may take an IOC order and end it in one report."""
    shown = told(order(ExecType.NEW, status, leaves_quantity=0))
    assert (shown.status, shown.closed) == (end, True)
