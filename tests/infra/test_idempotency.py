"""Keys are kept 48 hours and then forgotten."""

from service.core.ids import uuid7
from service.infra import idempotency
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.makers import fetch

INSERT = """
insert into idempotency_key (user_id, route, key, body_hash, status, response, created_at)
select $1, 'POST /v1/orders', 'k' || n, sha256('body'), 201, '', now() - $2::text::interval from generate_series(1, $3) n
"""


async def test_keys_are_forgotten_after_48_hours_and_not_before(worker_database: Database, database_urls: DatabaseUrls) -> None:
    await fetch(database_urls.superuser, INSERT, uuid7(), "47 hours 59 minutes", 3)
    await fetch(database_urls.superuser, INSERT, uuid7(), "48 hours 1 second", idempotency.SOME + 1)
    assert await idempotency.forget(worker_database.transaction) == idempotency.SOME + 1
    left = await fetch(database_urls.superuser, "select count(*) from idempotency_key")
    assert left[0][0] == 3
    assert await idempotency.forget(worker_database.transaction) == 0
