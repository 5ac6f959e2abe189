"""What becomes of an order: outcomes, amends, cancels, sessions, in each broker's manner of speaking."""

from collections.abc import Callable
from typing import Any

import pytest

ELECTRONICS, HALTED, FUND, ADMIN = "KR7930010004", "KR7930070008", "KR7930200001", "KR7930130000"
CYBER, DIAMOND, STAR = "99100010001", "2100-0001-01", "0010203001"
WHO = [("cyber", CYBER), ("diamond", DIAMOND), ("star", STAR)]


def open_market(play: Any, clock: str = "09:30") -> None:
    play.to(clock)
    play.quote(ELECTRONICS, (71_000, 100), (71_100, 100))


def test_a_marketable_order_trades_at_the_resting_price(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 40, 71_500)
    assert [(fill.quantity, fill.price) for fill in play.order(name).fills] == [(40, 71_100)]
    assert play.steps(name) == [("A", "A"), ("0", "0"), ("F", "2")]


def test_a_partial_fill_leaves_the_rest_in_the_book(play: Any) -> None:
    open_market(play)
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 140, 71_100)
    order = play.order(name)
    assert (order.executed, order.leaves) == (100, 40)
    play.through(ELECTRONICS, 71_100, 15)
    assert (order.executed, order.leaves) == (115, 25)
    assert play.steps(name) == [("0", "0"), ("F", "1"), ("F", "1")]


def test_the_terse_broker_skips_new_when_it_trades_at_once_and_speaks_42(play: Any) -> None:
    open_market(play)
    name = play.new("star", STAR, ELECTRONICS, "buy", 140, 71_100)
    (report,) = play.reports(name)
    assert (report["ExecType"], report["ExecTransType"], report["LastShares"]) == ("1", "0", "100")
    assert "LastQty" not in report
    resting = play.new("star", STAR, ELECTRONICS, "buy", 1, 70_000)
    assert play.steps(resting) == [("0", "0")]


def test_one_brokers_quantities_are_json_numbers(play: Any) -> None:
    open_market(play)
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 1, 70_000)
    assert not isinstance(play.reports(name)[0]["OrderQty"], str)


@pytest.mark.parametrize(
    ("tif", "quantity", "executed", "steps"),
    [("3", 140, 100, [("0", "0"), ("F", "1"), ("4", "4")]), ("4", 140, 0, [("0", "0"), ("4", "4")]),
     ("4", 100, 100, [("0", "0"), ("F", "2")]), ("3", 100, 100, [("0", "0"), ("F", "2")])],
)  # fmt: skip
def test_ioc_and_fok_end_as_canceled_never_expired(
    play: Any, tif: str, quantity: int, executed: int, steps: list[tuple[str, str]]
) -> None:
    open_market(play)
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", quantity, 71_100, tif=tif)
    order = play.order(name)
    assert (order.executed, order.leaves, order.cancelled) == (executed, 0, quantity - executed)
    assert play.steps(name) == steps
    assert "OrigClOrdID" not in play.reports(name)[-1]


def test_a_market_order_sweeps_and_its_rest_stands_at_the_last_price(play: Any) -> None:
    open_market(play)
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 130, None)
    (resting,) = [one for one in play.world.exchange.books[ELECTRONICS, "regular"].bids if one.ref == name]
    assert (play.order(name).executed, resting.price, resting.quantity) == (100, 71_100, 30)
    assert "Price" not in play.reports(name)[0]


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [({"price": 71_050}, "99", "호가단위"), ({"price": 92_600}, "99", "상하한가"), ({"price": 49_800}, "99", "상하한가"),
     ({"quantity": 900_000}, "3", "주문가능금액"), ({"side": "sell", "quantity": 900_000}, "3", "매도가능수량"),
     ({"isin": HALTED, "price": 4_310}, "0", "거래정지"), ({"account": "99100010005"}, "0", "일임계약"),
     ({"session": "after_market"}, "2", "장종료"), ({"session": "post_close"}, "2", "장종료")],
)  # fmt: skip
def test_broker_rejects_by_report(play: Any, changes: dict[str, Any], reason: str, text: str) -> None:
    open_market(play)
    asked = {"account": CYBER, "isin": ELECTRONICS, "side": "buy", "quantity": 10, "price": 71_000, **changes}
    name = play.new("cyber", **asked)
    report = play.reports(name)[-1]
    assert (report["ExecType"], report["OrdStatus"], report["OrdRejReason"], report["LeavesQty"]) == ("8", "8", reason, "0")
    assert text in report["Text"]


