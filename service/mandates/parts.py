"""Parts of hot statements: what a mandate's orders claim of its daily turnover."""

from typing import Any

from sqlalchemy import CTE, Date, Uuid, bindparam, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from service.infra.db import WON
from service.mandates.tables import mandate_day


def claim_turnover(
    source: CTE, *, mandate: str = "mandate_id", day: str = "business_date", won: str = "value_won", limit: str = "turnover_limit"
) -> ReturningInsert[Any]:
    """Add `won` to the mandate's turnover of the day, for each row of `source`. No row: the limit would be passed. Without a
    limit (null) it is counted all the same: one that is set in the midst of the day is about the whole day."""
    c = mandate_day.c
    wanted = select(bindparam(mandate, type_=Uuid()), bindparam(day, type_=Date()), bindparam(won, type_=WON())).select_from(
        source
    )
    most = bindparam(limit, type_=WON())
    fresh = insert(mandate_day).from_select(["mandate_id", "business_date", "turnover"], wanted)
    return fresh.on_conflict_do_update(
        index_elements=[c.mandate_id, c.business_date],
        set_={"turnover": c.turnover + fresh.excluded.turnover},
        where=or_(most.is_(None), c.turnover + fresh.excluded.turnover <= most),
    ).returning(c.mandate_id)
