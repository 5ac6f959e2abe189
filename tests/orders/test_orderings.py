"""P6, P7: whatever order messages arrive in and however often, one end. Exhaustive, through the functions that carry orders."""

from decimal import Decimal

import pytest

from ops.campaigns.orderings import CASES, Case, Sighted, apply, end, every_ordering, run
from service.executions.matching import standing
from service.executions.plain import Life

TRIALS = 46_080  # 720 orders of six messages × 64 subsets told twice

WON = Decimal(70_000)
# Status shown and fills that stand (quantity, price) once the first six messages of a set are in.
ENDS: dict[str, tuple[str, list[tuple[int, Decimal]]]] = {
    "fills and a cancellation": ("canceled", [(5, WON), (10, WON), (20, WON)]),
    "a chain of amendments": ("partially_filled", [(5, WON), (10, WON)]),
    "a bust and a correction": ("filled", [(20, Decimal(70_500)), (80, WON)]),
    "an execution crosses the cancellation, and is taken back": ("canceled", [(30, WON)]),
    "three twins within one second": ("canceled", [(10, WON)] * 3),
    "executions without numbers": ("done_for_day", [(10, WON), (10, Decimal(70_100)), (20, WON), (60, WON)]),
    "executions that tell no sum": ("canceled", [(10, WON)] * 3),
    "an amendment refused, a cancellation too late": ("filled", [(40, WON), (60, WON)]),
    "refused by the exchange, yet it traded": ("canceled", [(10, WON)]),
    "suspended, taken up, expired": ("expired", [(5, WON), (10, WON)]),
    "push and inquiry of the same executions": ("canceled", [(10, WON), (10, WON), (20, WON)]),
    "an inquiry older than the bust": ("canceled", [(30, WON)]),
    "an amendment that only an inquiry shows, and the end": ("canceled", [(5, WON), (20, WON)]),
    "an amendment that a row shows and a report refuses": ("canceled", [(5, WON), (20, WON)]),
}


def test_every_set_has_an_end_written_down() -> None:
    assert [one.name for one in CASES] == list(ENDS)
    assert all(len(one.messages) == 7 for one in CASES)


@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_p06_p07_every_ordering_of_six_messages_ends_alike(case: Case) -> None:
    found = every_ordering(case, 6)
    assert (found.trials, len(found.ends)) == (TRIALS, 1)


@pytest.mark.parametrize("case", CASES, ids=[one.name for one in CASES])
def test_p07_and_it_is_the_right_end(case: Case) -> None:
    state = Sighted(Life(100, case.requests))
    for message in case.messages[:6]:
        state = apply(state, message)
    status, fills = ENDS[case.name]
    seen = state.view()
    assert (seen.status.value, sorted((one.quantity, one.price) for one in standing(state.life.fills))) == (status, fills)
    assert seen.reported_quantity == state.life.filled
    assert (end(state),) == tuple(every_ordering(case, 6).ends)


# Quantity and numbers (P10) of those whose amendment rows speak of.
TERMS = {
    "an amendment that only an inquiry shows, and the end": (80, ("1001", "01002", "1003"), "acknowledged"),
    "an amendment that a row shows and a report refuses": (100, ("1001",), "refused"),
}


@pytest.mark.parametrize("name", list(TERMS))
def test_p10_and_the_amendment_counts_as_the_evidence_has_it(name: str) -> None:
    case = next(one for one in CASES if one.name == name)
    state = Sighted(Life(100, case.requests))
    for message in case.messages[:6]:
        state = apply(state, message)
    seen = state.view()
    assert (seen.quantity, seen.order_numbers, seen.requests["Y"][0].value) == TERMS[name]


def test_p06_the_campaign_goes_on_where_it_ended_and_counts_every_ordering() -> None:
    state: dict[str, object] = {
        "done": {one.name: {"trials": 645_120, "otherwise": 0, "ends": 1, "seconds": 1.0} for one in CASES[1:]}
    }
    (*_, figures) = run(60.0, state, 1)
    assert [(one.count, one.trials, one.holds) for one in figures] == [(0, 645_120 * len(CASES), True)]
