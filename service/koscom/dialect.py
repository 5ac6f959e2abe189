"""The order dialect: what the contract's PDF would say, as one module with one table of names.

The body specification of orders and reports is not public. Everything we chose stands here: a licensed firm that has
the specification adapts this file and no other. Reading is tolerant (numbers for strings, missing Header or Trailer,
FIX 4.2 names and codes); a report that cannot be understood is `Unreadable`, never an exception and never a guess.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from service.core.clock import KST
from service.core.money import plain
from service.core.secret import AccountNumber
from service.gateway import (
    BrokerProfile,
    CancelReject,
    ExecType,
    ExecutionReport,
    OrderMessage,
    OrderType,
    RawReport,
    Report,
    RequestKind,
    Session,
    Side,
    TimeInForce,
    Unreadable,
)
from service.koscom.wire import FIRST_YEAR, Json, WireError, absent, decimal, dump, need_text, parse_object, text, whole

BEGIN_STRING = "FIX.4.4"
ISIN_SOURCE = "4"
UNKNOWN_ORDER = "NONE"

# Meaning → names on the wire: we write the first and read any. The second names are FIX 4.2's.
NAMES: dict[str, tuple[str, ...]] = {
    "begin": ("BeginString",),
    "message": ("MsgType",),
    "sender": ("SenderCompID",),
    "target": ("TargetCompID",),
    "duplicate": ("PossDupFlag",),
    "cl_ord_id": ("ClOrdID",),
    "orig_cl_ord_id": ("OrigClOrdID",),
    "order_id": ("OrderID",),
    "account": ("Account",),
    "security_id": ("SecurityID",),
    "id_source": ("SecurityIDSource", "IDSource"),
    "symbol": ("Symbol",),
    "venue": ("SecurityExchange",),
    "side": ("Side",),
    "quantity": ("OrderQty",),
    "order_type": ("OrdType",),
    "price": ("Price",),
    "time_in_force": ("TimeInForce",),
    "session": ("TradingSessionID",),
    "transact_time": ("TransactTime",),
    "exec_id": ("ExecID",),
    "exec_ref_id": ("ExecRefID",),
    "exec_type": ("ExecType",),
    "exec_trans_type": ("ExecTransType",),
    "ord_status": ("OrdStatus",),
    "order_reject": ("OrdRejReason",),
    "cancel_reject": ("CxlRejReason",),
    "response_to": ("CxlRejResponseTo",),
    "restatement": ("ExecRestatementReason",),
    "last_quantity": ("LastQty", "LastShares"),
    "last_price": ("LastPx",),
    "leaves": ("LeavesQty",),
    "cumulative": ("CumQty",),
    "text": ("Text",),
}

MESSAGES = {RequestKind.NEW: "D", RequestKind.CANCELLATION: "F", RequestKind.AMENDMENT: "G"}
PATHS = {RequestKind.NEW: "new", RequestKind.CANCELLATION: "cancel", RequestKind.AMENDMENT: "replace"}
SIDES = {Side.BUY: "1", Side.SELL: "2"}  # the reverse of the inquiries' sellBuyType
ORDER_TYPES = {OrderType.MARKET: "1", OrderType.LIMIT: "2"}
TIMES_IN_FORCE = {TimeInForce.DAY: "0", TimeInForce.IOC: "3", TimeInForce.FOK: "4"}
SESSIONS = {Session.PRE_CLOSE: "1", Session.REGULAR: "2", Session.AFTER_MARKET: "3", Session.POST_CLOSE: "4"}

EXECUTION_REPORT, CANCEL_REJECT = "8", "9"
BY_TRANSACTION = {"1": ExecType.TRADE_CANCEL, "2": ExecType.TRADE_CORRECT, "3": ExecType.ORDER_STATUS}  # FIX 4.2
PARTIAL_OR_FULL = {"1", "2"}  # FIX 4.2: how much is read from the quantities
ORD_STATUSES = set("0123456789ABCDE")
RESPONSES = {"1": RequestKind.CANCELLATION, "2": RequestKind.AMENDMENT}


# --- requests -------------------------------------------------------------------------------------------------------


def request_body(message: OrderMessage, profile: BrokerProfile, *, sender: str, venue: str) -> bytes:
    """The JSON of one order request: strings with FIX wire values, unset fields left out."""
    header = {
        "begin": BEGIN_STRING,
        "message": MESSAGES[message.kind],
        "sender": sender,
        "target": profile.short_name,
    }
    body = _common(message, profile, venue)
    if message.kind is not RequestKind.CANCELLATION:
        body |= _terms(message, profile)
    return dump({"Header": _named(header), "Body": _named(body), "Trailer": {}})


def _common(message: OrderMessage, profile: BrokerProfile, venue: str) -> dict[str, str | None]:
    return {
        "cl_ord_id": message.cl_ord_id,
        "orig_cl_ord_id": message.orig_cl_ord_id,
        "order_id": message.broker_order_number,
        "account": message.account.reveal(),
        "security_id": message.isin,
        "id_source": ISIN_SOURCE,
        "symbol": message.short_code,
        "venue": venue,
        "side": SIDES[message.side],
        "quantity": str(_quantity(message, profile)),
        "session": SESSIONS[message.session],
        "transact_time": fix_time(message.transact_time),
    }


def _terms(message: OrderMessage, profile: BrokerProfile) -> dict[str, str | None]:
    limit = message.order_type is OrderType.LIMIT and message.price is not None
    return {
        "order_type": profile.order_type_codes.get(message.order_type, ORDER_TYPES[message.order_type]),
        "price": plain(message.price) if limit and message.price is not None else None,
        "time_in_force": TIMES_IN_FORCE[message.time_in_force],
    }


def _quantity(message: OrderMessage, profile: BrokerProfile) -> int:
    """FIX means the total by OrderQty; a broker whose profile says so wants what remains of it in an amendment."""
    if message.kind is RequestKind.AMENDMENT and profile.order_qty == "remaining":
        return message.quantity - message.executed_quantity
    return message.quantity


def _named(values: dict[str, Any]) -> Json:
    return {NAMES[meaning][0]: value for meaning, value in values.items() if value is not None}


def fix_time(moment: datetime) -> str:
    """UTC with milliseconds: 20261124-00:00:00.000."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y%m%d-%H:%M:%S}.{utc.microsecond // 1000:03d}"


