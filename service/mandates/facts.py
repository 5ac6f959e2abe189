"""The mandate of an account and a manager's place in it, as a part of another slice's hot read."""

from sqlalchemy import Date, Subquery, Text, Uuid, and_, bindparam, cast, exists, func, select

from service.mandates.tables import mandate, mandate_account, mandate_day, mandate_manager


def mandate_part() -> Subquery:
    """The present mandate of `account_id`; `assigned` tells whether `user_id` manages it now, `turnover` what its orders
    of `business_date` have claimed (won)."""
    day = and_(
        mandate_day.c.mandate_id == mandate.c.id,
        mandate_day.c.business_date == bindparam("business_date", type_=Date),
    )
    assigned = exists().where(
        mandate_manager.c.mandate_id == mandate.c.id,
        mandate_manager.c.user_id == bindparam("user_id", type_=Uuid),
        mandate_manager.c.revoked_at.is_(None),
    )
    return (
        select(
            mandate.c.id.label("mandate_id"),
            mandate.c.status,
            mandate.c.starts_on,
            mandate.c.ends_on,
            cast(mandate.c.limits, Text).label("limits"),
            assigned.label("assigned"),
            func.coalesce(mandate_day.c.turnover, 0).label("turnover"),
        )
        .select_from(mandate_account.join(mandate, mandate.c.id == mandate_account.c.mandate_id).outerjoin(mandate_day, day))
        .where(
            mandate_account.c.account_id == bindparam("account_id", type_=Uuid),
            mandate_account.c.removed_at.is_(None),
        )
        .subquery("mandate_facts")
    )
