"""Pre-trade checks (주문 전 점검): one pure function over the facts; every failed check is listed, not the first.

Sources: KRX 업무규정 and 시행세칙 (tick, limits, sessions, order types); 자본시장법 §98 and 시행령 §99 (mandate, authority), §180
(no naked short). The same function runs at submission and in
`POST /v1/orders/checks`; what may change before the send is checked again at the claim (`recheck.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from service.core.clock import kst_date
from service.core.errors import Violation
from service.core.money import Won, amount, plain
from service.gateway import OrderType, Session, Side, TimeInForce
from service.market.model import Product
from service.market.rules import unlimited


@dataclass(frozen=True)
class Wish:
    """One order as asked for, by ISIN or short code. Shares and won."""

    isin: str | None
    symbol: str | None
    side: Side
    order_type: OrderType
    quantity: int
    price: Decimal | None
    time_in_force: TimeInForce
    session: Session | None


@dataclass(frozen=True)
class InstrumentFacts:
    """The instrument on the business date."""

    isin: str
    short_code: str
    product: str
    base_price: Decimal | None  # None: no master row for the day
    upper_limit: Decimal | None
    lower_limit: Decimal | None
    halted: bool
    liquidation: bool
    trading_unit: int
    after_market_eligible: bool


@dataclass(frozen=True)
class AccountFacts:
    """The account, its mandate and this manager's place in it."""

    contract_status: str
    vanished: bool
    mandate_violations: tuple[Violation, ...]
    opened_on: date | None  # the day of the opening position, none if there is none
    orderable: Won
    sellable: int


@dataclass(frozen=True)
class SessionFacts:
    """The session the order would live in. `ends` is the business time at which a remainder dies."""

    session: Session
    accepts: bool
    ends: datetime


@dataclass(frozen=True)
class Facts:
    now: datetime
    licensed: bool
    session: SessionFacts | None  # none: the market takes no orders now
    session_refusal: str
    instrument: InstrumentFacts | None
    account: AccountFacts
    tick: Decimal | None
    reserve_cash: Won
    twin_in_doubt: bool
    limits_doubt: Violation | None = None  # the supplied price limits do not follow from the base price


Check = Callable[[Wish, Facts], list[Violation]]


def _licence(_wish: Wish, facts: Facts) -> list[Violation]:
    if facts.licensed:
        return []
    return [
        Violation(
            "licence-required",
            "account_id",
            "The service has no discretionary-investment licence that is valid today (ILIM_LICENCE_NUMBER, "
            "ILIM_LICENCE_VALID_UNTIL). Ask the administrator.",
        )
    ]


def _session(wish: Wish, facts: Facts) -> list[Violation]:
    if facts.session is None or not facts.session.accepts:
        return [Violation("session-closed", "session", facts.session_refusal, actual=facts.now.isoformat())]
    found: list[Violation] = []
    if facts.session.session is not Session.REGULAR and wish.order_type is OrderType.MARKET:
        found.append(Violation("order-type-not-in-session", "order_type", "Market orders are taken in the regular session only."))
    if facts.session.session in (Session.PRE_CLOSE, Session.POST_CLOSE) and wish.time_in_force is not TimeInForce.DAY:
        found.append(
            Violation("time-in-force-not-in-session", "time_in_force", "Trading at the closing price takes day orders only.")
        )
    return found


def _instrument(_wish: Wish, facts: Facts) -> list[Violation]:
    instrument = facts.instrument
    if instrument is None:
        return [Violation("instrument-unknown", "isin", "Not in today's instrument master. Check the ISIN or short code.")]
    if instrument.base_price is None:
        return [Violation("instrument-not-current", "isin", "The master of this business date was not read yet. Synchronise it.")]
    found: list[Violation] = [] if facts.limits_doubt is None else [facts.limits_doubt]
    if instrument.halted:
        found.append(Violation("instrument-halted", "isin", "Trading of this instrument is halted (거래정지)."))
    after = facts.session is not None and facts.session.session is Session.AFTER_MARKET
    if after and not instrument.after_market_eligible:
        found.append(Violation("instrument-not-in-after-market", "isin", "Not tradable in the after-market (애프터마켓)."))
    return found


def _lot(wish: Wish, facts: Facts) -> list[Violation]:
    unit = facts.instrument.trading_unit if facts.instrument else 1
    if wish.quantity % unit == 0:
        return []
    return [Violation("quantity-not-in-lots", "quantity", "Not a multiple of the trading unit.", str(unit), str(wish.quantity))]


