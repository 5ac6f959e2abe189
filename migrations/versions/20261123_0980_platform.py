"""Calls to the platform, counted.

To the next author: one row per service and platform day holds the calls of each class, and `service.koscom.store` takes
a call with one insert-or-update under a guard, so that all processes together never pass the daily limit or eat the
reserve for cancellations. The day is the platform's (it turns at 00:00 UTC), not the market's. Rows are small and few;
keep them, they tell how close to the limit a busy day came. If a class is added, add its column here and to the table,
and give it its place in `budget.URGENCY`.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "platform"
down_revision = "executions"
branch_labels = None
depends_on = None

CLASSES = ("cancel", "resolve", "order", "night", "routine")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "call_budget",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *(sa.Column(f"{name}_calls", sa.BigInteger, nullable=False, server_default="0") for name in CLASSES),
        sa.PrimaryKeyConstraint("service", "day", name="pk_call_budget"),
        sa.CheckConstraint(
            "least(cancel_calls, resolve_calls, order_calls, night_calls, routine_calls) >= 0",
            name=op.f("ck_call_budget_calls_not_negative"),
        ),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON call_budget TO ilim_app, ilim_worker")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("call_budget")
    op.drop_table("call_budget")
