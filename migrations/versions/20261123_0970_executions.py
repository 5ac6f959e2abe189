"""The inbox of reports, what they and inquiries said about orders, and fills.

To the next author: a fill's identity is its evidence (`uq_fill_evidence…`), never an execution number, because brokers
reuse, restart and omit those. A bust is a negative fill that names the one it reverses, once. The raw message is written
before the inbox row, in the same transaction; `arrived` only orders the work.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.infra.migrations import refuse_to_drop

revision = "executions"
down_revision = "orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SEQUENCE inbox_arrived_seq AS bigint CACHE 1")
    _inbox()
    _said()
    _fills()
    _costs()
    for statement in SECURITY:
        op.execute(statement)


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("raw_id", sa.Uuid(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("com_id", sa.Text(), nullable=False),
        sa.Column("seq_date", sa.Date()),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="real time",
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), comment="real time"),
        sa.CheckConstraint("state IN ('waiting', 'applied', 'unmatched', 'parked', 'quarantined')", name=op.f("ck_inbox_state")),
        sa.ForeignKeyConstraint(["raw_id"], ["audit.raw_message.id"], name=op.f("fk_inbox_raw_id")),
        sa.PrimaryKeyConstraint("raw_id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("arrived", name=op.f("uq_inbox_arrived")),
    )
    op.create_index("ix_inbox_waiting", "inbox", ["arrived"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_index(
        "ix_inbox_troubled", "inbox", ["state"], postgresql_where=sa.text("state IN ('unmatched', 'parked', 'quarantined')")
    )
    op.create_table(
        "stream_state",
        sa.Column("com_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, comment="real time"),
        sa.Column("business_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disconnects", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("state IN ('connected', 'resending', 'live', 'lost')", name=op.f("ck_stream_state_state")),
        sa.PrimaryKeyConstraint("com_id", name=op.f("pk_stream_state")),
    )


def _said() -> None:
    op.create_table(
        "order_report",
        sa.Column("raw_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("seq_date", sa.Date()),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column(
            "document",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the report as read; a projection, the raw message is the evidence",
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_report_order_id")),
        sa.ForeignKeyConstraint(["raw_id"], ["audit.raw_message.id"], name=op.f("fk_order_report_raw_id")),
        sa.PrimaryKeyConstraint("raw_id", name=op.f("pk_order_report")),
    )
    op.create_index("ix_order_report_order", "order_report", ["order_id"])
    op.create_table(
        "order_sighting",
        sa.Column("raw_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False, comment="index of the row in the page"),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, comment="business time of the inquiry"),
        sa.Column("executed_quantity", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Text(), comment="set when the row proves that nothing of the order can trade any more"),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the inquiry row as read"),
        sa.CheckConstraint("ended IN ('canceled', 'expired', 'rejected')", name=op.f("ck_order_sighting_ended")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_sighting_order_id")),
        sa.ForeignKeyConstraint(["raw_id"], ["audit.raw_message.id"], name=op.f("fk_order_sighting_raw_id")),
        sa.PrimaryKeyConstraint("raw_id", "row", name=op.f("pk_order_sighting")),
    )
    op.create_index("ix_order_sighting_order", "order_sighting", ["order_id"])


def _fills() -> None:
    op.create_table(
        "fill",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3 … within the order"),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="negative for the reversal of a busted fill"),
        sa.Column("price", sa.Numeric(20, 4), nullable=False),
        sa.Column(
            "amount", sa.BigInteger(), nullable=False, comment="quantity times price, truncated to won; signed as quantity"
        ),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("settles_on", sa.Date(), nullable=False),
        sa.Column("exec_id", sa.Text(), comment="as the broker wrote it: a hint, never an identity"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Uuid(), nullable=False),
        sa.Column("evidence_row", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reverses", sa.Uuid()),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="real time",
        ),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_fill_side")),
        sa.CheckConstraint("source IN ('stream', 'inquiry')", name=op.f("ck_fill_source")),
        sa.CheckConstraint("price > 0 AND quantity <> 0", name=op.f("ck_fill_something_traded")),
        sa.CheckConstraint("(quantity < 0) = (reverses IS NOT NULL)", name=op.f("ck_fill_only_reversals_are_negative")),
        sa.CheckConstraint("sign(amount) = sign(quantity)", name=op.f("ck_fill_amount_follows_quantity")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_fill_account_id")),
        sa.ForeignKeyConstraint(["evidence"], ["audit.raw_message.id"], name=op.f("fk_fill_evidence")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_fill_order_id")),
        sa.ForeignKeyConstraint(["reverses"], ["fill.id"], name=op.f("fk_fill_reverses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fill")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_fill_order_id_number")),
        sa.UniqueConstraint(
            "evidence",
            "evidence_row",
            "reverses",
            name=op.f("uq_fill_evidence_evidence_row_reverses"),
            postgresql_nulls_not_distinct=True,
        ),
        sa.UniqueConstraint("reverses", name=op.f("uq_fill_reverses")),
    )
    op.create_index("ix_fill_account_day", "fill", ["account_id", "business_date"])


def _costs() -> None:
    op.create_table(
        "trade_cost",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("commission", sa.BigInteger(), nullable=False),
        sa.Column("taxes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("side in ('buy','sell')", name=op.f("ck_trade_cost_side")),
        sa.CheckConstraint("amount >= 0 and commission >= 0 and taxes >= 0", name=op.f("ck_trade_cost_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_trade_cost_account_id")),
        sa.PrimaryKeyConstraint("account_id", "business_date", "isin", "side", "basis", name=op.f("pk_trade_cost")),
    )


SECURITY = (
    """CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON fill
       FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()""",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON fill FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
    "ALTER TABLE fill ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE fill FORCE ROW LEVEL SECURITY",
    "CREATE POLICY books ON fill FOR SELECT TO ilim_app USING (ilim_sees_account(account_id))",
    "CREATE POLICY everything ON fill TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    "ALTER TABLE trade_cost ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE trade_cost FORCE ROW LEVEL SECURITY",
    "CREATE POLICY books ON trade_cost FOR SELECT TO ilim_app USING (ilim_sees_account(account_id))",
    "CREATE POLICY everything ON trade_cost TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    "GRANT SELECT ON trade_cost TO ilim_app",
    "GRANT SELECT, INSERT, UPDATE ON trade_cost TO ilim_worker",
    "GRANT SELECT ON fill, inbox, stream_state TO ilim_app",
    "GRANT SELECT, INSERT ON fill, order_report, order_sighting TO ilim_worker",
    "GRANT SELECT, INSERT, UPDATE ON inbox, stream_state TO ilim_worker",
    "GRANT USAGE ON SEQUENCE inbox_arrived_seq TO ilim_worker",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("inbox", "fill", "order_sighting")
    for table in ("trade_cost", "fill", "order_sighting", "order_report", "stream_state", "inbox"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE inbox_arrived_seq")
