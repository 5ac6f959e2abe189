"""Execution reports and cancel rejects as FIX JSON, in each broker's dialect (FIX 4.2 and 4.4). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from service.sandbox.orders import Fill, Order
from service.sandbox.profiles import Profile

Message = dict[str, dict[str, object]]

_NUMBERS = ("OrderQty", "Price", "LastQty", "LastPx", "LeavesQty", "CumQty", "AvgPx")
_NAMES_42 = {"LastQty": "LastShares", "SecurityIDSource": "IDSource"}
_TRANSACTIONS_42 = {"F": "0", "H": "1", "G": "2"}


def utc(moment: datetime) -> str:
    """UTCTimestamp with milliseconds."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def average(order: Order) -> str:
    executed = order.executed
    if not executed:
        return "0"
    price = (Decimal(order.value) / executed).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return f"{price:f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes one broker's messages; `receiver` is the firm's order identity."""

    profile: Profile
    receiver: str

    def execution(
        self, order: Order, now: datetime, *, exec_id: str, exec_type: str, status: str, cl_ord_id: str = "",
        orig: str = "", fill: Fill | None = None, extra: Mapping[str, str] | None = None, leaves: int | None = None,
    ) -> Message:  # fmt: skip
        """An ExecutionReport (8) with the order's present quantities."""
        name = cl_ord_id or order.last_id
        body = {
            "OrderID": str(order.order_no),
            **({"ClOrdID": name} if name else {}),
            **({"OrigClOrdID": orig} if orig else {}),
            "ExecID": exec_id,
            "ExecType": exec_type,
            "OrdStatus": status,
            "Account": order.account,
            "SecurityID": order.instrument.isin,
            "SecurityIDSource": "4",
            "Symbol": order.symbol,
            "Side": "1" if order.side == "buy" else "2",
            "OrderQty": str(order.ordered),
            **({"Price": str(order.price)} if order.price is not None else {}),
            **({"LastQty": str(fill.quantity), "LastPx": str(fill.price)} if fill else {}),
            "LeavesQty": str(order.leaves if leaves is None else leaves),
            "CumQty": str(order.executed),
            "AvgPx": average(order),
            "TransactTime": utc(now),
            **(extra or {}),
        }
        return self._message("8", body, now)

    def cancel_reject(self, body: dict[str, str], now: datetime) -> Message:
        """An OrderCancelReject (9)."""
        return self._message("9", {**body, "TransactTime": utc(now)}, now)

    def _message(self, kind: str, body: dict[str, str], now: datetime) -> Message:
        header: dict[str, object] = {
            "BeginString": "FIX.4.4", "MsgType": kind, "SenderCompID": self.profile.name,
            "TargetCompID": self.receiver, "SendingTime": utc(now),
        }  # fmt: skip
        if self.profile.fix_dialect == "numbers":
            return {"Header": header, "Body": {name: _number(name, value) for name, value in body.items()}}
        if self.profile.fix_dialect == "fix42":
            header["BeginString"] = "FIX.4.2"
            return {"Header": header, "Body": _as_42(body) if kind == "8" else dict(body), "Trailer": {}}
        return {"Header": header, "Body": dict(body), "Trailer": {}}


def _number(name: str, value: str) -> object:
    return Decimal(value) if name in _NUMBERS else value


def _as_42(body: dict[str, str]) -> dict[str, object]:
    """FIX 4.2: a trade, its cancellation (H) and correction (G) all say 1 or 2; ExecTransType alone tells them apart."""
    renamed: dict[str, object] = {_NAMES_42.get(name, name): value for name, value in body.items()}
    if body["ExecType"] in _TRANSACTIONS_42:
        renamed["ExecType"] = "2" if body["LeavesQty"] == "0" else "1"
    return {**renamed, "ExecTransType": _TRANSACTIONS_42.get(body["ExecType"], "0")}
