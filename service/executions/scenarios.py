"""Order state scenarios as a file: what the buy side sent, what came back, row by row.

The format is that of the published FIX order state change matrices written as JSON: `{"scenarios": [{"id", "steps": [{"time",
"branch", "crosses", "received", "sent"}]}]}`; *received* is what we send (the matrices are written from the sell side),
*sent* what comes back. Numbers may be missing; FIX 4.2 spellings are understood. A malformed file raises `Malformed`, which
names scenario, step and field.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind

Json = Mapping[str, Any]

BY_TRANSACTION = {"1": ExecType.TRADE_CANCEL, "2": ExecType.TRADE_CORRECT, "3": ExecType.ORDER_STATUS}  # FIX 4.2
FILLS_OF_42 = ("1", "2")  # ExecType of a partial and of a full fill
ORD_STATUSES = frozenset("0123456789ABCDE")
RESPONSES = {"1": RequestKind.CANCELLATION, "2": RequestKind.AMENDMENT}
REQUESTS = {"D": RequestKind.NEW, "F": RequestKind.CANCELLATION, "G": RequestKind.AMENDMENT}
STATUS_REQUEST = "H"
NAMES = {
    "NewOrderSingle": "D", "OrderCancelRequest": "F", "OrderCancelReplaceRequest": "G", "OrderStatusRequest": "H",
    "ExecutionReport": "8", "OrderCancelReject": "9",
}  # fmt: skip
NOMINAL = Decimal(1)  # an execution whose price is not printed is an execution all the same


class Malformed(ValueError):
    """The file cannot be read as scenarios."""


@dataclass(frozen=True)
class Request:
    """What we send. `kind` is None for a status request."""

    kind: RequestKind | None
    cl_ord_id: str
    orig_cl_ord_id: str | None
    quantity: int | None
    price: Decimal | None


@dataclass(frozen=True)
class Step:
    time: str
    branch: str
    crosses: bool
    request: Request | None
    report: ExecutionReport | CancelReject | None
    priced: bool  # whether the report's price was printed

    @property
    def forks(self) -> bool:
        """An either-or: the rows after it go on as if it had not happened."""
        return self.branch != "main"


@dataclass(frozen=True)
class Scenario:
    id: str
    steps: tuple[Step, ...]


def read_scenarios(text: str, *, fix42: bool = False) -> list[Scenario]:
    """Every scenario of a file. `fix42`: read the FIX 4.2 rendering of each report where the file has both."""
    try:
        document = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from error
    if isinstance(document, dict):
        document = document.get("scenarios", [document] if "steps" in document else None)
    if not isinstance(document, list):
        raise Malformed("field scenarios: a list is needed")
    return [_scenario(one, i + 1, fix42) for i, one in enumerate(document)]


def _scenario(raw: Any, number: int, fix42: bool) -> Scenario:
    place = f"scenario {number}"
    if not isinstance(raw, dict):
        raise Malformed(f"{place}: an object is needed")
    name = raw.get("id", number)
    place = f"scenario {name}"
    steps = raw.get("steps")
    if not isinstance(steps, list):
        raise Malformed(f"{place}, field steps: a list is needed")
    return Scenario(str(name), tuple(_Row(one, f"{place}, step {i + 1}", i + 1).step(fix42) for i, one in enumerate(steps)))


class _Row:
    """One step, while it is read."""

    def __init__(self, raw: Any, place: str, number: int) -> None:
        self.place, self.number = place, number
        if not isinstance(raw, dict):
            raise Malformed(f"{place}: an object is needed")
        self.raw: Json = raw

    def step(self, fix42: bool) -> Step:
        received, sent = self._part("received"), self._part("sent")
        crosses = self.raw.get("crosses") or False
        if not isinstance(crosses, bool):
            raise Malformed(f"{self.place}, field crosses: true or false is needed")
        return Step(
            time=str(self.raw.get("time", self.number)),
            branch=str(self.raw.get("branch") or "main"),
            crosses=crosses,
            request=None if received is None else self._request(received),
            report=None if sent is None else self._report(sent, fix42),
            priced=sent is not None and self._decimal(sent, "sent", "LastPx") is not None,
        )

    def _part(self, side: str) -> Json | None:
        part = self.raw.get(side)
        if part is None or isinstance(part, dict):
            return part
        raise Malformed(f"{self.place}, field {side}: an object or null is needed")

    def _request(self, raw: Json) -> Request | None:
        kind = self._type(raw)
        if raw.get("MsgType") is None and raw.get("ClOrdID") is None:
            return None  # a word on the telephone: nothing was sent
        if kind not in (*REQUESTS, STATUS_REQUEST):
            raise Malformed(f"{self.place}, field received.MsgType: one of D, F, G, H is needed, not {kind}")
        name = self._text(raw, "received", "ClOrdID")
        if name is None:
            raise Malformed(f"{self.place}, field received.ClOrdID: missing")
        try:
            price = self._decimal(raw, "received", "Price")
        except Malformed:
            price = None  # the matrices print words where only the change matters
        orig = self._text(raw, "received", "OrigClOrdID")
        return Request(REQUESTS.get(kind), name, orig, self._whole(raw, "received", "OrderQty"), price)

    def _report(self, raw: Json, fix42: bool) -> ExecutionReport | CancelReject:
        kind = self._type(raw) or ("9" if "CxlRejResponseTo" in raw else "8")
        if kind not in ("8", "9"):
            raise Malformed(f"{self.place}, field sent.MsgType: 8 or 9 is needed, not {kind}")
        status = self._text(raw, "sent", "OrdStatus")
        if status not in ORD_STATUSES:
            raise Malformed(f"{self.place}, field sent.OrdStatus: a FIX code is needed, not {status}")
        return self._execution(raw, status, fix42) if kind == "8" else self._reject(raw, status)

    def _reject(self, raw: Json, status: str) -> CancelReject:
        to = self._text(raw, "sent", "CxlRejResponseTo")
        order_id = self._text(raw, "sent", "OrderID")
        return CancelReject(
            ord_status=status,
            order_id=None if order_id is None or order_id.upper() == "NONE" else order_id,
            cl_ord_id=self._text(raw, "sent", "ClOrdID"),
            orig_cl_ord_id=self._text(raw, "sent", "OrigClOrdID"),
            response_to=RESPONSES.get(to or "", RequestKind.CANCELLATION),
            reason=self._text(raw, "sent", "CxlRejReason"),
            text=self._text(raw, "sent", "Text"),
            sender=None,
        )

    def _execution(self, raw: Json, status: str, fix42: bool) -> ExecutionReport:
        kind = self._exec_type(raw, fix42)
        last = self._whole(raw, "sent", "LastQty")
        executes = kind in (ExecType.TRADE, ExecType.TRADE_CORRECT)
        return ExecutionReport(
            exec_type=kind,
            ord_status=status,
            order_id=self._text(raw, "sent", "OrderID"),
            cl_ord_id=self._text(raw, "sent", "ClOrdID"),
            orig_cl_ord_id=self._text(raw, "sent", "OrigClOrdID"),
            exec_id=self._text(raw, "sent", "ExecID") or f"row-{self.number}",  # null: not printed
            exec_ref_id=self._text(raw, "sent", "ExecRefID"),
            account=None,
            isin=None,
            short_code=None,
            side=None,
            order_quantity=self._whole(raw, "sent", "OrderQty"),
            price=self._decimal(raw, "sent", "Price"),
            last_quantity=self._whole(raw, "sent", "LastShares") if last is None else last,
            last_price=self._decimal(raw, "sent", "LastPx") or (NOMINAL if executes else None),
            leaves_quantity=self._whole(raw, "sent", "LeavesQty"),
            cumulative_quantity=self._whole(raw, "sent", "CumQty"),
            transact_time=None,
            reject_reason=self._text(raw, "sent", "OrdRejReason"),
            restatement_reason=self._text(raw, "sent", "ExecRestatementReason"),
            text=self._text(raw, "sent", "Text"),
            sender=None,
        )

    def _exec_type(self, raw: Json, fix42: bool) -> ExecType:
        rendering = raw.get("fix42")
        old = isinstance(rendering, dict) and (fix42 or raw.get("ExecType") is None)
        source: Json = rendering if old and isinstance(rendering, dict) else raw
        field = "sent.fix42.ExecType" if old else "sent.ExecType"
        transaction = self._text(source, "sent", "ExecTransType")
        if transaction in BY_TRANSACTION:
            return BY_TRANSACTION[transaction]
        said = self._text(source, "sent", "ExecType")
        if said in FILLS_OF_42:
            return ExecType.TRADE
        try:
            return ExecType(said or "")
        except ValueError as error:
            raise Malformed(f"{self.place}, field {field}: a FIX code is needed, not {said}") from error

    def _type(self, raw: Json) -> str | None:
        said = raw.get("MsgType") or NAMES.get(str(raw.get("msg")), raw.get("msg"))
        return None if said is None else str(said)

    def _text(self, raw: Json, side: str, name: str) -> str | None:
        said = raw.get(name)
        if said is None or isinstance(said, str):
            return said or None
        if isinstance(said, int) and not isinstance(said, bool):
            return str(said)
        raise Malformed(f"{self.place}, field {side}.{name}: a text is needed, not {said!r}")

    def _whole(self, raw: Json, side: str, name: str) -> int | None:
        said = self._decimal(raw, side, name)
        if said is None:
            return None
        if said != said.to_integral_value() or said < 0:
            raise Malformed(f"{self.place}, field {side}.{name}: a whole number of shares is needed, not {said}")
        return int(said)

    def _decimal(self, raw: Json, side: str, name: str) -> Decimal | None:
        said = raw.get(name)
        if said is None:
            return None
        try:
            number = Decimal(said) if isinstance(said, int | str | Decimal) and not isinstance(said, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite():
            raise Malformed(f"{self.place}, field {side}.{name}: a number is needed, not {said!r}")
        return number
