"""What open orders hold back: cash and shares that may not be spent twice. Whole won, whole shares. Pure."""

from collections.abc import Iterable
from datetime import date

from service.sandbox.account import Account, cost_of
from service.sandbox.calendar import settlement_day
from service.sandbox.exchange import FIXED_PRICE, Listing
from service.sandbox.orders import Order
from service.sandbox.profiles import Profile


def reserve_price(order: Order, listing: Listing) -> int:
    """A market order reserves at the upper limit, an off-hours order at the closing price."""
    if order.session in FIXED_PRICE:
        return listing.base if order.session == "pre_close" else listing.last
    return listing.upper if order.price is None else order.price


def with_commission(profile: Profile, isin: str, amount: int, day: date) -> int:
    return amount + cost_of(profile, isin, "buy", amount, settlement_day(day)).total


def free_cash(profile: Profile, live: Iterable[Order], account: Account, day: date) -> int:
    """What may still be spent: everything under way counted, the account's live purchases taken off."""
    reserved = 0
    for order in live:
        if order.side == "buy":
            amount = order.leaves * order.reserve_price
            if order.reserved[0] != amount:  # kept with the order: every new one asks for the sum of all
                order.reserved = (amount, with_commission(profile, order.instrument.isin, amount, day))
            reserved += order.reserved[1]
    return account.expected_cash() - reserved


def free_quantity(live: Iterable[Order], account: Account, isin: str) -> int:
    selling = sum(order.leaves for order in live if order.side == "sell" and order.instrument.isin == isin)
    return account.quantity(isin) - selling
