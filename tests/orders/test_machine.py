"""The state machine: one row a case, in the words of the order's life. N new, F fill, 6/E pending, 4/5 done, 9 reject."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID

import pytest

from service.core.clock import KST
from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind
from service.orders.machine import Facts, Known, view
from service.orders.model import PRECEDENCE, REQUEST_MOVES, Proof, Proven, Request, RequestEvent, RequestState, Status, move
from tests.makers import report

T = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
NEW, AMEND, CANCEL = RequestKind.NEW, RequestKind.AMENDMENT, RequestKind.CANCELLATION


def request(cl: str, kind: RequestKind, quantity: int = 100, state: RequestState = RequestState.SENT) -> Request:
    return Request(UUID(int=ord(cl)), UUID(int=1), kind, ord(cl), cl, None, quantity, Decimal(70_000), state, None, None, T, T)


def r(exec_type: ExecType, status: str, cl: str | None, cum: int, **more: object) -> ExecutionReport:
    return report(exec_type, status, cl, cumulative_quantity=cum, **more)


def new(cl: str = "X") -> ExecutionReport:
    return r(ExecType.NEW, "0", cl, 0)


def fill(quantity: int, cum: int, status: str = "1", cl: str = "X") -> ExecutionReport:
    return r(ExecType.TRADE, status, cl, cum, last_quantity=quantity, last_price=Decimal(70_000))


def pending_cancel(cum: int = 0) -> ExecutionReport:
    return r(ExecType.PENDING_CANCEL, "6", "Y", cum, orig_cl_ord_id="X")


def pending_replace(cum: int = 0, cl: str = "Y") -> ExecutionReport:
    return r(ExecType.PENDING_REPLACE, "E", cl, cum, orig_cl_ord_id="X")


def canceled(cum: int = 0, cl: str = "Y") -> ExecutionReport:
    return r(ExecType.CANCELED, "4", cl, cum, leaves_quantity=0)


def replaced(quantity: int, cum: int, status: str = "1", cl: str = "Y") -> ExecutionReport:
    return r(ExecType.REPLACED, status, cl, cum, order_quantity=quantity, price=Decimal(71_000))


def refused(kind: RequestKind, status: str = "1", cl: str = "Y") -> CancelReject:
    return CancelReject(status, "1001", cl, "X", kind, "0", "too late", None)


@dataclass(frozen=True)
class Case:
    name: str
    requests: tuple[Request, ...]
    reports: tuple[Known, ...]
    status: Status
    executed: int
    remaining: int
    closed: bool


X = request("X", NEW)
C = request("Y", CANCEL)
A = request("Y", AMEND, 80)
S = Status

CASES = [
    Case("asked, nothing heard", (X,), (), S.PENDING_NEW, 0, 100, False),
    Case("acknowledged", (X,), (new(),), S.NEW, 0, 100, False),
    Case("partly executed", (X,), (new(), fill(20, 20)), S.PARTIALLY_FILLED, 20, 80, False),
    Case("executed", (X,), (new(), fill(20, 20), fill(80, 100, "2")), S.FILLED, 100, 0, True),
    Case("rejected", (X,), (r(ExecType.REJECTED, "8", "X", 0),), S.REJECTED, 0, 0, True),
    Case("rejected by the exchange after the broker's acknowledgement", (X,), (new(), r(ExecType.REJECTED, "8", "X", 0)),
         S.REJECTED, 0, 0, True),
    Case("the reject of a duplicate spares the first", (X,), (new(), r(ExecType.REJECTED, "0", "X", 0)), S.NEW, 0, 100, False),
    Case("cancel pending", (X, C), (new(), pending_cancel()), S.PENDING_CANCEL, 0, 100, False),
    Case("cancelled", (X, C), (new(), pending_cancel(), canceled()), S.CANCELED, 0, 0, True),
    Case("cancel refused, order lives", (X, C), (new(), pending_cancel(), refused(CANCEL, "0")), S.NEW, 0, 100, False),
    Case("executed while the cancel is pending: pending shows", (X, C),
         (new(), fill(20, 20), pending_cancel(20), fill(80, 100, "6")), S.PENDING_CANCEL, 100, 0, True),
    Case("and filled once the cancel is refused", (X, C),
         (new(), fill(20, 20), pending_cancel(20), fill(80, 100, "6"), refused(CANCEL, "2")), S.FILLED, 100, 0, True),
    Case("a fill after the cancellation: still cancelled", (X, C), (new(), canceled(0), fill(20, 20)), S.CANCELED, 20, 0, True),
    Case("unsolicited cancel", (X,), (new(), fill(20, 20), canceled(20, "X")), S.CANCELED, 20, 0, True),
    Case("fill or kill, killed", (X,), (new(), canceled(0, "X")), S.CANCELED, 0, 0, True),
    Case("amend pending: old quantity", (X, A), (new(), fill(10, 10), pending_replace(10)), S.PENDING_REPLACE, 10, 90, False),
    Case("amended: new quantity less what executed", (X, A),
         (new(), fill(10, 10), pending_replace(10), fill(6, 16, "E"), replaced(80, 16)), S.PARTIALLY_FILLED, 16, 64, False),
    Case("amend refused", (X, A), (new(), fill(10, 10), refused(AMEND)), S.PARTIALLY_FILLED, 10, 90, False),
    Case("amended to what had executed: filled by the amend", (X, A), (new(), fill(70, 70), replaced(70, 70, "2")),
         S.FILLED, 70, 0, True),
    Case("amend too late", (X, A), (new(), fill(100, 100, "2"), refused(AMEND, "2")), S.FILLED, 100, 0, True),
    Case("expired", (X,), (new(), fill(20, 20), r(ExecType.EXPIRED, "C", "X", 20)), S.EXPIRED, 20, 0, True),
    Case("done for day", (X,), (new(), fill(30, 30), r(ExecType.DONE_FOR_DAY, "3", "X", 30)), S.DONE_FOR_DAY, 30, 0, True),
    Case("suspended", (X,), (new(), r(ExecType.SUSPENDED, "9", "X", 0)), S.SUSPENDED, 0, 100, False),
    Case("suspended, then released", (X,), (new(), r(ExecType.SUSPENDED, "9", "X", 0), r(ExecType.RESTATED, "0", "X", 0)),
         S.NEW, 0, 100, False),
    Case("stopped: a guarantee is no execution", (X,), (new(), r(ExecType.STOPPED, "7", "X", 0, last_quantity=10)),
         S.STOPPED, 0, 100, False),
    Case("stopped, then executed in part", (X,), (new(), r(ExecType.STOPPED, "7", "X", 0), fill(10, 10, "7")),
         S.STOPPED, 10, 90, False),
    Case("a late acknowledgement takes nothing back", (X,), (fill(20, 20), new()), S.PARTIALLY_FILLED, 20, 80, False),
    Case("a status report changes nothing", (X,), (new(), fill(20, 20), r(ExecType.ORDER_STATUS, "0", "X", 0)),
         S.PARTIALLY_FILLED, 20, 80, False),
    Case("a bust opens a filled order again", (X,),
         (new(), fill(20, 20), fill(80, 100, "2"), r(ExecType.TRADE_CANCEL, "1", "X", 80)), S.PARTIALLY_FILLED, 80, 20, False),
]  # fmt: skip


def executed(reports: tuple[Known, ...]) -> int:
    """What fills add up to, busts taken off: in these cases the last cumulative quantity."""
    counts = [one.cumulative_quantity or 0 for one in reports if isinstance(one, ExecutionReport)]
    busts = [one for one in reports if isinstance(one, ExecutionReport) and one.exec_type is ExecType.TRADE_CANCEL]
    return (busts[-1].cumulative_quantity or 0) if busts else max(counts, default=0)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_p06_a_life_of_an_order(case: Case) -> None:
    filled = executed(case.reports)
    shown = view(Facts(100, Decimal(70_000), case.requests), case.reports, filled)
    assert (shown.status, filled, shown.remaining_quantity, shown.closed) == (
        case.status, case.executed, case.remaining, case.closed,
    )  # fmt: skip


def test_p08_executed_plus_cancelled_equals_ordered() -> None:
    for case in CASES:
        shown = view(Facts(100, Decimal(70_000), case.requests), case.reports, executed(case.reports))
        assert 0 <= shown.remaining_quantity <= shown.quantity - executed(case.reports), case.name


def test_p06_six_reports_in_any_order_of_arrival_end_alike() -> None:
    """Without a sequence there is no canonical order: what does not depend on it must still agree."""
    reports = (new(), fill(10, 10), fill(20, 30), fill(5, 35), pending_cancel(30), canceled(35))
    ends = {
        (shown.status, shown.remaining_quantity, shown.closed, shown.reported_quantity, tuple(sorted(shown.requests.items())))
        for order in permutations(reports)
        for shown in [view(Facts(100, Decimal(70_000), (X, C)), order, 35)]
    }
    assert len(ends) == 1
    assert next(iter(ends))[0] is Status.CANCELED


def test_an_order_whose_executions_are_not_all_here_is_not_closed() -> None:
    shown = view(Facts(100, Decimal(70_000), (X,)), (new(), fill(10, 100, "2")), 10)
    assert (shown.remaining_quantity, shown.closed, shown.reported_quantity) == (0, False, 100)


def test_where_a_broker_reports_no_pending_our_own_sent_request_stands_for_it() -> None:
    facts = Facts(100, Decimal(70_000), (X, C), reports_pending=False)
    assert view(facts, (new(),), 0).status is Status.PENDING_CANCEL
    assert view(replace(facts, reports_pending=True), (new(),), 0).status is Status.NEW


def test_a_replacement_whose_report_is_lost_is_not_pending_once_a_fill_names_it() -> None:
    """Found by the simulation: the fill carries the replacement's ClOrdID, so the replacement is in force."""
    filled = fill(80, 80, "2", "Y")
    seen = view(Facts(100, Decimal(70_000), (X, A)), (new(), pending_replace(), replace(filled, order_quantity=80)), 80)
    assert (seen.status, seen.quantity, seen.requests["Y"][0]) == (Status.FILLED, 80, RequestState.ACKNOWLEDGED)


