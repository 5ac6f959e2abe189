"""The people of a simulated day: what managers ask for, what operations stop, and how the market moves between.

Everything is drawn from the seed. A client that hears nothing asks again with the same key, or gives up.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from ops.campaigns.simulation.house import House
from service.controls.model import Scope
from service.controls.release_halt import release_halt
from service.controls.set_halt import set_halt
from service.core.clock import KST
from service.core.errors import ServiceError
from service.core.principal import Principal
from service.gateway import OrderType, Session, Side, TimeInForce
from service.infra import idempotency
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.model import MandateStatus
from service.orders.amend import amend
from service.orders.cancel import cancel
from service.orders.checks import Wish
from service.orders.decide import Asked
from service.orders.doubt import NOT_SENT
from service.orders.resolutions import decide, propose
from service.orders.submit import submit
from service.sandbox import rules
from service.sandbox.broker import OrderedRejection

DAY = datetime(2026, 11, 23, tzinfo=KST)
SCENES = ((time(9, 3), "regular"), (time(10, 40), "regular"), (time(14, 55), "regular"), (time(16, 5), "after_market"))
AUCTION = (time(8, 45), "regular")  # before the opening: nothing trades until nine
SECOND_DAY = ((time(10, 40), "regular"), (time(14, 55), "regular"))
CLOSED, NIGHT = time(15, 31), time(20, 10)
TRIES = 6
DOUBTS = """
    select r.id, r.order_id, r.cl_ord_id from order_request r join orders o on o.id = r.order_id
    where not o.closed and (r.state = 'unknown' or (r.state = 'sent' and r.kind = 'new')) order by r.cl_ord_id"""


@dataclass(frozen=True)
class Book:
    """An account and who trades it."""

    account_id: UUID
    number: str
    broker: str
    manager: Principal
    mandate_id: UUID
    holdings: dict[str, int]


@dataclass
class Player:
    """One seed's people."""

    house: House
    books: list[Book]
    office: list[Principal]  # two people of operations
    chance: random.Random
    answered: dict[str, str] = field(default_factory=dict)  # intent: order id
    tally: Counter[str] = field(default_factory=Counter)
    papers: list[str] = field(default_factory=list)
    traded: list[Book] = field(default_factory=list)
    narrow: bool = False  # a day in which everything happens in the same few papers and accounts, with the same few quantities
    today: date = field(default_factory=DAY.date)

    async def day(self, scenes: Sequence[tuple[time, str]] = SCENES) -> None:
        world = self.house.platform.world
        self.narrow = self.chance.random() < 0.3
        several = self.chance.randint(1, 2) if self.narrow else 4
        self.papers = self.chance.sample(sorted(isin for isin, one in world.exchange.listings.items() if not one.halted), several)
        self.traded = self.chance.sample(self.books, several) if self.narrow else self.books
        early = [AUCTION] if scenes is SCENES and self.chance.random() < 0.3 else []
        for at, session in (*early, *scenes):
            self.jump(at)
            await self._scene(session, self._orders(session))
            if session == "regular" and at.hour == 14:
                self.jump(CLOSED)

    def _orders(self, session: str) -> int:
        if session != "regular":
            return self.chance.randint(0, 2)
        return self.chance.randint(5, 8) if self.narrow else self.chance.randint(3, 6)

    def jump(self, at: time) -> None:
        """The market stands still but for its hours; then it lives again in a few papers."""
        world = self.house.platform.world
        world.quiet = True
        self._go(datetime.combine(self.today, at, KST))
        for isin, session in list(world.exchange.books):
            world.exchange.quote(isin, session, {}, pinned=isin not in self.papers)
        world.quiet = False

    def _go(self, until: datetime) -> None:
        world = self.house.platform.world
        if until > world.now:
            with_platform(self.house, lambda: world.advance(until))

    async def pass_time(self) -> None:
        """Business time beside real time, second by second."""
        world = self.house.platform.world
        while True:
            await asyncio.sleep(1.0)
            self._go(world.now + timedelta(seconds=1))

    async def _scene(self, session: str, orders: int) -> None:
        intents = [self._intent(session) for _ in range(orders)]
        if self.chance.random() < 0.5:
            intents.append(self._stop())
        if self.chance.random() < 0.6:
            intents.append(self._market_moves())
        await asyncio.gather(*intents)
        await asyncio.sleep(self.chance.uniform(1.0, 6.0))

    # --- one intent, to its end

    async def _intent(self, session: str) -> None:
        chance = random.Random(self.chance.getrandbits(64))
        await asyncio.sleep(chance.uniform(0.0, 6.0))
        self.tally["intents"] += 1
        name = f"intent-{self.tally['intents']}"
        book = chance.choice(self.traded)
        asked, key = self._wish(chance, book, name, session), self._key(book, "POST /v1/orders", name)
        answer = await self._asked(
            lambda wiring: submit(wiring.desk, asked, principal=book.manager, intent=key, request_id=name), chance
        )
        if answer is None or answer.status != 201:
            self.tally["refused" if answer else "unanswered"] += 1
            return
        self.tally["orders"] += 1
        order_id = UUID(orjson.loads(answer.body)["id"])
        self.answered[name] = str(order_id)
        for step in range(chance.choice((0, 0, 1, 1, 2, 3))):
            await asyncio.sleep(chance.uniform(0.0, 4.0))
            await self._change(chance, book, order_id, f"{name}.{step}", orjson.loads(answer.body))

    def _wish(self, chance: random.Random, book: Book, name: str, session: str) -> Asked:
        world = self.house.platform.world
        held = [isin for isin in self.papers if book.holdings.get(isin, 0) >= 2]
        side = Side.SELL if held and chance.random() < 0.35 else Side.BUY
        isin = chance.choice(held) if side is Side.SELL else chance.choice(self.papers)
        most = min(book.holdings[isin], 12) if side is Side.SELL else 12
        most = min(most, 3) if self.narrow else most
        price = None if chance.random() < 0.1 and session == "regular" else self._price(chance, isin, session, side)
        tif = chance.choice((TimeInForce.DAY,) * 8 + (TimeInForce.IOC, TimeInForce.FOK))
        listing = world.exchange.listings[isin]
        wish = Wish(
            isin=isin, symbol=None, side=side, quantity=chance.randint(1, most),
            order_type=OrderType.LIMIT if price is not None else OrderType.MARKET,
            price=None if price is None else Decimal(min(max(price, listing.lower), listing.upper)),
            time_in_force=tif, session=Session(session),
        )  # fmt: skip
        return Asked(account_id=book.account_id, wish=wish, client_order_id=None, rationale=name)

    def _price(self, chance: random.Random, isin: str, session: str, side: Side) -> int:
        world = self.house.platform.world
        listing = world.exchange.listings[isin]
        book = world.exchange.books.get((isin, session))
        anchor = book.anchor if book is not None else listing.last
        ticks = chance.choice((-6, -3, -1, 0, 0, 1, 2))
        return rules.step(anchor, ticks if side is Side.BUY else -ticks, fund=listing.instrument.fund)

    async def _change(self, chance: random.Random, book: Book, order_id: UUID, name: str, order: Any) -> None:
        key = self._key(book, "POST /v1/orders/{order_id}/changes", name)
        common: dict[str, Any] = {"principal": book.manager, "intent": key, "request_id": name}
        price: Decimal | None = None
        quantity: int | None = None
        if chance.random() < 0.5:
            answer = await self._asked(lambda wiring: cancel(wiring.desk, order_id, **common), chance)
        else:
            if chance.random() < 0.5 and order["price"] is not None:
                price = Decimal(self._price(chance, order["isin"], order["session"], Side(order["side"])))
            else:
                quantity = max(1, order["quantity"] - chance.randint(1, 4))
            answer = await self._asked(
                lambda wiring: amend(wiring.desk, order_id, price=price, quantity=quantity, **common), chance
            )
        self.tally["changes" if answer and answer.status == 201 else "changes refused"] += 1

    def _key(self, book: Book, route: str, name: str) -> idempotency.Intent:
        return idempotency.intent(user_id=book.manager.user_id, route=route, key=name, body={"name": name})

    async def _asked(self, verb: Callable[[Any], Any], chance: random.Random) -> Any:
        """Ask until somebody answers; sometimes twice at once, as an impatient client does."""
        for attempt in range(TRIES):
            if attempt == 0 and chance.random() < 0.1:
                answers = await asyncio.gather(self._once(verb), self._once(verb))
                answer = answers[0] or answers[1]
            else:
                answer = await self._once(verb)
            if answer is not None:
                return answer
            await asyncio.sleep(chance.uniform(0.1, 2.0))
        return None

    async def _once(self, verb: Callable[[Any], Any]) -> Any:
        try:
            answer = await self.house.ask(verb)
            self.house.loop.trace.add(f"  a client hears {_told(answer)}")
            return answer
        except ServiceError as error:
            self.tally[f"said {error.slug}"] += 1
        except Exception as error:  # the database was away, or its answer lost: the api says 503
            self.tally[f"api failed {type(error).__name__}"] += 1
        return None

    # --- what else happens

    async def _stop(self) -> None:
        """A halt for a while, a contract suspended, or a manager taken off it."""
        await asyncio.sleep(self.chance.uniform(0.0, 4.0))
        book = self.chance.choice(self.traded)
        if self.chance.random() < 0.4:
            await self._halt(book)
            return
        down, up = Changes(status=MandateStatus.SUSPENDED), Changes(status=MandateStatus.IN_FORCE)
        if self.chance.random() < 0.5:
            down, up = Changes(manager_ids=()), Changes(manager_ids=(book.manager.user_id,))
        for changes in (down, up):
            await self._asked(
                lambda wiring, changes=changes: amend_mandate(
                    transaction=wiring.transaction, mandate_id=book.mandate_id, changes=changes, request_id="stop"
                ),
                self.chance,
            )
            await asyncio.sleep(self.chance.uniform(0.5, 5.0))

    async def _halt(self, book: Book) -> None:
        """Pressed by one, released by the other. What the tables say stands, whatever the answers said."""
        targets = ((Scope.FIRM, None), (Scope.ACCOUNT, str(book.account_id)), (Scope.BROKER, book.broker))
        scope, target = self.chance.choice(targets)
        first, second = self.office
        self.tally["halts"] += 1
        name = f"halt-{self.tally['halts']}"
        key = idempotency.intent(user_id=first.user_id, route="POST /v1/halts", key=name, body={"name": name})
        await self._asked(
            lambda wiring: set_halt(
                wiring.switch, scope, target, "simulated", principal=first, intent=key, request_id=name
            ),
            self.chance,
        )  # fmt: skip
        await asyncio.sleep(self.chance.uniform(0.5, 5.0))
        for row in self.house.server.ask("select id from halt where released_at is null order by id"):
            await self._asked(
                lambda wiring, row=row: release_halt(
                    transaction=wiring.transaction, clock=wiring.clock, poke=wiring.notifier.poke, halt_id=row["id"],
                    reason="over", principal=second, request_id=name,
                ),
                self.chance,
            )  # fmt: skip

    async def close_doubts(self) -> None:
        """The night: two people close on absence what no evidence has settled and a final inquiry does not show."""
        first, second = self.office
        for row in self.house.server.ask(DOUBTS):
            name = f"doubt-{row['cl_ord_id']}-{self.today}"
            keys = [
                idempotency.intent(user_id=one.user_id, route="POST resolutions", key=name, body={"name": name})
                for one in self.office
            ]
            proposed = await self._asked(
                lambda wiring, row=row, key=keys[0], name=name: propose(
                    wiring.desk, row["order_id"], doubtful=row["id"], conclusion=NOT_SENT, reason="not listed",
                    principal=first, intent=key, request_id=name,
                ),
                self.chance,
            )  # fmt: skip
            self.tally["doubts proposed" if proposed and proposed.status == 201 else "doubts that stay"] += 1
            for one in self.house.server.ask("select id from doubt_decision where request_id = $1", row["id"]):
                await self._asked(
                    lambda wiring, row=row, one=one, key=keys[1], name=name: decide(
                        wiring.desk, row["order_id"], one["id"], confirm=True, reason="seen", principal=second, intent=key,
                        request_id=name,
                    ),
                    self.chance,
                )  # fmt: skip

    async def _market_moves(self) -> None:
        """Somebody trades through our orders, a broker refuses one, or holds changes back for a while."""
        for _ in range(self.chance.randint(1, 3)):
            await asyncio.sleep(self.chance.uniform(0.5, 5.0))
            with_platform(self.house, self.chance.choice((self._trade_through, self._reject, self._hold, self._release)))
        with_platform(self.house, self._release)

    def _trade_through(self) -> None:
        world = self.house.platform.world
        live = [order for broker in world.brokers.values() for order in broker.orders if order.live and order.price]
        if live:
            order = self.chance.choice(live)
            isin = order.instrument.isin
            if (isin, order.session) in world.exchange.books:
                quantity = self.chance.randint(1, order.leaves)
                world.dispatch(world.exchange.trade_through(isin, order.session, order.price or 0, quantity))

    def _reject(self) -> None:
        broker = self.chance.choice(sorted(self.house.platform.world.brokers))
        self.house.platform.world.brokers[broker].rejections.append(OrderedRejection(None, None, 1, "증거금 부족"))

    def _hold(self) -> None:
        for broker in self.house.platform.world.brokers.values():
            broker.held = broker.held if broker.held is not None else []

    def _release(self) -> None:
        for broker in self.house.platform.world.brokers.values():
            broker.release()


def _told(answer: Any) -> str:
    if not isinstance(answer, idempotency.Answer):
        return "nothing" if answer is None else "that it is done"
    return f"{answer.status} {blake2b(answer.body, digest_size=8).hexdigest()}"


def with_platform(house: House, act: Callable[[], None]) -> None:
    """Do something of the platform's in its own process: what it starts must not die with a caller."""
    house.platform.process.context.copy().run(act)
