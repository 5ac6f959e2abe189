"""Shapes of requests and answers about orders."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from service.core.errors import Violation
from service.core.money import MAX_QUANTITY
from service.gateway import OrderType, RequestKind, Session, Side, TimeInForce
from service.orders.checks import Wish
from service.orders.decide import Asked
from service.orders.model import RequestState, Status

PRICE_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"
CODE_PATTERN = r"^[0-9A-Z]{6,7}$"
ISIN_PATTERN = r"^[A-Z]{2}[0-9A-Z]{9}[0-9]$"
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

Price = Annotated[
    str, Field(strict=True, pattern=PRICE_PATTERN, description="won, as decimal text; never a JSON number", examples=["71500"])
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OrderIn(Strict):
    """One order."""

    account_id: UUID = Field(description="an account of one of your mandates")
    isin: str | None = Field(None, pattern=ISIN_PATTERN, description="instrument by ISIN (표준코드); or `symbol`")
    symbol: str | None = Field(None, pattern=CODE_PATTERN, description="instrument by short code (단축코드); or `isin`")
    side: Side = Field(description="buy (매수) or sell (매도)")
    order_type: OrderType = Field(description="limit (지정가) or market (시장가)")
    quantity: StrictInt = Field(description="shares, a multiple of the trading unit", json_schema_extra={"minimum": 1})
    price: Price | None = Field(None, description="limit price in won, for limit orders only")
    time_in_force: TimeInForce = Field(TimeInForce.DAY, description="day, ioc (immediate or cancel) or fok (fill or kill)")
    session: Session | None = Field(None, description="the session it lives in; by the clock when left out")
    client_order_id: str | None = Field(
        None, min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$", description="your own id, unique among your orders"
    )
    rationale: str | None = Field(
        None, max_length=2000, pattern=TEXT_PATTERN, description="why, for the order record (판단 근거)"
    )

    def violations(self) -> list[Violation]:
        """What the shape alone forbids, field by field."""
        found = quantity_violations(self.quantity)
        if (self.isin is None) == (self.symbol is None):
            found.append(Violation("instrument-required", "isin", "Give exactly one of isin and symbol."))
        if self.order_type is OrderType.LIMIT and self.price is None:
            found.append(Violation("price-required", "price", "A limit order has a price."))
        if self.order_type is OrderType.MARKET and self.price is not None:
            found.append(Violation("price-not-allowed", "price", "A market order has no price."))
        if self.price is not None and Decimal(self.price) == 0:
            found.append(Violation("price-not-positive", "price", "A price is above zero.", actual=self.price))
        return found

    def asked(self) -> Asked:
        wish = Wish(
            isin=self.isin,
            symbol=self.symbol,
            side=self.side,
            order_type=self.order_type,
            quantity=self.quantity,
            price=decimal_or_none(self.price),
            time_in_force=self.time_in_force,
            session=self.session,
        )
        return Asked(self.account_id, wish, self.client_order_id, self.rationale)


class AmendmentIn(Strict):
    """Exactly one of a new price (for the whole remainder) or a lower quantity."""

    price: Price | None = Field(None, description="new limit price in won for everything that remains")
    quantity: StrictInt | None = Field(
        None, description="new total, lower than the present one and above what has executed", json_schema_extra={"minimum": 1}
    )

    def violations(self) -> list[Violation]:
        found = quantity_violations(self.quantity) if self.quantity is not None else []
        if self.price is not None and Decimal(self.price) == 0:
            found.append(Violation("price-not-positive", "price", "A price is above zero.", actual=self.price))
        return found


class CancellationIn(Strict):
    """Nothing: a cancellation is of everything that remains."""


Reason = Annotated[str, Field(min_length=3, max_length=2000, pattern=TEXT_PATTERN, description="why, for the ledger")]


class ResolutionIn(Strict):
    """How a request in doubt shall be resolved."""

    request_id: UUID = Field(description="the request in doubt: `in_doubt.request_id`")
    conclusion: Literal["not_sent", "twin_allowed"] = Field(
        description="not_sent: it never reached the broker; twin_allowed: one more order like it may go out today"
    )
    reason: Reason


class ResolutionDecisionIn(Strict):
    """What a second person says to it."""

    decision: Literal["confirm", "decline"] = Field(description="confirm or decline")
    reason: Reason


def quantity_violations(quantity: int) -> list[Violation]:
    if quantity <= 0:
        return [Violation("quantity-not-positive", "quantity", "A quantity is one share or more.", "1", str(quantity))]
    if quantity > MAX_QUANTITY:
        return [Violation("quantity-too-large", "quantity", "More than any order can be.", str(MAX_QUANTITY), str(quantity))]
    return []


def decimal_or_none(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


class RequestOut(BaseModel):
    id: UUID = Field(description="id of the request")
    kind: RequestKind = Field(description="new, amendment or cancellation")
    cl_ord_id: str = Field(description="ClOrdID on the wire: business date and twelve characters")
    state: RequestState = Field(description="unknown never turns into anything without evidence, and nothing is sent twice")
    quantity: int = Field(description="total quantity it asks for")
    price: str | None = Field(description="price it asks for, in won")
    sent_at: datetime | None = Field(description="business time")
    answered_at: datetime | None = Field(description="business time at which its outcome was established")
    reason: str | None = Field(description="why it was refused, or what is not known")


class TriedOut(BaseModel):
    """One thing tried, as often as it had the same result."""

    what: Literal["push", "resend", "inquiry", "outcome"] = Field(
        description="push: a report was waited for; resend: asked for; inquiry: an order inquiry; outcome: what settled it"
    )
    first_at: datetime = Field(description="business time of the first; of a push, since when it was waited for")
    at: datetime = Field(description="business time of the newest")
    times: int = Field(description="how often")
    complete: bool = Field(description="an inquiry of which every page is proven")
    final: bool = Field(description="complete, and asked after the day's last session: absence counts")
    detail: str = Field(description="what came of it")
    evidence: UUID | None = Field(description="the raw message behind it")
    sha256: str | None = Field(description="digest over the digests of the inquiry's pages")


class ResolutionOut(BaseModel):
    """What one person proposed, and what another made of it."""

    id: UUID = Field(description="id of the resolution")
    conclusion: Literal["not_sent", "twin_allowed"] = Field(description="what is proposed")
    reason: str = Field(description="why")
    evidence: UUID | None = Field(description="the final complete inquiry it rests on")
    proposed_by: UUID = Field(description="the first person")
    proposed_at: datetime = Field(description="business time")
    decision: Literal["confirmed", "declined"] | None = Field(description="null while it waits for a second person")
    decided_by: UUID | None = Field(description="the second person")
    decided_at: datetime | None = Field(description="business time")
    decided_reason: str | None = Field(description="why")
    used_by: UUID | None = Field(description="the one order a permission let pass")
    overturned_at: datetime | None = Field(description="business time at which evidence of it turned up after all")


class DoubtOut(BaseModel):
    request_id: UUID = Field(description="the request whose outcome is not established")
    since: datetime = Field(description="business time")
    reason: str = Field(description="what happened to the answer, or to the acknowledgement")
    missing_evidence: str = Field(description="what would settle it, after what was tried")
    what_now: str = Field(description="what a person can do now")
    safe_to_resubmit: bool = Field(description="whether another order could not become a second one: only when proven")
    owner: Literal["worker", "person"] = Field(description="who has to go on: the worker looks, or people decide")
    next_check_at: datetime | None = Field(description="business time at which the worker looks again")
    tried: list[TriedOut] = Field(description="what was tried, in order")
    resolutions: list[ResolutionOut] = Field(description="what people proposed and decided")


class OrderOut(BaseModel):
    """An order. Quantities in shares, money as decimal text in won."""

    id: UUID = Field(description="id of the order")
    business_date: date = Field(description="KST trading day")
    account_id: UUID = Field(description="the account it trades for")
    isin: str = Field(description="표준코드")
    symbol: str = Field(description="단축코드")
    side: Side = Field(description="buy or sell")
    order_type: OrderType = Field(description="limit or market")
    quantity: int = Field(description="ordered now, after accepted amendments")
    price: str | None = Field(description="limit price now")
    time_in_force: TimeInForce = Field(description="day, ioc or fok")
    session: Session = Field(description="the session it lives in")
    client_order_id: str | None = Field(description="your own id")
    rationale: str | None = Field(description="why, for the order record")
    status: Status = Field(description="FIX terms, as the sell side sees it")
    filled_quantity: int = Field(description="sum of recorded fills")
    unaccounted_quantity: int = Field(description="executed by the broker's count, its fills not here yet")
    remaining_quantity: int = Field(description="what may still trade")
    average_price: str | None = Field(description="average price of the fills")
    broker: str = Field(description="company code")
    broker_order_number: str | None = Field(description="the broker's present number (주문번호)")
    requests: list[RequestOut] = Field(description="what was asked of the broker, in order")
    in_doubt: DoubtOut | None = Field(
        description="the earliest request whose outcome is not established, or that two people closed on absence"
    )
    manager_id: UUID | None = Field(description="who gave it; null for orders that are not ours")
    external: bool = Field(
        description="the broker shows it and this service did not send it: the client's own, or the exchange's"
    )
    needs_review: str | None = Field(
        description="why a person must look: a message about it is set aside, or an inquiry shows it otherwise; or null"
    )
    created_at: datetime = Field(description="business time")
    updated_at: datetime = Field(description="business time")
    version: int = Field(description="rises with every change")


class OrderPage(BaseModel):
    items: list[OrderOut] = Field(description="orders, newest first")
    next_cursor: str | None = Field(description="null on the last page")


class ViolationOut(BaseModel):
    code: str = Field(description="which check")
    field: str = Field(description="which field")
    message: str = Field(description="what a person reads")
    limit: str | None = Field(None, description="the figure that was not kept")
    actual: str | None = Field(None, description="the figure that came")


class ChecksOut(BaseModel):
    """What would become of the order if it were submitted now. Nothing was sent."""

    passed: bool = Field(description="whether it would be taken")
    violations: list[ViolationOut] = Field(description="every failed check")
    business_date: date = Field(description="KST day of the check")
    session: Session | None = Field(description="the session it would live in")
    value: str = Field(description="value in won at the worst price")


EXAMPLE_ORDER: dict[str, Any] = {
    "account_id": "019a9f3e-7c00-7000-8000-000000000001",
    "symbol": "005930",
    "side": "buy",
    "order_type": "limit",
    "quantity": 10,
    "price": "71500",
}