def test_a_rejection_on_request_is_used_up(play: Any) -> None:
    from service.sandbox.broker import OrderedRejection

    open_market(play)
    play.world.brokers["cyber"].rejections.append(OrderedRejection(CYBER, None, 1, "위험종목"))
    first, second = (play.new("cyber", CYBER, ELECTRONICS, "buy", 1, 70_000) for _ in range(2))
    assert play.reports(first)[-1]["Text"] == "위험종목"
    assert play.steps(second)[-1] == ("0", "0")


@pytest.mark.parametrize("kind", ["D", "F", "G"])
def test_a_client_id_is_taken_once(play: Any, kind: str) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    play.send(kind, "cyber", CYBER, ELECTRONICS, "buy", 5, 70_900, cl_ord_id=name, orig=name)
    report = play.reports(name)[-1]
    if kind == "D":
        assert (report["ExecType"], report["OrdStatus"], report["OrdRejReason"]) == ("8", "0", "6")
        assert (report["OrderQty"], report["LeavesQty"]) == ("10", "10")
    else:
        assert (report["MsgType"], report["CxlRejReason"], report["OrdStatus"]) == ("9", "6", "0")
    assert play.order(name).leaves == 10


@pytest.mark.parametrize(("broker", "account"), WHO)
def test_cancel(play: Any, broker: str, account: str) -> None:
    open_market(play)
    name = play.new(broker, account, ELECTRONICS, "buy", 10, 70_900)
    cancel = play.send("F", broker, account, ELECTRONICS, "buy", 10, None, orig=name)
    report = play.reports(cancel)[-1]
    assert (report["ExecType"], report["OrdStatus"], report["OrigClOrdID"]) == ("4", "4", name)
    assert play.steps(cancel)[0][0] == ("6" if broker == "cyber" else "4")
    assert play.order(name).cancelled == 10
    late = play.send("F", broker, account, ELECTRONICS, "buy", 10, None, orig=cancel)
    reject = play.reports(late)[-1]
    assert (reject["MsgType"], reject["CxlRejReason"], reject["OrdStatus"]) == ("9", "0", "4")


def test_cancel_of_an_unknown_order(play: Any) -> None:
    open_market(play)
    name = play.send("F", "cyber", CYBER, ELECTRONICS, "buy", 10, None, orig="20261123NEVER")
    report = play.reports(name)[-1]
    assert (report["OrderID"], report["OrdStatus"], report["CxlRejReason"]) == ("NONE", "8", "1")


