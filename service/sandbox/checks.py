"""What a broker refuses, in a stated order: the first reason that holds is the one reported. Pure."""

from dataclasses import dataclass

from service.sandbox import rules
from service.sandbox.calendar import Day
from service.sandbox.exchange import FIXED_PRICE, Listing, after_market

SESSIONS = {"1": "pre_close", "2": "regular", "3": "after_market", "4": "post_close"}
"""TradingSessionID (336) of an order; absent means the session of the clock."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """OrdRejReason (103) and the broker's words."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A new order as asked for, with what is at stake: `need` in won, `free_cash` in won, `free_quantity` in shares."""

    side: str
    quantity: int
    price: int | None
    order_type: str
    tif: str
    session: str
    listing: Listing | None
    session_open: bool
    matching: bool
    contract: str
    need: int
    free_cash: int
    free_quantity: int


def refuse(asked: Asked) -> Refusal | None:
    for check in (_contract, _instrument, _session, _type, _price, _funds):
        refusal = check(asked)
        if refusal:
            return refusal
    return None


def _contract(asked: Asked) -> Refusal | None:
    return None if asked.contract == "0" else Refusal("0", "일임계약이 유효하지 않은 계좌입니다")


def _instrument(asked: Asked) -> Refusal | None:
    if asked.listing is None:
        return Refusal("1", "종목코드 오류")
    if asked.listing.halted:
        return Refusal("0", "거래정지 종목입니다")
    if asked.session == "after_market" and not after_market(asked.listing.instrument):
        return Refusal("11", "애프터마켓 거래불가 종목입니다")
    return None


def _session(asked: Asked) -> Refusal | None:
    return None if asked.session_open else Refusal("2", "장종료 또는 주문접수 시간이 아닙니다")


def _type(asked: Asked) -> Refusal | None:
    if asked.order_type == "1" and asked.session == "after_market":
        return Refusal("11", "애프터마켓은 지정가만 가능합니다")
    if asked.tif != "0" and (asked.session in FIXED_PRICE or not asked.matching):
        return Refusal("11", "IOC/FOK 주문이 불가한 시간입니다")
    return None


def _price(asked: Asked) -> Refusal | None:
    return price_refusal(asked.listing, asked.session, asked.price) if asked.listing else None


def price_refusal(listing: Listing, session: str, price: int | None) -> Refusal | None:
    """Off hours the price is the closing price; elsewhere it must stand on a tick and inside the day's limits."""
    if price is None:
        return None
    if session in FIXED_PRICE:
        fixed = listing.base if session == "pre_close" else listing.last
        return None if price == fixed else Refusal("99", f"시간외종가는 {fixed}원만 가능합니다")
    if not rules.on_tick(price, fund=listing.instrument.fund):
        return Refusal("99", "호가단위 오류")
    if not listing.lower <= price <= listing.upper:
        return Refusal("99", f"상하한가 범위 초과 ({listing.lower}~{listing.upper})")
    return None


def _funds(asked: Asked) -> Refusal | None:
    if asked.side == "buy" and asked.need > asked.free_cash:
        return Refusal("3", "주문가능금액 부족")
    if asked.side == "sell" and asked.quantity > asked.free_quantity:
        return Refusal("3", "매도가능수량 부족")
    return None


def session_at(day: Day | None, clock: str) -> str:
    """The session an order without TradingSessionID belongs to; `clock` is HH:MM of the Korean day."""
    if day is None or clock < day.regular.close.strftime("%H:%M"):
        return "regular"
    return "post_close" if clock < day.after_market.entry.strftime("%H:%M") else "after_market"