# --- reports --------------------------------------------------------------------------------------------------------


def read_report(raw: RawReport) -> Report:
    """A report by meaning. Pure: the same bytes give the same value."""
    message: Json = {}
    try:
        message = parse_object(raw.body)
        header, body = _parts(message)
        reader = _READERS.get(_message_type(header, body))
        if reader is None:
            return _unreadable("unknown MsgType", message)
        return reader(header, body, raw.possible_duplicate or is_duplicate(header))
    except WireError as error:
        return _unreadable(str(error), message)


def _unreadable(reason: str, message: Json) -> Unreadable:
    """Who wrote it, and about which request, as far as that can be read."""
    header, body = message.get("Header"), message.get("Body", message)
    return Unreadable(reason, _text_if_any(header, "sender"), _text_if_any(body, "cl_ord_id"))


def _text_if_any(block: object, meaning: str) -> str | None:
    try:
        return _text(block, meaning) if isinstance(block, dict) else None
    except WireError:
        return None


def is_duplicate(header: Json) -> bool:
    return str(header.get(NAMES["duplicate"][0], "")).strip().upper() in {"Y", "TRUE"}


def looks_resent(body: bytes) -> bool:
    """Whether a raw body says that it was sent before; False where it cannot be read."""
    try:
        return is_duplicate(_parts(parse_object(body))[0])
    except WireError:
        return False


def _parts(message: Json) -> tuple[Json, Json]:
    """Header and Body. Without either block the object itself is taken as the body."""
    header = message.get("Header")
    header = {} if absent(header) else header
    flat = "Body" not in message and "Header" not in message
    body = message if flat else message.get("Body")
    if absent(body):
        raise WireError("missing-block", "Body")
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise WireError("unreadable-block", "Header or Body")
    return header, body


def _message_type(header: Json, body: Json) -> str:
    said = _text(header, "message") or _text(body, "message")
    if said is not None:
        return said
    if _text(body, "response_to") is not None:
        return CANCEL_REJECT
    return EXECUTION_REPORT if _text(body, "exec_type") is not None else ""


def _execution(header: Json, body: Json, duplicate: bool) -> ExecutionReport:
    isin, short_code = _instrument(body)
    return ExecutionReport(
        exec_type=_exec_type(body),
        ord_status=_ord_status(body),
        order_id=_order_id(body),
        cl_ord_id=_text(body, "cl_ord_id"),
        orig_cl_ord_id=_text(body, "orig_cl_ord_id"),
        exec_id=_text(body, "exec_id"),
        exec_ref_id=_text(body, "exec_ref_id"),
        account=_account(body),
        isin=isin,
        short_code=short_code,
        side=_side(body),
        order_quantity=_whole(body, "quantity"),
        price=_decimal(body, "price"),
        last_quantity=_whole(body, "last_quantity"),
        last_price=_decimal(body, "last_price"),
        leaves_quantity=_whole(body, "leaves"),
        cumulative_quantity=_whole(body, "cumulative"),
        transact_time=_transact_time(body),
        reject_reason=_text(body, "order_reject"),
        restatement_reason=_text(body, "restatement"),
        text=_text(body, "text"),
        sender=_text(header, "sender"),
        possible_duplicate=duplicate,
    )


