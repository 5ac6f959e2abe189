"""An order on its way out: the words it is said in, the request, and the outcomes of a send."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from service.core.secret import AccountNumber


class Side(StrEnum):
    BUY = "buy"  # 매수
    SELL = "sell"  # 매도


class OrderType(StrEnum):
    LIMIT = "limit"  # 지정가
    MARKET = "market"  # 시장가


class TimeInForce(StrEnum):
    DAY = "day"
    IOC = "ioc"
    FOK = "fok"


class Session(StrEnum):
    PRE_CLOSE = "pre_close"  # 장전 시간외종가
    REGULAR = "regular"  # 정규장, both auctions included
    POST_CLOSE = "post_close"  # 장후 시간외종가
    AFTER_MARKET = "after_market"  # 애프터마켓


class RequestKind(StrEnum):
    NEW = "new"
    AMENDMENT = "amendment"
    CANCELLATION = "cancellation"


@dataclass(frozen=True)
class OrderMessage:
    """One request to the order endpoint. Quantities in shares, price in won; `quantity` is the FIX total."""

    kind: RequestKind
    broker: str  # company code
    account: AccountNumber
    cl_ord_id: str
    orig_cl_ord_id: str | None  # of the last request of this order that was not refused
    broker_order_number: str | None
    isin: str
    short_code: str
    side: Side
    quantity: int
    executed_quantity: int  # what we know; a profile that means "remaining" by OrderQty needs it
    order_type: OrderType
    price: Decimal | None
    time_in_force: TimeInForce
    session: Session
    transact_time: datetime  # business clock


@dataclass(frozen=True)
class Accepted:
    """The platform took the JSON. This is no acknowledgement of the order."""

    platform_request_id: str | None
    raw: bytes


@dataclass(frozen=True)
class Refused:
    """Definitely not an order: refused by the platform or behind it, by a code of the table."""

    code: str  # "3012", "401", …
    reason: str
    raw: bytes


@dataclass(frozen=True)
class NotSent:
    """No byte of the request was written; the same ClOrdID may go out again."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """Anything else. Never sent again by itself, never shown as rejected."""

    reason: str
    raw: bytes = b""


SendOutcome: TypeAlias = Accepted | Refused | NotSent | Unknown
