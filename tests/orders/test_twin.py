"""P5: while nobody knows what became of an order, its twin is not sent after it."""

import orjson
import pytest

from service.core.clock import ManualClock
from service.gateway import OrderType, Side
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.makers import fetch, make_world
from tests.orders.test_submit import place


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, 409), ({"price": None, "order_type": OrderType.MARKET}, 409), ({"quantity": 11}, 201), ({"side": Side.SELL}, 201)],
    ids=["twin", "twin-at-another-price", "other-quantity", "other-side"],
)
async def test_p05_a_twin_of_an_order_in_doubt_is_refused(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, changes: dict[str, object], status: int
) -> None:
    world = await make_world(database_urls.superuser)
    first = await place(database, clock, world)
    assert first.status == 201
    await fetch(database_urls.superuser, "update order_request set state = 'unknown'")
    second = await place(database, clock, world, key="k2", **changes)
    assert second.status == status
    if status == 409:
        assert orjson.loads(second.body)["type"] == "/problems/twin-in-doubt"


@pytest.mark.parametrize("state", ["sent", "acknowledged", "refused"])
async def test_p05_an_order_whose_outcome_is_known_bars_nobody(
    database: Database, database_urls: DatabaseUrls, clock: ManualClock, state: str
) -> None:
    world = await make_world(database_urls.superuser)
    await place(database, clock, world)
    await fetch(database_urls.superuser, f"update order_request set state = '{state}'")
    assert (await place(database, clock, world, key="k2")).status == 201