def _cancel_reject(header: Json, body: Json, duplicate: bool) -> CancelReject:
    return CancelReject(
        ord_status=_ord_status(body),
        order_id=_order_id(body),
        cl_ord_id=_text(body, "cl_ord_id"),
        orig_cl_ord_id=_text(body, "orig_cl_ord_id"),
        response_to=_coded(body, "response_to", RESPONSES),
        reason=_text(body, "cancel_reject"),
        text=_text(body, "text"),
        sender=_text(header, "sender"),
        possible_duplicate=duplicate,
    )


_READERS: dict[str, Callable[[Json, Json, bool], ExecutionReport | CancelReject]] = {
    EXECUTION_REPORT: _execution,
    CANCEL_REJECT: _cancel_reject,
}


def _exec_type(body: Json) -> ExecType:
    """FIX 4.2 says trade, bust and correction with ExecTransType; read without it, a bust would be booked as a fill."""
    transaction = _text(body, "exec_trans_type")
    if transaction in BY_TRANSACTION:
        return BY_TRANSACTION[transaction]
    if transaction not in {None, "0"}:
        raise WireError("unknown-code", f"ExecTransType {transaction}")
    said = need_text(body, *NAMES["exec_type"])
    if said in PARTIAL_OR_FULL:
        return ExecType.TRADE
    try:
        return ExecType(said)
    except ValueError as error:
        raise WireError("unknown-code", f"ExecType {said[:8]}") from error


def _ord_status(body: Json) -> str:
    said = need_text(body, *NAMES["ord_status"])
    if said not in ORD_STATUSES:
        raise WireError("unknown-code", f"OrdStatus {said[:8]}")
    return said


def _coded(body: Json, meaning: str, codes: dict[str, Any]) -> Any:
    said = need_text(body, *NAMES[meaning])
    if said not in codes:
        raise WireError("unknown-code", f"{NAMES[meaning][0]} {said[:8]}")
    return codes[said]


def _side(body: Json) -> Side | None:
    codes = {code: side for side, code in SIDES.items()}
    return None if _text(body, "side") is None else _coded(body, "side", codes)


def _order_id(body: Json) -> str | None:
    said = _text(body, "order_id")
    return None if said is not None and said.upper() == UNKNOWN_ORDER else said


def _account(body: Json) -> AccountNumber | None:
    said = _text(body, "account")
    return None if said is None else AccountNumber(said)


def _instrument(body: Json) -> tuple[str | None, str | None]:
    """(ISIN, short code). SecurityID is an ISIN unless its source says otherwise."""
    security, symbol = _text(body, "security_id"), _text(body, "symbol")
    if _text(body, "id_source") in {None, ISIN_SOURCE}:
        return security, short_code_of(symbol)
    return None, short_code_of(symbol or security)


def short_code_of(code: str | None) -> str | None:
    """단축코드 without the leading letter: A005930 and 005930 are one issue."""
    if code is not None and len(code) == 7 and code[0].isalpha() and code.isascii():
        return code[1:]
    return code


def _transact_time(body: Json) -> datetime | None:
    """UTCTimestamp, in KST; None for a "no value" long ago. Finer than microseconds is cut off."""
    said = _text(body, "transact_time")
    if said is None:
        return None
    main, _, fraction = said.partition(".")
    try:
        if fraction and not (fraction.isascii() and fraction.isdigit()):
            raise ValueError(fraction)
        moment = datetime.strptime(main, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        micro = timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        return (moment + micro).astimezone(KST) if moment.year >= FIRST_YEAR else None
    except (ValueError, OverflowError) as error:
        raise WireError("unreadable-time", NAMES["transact_time"][0]) from error


def _text(block: Json, meaning: str) -> str | None:
    return text(block, *NAMES[meaning])


def _whole(block: Json, meaning: str) -> int | None:
    return whole(block, *NAMES[meaning])


def _decimal(block: Json, meaning: str) -> Decimal | None:
    return decimal(block, *NAMES[meaning])