def test_an_order_is_also_found_by_the_brokers_number(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    number = "000" + str(play.order(name).order_no)
    cancel = play.send("F", "cyber", CYBER, ELECTRONICS, "buy", 10, None, orig="20261123LOST", order_id=number)
    assert play.steps(cancel)[-1] == ("4", "4")


@pytest.mark.parametrize(("broker", "account"), WHO)
def test_a_price_amend_moves_all_that_remains_and_may_trade_at_once(play: Any, broker: str, account: str) -> None:
    open_market(play)
    name = play.new(broker, account, ELECTRONICS, "buy", 10, 70_900)
    play.through(ELECTRONICS, 70_900, 4)
    quantity = 6 if broker == "diamond" else 10
    amend = play.send("G", broker, account, ELECTRONICS, "buy", quantity, 71_100, orig=name)
    order = play.order(name)
    assert (order.ordered, order.executed, order.status) == (10, 10, "2")
    kinds = [step[0] for step in play.steps(amend)]
    assert kinds == {"cyber": ["E", "5", "F"], "diamond": ["5", "F"], "star": ["5", "2"]}[broker]
    replaced = play.reports(amend)[kinds.index("5")]
    assert (str(replaced["OrderQty"]), str(replaced["LeavesQty"]), str(replaced["CumQty"])) == ("10", "6", "4")


def test_amending_numbers_an_order_anew_or_not(play: Any) -> None:
    open_market(play)
    for broker, account, numbers in (("cyber", CYBER, 3), ("star", STAR, 3), ("diamond", DIAMOND, 1)):
        name = play.new(broker, account, ELECTRONICS, "buy", 10, 70_900)
        amend = play.send("G", broker, account, ELECTRONICS, "buy", 10, 70_800, orig=name)
        play.send("F", broker, account, ELECTRONICS, "buy", 10, None, orig=amend)
        assert len(play.order(name).rows) == numbers
        ids = {str(report["OrderID"]) for report in play.reports() if report["SenderCompID"] == broker}
        assert len(ids) == numbers


@pytest.mark.parametrize(("broker", "account", "asked"), [("cyber", CYBER, 7), ("star", STAR, 7), ("diamond", DIAMOND, 3)])
def test_a_quantity_amend_means_the_total_or_what_remains(play: Any, broker: str, account: str, asked: int) -> None:
    open_market(play)
    name = play.new(broker, account, ELECTRONICS, "buy", 10, 70_900)
    play.through(ELECTRONICS, 70_900, 4)
    play.send("G", broker, account, ELECTRONICS, "buy", asked, 70_900, orig=name)
    order = play.order(name)
    assert (order.ordered, order.executed, order.leaves) == (7, 4, 3)
    assert sum(one.quantity for one in play.world.exchange.books[ELECTRONICS, "regular"].bids if one.ref == name) == 3


@pytest.mark.parametrize(("quantity", "price"), [(11, 70_900), (9, 70_800), (10, 70_900), (10, 70_850), (0, 70_900), (10, None)])
def test_amends_that_are_refused_leave_the_order_alone(play: Any, quantity: int, price: int | None) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    amend = play.send("G", "cyber", CYBER, ELECTRONICS, "buy", quantity, price, orig=name)
    report = play.reports(amend)[-1]
    assert (report["MsgType"], report["CxlRejResponseTo"], report["OrdStatus"]) == ("9", "2", "0")
    assert (play.order(name).leaves, play.order(name).price) == (10, 70_900)
    # The refused id is not part of the chain: the next request refers to the first again.
    cancel = play.send("F", "cyber", CYBER, ELECTRONICS, "buy", 10, None, orig=name)
    assert play.steps(cancel)[-1] == ("4", "4")


def test_replace_at_or_below_what_is_executed_is_accepted_and_ends_the_order(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    play.through(ELECTRONICS, 70_900, 4)
    amend = play.send("G", "cyber", CYBER, ELECTRONICS, "buy", 3, 70_900, orig=name)
    report = play.reports(amend)[-1]
    assert (report["ExecType"], report["OrdStatus"], report["OrderQty"], report["LeavesQty"]) == ("5", "2", "4", "0")


def test_pending_reports_carry_the_old_quantities_and_fills_the_old_id(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    play.world.brokers["cyber"].held = []
    amend = play.send("G", "cyber", CYBER, ELECTRONICS, "buy", 6, 70_900, orig=name)
    pending = play.reports(amend)[-1]
    assert (pending["ExecType"], pending["OrderQty"], pending["LeavesQty"]) == ("E", "10", "10")
    play.through(ELECTRONICS, 70_900, 10)
    fill = play.reports(name)[-1]
    assert (fill["ExecType"], fill["OrdStatus"], fill["LeavesQty"], fill["OrderQty"]) == ("F", "E", "0", "10")
    again = play.send("F", "cyber", CYBER, ELECTRONICS, "buy", 10, None, orig=name)
    assert play.reports(again)[-1]["CxlRejReason"] == "3"
    play.world.brokers["cyber"].release()
    done = play.reports(amend)[-1]
    assert (done["ExecType"], done["OrdStatus"], done["OrderQty"]) == ("5", "2", "10")


def test_a_fill_that_overtakes_a_cancel_makes_it_too_late(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, 70_900)
    play.world.brokers["cyber"].held = []
    cancel = play.send("F", "cyber", CYBER, ELECTRONICS, "buy", 10, None, orig=name)
    play.through(ELECTRONICS, 70_900, 10)
    assert play.reports(name)[-1]["OrdStatus"] == "6"
    play.world.brokers["cyber"].release()
    reject = play.reports(cancel)[-1]
    assert (reject["MsgType"], reject["CxlRejReason"], reject["OrdStatus"]) == ("9", "0", "2")


@pytest.mark.parametrize(("broker", "account", "last"), [
    ("cyber", CYBER, ("C", "C")), ("diamond", DIAMOND, ("0", "0")), ("star", STAR, ("3", "3")),
])  # fmt: skip
def test_each_brokers_end_of_session(play: Any, broker: str, account: str, last: tuple[str, str]) -> None:
    open_market(play)
    name = play.new(broker, account, ELECTRONICS, "buy", 10, 60_000)
    play.to("15:30")
    order = play.order(name)
    assert (order.leaves, order.cancelled) == (0, 10)
    assert play.steps(name)[-1] == last
    late = play.send("F", broker, account, ELECTRONICS, "buy", 10, None, orig=name)
    assert play.reports(late)[-1]["CxlRejReason"] == "0"


def test_orders_gather_in_the_opening_auction_and_trade_at_one_price(play: Any) -> None:
    play.to("08:45")
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 10, 92_500)
    killed = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 10, 71_000, tif="3")
    assert play.steps(name) == [("0", "0")]
    assert play.steps(killed)[-1] == ("8", "8")
    play.to("09:00")
    (fill,) = play.order(name).fills
    assert fill.quantity == 10
    assert fill.price < 92_500, "at the auction's price, not at the order's"
    anchor = play.world.exchange.books[ELECTRONICS, "regular"].anchor
    assert abs(fill.price - anchor) <= 200


def test_market_order_in_the_closing_auction(play: Any) -> None:
    play.to("15:25")
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 5, None)
    assert play.order(name).executed == 0
    play.to("15:30")
    assert [fill.price for fill in play.order(name).fills] == [play.world.exchange.listings[ELECTRONICS].last]