@pytest.mark.parametrize(("cl", "reason", "price"), [("X", "5", 71_000), ("X", "0", 70_000), ("Y", "5", 70_000)])
def test_p06_a_restatement_of_the_first_name_lowers_an_amendment_of_rows_and_keeps_its_price(
    cl: str, reason: str, price: int
) -> None:
    """Whoever names the amendment knows its price, and a corporate action (0) changes all terms."""
    dearer = replace(request("Y", AMEND), price=Decimal(71_000))
    facts = Facts(100, Decimal(70_000), (X, dearer), sighted=True, proven=(Proven("Y", Proof.IN_FORCE),))
    fewer = r(ExecType.RESTATED, "0", cl, 0, order_quantity=90, price=Decimal(70_000), restatement_reason=reason)
    seen = view(facts, (new(), fewer), 0)
    assert (seen.quantity, seen.price, seen.remaining_quantity) == (90, price, 90)


@pytest.mark.parametrize("turned", [False, True], ids=["in its turn", "overtaken"])
def test_p06_an_amendment_told_after_its_restatement_takes_nothing_back(turned: bool) -> None:
    """Found by the simulation: who lowers an order by its amendment's name has put the amendment in force before."""
    fewer = r(ExecType.RESTATED, "1", "Y", 10, order_quantity=79, price=Decimal(71_000), restatement_reason="5")
    told = [replaced(80, 10), fewer][:: -1 if turned else 1]
    seen = view(Facts(100, Decimal(70_000), (X, A)), [new(), fill(10, 10), *told], 10)
    assert (seen.quantity, seen.price, seen.remaining_quantity) == (79, 71_000, 69)
    assert seen.requests["Y"][0] is RequestState.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("why", "apart_s"), [("5", 0), ("5", 20), ("2", 20)], ids=["declines at once", "declines", "by telephone"]
)
def test_p06_of_two_restatements_the_later_one_holds_whichever_is_heard_first(why: str, apart_s: int) -> None:
    """Found by the simulated day 60546. A decline only lowers; a word may enlarge, and then the time tells."""
    sizes = (99, 98) if why == "5" else (98, 99)
    told = []
    for i, size in enumerate(sizes):
        at = T + timedelta(seconds=apart_s * i)
        told.append(r(ExecType.RESTATED, "0", "X", 0, order_quantity=size, restatement_reason=why, transact_time=at))
    for heard in (told, told[::-1]):
        assert view(Facts(100, Decimal(70_000), (X,)), [new(), *heard], 0).quantity == sizes[1]


