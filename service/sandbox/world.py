"""The whole imaginary platform behind the wire: clock, exchange, brokers, report stream.

Time moves only here. Everything due between two moments happens in order: the day turns at midnight (numbers restart,
what is due settles), sessions open and close at their boundaries, the background trades every ten seconds, and reports
held back are told.

Everything is a function of (start, seed, calls, steps): order numbers, execution numbers and ids are counted, chances are
hashes of the seed, times are `now`. A world needs no loop of its own: `submit`, `advance` and `dispatch` are plain calls;
`server` puts the wire around it, with or without sockets.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from service.sandbox import faults_http, faults_inquiry, faults_market, faults_report, people, unasked
from service.sandbox.background import SLOT_SECONDS
from service.sandbox.broker import DUPLICATE, UNKNOWN, Broker
from service.sandbox.calendar import KST
from service.sandbox.errors import Refused
from service.sandbox.exchange import Ended, Event, Exchange, Filled
from service.sandbox.faults import Faults
from service.sandbox.hub import Hub
from service.sandbox.instruments import INSTRUMENTS
from service.sandbox.orders import Order
from service.sandbox.profiles import PROFILES
from service.sandbox.reports import Message, Writer
from service.sandbox.requests import Request
from service.sandbox.telling import Teller

CATALOGUE = (faults_http, faults_inquiry, faults_market, faults_report)
"""Loaded with the world, so that each of their faults is known by its name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the firm is to the platform. Invented, and printed as such."""

    api_key: str = "sandbox-key"
    secret: str = "sandbox-secret"  # noqa: S105 - invented and public
    com_id: str = "F0001"
    srv_id: str = "ILIM-SANDBOX"
    sender_comp_id: str = "ILIMSANDBOX"


class World:
    """One run of the sandbox; the same seed, steps and orders give the same books and reports."""

    def __init__(self, *, start: datetime, seed: int, identity: Identity | None = None) -> None:
        self.identity = identity or Identity()
        self.now = start.astimezone(KST)
        self.started = self.now
        self.seed = seed
        self.faults = Faults()
        self.hub = Hub(self.faults)
        self.exchange = Exchange(INSTRUMENTS, seed=seed)
        self.brokers: dict[str, Broker] = {profile.name: self._broker(profile.name) for profile in PROFILES}
        self.by_ref: dict[str, tuple[Broker, Order]] = {}
        self.seen: dict[str, tuple[Broker, Order | None]] = {}
        self.received: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.client_orders = 0
        self.quiet = False  # while it is, the background rests: only orders, hours and who drives the market move it
        self._begin()

    # --- requests

    def submit(self, request: Request) -> None:
        """An order request the gateway passes on; the outcome comes as reports."""
        broker = self._check(request)
        taken = self.seen.get(request.cl_ord_id)
        if taken is not None:
            return self._duplicate(request, broker, *taken)
        if request.kind == "D":
            broker.new(request)
            return None
        order = self._find(request, broker)
        self.seen[request.cl_ord_id] = (broker, order)
        if order is None:
            return broker.reject_change(request, None, UNKNOWN, "원주문 없음")
        return broker.cancel(request, order) if request.kind == "F" else broker.replace(request, order)

    def _register(self, broker: Broker, order: Order) -> None:
        self.by_ref[order.ref] = (broker, order)
        self.seen[order.ref] = (broker, order)

    def _check(self, request: Request) -> Broker:
        broker = self.brokers.get(request.broker)
        if request.sender != self.identity.sender_comp_id:
            raise Refused(500, 3007, "사용자 없음 [SenderCompID]", "op-exco")
        if broker is None:
            raise Refused(500, 3008, "회사 없음 [TargetCompID]", "op-exco")
        if request.account not in broker.accounts:
            raise Refused(500, 3012, "증권사에 없는 계좌", request.broker)
        if request.isin not in self.exchange.listings:
            raise Refused(500, 6007, "알 수 없는 종목코드", request.broker)
        return broker

    def _duplicate(self, request: Request, broker: Broker, first_broker: Broker, first: Order | None) -> None:
        if request.kind == "D":
            return first_broker.duplicate(request, first)
        return broker.reject_change(request, first, DUPLICATE, "중복된 ClOrdID")

    def _find(self, request: Request, broker: Broker) -> Order | None:
        """By the chain's last accepted id, else by the broker's own number of today."""
        number = request.order_id.lstrip("0")
        for order in reversed(broker.book.get((request.account, self.now.date()), [])):
            if (order.last_id and order.last_id == request.orig) or (number and number == str(order.order_no)):
                return order
        return None

    def place_for_client(self, broker: Broker, wish: unasked.Wish) -> Order:
        """The client's own order; its exchange name is ours unless his terminal gave a ClOrdID."""
        if wish.cl_ord_id in self.seen:
            raise Refused(400, 400, "the ClOrdID is taken")
        self.client_orders += 1
        return unasked.place(broker, wish, name="" if wish.cl_ord_id else f"client-{self.client_orders}")

    def known_order(self, word: str, broker: str | None = None) -> tuple[Broker, Order]:
        """By any client id of its chain, or by an order number of `broker` (the newest that ever had it)."""
        taken = self.seen.get(word)
        if taken is not None and taken[1] is not None:
            return taken[0], taken[1]
        for one in self.brokers.values():
            if broker in (one.profile.name, one.profile.code):
                for order in reversed(one.orders):
                    if word.lstrip("0") in {str(row.order_no) for row in order.rows}:
                        return one, order
        raise Refused(400, 400, "order: a ClOrdID, or with `broker` one of its order numbers")

    def dispatch(self, events: Iterable[Event]) -> None:
        """Tell each order's broker what the exchange did to it."""
        for event in events:
            broker, order = self.by_ref[event.ref]
            if isinstance(event, Filled):
                broker.filled(order, event)
            elif isinstance(event, Ended):
                broker.ended(order, event)

    # --- time

    def moments(self, until: datetime) -> Iterator[datetime]:
        """Walk to `until`, yielding after each moment at which something was due."""
        while (due := self._next_due()) <= until:
            self._set(due)
            if due.time() == time(0):
                self._turn_day()
            self.dispatch(self.exchange.at_boundary(due))
            if self._trading(due) and due.second % SLOT_SECONDS == 0:
                self.dispatch(self.exchange.beat(due))
                self.faults.happen(self)
            self.hub.tell_due(due)
            yield due
        self._set(until)

    def advance(self, until: datetime) -> None:
        for _ in self.moments(until):
            pass

    async def advance_gently(self, until: datetime) -> None:
        """As `advance`, letting the stream and other requests breathe."""
        for _ in self.moments(until):
            await asyncio.sleep(0)

    def _next_due(self) -> datetime:
        midnight = datetime.combine(self.now.date() + timedelta(days=1), time(0), KST)
        candidates = [midnight, *(one for one in self.exchange.boundaries() if one > self.now)]
        if self.hub.held:
            candidates.append(max(self.now, self.hub.held[0][0]))
        day = self.exchange.day
        if day is not None and not self.quiet and self.now < day.after_market.close:
            base = max(self.now, day.regular.entry)
            seconds = SLOT_SECONDS - base.second % SLOT_SECONDS if base == self.now else 0
            candidates.append((base + timedelta(seconds=seconds)).replace(microsecond=0))
        return min(candidates)

    def _trading(self, moment: datetime) -> bool:
        day = self.exchange.day
        return day is not None and day.regular.entry <= moment < day.after_market.close

    def _set(self, moment: datetime) -> None:
        self.now = moment
        for broker in self.brokers.values():
            broker.now = moment

    def _begin(self) -> None:
        """Start in the middle of a day: play it from midnight, so that books and sessions are where they belong."""
        start = self.now
        self._set(datetime.combine(start.date(), time(0), KST))
        self._turn_day()
        self.advance(start)

    def _turn_day(self) -> None:
        self.exchange.start_day(self.now.date())
        for broker in self.brokers.values():
            broker.start_day(self.now.date())

    def _broker(self, name: str) -> Broker:
        profile = next(one for one in PROFILES if one.name == name)
        accounts = {one.number: one for one in people.accounts_of(name, self.now.date(), self.seed)}
        teller = Teller(Writer(profile, self.identity.sender_comp_id), self._emit)
        return Broker(profile, accounts, self.exchange, teller, self.dispatch, self._register, self.now)

    def _emit(self, message: Message) -> None:
        self.hub.emit(message, self.now)
