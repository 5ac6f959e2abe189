"""Each broker's queue is read from its head in its index's order, whatever the statistics say: a plan made in the empty hour
of the morning serves a connection all day, and one that reads and sorts the queue for its first row cost a hundred times as
much."""

import asyncpg
import pytest

from service.infra.db import Database
from service.orders import send_store
from tests.conftest import DatabaseUrls


@pytest.mark.parametrize("statement", [send_store.PICK_ONE, send_store.PICK_SOME], ids=["one", "some"])
@pytest.mark.parametrize("analysed", [False, True], ids=["unknown", "empty"])
async def test_a_brokers_queue_is_read_from_its_head_and_each_order_by_its_key(
    worker_database: Database, database_urls: DatabaseUrls, statement: send_store.HotStatement, analysed: bool
) -> None:
    values = {"brokers": ["00991"], "com_id": "F0001", "now": None}
    if analysed:
        owner = await asyncpg.connect(database_urls.superuser)
        await owner.execute("analyze orders, order_request")
        await owner.close()
    async with worker_database.raw() as connection:
        plan = "\n".join(row[0] for row in await connection.fetch("explain " + statement.sql, *statement.arguments(values)))
    queue = plan[plan.index("Limit") :]
    assert "Sort" not in queue, plan
    assert "ix_order_request_queue" in queue
    assert "Index Cond: (broker = wanted.broker)" in queue
    assert "Index Cond: (id = order_request.order_id)" in queue