def test_pre_close_trades_at_the_last_close_only_and_dies_at_0840(play: Any) -> None:
    play.to("08:31")
    base = play.world.exchange.listings[ELECTRONICS].base
    off = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, base + 100, session="pre_close")
    assert play.steps(off)[-1] == ("8", "8")
    play.quote(ELECTRONICS, None, (base, 4), session="pre_close")
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 10, base, session="pre_close")
    assert [(fill.quantity, fill.price) for fill in play.order(name).fills] == [(4, base)]
    play.to("08:40")
    assert play.steps(name)[-1] == ("C", "C")
    assert play.steps(play.new("cyber", CYBER, ELECTRONICS, "buy", 1, base, session="pre_close"))[-1] == ("8", "8")


def test_post_close_gathers_from_1530_and_trades_from_1540_at_the_close(play: Any) -> None:
    play.to("15:31")
    close = play.world.exchange.listings[ELECTRONICS].last
    name = play.new("diamond", DIAMOND, ELECTRONICS, "buy", 3, close)
    assert play.order(name).session == "post_close"
    play.through(ELECTRONICS, close, 3, session="post_close")
    assert [(fill.quantity, fill.price) for fill in play.order(name).fills] == [(3, close)]


def test_after_market_is_limit_only_without_funds_and_ends_at_2000(play: Any) -> None:
    play.to("16:30")
    for isin, price in ((FUND, 35_980), (ADMIN, 1_385), (ELECTRONICS, None)):
        assert play.steps(play.new("diamond", DIAMOND, isin, "buy", 1, price))[-1] == ("8", "8")
    name = play.new("star", STAR, ELECTRONICS, "buy", 1, 60_000)
    assert play.order(name).session == "after_market"
    play.to("20:00")
    assert play.steps(name)[-1] == ("3", "3")
    assert play.steps(play.new("star", STAR, ELECTRONICS, "buy", 1, 60_000))[-1] == ("8", "8")


