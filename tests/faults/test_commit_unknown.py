"""The connection to the database ends in the middle of a COMMIT: whether it took effect nobody here can know. So nobody
assumes; the same call again, or the same record again, finds out."""

import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy.exc import SQLAlchemyError

from ops.campaigns.proxy import HARMS, NONE, Proxy
from ops.invariants import violations
from service.core.clock import ManualClock
from service.gateway import NotSent, RequestKind
from service.infra import failpoints
from service.infra.db import Database
from service.orders.dispatch import Dispatcher, Taken
from tests.executions.test_order_life import Life, ack, life  # noqa: F401 - a fixture
from tests.faults.test_proxy import through
from tests.makers import BROKER, fetch
from tests.orders.test_submit import place

LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError)
WAYS = {
    "the answer to it is lost": lambda proxy: proxy.set(HARMS["reply_reset"]),
    "it never arrives": lambda proxy: proxy.end_all(),
}


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


@asynccontextmanager
async def behind_proxy(url: str) -> AsyncIterator[tuple[Database, Proxy]]:
    """A process's connections through a proxy that does no harm yet."""
    socket = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["host"][0]
    async with Proxy(f"{socket}/.s.PGSQL.5432") as proxy:
        database = Database(through(url, proxy), application="test-proxied", pool_size=2, hot_pool_size=2)
        await database.open()
        try:
            yield database, proxy
        finally:
            await database.close()


def harm_once(name: str, proxy: Proxy, way: Callable[[Proxy], Any]) -> None:
    """When that place is reached for the first time, harm the connection; from then on new ones are well."""

    def strike() -> None:
        failpoints.disarm()
        way(proxy)
        proxy.plan = lambda _number: NONE

    failpoints.arm(name, strike)


async def insisted(call: Callable[[], Awaitable[Any]]) -> Any:
    """As a caller with a key does: the same call again while the pool still holds connections that have ended."""
    for _ in range(5):
        with suppress(*LOST):
            return await call()
    raise AssertionError("never answered")


@pytest.mark.parametrize("way", WAYS)
async def test_p01_a_submission_whose_commit_is_in_doubt_is_one_order(life: Life, way: str, clock: ManualClock) -> None:  # noqa: F811
    async with behind_proxy(life.urls.app) as (database, proxy):
        harm_once("submit.before_commit", proxy, WAYS[way])
        with pytest.raises(LOST):
            await place(database, clock, life.world, key="k1")
        first = await insisted(lambda: place(database, clock, life.world, key="k1"))
        again = await place(life.app, clock, life.world, key="k1")
    assert (first.status, again.body) == (201, first.body)
    assert len(await fetch(life.urls.superuser, "select id from orders")) == 1
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("way", WAYS)
async def test_p01_an_amendment_whose_commit_is_in_doubt_is_one_request(life: Life, way: str) -> None:  # noqa: F811
    order_id = await life.submit()
    await life.dispatch()
    await life.receive(ack(life.gateway.sends[0].cl_ord_id))
    async with behind_proxy(life.urls.app) as (database, proxy):
        proxied = Life(database, life.worker, life.urls, life.clock, life.world)
        harm_once("change.before_commit", proxy, WAYS[way])
        with pytest.raises(LOST):
            await proxied.amend(order_id, "a1", price=Decimal(70_100))
        first = await insisted(lambda: proxied.amend(order_id, "a1", price=Decimal(70_100)))
    again = await life.amend(order_id, "a1", price=Decimal(70_100))
    assert (first.status, again.body) == (201, first.body)
    assert [row["kind"] for row in await life.requests()] == [RequestKind.NEW, RequestKind.AMENDMENT]
    assert orjson.loads(first.body)["id"] == str(order_id)
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("way", WAYS)
async def test_p02_an_answer_whose_record_is_in_doubt_is_recorded_once(life: Life, way: str) -> None:  # noqa: F811
    await life.submit()
    async with behind_proxy(life.urls.worker) as (database, proxy):
        harm_once("record.before_commit", proxy, WAYS[way])
        assert await replace(life.dispatcher, hot=database.hot).dispatch_one([BROKER])
    assert len(life.gateway.sends) == 1
    assert [row["state"] for row in await life.requests()] == ["sent"]
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("way", WAYS)
async def test_p02_a_claim_whose_commit_is_in_doubt_sends_nothing(life: Life, way: str) -> None:  # noqa: F811
    """The permission was perhaps given, but not to anybody who knows: its sender does not send."""
    await life.submit()
    async with behind_proxy(life.urls.worker) as (database, proxy):
        harm_once("claim.before_commit", proxy, WAYS[way])
        with pytest.raises(LOST):
            await replace(life.dispatcher, hot=database.hot).dispatch_one([BROKER])
    assert life.gateway.sends == []
    await fetch(life.urls.superuser, "update attempt set overdue_at = now() - interval '1 s'")
    await life.dispatcher.orphans()
    await life.dispatch()
    state = (await life.requests())[0]["state"]
    assert (state, len(life.gateway.sends)) in {("unknown", 0), ("sent", 1)}
    assert (state == "unknown") == (way == "the answer to it is lost")
    assert await violations(life.urls.superuser) == []


async def test_p02_who_records_again_that_nothing_was_sent_takes_nothing_from_the_next_sender(life: Life) -> None:  # noqa: F811
    """Recorded, but its sender cannot know; the next one claims the request before the record is made again. Were it queued
    by that, what the broker has would end here as never sent."""
    order_id = await life.submit()
    life.gateway.answers = [NotSent("connect")]
    other: list[Taken] = []

    @asynccontextmanager
    async def losing() -> AsyncIterator[asyncpg.Connection]:
        async with life.worker.hot() as connection:
            yield connection
        if not other and await fetch(life.urls.superuser, "select from attempt where outcome = 'not_sent'"):
            await fetch(life.urls.superuser, "update order_request set retry_at = null")
            other.append(await life.dispatcher.claim([BROKER], 1))
            raise ConnectionResetError

    first: Dispatcher = replace(life.dispatcher, hot=losing)
    assert await first.dispatch_one([BROKER])
    (claim,) = other[0].claims
    assert [row["state"] for row in await life.requests()] == ["sending"]
    await life.dispatcher.carry(claim)
    assert [row["state"] for row in await life.requests()] == ["sent"]
    assert [row["outcome"] for row in await fetch(life.urls.superuser, "select outcome from attempt order by n")] == [
        "not_sent",
        "accepted",
    ]
    await life.cancel(order_id, "c1")
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.NEW, RequestKind.CANCELLATION]
    assert await violations(life.urls.superuser) == []
