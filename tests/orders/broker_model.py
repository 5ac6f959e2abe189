"""A broker in eighty lines, written from the standard and not from the service: what it says of an order, and what is true.

It keeps a list of what holds and says the strongest by its own table; the service's fold is compared with it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from service.executions.plain import Told
from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind
from service.orders.model import Request, RequestState

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
STRONGEST = "6E3B2794C10A8"
KINDS = {"6": RequestKind.CANCELLATION, "E": RequestKind.AMENDMENT}


@dataclass
class Broker:
    """One order as the sell side has it. `numbers`: what it prints as ExecID: real ones, zeros, or none."""

    quantity: int
    numbers: str = "real"
    life: str = "A"
    fills: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)  # (ClOrdID, 6 or E, quantity), unanswered
    pending: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    said: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._request("X", RequestKind.NEW, self.quantity)

    # --- what is true

    @property
    def executed(self) -> int:
        return sum(quantity for quantity, _ in self.fills.values())

    @property
    def leaves(self) -> int:
        return 0 if self.ended else max(self.quantity - self.executed, 0)

    @property
    def ended(self) -> bool:
        return self.life in "4C83"

    @property
    def status(self) -> str:
        holds = {self.life}
        if self.executed:
            holds.add("2" if self.executed >= self.quantity else "1")
        if self.life not in "4C8":
            holds |= {kind for name, kind, _ in self.asked if name in self.pending}
        return min(holds, key=STRONGEST.index)

    # --- what happens; False when it cannot happen now

    def acknowledge(self, _n: int) -> bool:
        return self.life == "A" and self._live() and self._say("0")

    def fill(self, n: int) -> bool:
        room = self.quantity - self.executed
        if room <= 0 or self.life == "8":
            return False
        if self.life == "A":
            self.life = "0"  # the execution overtakes the acknowledgement, which never comes
        quantity, price = min(1 + n % 40, room), Decimal(70_000 + n % 3)
        name = f"E{len(self.said) + 1}"
        self.fills[name] = (quantity, price)
        return self._say("F", last_quantity=quantity, last_price=price)

    def bust(self, n: int) -> bool:
        name = self._some_fill(n)
        if name is None:
            return False
        del self.fills[name]
        return self._say("H", exec_ref_id=name, last_quantity=0)

    def correct(self, n: int) -> bool:
        name = self._some_fill(n)
        if name is None:
            return False
        quantity, price = self.fills.pop(name)
        better = max(1, min(quantity + n % 5 - 2, self.quantity - self.executed)), price + n % 2
        self.fills[f"E{len(self.said) + 1}"] = better
        return self._say("G", exec_ref_id=name, last_quantity=better[0], last_price=better[1])

    def ask_cancel(self, _n: int) -> bool:
        return self._ask("6", self.quantity)

    def ask_amend(self, n: int) -> bool:
        return self._ask("E", 1 + n % 150)

    def take_up(self, n: int) -> bool:
        waiting = [one for one in self.asked if one[0] not in self.pending]
        if not waiting or self.life not in "0":
            return False
        name, kind, _ = waiting[0]
        self.pending.add(name)
        return self._say(kind, cl_ord_id=name)

    def grant(self, _n: int) -> bool:
        if not self.asked or self.life not in "0":
            return False
        name, kind, quantity = self.asked.pop(0)
        if kind == "E":
            self.quantity = max(quantity, self.executed)
            return self._say("5", cl_ord_id=name)
        self.life, self.asked = "4", []
        return self._say("4", cl_ord_id=name)

    def refuse(self, _n: int) -> bool:
        if not self.asked or self.life == "A":
            return False
        name, kind, _ = self.asked.pop(0)
        body = CancelReject(self.status, "1001", name, "X", KINDS[kind], "0", None, None)
        return self._tell(body)

    def suspend(self, _n: int) -> bool:
        return self.life == "0" and self.leaves > 0 and self._become("9")

    def resume(self, _n: int) -> bool:
        return self.life == "9" and self._live() and self._say("D")

    def expire(self, _n: int) -> bool:
        return self.life in "09" and self.leaves > 0 and self._become("C")

    def kill(self, _n: int) -> bool:
        return self.life in "A09" and self.leaves > 0 and self._become("4")

    def close_day(self, _n: int) -> bool:
        return self.life in "0" and not self.asked and self._become("3")

    def reject(self, _n: int) -> bool:
        traded = any(isinstance(one.report, ExecutionReport) and one.report.exec_type is ExecType.TRADE for one in self.said)
        return self.life in "A0" and not traded and not self.asked and self._become("8")

    def answer(self, _n: int) -> bool:
        return self.life != "8" and self._say("I")

    # --- how it is said

    def _ask(self, kind: str, quantity: int) -> bool:
        if self.ended or self.life == "A" or len(self.asked) > 1:
            return False
        name = f"Y{len(self.requests)}"
        self.asked.append((name, kind, quantity))
        self._request(name, KINDS[kind], quantity)
        return True

    def _request(self, name: str, kind: RequestKind, quantity: int) -> None:
        number = len(self.requests)
        self.requests.append(
            Request(
                id=UUID(int=number), order_id=UUID(int=0), kind=kind, number=number, cl_ord_id=name, orig_cl_ord_id=None,
                quantity=quantity, price=None, state=RequestState.SENT, reason=None, user_id=None, send_by=T0, queued_at=T0,
                sent_at=T0,
            )
        )  # fmt: skip

    def _some_fill(self, n: int) -> str | None:
        return sorted(self.fills)[n % len(self.fills)] if self.fills and self.numbers == "real" else None

    def _live(self) -> bool:
        self.life = "0"
        return True

    def _become(self, life: str) -> bool:
        self.life = life
        if self.ended:
            self.asked = []
        return self._say(life)

    def _say(self, exec_type: str, **more: Any) -> bool:
        number = {"real": f"E{len(self.said) + 1}", "zero": "0", "none": None}[self.numbers]
        body: dict[str, Any] = {
            "exec_type": ExecType(exec_type), "ord_status": self.status, "order_id": "1001", "cl_ord_id": "X",
            "orig_cl_ord_id": None, "exec_id": number, "exec_ref_id": None, "account": None, "isin": None, "short_code": None,
            "side": None, "order_quantity": self.quantity, "price": None, "last_quantity": None, "last_price": None,
            "leaves_quantity": self.leaves, "cumulative_quantity": self.executed,
            "transact_time": T0 + timedelta(seconds=len(self.said)), "reject_reason": None, "restatement_reason": None,
            "text": None, "sender": None,
        }  # fmt: skip
        return self._tell(ExecutionReport(**(body | more)))

    def _tell(self, report: ExecutionReport | CancelReject) -> bool:
        place = len(self.said) + 1
        self.said.append(Told(place, UUID(int=place), report))
        return True


ACTS = (
    "acknowledge", "fill", "fill", "fill", "bust", "correct", "ask_cancel", "ask_amend", "take_up", "grant", "refuse", "suspend",
    "resume", "expire", "kill", "close_day", "reject", "answer",
)  # fmt: skip