def test_a_cancellation_without_an_answer_is_not_pending_once_the_order_has_filled() -> None:
    """Found by the simulation: such a broker never says more, and the order stood as pending for ever."""
    facts = Facts(100, Decimal(70_000), (X, C), reports_pending=False)
    seen = view(facts, (new(), fill(100, 100, "2")), 100)
    assert (seen.status, seen.closed, seen.requests["Y"]) == (Status.FILLED, True, (RequestState.REFUSED, "order-closed"))


def test_an_inquiry_row_is_as_good_as_an_acknowledgement_and_can_end_an_order() -> None:
    lost = request("X", NEW, state=RequestState.UNKNOWN)
    seen = view(Facts(100, Decimal(70_000), (lost,), sighted=True), (), 0)
    assert (seen.status, seen.requests["X"][0]) == (Status.NEW, RequestState.ACKNOWLEDGED)
    ended = view(Facts(100, Decimal(70_000), (lost,), sighted=True, ended=Status.EXPIRED), (), 0)
    assert (ended.status, ended.closed) == (Status.EXPIRED, True)


def test_a_definite_refusal_rejects_unless_it_traded() -> None:
    dead = request("X", NEW, state=RequestState.REFUSED)
    assert view(Facts(100, Decimal(70_000), (dead,)), (), 0).status is Status.REJECTED
    alive = view(Facts(100, Decimal(70_000), (dead,)), (fill(10, 10),), 10)
    assert (alive.status, alive.requests["X"][0]) == (Status.PARTIALLY_FILLED, RequestState.ACKNOWLEDGED)


