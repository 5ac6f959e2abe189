"""Managers who never give up: each intent has one key, and a call that got no answer is made again with it."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from ops.campaigns.rig import PAPER, TICK, Rig
from ops.day.play import Book
from service.core.clock import monotonic

AGAIN_S = 0.03
PATIENCE_S = 180.0  # whoever is not answered for so long has found something
TRANSIENT = frozenset({429, 500, 502, 503, 504})
RUNNING = "/problems/idempotency-in-progress"


@dataclass
class Intent:
    """One thing a manager wanted, and every answer to it."""

    key: str
    kind: str  # new, amendment, cancellation
    path: str
    body: dict[str, Any]
    manager: str
    account: str
    order: str | None = None  # id of the order it is about, once known
    answers: list[tuple[int, str | None, str]] = field(default_factory=list)  # status, id of the order, problem
    calls: int = 0

    @property
    def taken(self) -> bool:
        """Whether somebody was told that it is on disk."""
        return any(status < 300 for status, _, _ in self.answers)

    @property
    def answered(self) -> bool:
        return bool(self.answers)


@dataclass
class Traders:
    """Their intents so far, and what rests in the market and may be changed."""

    rig: Rig
    dice: random.Random
    intents: list[Intent] = field(default_factory=list)
    resting: list[tuple[Book, str, int]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)  # answers nobody should get
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def trade(self, stop: asyncio.Event, pause_s: float) -> None:
        """One trader: intent after intent until told to stop; the last one is brought to its answer all the same."""
        while not stop.is_set():
            intent = await self.one()
            if self.dice.random() < 0.1:
                await self.insist(intent)  # the answer was lost somewhere behind us: ask for it again
            await asyncio.sleep(pause_s * (0.5 + self.dice.random()))

    async def one(self) -> Intent:
        """The next intent, answered."""
        intent, book = self._next()
        self.intents.append(intent)
        await self.insist(intent)
        if intent.kind == "new" and intent.taken and intent.body["price"] != str(self.rig.price):
            self.resting.append((book, str(intent.order), intent.body["quantity"]))
        return intent

    def _next(self) -> tuple[Intent, Book]:
        if self.resting and self.dice.random() < 0.4:
            book, order, quantity = self.resting.pop(self.dice.randrange(len(self.resting)))
            return self._change(book, order, quantity), book
        book = self.dice.choice(self.rig.books)
        price = self.rig.price - self.dice.choice((0, 0, 3, 5)) * TICK
        # Quantities differ: an order like one in doubt is refused, and rightly.
        quantity = 1 + len(self.intents) % 97
        body = {
            "account_id": book.id, "isin": PAPER, "side": "buy", "order_type": "limit", "quantity": quantity, "price": str(price),
        }  # fmt: skip
        return self._intent("new", "/v1/orders", body, book), book

    def _change(self, book: Book, order: str, quantity: int) -> Intent:
        if self.dice.random() < 0.5:
            return self._intent("cancellation", f"/v1/orders/{order}/cancellations", {}, book, order)
        self.resting.append((book, order, quantity))
        change: dict[str, Any] = {"price": str(self.rig.price - self.dice.randint(2, 9) * TICK)}
        if quantity > 2 and self.dice.random() < 0.4:
            change = {"quantity": self.dice.randint(1, quantity - 1)}
        return self._intent("amendment", f"/v1/orders/{order}/amendments", change, book, order)

    def _intent(self, kind: str, path: str, body: dict[str, Any], book: Book, order: str | None = None) -> Intent:
        key = f"{self.dice.getrandbits(64):016x}-{len(self.intents)}"
        if kind == "new" and self.dice.random() < 0.5:
            body["client_order_id"] = key
        return Intent(key, kind, path, body, book.manager, book.id, order)

    async def insist(self, intent: Intent) -> None:
        """Call until there is an answer that says something. Raises TimeoutError when none comes."""
        until_s = monotonic() + PATIENCE_S
        while True:
            if monotonic() > until_s:
                raise TimeoutError(f"{intent.kind} {intent.key}: {intent.calls} calls and no answer")
            intent.calls += 1
            try:
                answer = await self._client(intent.manager).post(
                    intent.path, json=intent.body, headers={"Idempotency-Key": intent.key}
                )
            except httpx.TransportError:
                await asyncio.sleep(AGAIN_S)
                continue
            if not self._heard(intent, answer):
                return
            await asyncio.sleep(AGAIN_S)

    def _heard(self, intent: Intent, answer: httpx.Response) -> bool:
        """Note the answer. True when it says only: ask again."""
        said = answer.json()
        problem = "" if answer.is_success else str(said.get("type"))
        if problem == RUNNING or answer.status_code in TRANSIENT:
            if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
                self.odd.append(f"{intent.kind} {intent.key} was answered 500: {problem}")
            return True
        order = str(said["id"]) if answer.is_success else None
        if intent.answers and (intent.answers[0][0], intent.answers[0][1]) != (answer.status_code, order):
            self.odd.append(f"{intent.kind} {intent.key} was answered {intent.answers[0]} and then {answer.status_code} {order}")
        intent.answers.append((answer.status_code, order, problem))
        intent.order = intent.order or order
        return False

    def _client(self, manager: str) -> httpx.AsyncClient:
        if manager not in self.clients:
            key = self.rig.built.users[manager]["key"]
            self.clients[manager] = httpx.AsyncClient(
                base_url=self.rig.built.api_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=10
            )
        return self.clients[manager]

    async def close(self) -> None:
        for one in self.clients.values():
            await one.aclose()
