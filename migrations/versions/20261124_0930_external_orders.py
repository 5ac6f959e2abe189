"""Orders we did not send, days told differently afterwards, and messages a person has to look at.

To the next author: an external order is an ordinary row of `orders` without manager, mandate and requests; `external_order`
says what showed it and keeps its number from being adopted twice. `restatement` is written with each fill that changes a day
after the fact, so that a later sign-off can tell. `inbox.order_id` and `orders.needs_review` tie a quarantined message to the
order it speaks of. The api may put messages back to be applied again (a person's decision), never change their bytes.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "external_orders"
down_revision = "lease_who"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "orders",
        sa.Column("needs_review", sa.Text(), comment="why a person must look at it: a message about it is in quarantine"),
    )
    op.create_index("ix_orders_needs_review", "orders", ["id"], postgresql_where=sa.text("needs_review IS NOT NULL"))
    op.add_column("inbox", sa.Column("order_id", sa.Uuid(), comment="the order a quarantined message says it is about"))
    op.create_foreign_key(op.f("fk_inbox_order_id"), "inbox", "orders", ["order_id"], ["id"])
    op.create_index("ix_inbox_order", "inbox", ["order_id"], postgresql_where=sa.text("order_id IS NOT NULL"))
    _external_orders()
    _restatements()
    for statement in SECURITY:
        op.execute(statement)


def _external_orders() -> None:
    op.create_table(
        "external_order",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False, comment="the broker's, without leading zeros"),
        sa.Column("cl_ord_id", sa.Text(), comment="somebody else's"),
        sa.Column("evidence", sa.Uuid(), nullable=False, comment="what showed it first"),
        sa.Column("adopted_at", MOMENT, nullable=False, comment="business time"),
        sa.Column("merged_into", sa.Uuid(), comment="the order of ours it proved to be"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_external_order_order_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_external_order_account_id")),
        sa.ForeignKeyConstraint(["evidence"], ["audit.raw_message.id"], name=op.f("fk_external_order_evidence")),
        sa.ForeignKeyConstraint(["merged_into"], ["orders.id"], name=op.f("fk_external_order_merged_into")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_external_order")),
        sa.UniqueConstraint(
            "account_id", "business_date", "number", name=op.f("uq_external_order_account_id_business_date_number")
        ),
    )
    op.create_index(
        "ix_external_order_cl_ord_id", "external_order", ["cl_ord_id"], postgresql_where=sa.text("cl_ord_id IS NOT NULL")
    )


def _restatements() -> None:
    op.create_table(
        "restatement",
        sa.Column("fill_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False, comment="the day that is told differently now"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("restated_at", MOMENT, nullable=False, comment="business time"),
        sa.CheckConstraint("kind IN ('reversal', 'late')", name=op.f("ck_restatement_kind")),
        sa.ForeignKeyConstraint(["fill_id"], ["fill.id"], name=op.f("fk_restatement_fill_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_restatement_account_id")),
        sa.PrimaryKeyConstraint("fill_id", name=op.f("pk_restatement")),
    )
    op.create_index("ix_restatement_account_day", "restatement", ["account_id", "business_date"])


def _books(table: str) -> tuple[str, ...]:
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY books ON {table} FOR SELECT TO ilim_app USING (ilim_sees_account(account_id))",
        f"CREATE POLICY everything ON {table} TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
        f"GRANT SELECT ON {table} TO ilim_app",
        f"GRANT SELECT, INSERT ON {table} TO ilim_worker",
    )


SECURITY = (
    *_books("external_order"),
    *_books("restatement"),
    "GRANT UPDATE (merged_into) ON external_order TO ilim_worker",
    # An order that proves to be ours takes over what was said about it while nobody knew.
    "GRANT UPDATE (order_id) ON order_report, order_sighting TO ilim_worker",
    "GRANT UPDATE (state, reason, settled_at) ON inbox TO ilim_app",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("external_order", "restatement")
    op.execute("REVOKE UPDATE (state, reason, settled_at) ON inbox FROM ilim_app")
    op.execute("REVOKE UPDATE (order_id) ON order_report, order_sighting FROM ilim_worker")
    op.drop_table("restatement")
    op.drop_table("external_order")
    op.drop_index("ix_inbox_order", "inbox")
    op.drop_constraint(op.f("fk_inbox_order_id"), "inbox")
    op.drop_column("inbox", "order_id")
    op.drop_index("ix_orders_needs_review", "orders")
    op.drop_column("orders", "needs_review")
