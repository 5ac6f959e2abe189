"""One imaginary broker: takes checked requests, keeps orders and accounts, and tells the platform what happened.

A request is decided at once, in one breath of business time, unless a test holds the broker (`hold`): then the second
half of an amend or cancel waits, so that fills can fall into the pending state.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from service.sandbox import checks, funds
from service.sandbox.account import Account, Piece
from service.sandbox.exchange import Ended, Event, Exchange, Filled
from service.sandbox.instruments import BY_ISIN
from service.sandbox.orders import (
    CANCELED,
    DONE,
    EXPIRED,
    NEW,
    PENDING_CANCEL,
    PENDING_NEW,
    PENDING_REPLACE,
    REJECTED,
    Fill,
    Order,
    Row,
    entry_of,
)  # fmt: skip
from service.sandbox.profiles import Profile
from service.sandbox.requests import Request
from service.sandbox.telling import Teller

TOO_LATE, UNKNOWN, BROKER_OPTION, ALREADY_PENDING, DUPLICATE, OTHER = "0", "1", "2", "3", "6", "99"


@dataclass(slots=True)
class OrderedRejection:
    """Control: refuse the next `count` new orders of this account or instrument."""

    account: str | None
    isin: str | None
    count: int
    reason: str

    def hits(self, request: Request) -> bool:
        return self.count > 0 and self.account in (None, request.account) and self.isin in (None, request.isin)


@dataclass(slots=True)
class Broker:
    profile: Profile
    accounts: dict[str, Account]
    exchange: Exchange
    teller: Teller
    dispatch: Callable[[Iterable[Event]], None]
    register: Callable[["Broker", Order], None]
    now: datetime
    orders: list[Order] = field(default_factory=list)
    rejections: list[OrderedRejection] = field(default_factory=list)
    held: list[Callable[[], None]] | None = None
    numbers: int = 0
    book: dict[tuple[str, date], list[Order]] = field(default_factory=dict)
    working: dict[str, list[Order]] = field(default_factory=dict)

    def start_day(self, day: date) -> None:
        """Order numbers begin again where that is the broker's habit, and what is due settles."""
        if self.profile.numbers_restart:
            self.numbers = self.teller.executions = 0
        for account in self.accounts.values():
            account.settle(day)

    # --- requests

    def new(self, request: Request, *, placed_by: str = "service", name: str = "") -> Order:
        """Take a new order; every outcome is a report. `name` is the exchange's for an order without a client id."""
        order = self._admit(request, placed_by, name)
        refusal = self._refusal(request, order)
        if self.profile.pending_reports:
            self.report(order, PENDING_NEW, PENDING_NEW, leaves=order.ordered)
        if refusal:
            order.status, order.text = REJECTED, refusal.text
            order.rows[0].reason = refusal.text
            extra = {"OrdRejReason": refusal.reason, "Text": refusal.text}
            self.report(order, REJECTED, REJECTED, extra=extra)
            return order
        self._accept(order)
        return order

    def duplicate(self, request: Request, first: Order | None) -> None:
        """The id is taken: the report speaks with the first order's numbers and leaves that order alone."""
        if first is None:
            return self.reject_change(request, None, DUPLICATE, "중복된 ClOrdID")
        extra = {"OrdRejReason": "6", "Text": "중복된 ClOrdID"}
        return self.report(first, REJECTED, first.shown_status, cl_ord_id=request.cl_ord_id, extra=extra)

    def cancel(self, request: Request, order: Order) -> None:
        refused = self._refuse_change(request, order)
        if refused:
            return self.reject_change(request, order, *refused)
        if self.profile.pending_reports:
            self._pend(request, order, PENDING_CANCEL)
        return self._later(lambda: self._cancel_now(request, order))

    def replace(self, request: Request, order: Order) -> None:
        refused = self._refuse_change(request, order) or self._refuse_replace(request, order)
        if refused:
            return self.reject_change(request, order, *refused)
        if self.profile.pending_reports:
            self._pend(request, order, PENDING_REPLACE)
        return self._later(lambda: self._replace_now(request, order))

    def reject_change(self, request: Request, order: Order | None, reason: str, text: str) -> None:
        self.teller.refuse_change(request, order, reason, text, self.now)

    # --- what the exchange reports

    def filled(self, order: Order, event: Filled) -> None:
        fill = self.teller.fill(order, event.quantity, event.price, self.now)
        order.fills.append(fill)
        order.leaves -= event.quantity
        order.status = order.working_status()
        self.accounts[order.account].book(self.profile, *order.trade, Piece(order.ref, event.quantity, event.price))
        self.report(order, "F", order.shown_status, fill=fill)

    def ended(self, order: Order, event: Ended) -> None:
        """IOC and FOK are Canceled, never Expired; at a session's end each broker has its own habit."""
        order.ended_by = event.why
        if event.why != "session":
            order.end(CANCELED)
            return self.report(order, CANCELED, CANCELED)
        habit = self.profile.at_session_end
        order.end(DONE if habit == "done" else EXPIRED)
        if habit == "silent":
            return None
        return self.report(order, order.status, order.status)

    def release(self) -> None:
        """Control: let the held halves happen, in order."""
        waiting, self.held = self.held or [], None
        for act in waiting:
            act()

    def keep(self, order: Order) -> None:
        """Into the day's book, and under its names."""
        self.orders.append(order)
        self.book.setdefault((order.account, order.business_date), []).append(order)
        self.register(self, order)

    def works(self, order: Order) -> None:
        """From now on it holds back cash or shares; `live_of` forgets it when it is no longer live."""
        self.working.setdefault(order.account, []).append(order)

    def live_of(self, account: str) -> list[Order]:
        self.working[account] = live = [order for order in self.working.get(account, ()) if order.leaves]
        return live

    # --- halves

    def _admit(self, request: Request, placed_by: str, name: str) -> Order:
        account = self.accounts[request.account]
        number = self._next_number()
        order = Order(
            account.number, BY_ISIN[request.isin], request.side, request.quantity, request.price, request.order_type,
            request.tif, self.session_of(request), self.now.date(), self.now, request.symbol, number,
            [request.cl_ord_id] if request.cl_ord_id else [],
            rows=[Row(number, None, "new", request.quantity, request.price or 0, self.now)],
            placed_by=placed_by, name=name,
        )  # fmt: skip
        self.keep(order)
        return order

    def _accept(self, order: Order) -> None:
        order.leaves = order.ordered
        self.works(order)
        listing = self.exchange.listings[order.instrument.isin]
        order.reserve_price = funds.reserve_price(order, listing)
        if self.profile.new_report_before_fill:
            self.report(order, NEW, NEW)
        events = self.exchange.submit(entry_of(order), self.now)
        if not self.profile.new_report_before_fill and not any(_is_fill_of(event, order) for event in events):
            self.report(order, NEW, NEW)
        self.dispatch(events)

    def _cancel_now(self, request: Request, order: Order) -> None:
        order.pending = ""
        if not order.live:
            return self.reject_change(request, order, TOO_LATE, "이미 종료된 주문입니다")
        orig = self._chain(request, order, "cancel", order.leaves, order.price or 0)
        self.exchange.cancel(order.ref)
        order.ended_by = "client"
        order.end(CANCELED)
        return self.report(order, CANCELED, CANCELED, orig=orig)

    def _replace_now(self, request: Request, order: Order) -> None:
        order.pending = ""
        total = self._new_total(request, order)
        if request.price == order.price and total <= order.executed:
            return self._replace_done(request, order)
        if not order.live:
            return self.reject_change(request, order, TOO_LATE, "이미 종료된 주문입니다")
        old_price, leaves = order.price, total - order.executed
        orig = self._chain(request, order, "amend", leaves, request.price or 0)
        order.ordered, order.leaves, order.price = total, leaves, request.price
        events: list[Event] = []
        if request.price != old_price and request.price is not None:
            order.reserve_price = request.price
            events = self.exchange.reprice(order.ref, request.price, leaves, self.now)
        else:
            self.exchange.reduce(order.ref, leaves)
        self.report(order, "5", order.shown_status, orig=orig)
        return self.dispatch(events)

    def _replace_done(self, request: Request, order: Order) -> None:
        """Down to what is executed, or below: accepted; the order ends on this report (FIX order state matrix C.3)."""
        if order.live:
            self.exchange.cancel(order.ref)
        orig = self._chain(request, order, "amend", 0, order.price or 0)
        order.ordered, order.leaves = order.executed, 0
        order.status = order.working_status()
        self.report(order, "5", order.status, orig=orig)

    def _chain(self, request: Request, order: Order, kind: str, quantity: int, price: int) -> str:
        """Take the request into the chain; answers the id it replaces."""
        orig = order.last_id
        order.cl_ord_ids.append(request.cl_ord_id)
        self.number_row(order, kind, quantity, price)
        return orig

    def number_row(self, order: Order, kind: str, quantity: int, price: int) -> None:
        """The change's own line of the inquiry, where the broker gives it one."""
        if self.profile.amend_keeps_number:
            if kind == "amend":
                order.rows[0].kind = "amend"
            return
        number = self._next_number()
        order.rows.append(Row(number, order.order_no, kind, quantity, price, self.now))
        order.order_no = number

    # --- decisions

    def _refusal(self, request: Request, order: Order) -> checks.Refusal | None:
        for ordered in self.rejections:
            if ordered.hits(request):
                ordered.count -= 1
                return checks.Refusal("0", ordered.reason)
        return checks.refuse(self._asked(request, order))

    def _asked(self, request: Request, order: Order) -> checks.Asked:
        listing = self.exchange.listings[request.isin]
        day = self.exchange.day
        account = self.accounts[request.account]
        return checks.Asked(
            side=request.side, quantity=request.quantity, price=request.price, order_type=request.order_type,
            tif=request.tif, session=order.session, listing=listing,
            session_open=day is not None and day.window(order.session).open_at(self.now),
            matching=self.exchange.matching(order.session, self.now), contract=account.contract,
            need=self._with_commission(request.isin, request.quantity * funds.reserve_price(order, listing)),
            free_cash=self.free_cash(account) if request.side == "buy" else 0,
            free_quantity=self.free_quantity(account, request.isin) if request.side == "sell" else 0,
        )  # fmt: skip

    def _refuse_change(self, request: Request, order: Order) -> tuple[str, str] | None:
        if order.pending:
            return ALREADY_PENDING, "정정/취소 처리 중인 주문입니다"
        replacing_done = request.kind == "G" and order.fills and order.status == "2"
        if not order.live and not replacing_done:
            return TOO_LATE, "이미 체결 또는 종료된 주문입니다"
        return None

    def _refuse_replace(self, request: Request, order: Order) -> tuple[str, str] | None:
        """One amend changes either the price of all that remains, or the quantity downwards."""
        total = self._new_total(request, order)
        repriced = request.price != order.price
        if total > order.ordered:
            return OTHER, "수량 증가 정정은 불가합니다"
        if repriced and total != order.ordered:
            return OTHER, "가격과 수량을 함께 정정할 수 없습니다"
        if not repriced and total == order.ordered:
            return OTHER, "정정할 내용이 없습니다"
        if order.status == "2" and (repriced or total > order.executed):
            return TOO_LATE, "이미 체결된 주문입니다"
        if total <= 0:
            return OTHER, "정정수량 오류"
        return self._refuse_price(request, order) if repriced else None

    def _refuse_price(self, request: Request, order: Order) -> tuple[str, str] | None:
        if request.price is None or order.price is None:
            return OTHER, "호가유형 정정은 불가합니다"
        listing = self.exchange.listings[order.instrument.isin]
        if listing.halted:
            return BROKER_OPTION, "거래정지 종목입니다"
        refusal = checks.price_refusal(listing, order.session, request.price)
        if refusal:
            return OTHER, refusal.text
        more = (request.price - order.reserve_price) * order.leaves
        if order.side == "buy" and more > self.free_cash(self.accounts[order.account]):
            return OTHER, "주문가능금액 부족"
        return None

    def _new_total(self, request: Request, order: Order) -> int:
        """The broker's reading of a replace's OrderQty. What remains may have shrunk while a new price was on its way."""
        if self.profile.replace_quantity == "total":
            return request.quantity
        if request.price != order.price and order.leaves <= request.quantity <= order.ordered:
            return order.ordered
        return order.executed + request.quantity

    def free_cash(self, account: Account) -> int:
        """What may still be spent: everything under way counted, open purchases taken off."""
        return funds.free_cash(self.profile, self.live_of(account.number), account, self.now.date())

    def free_quantity(self, account: Account, isin: str) -> int:
        return funds.free_quantity(self.live_of(account.number), account, isin)

    def session_of(self, request: Request) -> str:
        return request.session or checks.session_at(self.exchange.day, self.now.strftime("%H:%M"))

    def _with_commission(self, isin: str, amount: int) -> int:
        return funds.with_commission(self.profile, isin, amount, self.now.date())

    # --- telling

    def _pend(self, request: Request, order: Order, status: str) -> None:
        """Pending reports carry the new id and the old quantities."""
        order.pending = status
        self.report(order, status, status, cl_ord_id=request.cl_ord_id, orig=order.last_id)

    def _later(self, act: Callable[[], None]) -> None:
        if self.held is None:
            act()
        else:
            self.held.append(act)

    def _next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def report(
        self, order: Order, exec_type: str, status: str, *, cl_ord_id: str = "", orig: str = "",
        fill: Fill | None = None, extra: dict[str, str] | None = None, leaves: int | None = None,
    ) -> None:  # fmt: skip
        self.teller.report(
            order, exec_type, status, self.now, cl_ord_id=cl_ord_id, orig=orig, fill=fill, extra=extra, leaves=leaves
        )


def _is_fill_of(event: Event, order: Order) -> bool:
    return isinstance(event, Filled) and event.ref == order.ref
