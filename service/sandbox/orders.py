"""An order as a broker keeps it: its numbers, its chain of client ids, its fills. Whole shares, whole won."""

from dataclasses import dataclass, field
from datetime import date, datetime

from service.sandbox.exchange import FIXED_PRICE, Entry
from service.sandbox.instruments import Instrument

# FIX OrdStatus
NEW, PARTIAL, FILLED, DONE, CANCELED, PENDING_CANCEL, REJECTED = "0", "1", "2", "3", "4", "6", "8"
PENDING_NEW, EXPIRED, PENDING_REPLACE = "A", "C", "E"

STATUS_WORDS = {
    NEW: "new", PARTIAL: "partially_filled", FILLED: "filled", DONE: "done_for_day", CANCELED: "canceled",
    REJECTED: "rejected", EXPIRED: "expired",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fill:
    quantity: int
    price: int
    time: datetime
    exec_no: int
    order_no: int
    exec_id: str = ""


@dataclass(slots=True)
class Row:
    """One line of the order inquiry: the order itself, or an amend or cancel with a number of its own."""

    order_no: int
    org_order_no: int | None
    kind: str
    quantity: int
    price: int
    time: datetime
    state: str = ""
    reason: str = ""


@dataclass(slots=True, eq=False)
class Order:
    """One chain: a new order and everything done to it since."""

    account: str
    instrument: Instrument
    side: str
    ordered: int
    price: int | None
    order_type: str
    tif: str
    session: str
    business_date: date
    time: datetime
    symbol: str
    order_no: int
    cl_ord_ids: list[str]
    status: str = NEW
    leaves: int = 0
    cancelled: int = 0
    fills: list[Fill] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    reserve_price: int = 0
    reserved: tuple[int, int] = (0, 0)
    text: str = ""
    ended_by: str = ""
    placed_by: str = "service"
    name: str = ""
    pending: str = ""
    busted: list[Fill] = field(default_factory=list)
    corrected: list[Fill] = field(default_factory=list)  # as they were told first

    @property
    def ref(self) -> str:
        """The exchange's name for the order: the first client id, which no other order can have, or one of its own."""
        return self.name or self.cl_ord_ids[0]

    @property
    def trade(self) -> tuple[date, str, str]:
        """What settlement gathers by: day, ISIN, side."""
        return self.business_date, self.instrument.isin, self.side

    @property
    def last_id(self) -> str:
        """The last client id taken into the chain; empty for an order its owner placed without one."""
        return self.cl_ord_ids[-1] if self.cl_ord_ids else ""

    @property
    def shown_status(self) -> str:
        """A pending change outranks what the order is otherwise."""
        return self.pending or self.status

    @property
    def executed(self) -> int:
        return sum(fill.quantity for fill in self.fills)

    @property
    def value(self) -> int:
        return sum(fill.quantity * fill.price for fill in self.fills)

    @property
    def live(self) -> bool:
        return self.leaves > 0

    @property
    def first_no(self) -> int:
        return self.rows[0].order_no if self.rows else self.order_no

    def working_status(self) -> str:
        """The status an open or just completed order has."""
        if not self.leaves:
            return FILLED
        return PARTIAL if self.fills else NEW

    def end(self, status: str) -> None:
        """Whatever remains will not trade any more."""
        self.cancelled, self.leaves, self.status = self.cancelled + self.leaves, 0, status

    def row(self, order_no: int) -> Row:
        return next(row for row in self.rows if row.order_no == order_no)


def entry_of(order: Order) -> Entry:
    """The order as the exchange takes it, with what remains of it."""
    price = None if order.session in FIXED_PRICE else order.price
    return Entry(order.ref, order.instrument.isin, order.session, order.side, price, order.leaves, order.tif)
