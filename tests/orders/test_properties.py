"""Properties of the machine under a broker that does whatever the standard lets it do, and a stream that shuffles it."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from service.executions.matching import standing
from service.executions.plain import Life, Told, tell
from service.orders.machine import View
from service.orders.states import ORD_STATUS
from tests.orders.broker_model import ACTS, Broker

ACTIONS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 300)), min_size=1, max_size=14)
NUMBERS = st.sampled_from(["real", "real", "zero", "none"])


def played(numbers: str, actions: list[tuple[str, int]]) -> Broker:
    broker = Broker(100, numbers)
    for act, n in actions:
        getattr(broker, act)(n)
    return broker


def unheard(broker: Broker) -> Life:
    return Life(100, tuple(broker.requests))


def resent(one: Told) -> Told:
    """The same message in another envelope, later in the stream."""
    return Told(one.place + 1000, UUID(int=one.evidence.int + 1000), one.report)


def book(life: Life) -> list[tuple[int, int]]:
    return sorted((one.quantity, int(one.price)) for one in standing(life.fills))


def truth(broker: Broker) -> tuple[object, ...]:
    fills = sorted((quantity, int(price)) for quantity, price in broker.fills.values())
    return broker.status, broker.executed, broker.leaves, fills


def shown(life: Life) -> tuple[object, ...]:
    seen = life.view()
    return ORD_STATUS[seen.status], life.filled, seen.remaining_quantity, book(life)


def identities(life: Life, seen: View) -> None:
    """Executed and open make the order while it lives; nothing is ever negative; what is not here yet is not made up."""
    executed = max(life.filled, seen.reported_quantity)
    assert 0 <= seen.remaining_quantity <= max(seen.quantity - executed, 0)
    assert seen.remaining_quantity in (0, seen.quantity - executed)
    assert life.filled >= 0
    assert all(one.quantity > 0 for one in standing(life.fills))
    assert not seen.closed or seen.reported_quantity <= life.filled


@settings(max_examples=400, deadline=None)
@given(NUMBERS, ACTIONS)
def test_p06_in_the_brokers_order_we_show_what_it_says_at_every_step(numbers: str, actions: list[tuple[str, int]]) -> None:
    broker = Broker(100, numbers)
    life = unheard(broker)
    for act, n in actions:
        heard = len(broker.said)
        getattr(broker, act)(n)
        life = replace(life, requests=(*life.requests, *broker.requests[len(life.requests) :]))
        life = tell(life, *broker.said[heard:])
        if broker.said:
            assert shown(life) == truth(broker), act
        identities(life, life.view())


@settings(max_examples=400, deadline=None)
@given(NUMBERS, ACTIONS, st.data())
def test_p06_p07_shuffled_repeated_and_resent_it_ends_as_the_broker_says(
    numbers: str, actions: list[tuple[str, int]], data: st.DataObject
) -> None:
    broker = played(numbers, actions)
    if not broker.said:
        return
    again = data.draw(st.lists(st.sampled_from(broker.said), max_size=6))
    envelopes = [resent(one) for one in data.draw(st.lists(st.sampled_from(broker.said), max_size=3, unique=True))]
    life = unheard(broker)
    for one in data.draw(st.permutations([*broker.said, *again, *envelopes])):
        life = tell(life, one)
        identities(life, life.view())
    assert shown(life) == truth(broker)
    assert life.unresolved == ()


@settings(max_examples=200, deadline=None)
@given(NUMBERS, ACTIONS, st.data())
def test_p07_telling_it_all_again_changes_nothing(numbers: str, actions: list[tuple[str, int]], data: st.DataObject) -> None:
    broker = played(numbers, actions)
    life = unheard(broker)
    for one in data.draw(st.permutations(broker.said)):
        life = tell(life, one)
    assert tell(life, *broker.said) == life


@settings(max_examples=200, deadline=None)
@given(ACTIONS, st.data())
def test_p07_what_is_missing_is_shown_and_never_made_up(actions: list[tuple[str, int]], data: st.DataObject) -> None:
    """Any part of the stream: no fill that was not told, and the order stays open while executions are unaccounted for."""
    broker = played("real", actions)
    part = data.draw(st.lists(st.sampled_from(broker.said), unique=True)) if broker.said else []
    life = tell(unheard(broker), *part)
    told = {(one.quantity, one.price) for one in life.fills if one.quantity > 0}
    assert told <= {(one.report.last_quantity, one.report.last_price) for one in part if hasattr(one.report, "last_price")}
    identities(life, life.view())


def test_p12_a_correction_that_changes_nothing_told_before_its_execution_is_no_second_fill() -> None:
    """Found by the shuffle above: each fill is the trade of its own message before it may be anybody else's."""
    broker = played("real", [("fill", 0), ("correct", 2)])
    execution, correction = broker.said
    for one in (correction, resent(correction)):
        life = tell(tell(tell(unheard(broker), one), execution), correction)
        assert shown(life) == truth(broker)
        assert life.unresolved == ()


def test_p10_what_is_said_late_of_a_superseded_amendment_changes_no_terms() -> None:
    """And the broker's present number stays the last one it gave."""
    broker = played("none", [("acknowledge", 0), ("ask_amend", 79), ("grant", 0), ("ask_amend", 59), ("grant", 0)])
    acknowledged, first, second = broker.said
    numbered = [
        replace(one, place=place, report=replace(one.report, order_id=number))
        for one, place, number in ((acknowledged, 1, "1001"), (second, 2, "1003"), (first, 3, "1001"))
    ]
    life = tell(unheard(broker), *numbered)
    assert shown(life) == truth(broker)
    assert (life.view().quantity, life.view().order_numbers[-1]) == (60, "1003")


def test_p09_an_amendments_remainder_counts_from_fills() -> None:
    broker = played("real", [("fill", 39), ("ask_amend", 69), ("grant", 0)])
    seen = tell(unheard(broker), *broker.said).view()
    assert (seen.quantity, seen.remaining_quantity) == (70, 30)


def test_p08_executed_and_cancelled_make_the_order_whatever_crosses() -> None:
    broker = played("real", [("fill", 9), ("ask_cancel", 0), ("grant", 0), ("fill", 19)])
    life = tell(unheard(broker), *broker.said)
    seen = life.view()
    assert (seen.status.value, life.filled, seen.remaining_quantity, seen.closed) == ("canceled", 30, 0, True)
