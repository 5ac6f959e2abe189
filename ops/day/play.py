"""The day: orders of every kind by two managers over twelve accounts, with faults among them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from ops.day.stage import Stage, StageError

MANAGERS = ("kim", "lee")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Book:
    """One account and who trades it."""

    id: str
    number: str
    broker: str
    manager: str
    holdings: dict[str, int]


@dataclass(frozen=True)
class Paper:
    """One instrument. Prices in won."""

    isin: str
    code: str
    base: int
    tick: int

    def price(self, ticks: int) -> str:
        return str(self.base + ticks * self.tick)


TICKS = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500), (10**9, 1_000))


async def furnish(stage: Stage) -> list[Book]:
    """Mandates for accounts that have none, and the twelve accounts the day is played on."""
    accounts = [one for one in await stage.every("operations", "/v1/accounts") if one["contract_status"] == "0"]
    for i, one in enumerate(sorted(accounts, key=lambda one: (one["broker"], one["number"]))):
        if one["mandate_id"] is None:
            await _mandate(stage, one, stage.house.users[MANAGERS[i % 2]]["id"])
    books = [await _book(stage, one["id"], one) for one in accounts]
    return sorted(books, key=lambda one: (one.broker, one.number))


async def _mandate(stage: Stage, account: dict[str, Any], manager: str) -> None:
    client = await stage.done("operations", "/v1/clients", {"name": account["name"], "kind": "individual"})
    body = {
        "client_id": client["id"],
        "name": f"가상 일임계약 {account['number'][-3:]}",
        "status": "in_force",
        "starts_on": "2026-01-02",
        "account_ids": [account["id"]],
        "manager_ids": [manager],
    }
    await stage.done("operations", "/v1/mandates", body)


async def _book(stage: Stage, account_id: str, account: dict[str, Any]) -> Book:
    mine = {one["id"] for one in await stage.every("kim", "/v1/accounts")}
    balance = await stage.get("operations", f"/v1/accounts/{account_id}/balance")
    held = {one["isin"]: one["sellable"] for one in (balance["ours"] or {"holdings": []})["holdings"]}
    manager = "kim" if account_id in mine else "lee"
    return Book(account_id, account["number"], account["broker"], manager, held)


class Day:
    """The play. `tell` says each step to whoever watches."""

    def __init__(self, stage: Stage, books: list[Book], tell: Tell) -> None:
        self.stage, self.books, self.tell = stage, books, tell
        self.papers: dict[str, Paper] = {}

    async def run(self) -> None:
        """All scenes, in the order of the market's day."""
        await self._papers()
        scenes: tuple[tuple[str, str, Callable[[], Awaitable[None]]], ...] = (
            ("08:31", "trading at yesterday's close", self._pre_close),
            ("08:45", "orders into the opening auction", self._auction),
            ("09:01", "buys at the touch in every account", self._buys),
            ("09:05", "sales in every account; the stream breaks", self._sales),
            ("09:20", "resting orders", self._resting),
            ("09:30", "amendments and cancellations", self._changes),
            ("10:00", "immediate-or-cancel, fill-or-kill, market orders", self._kinds),
            ("10:30", "three answers lost after acceptance, two requests lost before it", self._lost_answers),
            ("11:00", "refusals by the platform and by a broker", self._refusals),
            ("11:30", "what we refuse ourselves", self._our_refusals),
            ("13:00", "a fill overtakes a cancellation; the stream breaks again", self._crossing),
            ("15:31", "the regular session has ended", self._nothing),
            ("15:45", "trading at today's close", self._post_close),
            ("16:05", "after-market", self._after_market),
            ("20:01", "the last session has ended", self._nothing),
            ("20:10", "the night: two people close what never arrived", self._close_what_never_arrived),
        )
        for clock, words, scene in scenes:
            await self.stage.at(clock)
            self.tell(f"{clock}  {words}")
            await scene()
        await self.stage.settle(unknown_allowed=False)
        await self._all_closed()

    async def _papers(self) -> None:
        for one in await self.stage.every("kim", "/v1/instruments"):
            detail = await self.stage.get("kim", f"/v1/instruments/{one['isin']}")
            day = detail["day"]
            if day is None or day["halted"]:
                continue
            base = int(Decimal(day["base_price"]))
            tick = next(step for above, step in TICKS if base < above)
            self.papers[one["isin"]] = Paper(one["isin"], one["short_code"], base, 5 if one["product"] == "etf" else tick)
        stocks = [one for one in self.papers.values() if one.base >= 5_000]
        self.main, self.second, self.third = stocks[0], stocks[1], stocks[2]

    # --- calls

    async def order(self, book: Book, side: str, paper: Paper, quantity: int, price: str | None, **more: Any) -> Any:
        body = {
            "account_id": book.id, "isin": paper.isin, "side": side, "quantity": quantity,
            "order_type": "limit" if price else "market", **more,
        }  # fmt: skip
        if price:
            body["price"] = price
        answer = await self.stage.post(book.manager, "/v1/orders", body)
        if answer.is_error:
            raise StageError(f"an order was refused: {answer.text}")
        self.stage.tally.submitted += 1
        return answer.json()

    async def amend(self, book: Book, order: Any, **change: Any) -> None:
        await self.stage.done(book.manager, f"/v1/orders/{order['id']}/amendments", change)
        self.stage.tally.amended += 1

    async def cancel(self, book: Book, order: Any) -> None:
        await self.stage.done(book.manager, f"/v1/orders/{order['id']}/cancellations")
        self.stage.tally.cancelled += 1

    async def quote(self, paper: Paper, *, bids: int, asks: int, session: str = "regular") -> None:
        """Pin the market around the base price: one tick below it bought, at it offered, so many shares each."""
        body = {
            "isin": paper.isin, "bid": paper.base - paper.tick, "ask": paper.base, "bid_quantity": bids,
            "ask_quantity": asks, "session": session, "pinned": True,
        }  # fmt: skip
        await self.stage.control("quote", body)

    def paper_held(self, book: Book, least: int) -> tuple[Paper, int] | None:
        """Something the account can sell."""
        found = [(self.papers[isin], n) for isin, n in sorted(book.holdings.items()) if isin in self.papers and n >= least]
        return found[0] if found else None

    # --- scenes

    async def _nothing(self) -> None:
        return

    async def _pre_close(self) -> None:
        for book in self.books[:2]:
            await self.order(book, "buy", self.main, 3, self.main.price(0), session="pre_close")

    async def _auction(self) -> None:
        await self.order(self.books[2], "buy", self.second, 5, self.second.price(2))
        withdrawn = await self.order(self.books[3], "buy", self.second, 5, self.second.price(-3))
        await self.stage.settle()
        await self.cancel(self.books[3], withdrawn)

    async def _buys(self) -> None:
        await self.quote(self.main, bids=10_000, asks=100_000)
        for i, book in enumerate(self.books):
            await self.order(book, "buy", self.main, 10 + i, self.main.price(0), client_order_id=uuid4().hex)

    async def _sales(self) -> None:
        await self.stage.control("faults", {"fault": "stream_drop", "count": 1})
        for book in self.books:
            held = self.paper_held(book, 2)
            if held:
                paper, sellable = held
                await self.quote(paper, bids=10_000, asks=10_000)
                await self.order(book, "sell", paper, max(sellable // 10, 1), paper.price(-1), rationale="비중 축소")

    async def _resting(self) -> None:
        await self.quote(self.second, bids=1, asks=1)
        self.rested = [(one, await self.order(one, "buy", self.second, 20, self.second.price(-5))) for one in self.books]

    async def _changes(self) -> None:
        """A third each: another price, a lower quantity, a cancellation; the rest stays until it dies."""
        for i, (book, order) in enumerate(self.rested):
            if i % 4 == 0:
                await self.amend(book, order, price=self.second.price(-4))
            elif i % 4 == 1:
                await self.amend(book, order, quantity=12)
            elif i % 4 == 2:
                await self.cancel(book, order)
        await self.stage.settle()
        for price in (-4, -5):
            body = {"isin": self.second.isin, "price": int(self.second.price(price)), "quantity": 30, "session": "regular"}
            await self.stage.control("trade-through", body)

    async def _kinds(self) -> None:
        await self.quote(self.third, bids=4, asks=4)
        first, second, third = self.books[0], self.books[5], self.books[10]
        await self.order(first, "buy", self.third, 9, self.third.price(0), time_in_force="ioc")
        await self.stage.settle()
        await self.quote(self.third, bids=4, asks=4)
        await self.order(second, "buy", self.third, 9, self.third.price(0), time_in_force="fok")
        await self.stage.settle()
        await self.order(third, "buy", self.main, 7, None)
        held = self.paper_held(second, 2)
        if held:
            await self.order(second, "sell", held[0], 1, None)

    async def _lost_answers(self) -> None:
        """Three answers are lost after the order was taken: a push, a resend or an inquiry tells of it, whichever is first.
        Two requests never arrive, which nobody can tell before the night."""
        told = (("stream_gap", 3, self.books[1]), (None, 0, self.books[6]), ("report_lost", 2, self.books[11]))
        for fault, reports, book in told:
            if fault:
                await self.stage.control("faults", {"fault": fault, "match": {"account": book.number}, "count": reports})
            await self.stage.control("faults", {"fault": "answer_lost_after", "match": {"path": "order/new"}, "count": 1})
            await self.order(book, "buy", self.main, 4, self.main.price(0))
            await self.stage.settle()
        await self.stage.control("faults", {"fault": "answer_lost_before", "match": {"path": "order/new"}, "count": 2})
        self.never_arrived = [
            (book, await self.order(book, "buy", self.main, 6, self.main.price(0))) for book in (self.books[3], self.books[8])
        ]
        await self.stage.settle()
        for book, order in self.never_arrived:
            self._expect_refused(await self._twin(book, order))

    async def _twin(self, book: Book, order: Any) -> Any:
        """The same again by an impatient manager: it could be a second order."""
        names = ("account_id", "isin", "side", "order_type", "quantity", "price")
        return await self.stage.post(book.manager, "/v1/orders", {name: order[name] for name in names})

    async def _refusals(self) -> None:
        refusal = {"fault": "error", "match": {"path": "order/new"}, "count": 1, "code": 7000, "http_status": 500}
        await self.stage.control("faults", refusal)
        await self.order(self.books[4], "buy", self.main, 2, self.main.price(0))
        await self.stage.settle()
        book = self.books[7]
        await self.stage.control("broker-reject", {"account": book.number, "count": 1, "reason": "증거금 부족 (가상)"})
        await self.order(book, "buy", self.main, 2, self.main.price(0))

    async def _our_refusals(self) -> None:
        book, good = self.books[0], {"side": "buy", "order_type": "limit", "quantity": 1, "isin": self.main.isin}
        bodies: tuple[Any, ...] = (
            [good],
            good | {"account_id": book.id, "price": str(self.main.base + 1)},
            good | {"account_id": book.id, "price": str(self.main.base * 3)},
            good | {"account_id": book.id, "price": self.main.price(0), "quantity": 0},
            good | {"account_id": book.id, "price": self.main.price(0), "session": "after_market"},
            good | {"account_id": self._others(book), "price": self.main.price(0)},
        )
        for body in bodies:
            self._expect_refused(await self.stage.post(book.manager, "/v1/orders", body))
        resting = await self.order(book, "buy", self.second, 5, self.second.price(-6))
        await self.stage.settle()
        more = await self.stage.post(book.manager, f"/v1/orders/{resting['id']}/amendments", {"quantity": 6})
        self._expect_refused(more)

    def _others(self, book: Book) -> str:
        return next(one.id for one in self.books if one.manager != book.manager)

    def _expect_refused(self, answer: Any) -> None:
        if not answer.is_client_error:
            raise StageError(f"not refused: {answer.status_code} {answer.text}")
        self.stage.tally.refuse(answer.json()["type"].rpartition("/")[2])

    async def _crossing(self) -> None:
        """The broker holds a cancellation back while the order trades: the fill counts, the cancellation is too late."""
        book = self.books[0]
        order = await self.order(book, "buy", self.third, 6, self.third.price(-1))
        await self.stage.settle()
        await self.stage.control("hold", {"held": True})
        await self.cancel(book, order)
        await self.stage.settle()
        body = {"isin": self.third.isin, "price": int(self.third.price(-1)), "quantity": 6, "session": "regular"}
        await self.stage.control("trade-through", body)
        await self.stage.control("faults", {"fault": "stream_drop", "count": 1})
        await self.stage.control("hold", {"held": False})

    async def _post_close(self) -> None:
        await self.order(
            self.books[8], "buy", self.main, 2, None if False else await self._close(self.main), session="post_close"
        )

    async def _close(self, paper: Paper) -> str:
        return paper.price(0)

    async def _after_market(self) -> None:
        await self.quote(self.main, bids=100, asks=100, session="after_market")
        await self.order(self.books[9], "buy", self.main, 2, self.main.price(0), session="after_market")
        await self.order(self.books[2], "buy", self.main, 2, self.main.price(-9), session="after_market")

    async def _close_what_never_arrived(self) -> None:
        """What the final inquiry does not show: its manager proposes to close it, the approver confirms."""
        for book, order in self.never_arrived:
            doubt = await self._finally_absent(order)
            path = f"/v1/orders/{order['id']}/resolutions"
            body = {"request_id": doubt["request_id"], "conclusion": "not_sent", "reason": "not in the broker's final list"}
            proposed = await self.stage.done(book.manager, path, body)
            decision = {"decision": "confirm", "reason": "the broker confirms that he never had it"}
            resolution = proposed["in_doubt"]["resolutions"][-1]["id"]
            await self.stage.done("approver", f"{path}/{resolution}/decisions", decision)

    async def _finally_absent(self, order: Any) -> Any:
        """What the order says of its doubt, once it is for people to go on."""

        async def asked() -> Any:
            doubt = (await self.stage.get("compliance", f"/v1/orders/{order['id']}"))["in_doubt"]
            return doubt if doubt and doubt["owner"] == "person" else None

        return await self.stage.until(asked, f"the final inquiry about order {order['id']}")

    async def _all_closed(self) -> None:
        """After the night nothing of the day may still be open."""
        for one in await self.stage.every("compliance", "/v1/orders", business_date=self.stage.house.business_date.isoformat()):
            doubt = one["in_doubt"]
            if one["remaining_quantity"] or (doubt and not doubt["safe_to_resubmit"]):
                raise StageError(f"order {one['id']} is still {one['status']} with {one['remaining_quantity']} remaining")