def price_violations(price: Decimal, instrument: InstrumentFacts, tick: Decimal | None) -> list[Violation]:
    """Tick and price limits (호가가격단위, 가격제한폭) of one price."""
    found: list[Violation] = []
    if tick is not None and price % tick:
        found.append(Violation("price-off-tick", "price", "Not a multiple of the tick at this price.", plain(tick), plain(price)))
    upper, lower = instrument.upper_limit, instrument.lower_limit
    if upper is not None and price > upper:
        found.append(Violation("price-above-limit", "price", "Above the day's upper limit.", plain(upper), plain(price)))
    if lower is not None and price < lower:
        found.append(Violation("price-below-limit", "price", "Below the day's lower limit.", plain(lower), plain(price)))
    return found


def _price(wish: Wish, facts: Facts) -> list[Violation]:
    if facts.instrument is None or facts.instrument.base_price is None:
        return []
    if wish.price is None:
        return _unpriced(wish, facts.instrument)
    return price_violations(wish.price, facts.instrument, facts.tick)


def _unpriced(wish: Wish, instrument: InstrumentFacts) -> list[Violation]:
    """A market buy is held back at the upper limit: where there is none, it may cost any multiple of what is held back."""
    free = unlimited(Product(instrument.product), liquidation=instrument.liquidation)
    if wish.side is Side.SELL or not (free or instrument.upper_limit is None):
        return []
    return [
        Violation(
            "market-buy-without-limit",
            "order_type",
            "The instrument has no upper price limit today (정리매매, ELW), so nobody knows what a market buy would cost. "
            "Give a limit order.",
        )
    ]


def _contract(_wish: Wish, facts: Facts) -> list[Violation]:
    if facts.account.contract_status == "0" and not facts.account.vanished:
        return []
    words = {"0": "no longer listed by the broker", "1": "terminated", "2": "matured"}
    said = words[facts.account.contract_status]
    return [Violation("contract-not-in-force", "account_id", f"The discretionary contract is {said}.")]


def _mandate(_wish: Wish, facts: Facts) -> list[Violation]:
    return list(facts.account.mandate_violations)


def _opening(_wish: Wish, facts: Facts) -> list[Violation]:
    if facts.account.opened_on == kst_date(facts.now):
        return []
    return [
        Violation(
            "no-opening-balance",
            "account_id",
            "No complete balance of the broker since the last close, so nobody knows what may be sold or spent. "
            "It is read until trading begins; until then an operator can ask for it. Later the account takes no orders today.",
        )
    ]


def _means(wish: Wish, facts: Facts) -> list[Violation]:
    if facts.account.opened_on != kst_date(facts.now):
        return []
    if wish.side is Side.SELL and wish.quantity > facts.account.sellable:
        return [
            Violation(
                "insufficient-holding",
                "quantity",
                "More than can be sold: held, less what other orders offer.",
                str(max(facts.account.sellable, 0)),
                str(wish.quantity),
            )
        ]
    if wish.side is Side.BUY and facts.reserve_cash > facts.account.orderable:
        return [
            Violation(
                "insufficient-cash",
                "quantity",
                "More than can be spent, commission included; a market buy counts at the upper limit.",
                str(max(facts.account.orderable, 0)),
                str(facts.reserve_cash),
            )
        ]
    return []


def _twin(_wish: Wish, facts: Facts) -> list[Violation]:
    if not facts.twin_in_doubt:
        return []
    return [
        Violation(
            "twin-in-doubt",
            "quantity",
            "An order of the same account, instrument, side and quantity has an unknown outcome. It may be live. Wait until it "
            "is resolved, or have two people allow one twin.",
        )
    ]


# The order of checks is the order of precedence: the first failed one names the problem.
CHECKS: tuple[Check, ...] = (
    _licence, _session, _instrument, _contract, _mandate, _lot, _price, _opening, _means, _twin,
)  # fmt: skip

CONFLICTS = frozenset({"twin-in-doubt", "halted", "broker-drift"})  # a state that passes, rather than a rule: answered 409


def violations(wish: Wish, facts: Facts) -> list[Violation]:
    """Every failed check, in order of precedence."""
    return [one for check in CHECKS for one in check(wish, facts)]


def worst_price(wish: Wish, instrument: InstrumentFacts) -> Decimal:
    """The price a reservation is made at: the limit, or for priceless orders the day's upper limit.

    Without any upper limit (정리매매) twice the base price stands for it in the value of a market sell: a firm's own bound,
    not the market's. A market buy is refused there.
    """
    if wish.price is not None:
        return wish.price
    return instrument.upper_limit or (instrument.base_price or Decimal(0)) * 2


def order_value(wish: Wish, instrument: InstrumentFacts) -> Won:
    """약정금액 at the worst price: what limits on order value and turnover count."""
    return amount(wish.quantity, worst_price(wish, instrument))
