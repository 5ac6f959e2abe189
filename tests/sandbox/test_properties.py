"""Whatever is asked of the world: the same play ends the same way, and no share or won appears or is lost."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.sandbox.books import books
from service.sandbox.instruments import INSTRUMENTS
from service.sandbox.world import World
from tests.sandbox.afresh import costs

ISINS = [one.isin for one in INSTRUMENTS][:6]
WHO = [("cyber", "99100010001"), ("cyber", "99100010002"), ("diamond", "2100-0001-01"), ("star", "0010203001")]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("new"), st.sampled_from(WHO), st.sampled_from(ISINS), st.sampled_from(["buy", "sell"]),
            st.integers(1, 400), st.integers(-3, 3), st.sampled_from(["0", "3", "4"]), st.booleans(),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("replace"), st.integers(0, 30), st.integers(0, 400), st.integers(-2, 2)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 600, 3_600])),
    ),
    max_size=25,
)  # fmt: skip


def run(play: Any, flow: list[Any]) -> Any:
    """Play the steps from 09:10 and stop wherever they end."""
    from datetime import timedelta

    from service.sandbox import rules

    play.to("09:10")
    sent: list[tuple[tuple[str, str], str, str, int, int | None, str]] = []
    for kind, *step in flow:
        if kind == "wait":
            play.world.advance(play.world.now + timedelta(seconds=step[0]))
        elif kind == "new":
            who, isin, side, quantity, ticks, tif, market = step
            listing = play.world.exchange.listings[isin]
            price = None if market else rules.step(listing.last, ticks, fund=listing.instrument.fund)
            name = play.new(*who, isin, side, quantity, price, tif=tif)
            sent.append((who, isin, side, quantity, price, name))
        elif sent:
            _change(play, kind, step, sent)
    return play


def _change(play: Any, kind: str, step: list[Any], sent: list[Any]) -> None:
    who, isin, side, quantity, price, name = sent[step[0] % len(sent)]
    chain = play.order(name).cl_ord_ids
    if kind == "cancel":
        play.send("F", *who, isin, side, quantity, None, orig=chain[-1])
    else:
        moved = None if price is None else price + step[2] * 100
        play.send("G", *who, isin, side, step[1], moved, orig=chain[-1])


def invariants(world: World) -> None:
    for broker in world.brokers.values():
        for order in broker.orders:
            assert order.leaves >= 0
            if order.status != "8":
                assert order.executed + order.cancelled + order.leaves == order.ordered
            resting = [
                rest.quantity
                for book in world.exchange.books.values()
                for rest in (*book.bids, *book.asks)
                if rest.ref == order.ref
            ]
            assert sum(resting) == order.leaves, "the broker and the exchange agree"
        for account in broker.accounts.values():
            assert broker.free_cash(account) >= 0, "nothing was bought without money"
            assert all(one.quantity > 0 for one in account.holdings.values())
            assert all(one.costs == costs(broker.profile, one) for one in account.settlements), "kept as counted afresh"
            assert all(broker.free_quantity(account, isin) >= 0 for isin in account.holdings)


def worth(world: World) -> dict[tuple[str, str], tuple[int, dict[str, int]]]:
    """Cash and shares of every account, with what each fill moved taken back out."""
    found = {}
    for broker in world.brokers.values():
        for account in broker.accounts.values():
            cash = account.expected_cash()
            shares = {isin: one.quantity for isin, one in account.holdings.items()}
            for order in broker.orders:
                if order.account == account.number:
                    sign = 1 if order.side == "buy" else -1
                    cash += sign * order.value
                    shares[order.instrument.isin] = shares.get(order.instrument.isin, 0) - sign * order.executed
            costs = sum(one.costs.total for one in account.settlements)
            found[broker.profile.name, account.number] = (cash + costs, {k: v for k, v in shares.items() if v})
    return found


_SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SETTINGS
@given(flow=STEPS)
def test_quantities_cash_and_holdings_conserve(begin: Callable[..., Any], flow: list[Any]) -> None:
    conserved(begin("09:00"), flow)


@settings(_SETTINGS, max_examples=2)  # two whole days of a market are long
@given(flow=STEPS)
def test_quantities_cash_and_holdings_conserve_until_all_has_settled(begin: Callable[..., Any], flow: list[Any]) -> None:
    play = begin("09:00")
    before = conserved(play, flow)
    play.to("09:00", "2026-11-26")
    invariants(play.world)
    assert worth(play.world) == before
    for broker in play.world.brokers.values():
        assert all(one.expected_cash() == one.deposit for one in broker.accounts.values()), "all has settled"


def conserved(play: Any, flow: list[Any]) -> Any:
    before = worth(play.world)
    run(play, flow)
    invariants(play.world)
    assert worth(play.world) == before
    return before


@settings(_SETTINGS, max_examples=6)
@given(flow=STEPS)
def test_the_same_play_ends_the_same_way(begin: Callable[..., Any], flow: list[Any]) -> None:
    first, second = run(begin("09:00"), flow), run(begin("09:00"), flow)
    assert first.reports() == second.reports()
    assert books(first.world, None) == books(second.world, None)


def test_how_the_clock_was_stepped_changes_nothing_and_the_seed_does(begin: Callable[..., Any]) -> None:
    from datetime import timedelta

    coarse, fine, other = begin("09:00"), begin("09:00"), begin("09:00", seed=8)
    for play in (coarse, fine, other):
        for isin in ISINS:
            price = play.world.exchange.listings[isin].base
            play.new("diamond", "2100-0001-01", isin, "buy", 30, price)
    coarse.to("11:00")
    other.to("11:00")
    while fine.world.now < coarse.world.now:
        fine.world.advance(min(fine.world.now + timedelta(seconds=7), coarse.world.now))
    assert fine.reports() == coarse.reports() != other.reports()
    assert fine.world.exchange.books == coarse.world.exchange.books
    assert fine.world.exchange.books != other.world.exchange.books


def test_reports_tell_the_same_story_as_the_books(begin: Callable[..., Any]) -> None:
    play = begin("09:05")
    names = [play.new("diamond", "2100-0001-01", isin, "buy", 300, play.world.exchange.listings[isin].last) for isin in ISINS]
    play.to("15:31")
    for name in names:
        reports, order = play.reports(name), play.order(name)
        cumulative = 0
        for report in reports:
            cumulative += int(report.get("LastQty", 0))
            assert int(report["CumQty"]) == cumulative
            assert int(report["LeavesQty"]) in (0, 300 - cumulative)
        assert cumulative == order.executed
