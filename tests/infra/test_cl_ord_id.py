"""ClOrdIDs are the same text whether Python or the database builds them."""

import random
from datetime import date, timedelta

from sqlalchemy import text

from service.core.ids import cl_ord_id
from service.infra.db import Database
from service.orders.store import next_cl_ord_id


async def test_database_and_python_build_the_same_text(database: Database) -> None:
    seeded = random.Random(1)
    cases = [(date(2026, 1, 1) + timedelta(seeded.randrange(4000)), seeded.randrange(1 << 60)) for _ in range(500)]
    cases += [(date(2026, 11, 23), number) for number in (0, 1, 31, 32, (1 << 60) - 1)]
    async with database.transaction() as connection:
        rows = await connection.execute(
            text("select ilim_cl_ord_id(d, n) from unnest(cast(:d as date[]), cast(:n as bigint[])) as t(d, n)"),
            {"d": [day for day, _ in cases], "n": [number for _, number in cases]},
        )
    assert list(rows.scalars()) == [cl_ord_id(day, number) for day, number in cases]


async def test_the_sequence_gives_each_number_once(database: Database) -> None:
    async with database.raw() as connection:
        taken = await connection.fetch("select nextval('cl_ord_id_seq') as n from generate_series(1, 100)")
    assert [row["n"] for row in taken] == list(range(1, 101))


async def test_p02_names_are_new_though_the_sequence_went_back_with_its_database(
    database: Database, owner_database: Database
) -> None:
    """A standby that lagged, or a restored copy, counts again from before; the broker has seen those turns."""

    async def take() -> list[str]:
        async with database.transaction() as connection:
            return [await next_cl_ord_id(connection, date(2026, 11, 23)) for _ in range(50)]

    before = await take()
    async with owner_database.transaction() as connection:
        await connection.execute(text("select setval('cl_ord_id_seq', 1, false)"))
    after = await take()
    assert [one[:13] for one in after] == [one[:13] for one in before]
    assert not set(after) & set(before)
    assert before == sorted(before)