def test_p02_unknown_leaves_only_by_evidence() -> None:
    leaving = {event for (state, event), after in REQUEST_MOVES.items() if state is RequestState.UNKNOWN and after is not state}
    assert leaving == {RequestEvent.CONFIRMED, RequestEvent.DENIED, RequestEvent.ACCEPTED, RequestEvent.REFUSED}
    assert all(move(RequestState.UNKNOWN, event) is not RequestState.QUEUED for event in RequestEvent)


def test_every_status_has_a_place_in_the_order_of_precedence() -> None:
    assert sorted(PRECEDENCE) == sorted(Status)


def test_p06_an_order_rejected_after_its_amendment_was_in_force_is_rejected_and_not_the_amendment() -> None:
    """The broker names the order by the amendment then."""
    late = r(ExecType.REJECTED, "8", "Y", 0, leaves_quantity=0, text="out")
    seen = view(Facts(100, Decimal(70_000), (X, A)), [new(), replaced(80, 0, "0"), late], 0)
    assert (seen.status, seen.closed, seen.remaining_quantity) == (S.REJECTED, True, 0)
    assert seen.requests == {"X": (RequestState.REFUSED, "out"), "Y": (RequestState.ACKNOWLEDGED, None)}


def test_p06_a_rejection_that_names_an_amendment_nobody_confirmed_refuses_the_amendment() -> None:
    seen = view(Facts(100, Decimal(70_000), (X, A)), [new(), pending_replace(), r(ExecType.REJECTED, "8", "Y", 0, text="no")], 0)
    assert (seen.status, seen.closed, seen.requests["Y"]) == (S.NEW, False, (RequestState.REFUSED, "no"))


def test_p06_a_pending_report_that_names_no_request_is_over_when_the_order_is() -> None:
    """Found by the simulation: its names were lost, and the filled order stood as being amended for ever."""
    nameless = r(ExecType.PENDING_REPLACE, "E", None, 0)
    told = [new(), nameless, replaced(80, 0, "0")]
    assert view(Facts(100, Decimal(70_000), (X, A)), told, 0).status is S.PENDING_REPLACE
    seen = view(Facts(100, Decimal(70_000), (X, A)), [*told, r(ExecType.TRADE, "2", "Y", 80, last_quantity=80)], 80)
    assert (seen.status, seen.closed, seen.requests["Y"][0]) == (S.FILLED, True, RequestState.ACKNOWLEDGED)
