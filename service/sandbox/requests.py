"""The gateway's reading of an order request: FIX JSON in, a `Request` or a named refusal out. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.sandbox.checks import SESSIONS
from service.sandbox.errors import Refused

KINDS = {"new": "D", "replace": "G", "cancel": "F"}
_WHOLE = re.compile(r"^[0-9]{1,12}(\.0{1,8})?$")
_ID = re.compile(r"^[\x21-\x7e]{1,20}$")
_REQUIRED = {
    "D": ("ClOrdID", "Account", "SecurityID", "SecurityIDSource", "Symbol", "Side", "OrderQty", "OrdType",
          "TimeInForce", "TransactTime"),
    "G": ("ClOrdID", "OrigClOrdID", "Account", "SecurityID", "Symbol", "Side", "OrderQty", "OrdType", "TransactTime"),
    "F": ("ClOrdID", "OrigClOrdID", "Account", "SecurityID", "Symbol", "Side", "OrderQty", "TransactTime"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A new order (D), amend (G) or cancel (F). Quantity in shares, price in won; `session` empty: by the clock."""

    kind: str
    broker: str
    sender: str
    cl_ord_id: str
    orig: str
    order_id: str
    account: str
    isin: str
    symbol: str
    side: str
    quantity: int
    price: int | None
    order_type: str
    tif: str
    session: str


def read(path: str, document: object) -> Request:
    """Raise `Refused` with the platform's code for whatever the gateway itself would not pass on."""
    header, body = _parts(document)
    kind = KINDS[path]
    if _text(header, "MsgType") != kind:
        raise Refused(400, 400, f"MsgType {_text(header, 'MsgType')!r} does not belong to order/{path}")
    for name in ("SenderCompID", "TargetCompID"):
        _required(header, name)
    for name in _REQUIRED[kind]:
        _required(body, name)
    return _request(kind, header, body)


def peek(document: object) -> tuple[str, str, str]:
    """(ClOrdID, Account, TargetCompID) as far as they can be read: for counting and for aiming faults."""
    if not isinstance(document, dict):
        return "", "", ""
    header, body = document.get("Header"), document.get("Body")
    header = header if isinstance(header, dict) else {}
    body = body if isinstance(body, dict) else {}
    return _text(body, "ClOrdID"), _text(body, "Account"), _text(header, "TargetCompID")


def _parts(document: object) -> tuple[Mapping[str, object], Mapping[str, object]]:
    if not isinstance(document, dict):
        raise Refused(400, 400, "one order per request: lists are not supported")
    header, body = document.get("Header"), document.get("Body")
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise Refused(400, 400, "Header and Body must be objects")
    if any(isinstance(value, list | dict) for value in body.values()):
        raise Refused(400, 400, "list orders and groups are not supported")
    return header, body


def _request(kind: str, header: Mapping[str, object], body: Mapping[str, object]) -> Request:
    cl_ord_id = _text(body, "ClOrdID")
    if not _ID.match(cl_ord_id):
        raise Refused(400, 400, "ClOrdID: at most 20 ASCII characters")
    session = _text(body, "TradingSessionID")
    if session and session not in SESSIONS:
        raise Refused(500, 7000, f"잘못된 요청 [TradingSessionID {session}]")
    order_type = _text(body, "OrdType")
    return Request(
        kind=kind, broker=_text(header, "TargetCompID"), sender=_text(header, "SenderCompID"), cl_ord_id=cl_ord_id,
        orig=_text(body, "OrigClOrdID"), order_id=_text(body, "OrderID"), account=_text(body, "Account"),
        isin=_text(body, "SecurityID"), symbol=_text(body, "Symbol"), side=_side(body),
        quantity=_quantity(kind, body), price=_price(kind, order_type, session, body), order_type=order_type,
        tif=_tif(kind, body), session=SESSIONS.get(session, ""),
    )  # fmt: skip


def _side(body: Mapping[str, object]) -> str:
    side = {"1": "buy", "2": "sell"}.get(_text(body, "Side"))
    if side is None:
        raise Refused(500, 6008, "매매구분 오류")
    return side


def _quantity(kind: str, body: Mapping[str, object]) -> int:
    quantity = _whole(body, "OrderQty")
    if quantity <= 0 and kind == "D":
        raise Refused(400, 400, "OrderQty must be positive")
    return quantity


def _price(kind: str, order_type: str, session: str, body: Mapping[str, object]) -> int | None:
    if kind == "F":
        return None
    if order_type not in ("1", "2"):
        raise Refused(500, 7000, f"잘못된 요청 [OrdType {order_type}]")
    if order_type == "1":
        return None
    if not _text(body, "Price") and session in ("1", "4"):
        return None
    _required(body, "Price")
    return _whole(body, "Price")


def _tif(kind: str, body: Mapping[str, object]) -> str:
    tif = _text(body, "TimeInForce") or "0"
    if kind == "D" and tif not in ("0", "3", "4"):
        raise Refused(500, 7000, f"잘못된 요청 [TimeInForce {tif}]")
    return tif


def _whole(body: Mapping[str, object], name: str) -> int:
    text = _text(body, name)
    if not _WHOLE.match(text):
        raise Refused(400, 400, f"{name}: not a whole number")
    return int(text.partition(".")[0])


def _required(part: Mapping[str, object], name: str) -> None:
    if not _text(part, name):
        raise Refused(400, 3003, f"필수항목 누락 [{name}]")


def _text(part: Mapping[str, object], name: str) -> str:
    value = part.get(name)
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)
