"""P6, P7, P10: a report that was held up gets a later place in the stream than what happened after it. Its time tells."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ops.campaigns.orderings import Inquiry, Message, Sighted, apply
from service.core.clock import KST
from service.executions.matching import standing
from service.executions.plain import Life, Told
from service.executions.told import Trade
from service.gateway import CancelReject, ExecType, RequestKind
from service.orders.known import Known
from service.orders.machine import Facts, View, view
from service.orders.model import Request, RequestState
from tests.makers import report

T = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
WON, DEARER = Decimal(70_000), Decimal(70_100)


def at(second: int) -> datetime:
    return T + timedelta(seconds=second)


def request(cl: str, kind: RequestKind, number: int, quantity: int = 100, price: Decimal = WON) -> Request:
    sent = RequestState.SENT
    return Request(UUID(int=number + 1), UUID(int=1), kind, number, cl, None, quantity, price, sent, None, None, T, T, T)


X = request("X", RequestKind.NEW, 0)
Y = request("Y", RequestKind.AMENDMENT, 1, price=Decimal(71_000))
Z = request("Z", RequestKind.AMENDMENT, 2, price=Decimal(72_000))
C = request("C", RequestKind.CANCELLATION, 1)


def fill(second: int, quantity: int, cum: int, exec_id: str | None, price: Decimal = WON, **more: Any) -> Known:
    given = {"cumulative_quantity": cum, "last_quantity": quantity, "last_price": price, "exec_id": exec_id}
    return report(ExecType.TRADE, "1", "X", transact_time=at(second), **given | more)


def undo(
    second: int, cum: int, ref: str | None, exec_id: str | None, kind: ExecType = ExecType.TRADE_CANCEL, **more: Any
) -> Known:
    given = {"cumulative_quantity": cum, "exec_ref_id": ref, "exec_id": exec_id}
    return report(kind, "1", "X", transact_time=at(second), **given | more)


def corrected(second: int, cum: int, ref: str | None, exec_id: str | None, quantity: int, price: Decimal = DEARER) -> Known:
    return undo(second, cum, ref, exec_id, ExecType.TRADE_CORRECT, last_quantity=quantity, last_price=price)


def canceled(second: int, cum: int) -> Known:
    return report(ExecType.CANCELED, "4", "X", cumulative_quantity=cum, leaves_quantity=0, transact_time=at(second))


def look(second: int, *fills: tuple[int, Decimal]) -> Inquiry:
    evidence = UUID(int=1000 + second)
    trades = [Trade(n, price, None, None, "inquiry", evidence, i, at(second)) for i, (n, price) in enumerate(fills)]
    return Inquiry(evidence, at(second), sum(n for n, _ in fills), tuple(trades))


def heard(*said: Known | Inquiry) -> Sighted:
    """Reports get their places as they are heard."""
    state = Sighted(Life(100, (X,)))
    for i, one in enumerate(said, start=1):
        message: Message = one if isinstance(one, Inquiry) else Told(i, UUID(int=i), one)
        state = apply(state, message)
    return state


@dataclass(frozen=True)
class Case:
    name: str
    said: tuple[Known | Inquiry, ...]
    fills: tuple[tuple[int, Decimal], ...]


CASES = [
    Case("a bust, then its execution", (fill(1, 20, 20, "E1"), undo(3, 20, "E2", "E3"), fill(2, 30, 50, "E2")), ((20, WON),)),
    Case("without numbers", (fill(1, 20, 20, None), undo(3, 20, None, None), fill(2, 30, 50, None)), ((20, WON),)),
    Case("a bust, then another execution from before it",
         (fill(1, 20, 20, "E1"), undo(3, 30, "E1", "E3"), fill(2, 30, 50, "E2")), ((30, WON),)),
    Case("without numbers, another", (fill(1, 20, 20, None), undo(3, 30, None, None), fill(2, 30, 50, None)), ((30, WON),)),
    Case("a bust, its execution, then the like again",
         (undo(2, 0, "E1", "E2"), fill(1, 20, 20, "E1"), fill(3, 20, 20, "E3")), ((20, WON),)),
    Case("a correction, then its execution", (corrected(2, 15, "E1", "E2", 15), fill(1, 20, 20, "E1")), ((15, DEARER),)),
    Case("without numbers, a correction", (corrected(2, 15, None, None, 15), fill(1, 20, 20, None)), ((15, DEARER),)),
    Case("the bust of a correction, then the correction",
         (fill(1, 20, 20, "E1"), undo(3, 0, "E2", "E3"), corrected(2, 15, "E1", "E2", 15)), ()),
    Case("a correction's correction, then the first one",
         (fill(1, 20, 20, "E1"), corrected(3, 18, "E2", "E3", 18, WON), corrected(2, 15, "E1", "E2", 15)), ((18, WON),)),
    Case("a busted execution without a number is told again in another envelope",
         (fill(1, 20, 20, None), undo(2, 0, None, None), fill(1, 20, 20, None)), ()),
    Case("a bust of the second of two that were given one number",
         (fill(1, 20, 20, "E1"), fill(2, 30, 50, "E1"), undo(3, 20, "E1", "E3")), ((20, WON),)),
    Case("and of the first",
         (fill(1, 20, 20, "E1"), fill(2, 30, 50, "E1"), undo(3, 30, "E1", "E3")), ((30, WON),)),
    Case("a correction of the second",
         (fill(1, 20, 20, "E1"), fill(2, 30, 50, "E1"), corrected(3, 45, "E1", "E3", 25)), ((20, WON), (25, DEARER))),
    Case("a correction that keeps its execution's number, then its bust",
         (fill(1, 20, 20, "E1"), corrected(2, 15, "E1", "E1", 15), undo(3, 0, "E1", "E1")), ()),
]  # fmt: skip


def what_stands(case: Case) -> int:
    """The shares that stand, after everything was heard; they and the counts must be those of the case."""
    state = heard(*case.said)
    left = sum(quantity for quantity, _ in case.fills)
    assert tuple((one.quantity, one.price) for one in standing(state.life.fills)) == case.fills
    assert (state.view().reported_quantity, state.view().remaining_quantity) == (left, 100 - left)
    return left


@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_p07_p12_what_a_bust_left_is_what_counts_whenever_the_execution_is_told(case: Case) -> None:
    left = what_stands(case)
    ended = heard(*case.said, canceled(60, left)).view()
    assert (ended.reported_quantity, ended.closed) == (left, True)


ROWS = ((20, WON), (30, DEARER))
SHOWN = [
    Case("the bust of another than the one it showed",
         (fill(1, 20, 20, "E1"), look(100, *ROWS), undo(200, 30, "E1", "E3")), ((30, DEARER),)),
    Case("and that one is told after all",
         (fill(1, 20, 20, "E1"), look(100, *ROWS), undo(200, 30, "E1", "E3"), fill(2, 30, 50, "E2", DEARER)), ((30, DEARER),)),
    Case("the bust of the one it showed, which is told after all",
         (fill(1, 20, 20, "E1"), look(100, *ROWS), undo(200, 20, "E2", "E3"), fill(2, 30, 50, "E2", DEARER)), ((20, WON),)),
    Case("a list that lags behind the bust",
         (fill(1, 20, 20, "E1"), fill(2, 30, 50, "E2", DEARER), undo(200, 20, "E2", "E3"), look(230, *ROWS)), ((20, WON),)),
    Case("and one that does not, with an execution nobody told",
         (fill(1, 20, 20, "E1"), undo(200, 0, "E1", "E3"), look(260, (30, DEARER))), ((30, DEARER),)),
]  # fmt: skip


@pytest.mark.parametrize("case", SHOWN, ids=[one.name for one in SHOWN])
def test_p07_p12_an_inquiry_tells_nothing_about_the_time_after_a_bust_that_it_could_not_know(case: Case) -> None:
    left = what_stands(case)
    assert heard(*case.said, canceled(300, left)).view().closed


@pytest.mark.parametrize("after_all", [False, True], ids=["never told", "told after all"])
@pytest.mark.parametrize("corrects", [False, True], ids=["bust", "correction"])
def test_p12_a_reversal_of_what_only_an_inquiry_listed_knows_it_by_the_end_of_its_number(corrects: bool, after_all: bool) -> None:
    shown = look(100, *ROWS)
    shown = replace(shown, trades=tuple(replace(one, exec_id=str(i)) for i, one in enumerate(shown.trades, start=1)))
    undone = corrected(200, 45, "20261123E2", "20261123E3", 25, WON) if corrects else undo(200, 20, "20261123E2", "20261123E3")
    said = (fill(1, 20, 20, "20261123E1"), shown, undone, *[fill(2, 30, 50, "20261123E2", DEARER)] * after_all)
    state = heard(*said)
    assert [one.quantity for one in standing(state.life.fills)] == ([20, 25] if corrects else [20])
    assert (state.life.unresolved, state.view().reported_quantity) == ((), 45 if corrects else 20)


# --- numbers ------------------------------------------------------------------------------------------------------------------


def told(kind: ExecType, cl: str, number: str, status: str = "0") -> Known:
    return report(kind, status, cl, cumulative_quantity=0, order_id=number, order_quantity=100)


def seen(requests: tuple[Request, ...], *reports: Known) -> View:
    return view(Facts(100, WON, requests), reports, 0)


NEW, FIRST, SECOND = (
    told(ExecType.NEW, "X", "1001"), told(ExecType.REPLACED, "Y", "1002"), told(ExecType.REPLACED, "Z", "1003"),
)  # fmt: skip


@pytest.mark.parametrize(
    "reports",
    [(NEW, FIRST, SECOND), (NEW, SECOND, FIRST), (FIRST, SECOND, NEW), (SECOND, FIRST, NEW), (SECOND, NEW, FIRST)],
    ids=["as sent", "the second amendment first", "the acknowledgement last", "backwards", "all mixed"],
)
def test_p10_the_last_requests_number_is_the_present_one_whichever_is_heard_first(reports: tuple[Known, ...]) -> None:
    assert seen((X, Y, Z), *reports).order_numbers == ("1001", "1002", "1003")


def test_p10_the_number_of_a_refused_cancellation_is_not_the_orders() -> None:
    pending = told(ExecType.PENDING_CANCEL, "C", "1002", "6")
    assert seen((X, C), NEW, pending).order_numbers[-1] == "1002"
    refused = CancelReject("0", "1002", "C", "X", RequestKind.CANCELLATION, "0", "too late", None)
    assert seen((X, C), NEW, pending, refused).order_numbers == ("1002", "1001")


def test_p06_an_amendment_told_after_its_restatement_takes_nothing_back_though_an_execution_told_the_terms() -> None:
    executed = report(ExecType.TRADE, "1", "Y", cumulative_quantity=5, order_quantity=70, transact_time=at(3))
    restated = report(
        ExecType.RESTATED, "0", "Y", cumulative_quantity=0, order_quantity=70, restatement_reason="2", transact_time=at(2)
    )
    replaced = report(ExecType.REPLACED, "0", "Y", cumulative_quantity=0, order_quantity=80, transact_time=at(1))
    assert seen((X, Y), NEW, executed, restated, replaced).quantity == 70
