"""Orders in trouble: requests that cross, answers that come late, reports that nobody can apply."""

from datetime import timedelta
from decimal import Decimal

import orjson
import pytest

from service.core.clock import ManualClock
from service.gateway import CancelReject, ExecType, NotSent, RequestKind, Unknown
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, trade
from tests.makers import fetch, make_world, report


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


async def acknowledged(life: Life) -> tuple[object, str]:
    """An order the broker has taken, and its ClOrdID."""
    order_id = await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    await life.receive(ack(cl))
    return order_id, cl


async def test_an_amendment_that_was_refused_leaves_nothing_to_send(life: Life) -> None:
    order_id, _ = await acknowledged(life)
    await fetch(life.urls.superuser, "update cash set opening = reserved where account_id = $1", life.world.account)
    answer = await life.amend(order_id, "a1", price=Decimal(72_000))
    assert orjson.loads(answer.body)["type"] == "/problems/insufficient-cash"
    await life.dispatch()
    assert len(life.gateway.sends) == 1
    assert len(await life.requests()) == 1
