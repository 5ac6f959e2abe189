"""How a broker's cash rows become a ladder, and how both sides are compared."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.accounts.model import Cash, Holding
from service.accounts.rules import Difference, differences, document_of, ladder_of, opening_of, unsettled_of
from service.core.ids import uuid7
from service.core.money import Won
from service.core.secret import AccountNumber
from service.gateway import CashRow, InstrumentRef, SettlementRow, Side
from tests.accounts.books import SAMSUNG
from tests.accounts.platform import balance, cash_row, holding_row

HYNIX = "KR7000660001"


@pytest.mark.parametrize(
    ("rows", "ladder"),
    [
        ((cash_row(100, 0), cash_row(60, 1), cash_row(20, 2)), (100, 60, 20)),
        ((cash_row(100, 0), cash_row(180, 2)), (100, 100, 180)),  # sold yesterday: the proceeds may be ordered with
        ((cash_row(100, 0),), (100, 100, 100)),
        ((cash_row(100),), (100, 100, 100)),
        ((cash_row(100, margin=30),), (100, 70, 70)),  # a single row: its margin belongs to unsettled buys
        ((cash_row(100, margin=-30),), (100, 70, 70)),  # whichever sign it has
        ((cash_row(100), cash_row(100)), (100, 100, 100)),  # the same cash, once for each asset type
        ((cash_row(100, 0), cash_row(90, 0)), (90, 90, 90)),  # repeats that differ: the smaller
        ((cash_row(100, 0), cash_row(7_000, currency="USD")), (100, 100, 100)),
        ((replace(cash_row(100), receivable=Decimal(30)),), (100, 100, 70)),  # 미수: what is owed cannot be spent again
        ((cash_row(100, 0), replace(cash_row(80, 2), receivable=Decimal(-30))), (100, 50, 50)),  # whichever sign says so
        ((replace(cash_row(100, 0), receivable=Decimal(30)), replace(cash_row(80, 2), receivable=Decimal(30))), (100, 50, 50)),
        ((cash_row(100, 0), replace(cash_row(7, currency="USD"), receivable=Decimal(30))), (100, 100, 100)),
        ((), (0, 0, 0)),
    ],
)
def test_the_cash_ladder(rows: tuple[CashRow, ...], ladder: tuple[int, int, int]) -> None:
    read = ladder_of(document_of([balance("1", rows)], [], None))
    assert (read.today, read.next, read.last) == ladder


def test_a_single_row_is_climbed_by_what_will_settle() -> None:
    """Sold for 50 the day before yesterday, bought for 80 yesterday: today's cash alone would lend the buyer 80."""
    coming = [(date(2026, 11, 24), 50), (date(2026, 11, 25), -80)]
    read = ladder_of(document_of([balance("1", (cash_row(100),))], [], None, coming))
    assert (read.today, read.next, read.last) == (100, 150, 70)


@pytest.mark.parametrize(("side", "won", "brings"), [(Side.BUY, 80, -80), (Side.BUY, -80, -80), (Side.SELL, 80, 80)])
def test_p33_a_purchase_takes_money_whichever_sign_its_amount_has(side: Side, won: int, brings: int) -> None:
    settles = date(2026, 11, 25)
    row = SettlementRow(AccountNumber("1"), side, InstrumentRef(SAMSUNG, None, None), 1, Decimal(won), settles, None, ())
    assert unsettled_of([row], date(2026, 11, 23)) == [(settles, brings)]


@pytest.mark.parametrize(("side", "settles_on"), [(None, date(2026, 11, 25)), (Side.BUY, None)])
def test_p17_a_settlement_that_does_not_say_when_or_which_way_tells_nothing(side: Side | None, settles_on: date | None) -> None:
    row = SettlementRow(AccountNumber("1"), side, InstrumentRef(SAMSUNG, None, None), 1, Decimal(80), settles_on, None, ())
    assert unsettled_of([row], date(2026, 11, 23)) is None


def test_rows_of_one_instrument_are_added_up_and_short_codes_resolved() -> None:
    rows = [holding_row(3, SAMSUNG, cost=30), holding_row(4, None, "005930", cost=40), holding_row(-1, HYNIX)]
    opening = opening_of(document_of([balance("1", (), *rows)], [], None), {"005930": SAMSUNG})
    assert [(one.isin, one.quantity, one.cost) for one in opening.holdings] == [(SAMSUNG, 7, 70)]
    assert opening.unresolved == (f"{HYNIX} -1",)


def test_p22_a_difference_covers_the_union_of_both_sides() -> None:
    day, account = date(2026, 11, 23), uuid7()
    ours = [Holding(account, isin, day, quantity, 0, 0, 0, Won(0), Won(0)) for isin, quantity in ((SAMSUNG, 5), ("KR_OURS", 1))]
    cash = Cash(account, day, Won(100), Won(100), Won(100), Won(30), Won(0), Won(2), Won(0))
    document = document_of([balance("1", (cash_row(100),), holding_row(5, SAMSUNG), holding_row(2, HYNIX))], [], None)
    assert differences(cash, ours, document, {}) == [
        Difference(HYNIX, 0, 2),
        Difference("KR_OURS", 1, 0),
        Difference("cash_after_settlement", 68, 100),
    ]


@given(st.lists(st.integers(0, 10**12), min_size=7, max_size=7))
def test_p34_no_view_of_cash_spends_a_won_twice(won: list[int]) -> None:
    opening, deposit, following, bought, sold, costs, reserved = (Won(one) for one in won)
    cash = Cash(uuid7(), date(2026, 11, 23), opening, deposit, following, bought, sold, costs, reserved)
    assert cash.orderable == opening - bought + sold - costs - reserved
    assert 0 <= cash.withdrawable <= max(deposit, 0)
    assert cash.withdrawable == 0 or cash.withdrawable <= cash.orderable