def test_passive_orders_at_the_touch_fill_over_a_day_in_parts(begin: Callable[..., Any]) -> None:
    play = begin("09:05")
    names = []
    for isin, listing in list(play.world.exchange.listings.items())[:6]:
        bid = play.world.exchange.books[isin, "regular"].bids[0].price
        quantity = max(2, 20_000_000 // listing.last)
        names.append(play.new("diamond", DIAMOND, isin, "buy", quantity, bid))
    play.to("15:30")
    fills = [len(play.order(name).fills) for name in names]
    assert sum(1 for count in fills if count) >= 3, "orders at the touch trade"
    assert max(fills) >= 2, "and not always at once"


def test_numbers_restart_every_day_and_settlement_moves_the_cash(play: Any) -> None:
    open_market(play)
    name = play.new("cyber", CYBER, ELECTRONICS, "buy", 100, 71_100)
    account = play.world.brokers["cyber"].accounts[CYBER]
    before = account.deposit
    d0, _, d2 = account.ladder(play.world.now.date())
    assert d0 == before
    cost = 7_110_000 + 7_110_000 * 150 // 1_000_000 // 10 * 10
    pending = [one for one in account.settlements if not one.settled and one.isin == ELECTRONICS and one.side == "buy"]
    assert sum(-one.cash for one in pending if one.business_date == play.world.now.date()) == cost
    play.to("09:30", "2026-11-24")
    again = play.new("cyber", CYBER, ELECTRONICS, "buy", 1, 60_000)
    assert play.order(again).order_no == play.order(name).order_no == 1
    play.to("09:30", "2026-11-25")
    assert account.deposit == d2, "T+2 from 23 November is the 25th"


def test_year_end_trades_settle_in_january_at_the_new_years_rate(begin: Callable[..., Any]) -> None:
    play = begin("09:30", "2025-12-29")
    account = play.world.brokers["star"].accounts[STAR]
    isin = next(isin for isin, one in account.holdings.items() if play.world.exchange.listings[isin].instrument.market
                == "kospi" and not play.world.exchange.listings[isin].instrument.fund and isin != HALTED)  # fmt: skip
    price = play.world.exchange.listings[isin].lower
    play.new("star", STAR, isin, "sell", 2, price)
    settlement = account.settlements[-1]
    assert settlement.settle_date.isoformat() == "2026-01-02"
    by_fill = sum(piece.quantity * piece.price * 50 // 100_000 for piece in settlement.pieces)
    assert settlement.costs.transaction == by_fill > 0, "the rate of 2026: in 2025 it was zero"


@pytest.mark.parametrize("base", ["day", "order", "fill"])
def test_costs_are_worked_out_on_the_brokers_base(play: Any, base: str) -> None:
    from datetime import date

    from service.sandbox.account import Piece, Settlement
    from service.sandbox.profiles import PROFILES

    profile = next(one for one in PROFILES if one.cost_base == base)
    pieces = [Piece("a", 1, 1_399), Piece("a", 1, 1_399), Piece("b", 1, 1_399)]
    settlement = Settlement(date(2026, 11, 23), ELECTRONICS, "sell", date(2026, 11, 25))
    for piece in pieces:
        settlement.change(profile, piece, 1)
    found = settlement.costs
    assert (found.transaction, found.rural) == {"day": (2, 6), "order": (1, 6), "fill": (0, 6)}[base]


def test_live_orders_hold_back_cash_and_shares(play: Any) -> None:
    play.to("09:30")
    broker, account = play.world.brokers["cyber"], play.world.brokers["cyber"].accounts[CYBER]
    isin, holding = next(iter(account.holdings.items()))
    price, free = play.world.exchange.listings[isin].lower, broker.free_cash(account)
    buy = play.new("cyber", CYBER, isin, "buy", 10, price)
    sell = play.new("cyber", CYBER, isin, "sell", holding.quantity, play.world.exchange.listings[isin].upper)
    assert (play.order(buy).leaves, play.order(sell).leaves) == (10, holding.quantity)
    assert broker.free_cash(account) < free - 10 * price
    assert broker.free_quantity(account, isin) == 0
    assert play.steps(play.new("cyber", CYBER, isin, "sell", 1, play.world.exchange.listings[isin].upper))[-1] == ("8", "8")
    play.send("F", "cyber", CYBER, isin, "buy", 10, None, orig=buy)
    assert broker.free_cash(account) == free
