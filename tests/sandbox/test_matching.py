"""Price-time priority and the call auction, on books small enough to check by eye."""

from hypothesis import given
from hypothesis import strategies as st

from service.sandbox import matching
from service.sandbox.matching import Book, Trade


def book(*orders: tuple[str, str, int, int]) -> Book:
    one = Book("KR7930010004", 1_000, 1_000)
    for ref, side, price, quantity in orders:
        one = matching.rest(one, side, price, quantity, ref)
    return one


def test_the_better_price_goes_first_then_the_earlier_order() -> None:
    one = book(("late", "sell", 1_010, 5), ("dear", "sell", 1_020, 5), ("best", "sell", 1_000, 5), ("later", "sell", 1_010, 5))
    one, trades, left = matching.take(one, "buy", 1_010, 12, "me")
    assert trades == [Trade(1_000, 5, "me", "best"), Trade(1_010, 5, "me", "late"), Trade(1_010, 2, "me", "later")]
    assert left == 0
    assert [(order.ref, order.quantity) for order in one.asks] == [("later", 3), ("dear", 5)]


def test_a_limit_is_never_crossed() -> None:
    one, trades, left = matching.take(book(("a", "sell", 1_010, 5)), "buy", 1_009, 5, "me")
    assert (trades, left) == ([], 5)
    assert len(one.asks) == 1


def test_a_lower_quantity_keeps_its_place_and_a_new_price_does_not() -> None:
    one = matching.reduce(book(("a", "buy", 1_000, 9), ("b", "buy", 1_000, 9)), "buy", "a", 4)
    assert [order.ref for order in one.bids] == ["a", "b"]
    again = matching.rest(matching.withdraw(one, "buy", "a"), "buy", 1_000, 4, "a")
    assert [order.ref for order in again.bids] == ["b", "a"]


def test_auction_has_one_price_with_the_largest_volume() -> None:
    one = book(("b1", "buy", 1_020, 10), ("b2", "buy", 1_010, 10), ("s1", "sell", 1_000, 8), ("s2", "sell", 1_010, 7))
    one, trades = matching.uncross(one, 1_000)
    assert {trade.price for trade in trades} == {1_010}
    assert sum(trade.quantity for trade in trades) == 15
    assert [(order.ref, order.quantity) for order in one.bids] == [("b2", 5)]


def test_market_orders_lead_the_auction() -> None:
    one = matching.rest(book(("limit", "buy", 1_300, 5), ("s", "sell", 1_000, 5)), "buy", 1_300, 5, "market", market=True)
    _, trades = matching.uncross(one, 1_000)
    assert [trade.buy for trade in trades] == ["market"]


@given(st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(990, 1_010), st.integers(1, 50)), max_size=40))
def test_no_flow_of_orders_leaves_a_crossed_book_or_loses_a_share(flow: list[tuple[str, int, int]]) -> None:
    one, asked, traded = book(), 0, 0
    for place, (side, price, quantity) in enumerate(flow):
        one, trades, left = matching.take(one, side, price, quantity, str(place))
        one = matching.rest(one, side, price, left, str(place)) if left else one
        asked += quantity
        traded += 2 * sum(trade.quantity for trade in trades)
    assert traded + sum(order.quantity for order in (*one.bids, *one.asks)) == asked
    if one.bids and one.asks:
        assert one.bids[0].price < one.asks[0].price
