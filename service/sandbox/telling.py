"""How one broker tells the platform what happened: execution reports and refused changes, with ids of their own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service.sandbox.orders import REJECTED, Fill, Order
from service.sandbox.reports import Message, Writer
from service.sandbox.requests import Request


@dataclass(slots=True)
class Teller:
    """Counts what it numbers; says nothing that the order does not show."""

    writer: Writer
    emit: Callable[[Message], None]
    executions: int = 0
    reports: int = 0

    def fill(self, order: Order, quantity: int, price: int, now: datetime) -> Fill:
        """The next execution of `order`, numbered the broker's way; its ExecID ends in its number."""
        self.executions += 1
        profile = self.writer.profile
        if profile.exec_no != "per_order":
            return Fill(quantity, price, now, self.executions, order.order_no, f"{now:%Y%m%d}{profile.code}E{self.executions}")
        number = 1 + sum(fill.order_no == order.order_no for fill in (*order.fills, *order.busted))
        return Fill(quantity, price, now, number, order.order_no, f"{now:%Y%m%d}{order.order_no:010d}{number:03d}")

    def correction(self, fill: Fill, quantity: int, price: int, now: datetime) -> Fill:
        """The same execution under a new ExecID: the next correction or cancellation refers to this one."""
        return replace(fill, quantity=quantity, price=price, exec_id=self._next_id(now))

    def report(
        self, order: Order, exec_type: str, status: str, now: datetime, *, cl_ord_id: str = "", orig: str = "",
        fill: Fill | None = None, extra: dict[str, str] | None = None, leaves: int | None = None,
    ) -> None:  # fmt: skip
        message = self.writer.execution(
            order, now, exec_id=fill.exec_id if fill else self._next_id(now), exec_type=exec_type, status=status,
            cl_ord_id=cl_ord_id, orig=orig, fill=fill, extra=extra, leaves=leaves,
        )  # fmt: skip
        self.emit(message)

    def refuse_change(self, request: Request, order: Order | None, reason: str, text: str, now: datetime) -> None:
        """An OrderCancelReject; of an order nobody knows it says NONE."""
        number, status = (str(order.order_no), order.shown_status) if order else ("NONE", REJECTED)
        answer = {
            "OrderID": number, "OrdStatus": status, "ClOrdID": request.cl_ord_id, "OrigClOrdID": request.orig,
            "Account": request.account, "CxlRejResponseTo": "2" if request.kind == "G" else "1",
            "CxlRejReason": reason, "Text": text,
        }  # fmt: skip
        self.emit(self.writer.cancel_reject(answer, now))

    def _next_id(self, now: datetime) -> str:
        self.reports += 1
        return f"{now:%Y%m%d}{self.writer.profile.code}R{self.reports}"
