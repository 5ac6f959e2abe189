"""Why a message was set aside, in words: by the constraint it met, and not by a guess."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.accounts.move import PositionMismatch
from service.core.clock import ManualClock
from service.executions.settle import word
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life
from tests.makers import make_world

MEETS = [
    ("update orders set filled_quantity = quantity + 1", "overfill"),
    ("update orders set remaining_quantity = -1", "overfill"),
    ("update orders set quantity = 0, filled_quantity = 0, remaining_quantity = 0", "failed: ck_orders_positive"),
    ("update orders set account_id = gen_random_uuid()", "failed: fk_orders_account_id"),
]


@pytest.mark.parametrize(("statement", "reason"), MEETS, ids=["executed", "remaining", "nothing-ordered", "no-account"])
async def test_p11_a_message_is_set_aside_under_the_constraint_it_met(
    database: Database,
    worker_database: Database,
    owner_database: Database,
    database_urls: DatabaseUrls,
    clock: ManualClock,
    statement: str,
    reason: str,
) -> None:
    await Life(database, worker_database, database_urls, clock, await make_world(database_urls.superuser)).submit()

    async def wrongly() -> None:
        async with owner_database.transaction() as connection:
            await connection.execute(text("alter table orders no force row level security"))
            await connection.execute(text(statement))

    with pytest.raises(IntegrityError) as met:
        await wrongly()
    assert word(met.value) == reason


def test_what_meets_no_constraint_is_told_by_its_kind() -> None:
    assert [word(PositionMismatch("x")), word(ValueError("x"))] == ["position-mismatch", "failed: ValueError"]
