"""Orders, their requests, and the attempts to send them.

To the next author: three things here are promises rather than tidiness. `uq_attempt_one_send` lets a request be sent at
most once: a second attempt is possible only when the first provably wrote no byte. `uq_order_request_in_flight` allows one
amendment and one cancellation at a time. `closed_holds_nothing` frees cash and shares when an order ends. Row-level
security is forced, so the owner of the tables is bound by it too.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "orders"
down_revision = "audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _orders()
    _requests()
    _attempts()
    for statement in SECURITY:
        op.execute(statement)


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False, comment="company code"),
        sa.Column("mandate_id", sa.Uuid()),
        sa.Column("manager_id", sa.Uuid(), comment="none for orders that are not ours"),
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("short_code", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="ordered now, after accepted amendments"),
        sa.Column("price", sa.Numeric(20, 4), comment="limit price now; none for market orders"),
        sa.Column("limit_price", sa.Numeric(20, 4), nullable=False, comment="worst case price a reservation is made at"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("filled_quantity", sa.BigInteger(), server_default="0", nullable=False, comment="sum of recorded fills"),
        sa.Column("filled_amount", sa.Numeric(20, 4), server_default="0", nullable=False),
        sa.Column(
            "reported_quantity", sa.BigInteger(), server_default="0", nullable=False, comment="highest CumQty evidence shows"
        ),
        sa.Column("remaining_quantity", sa.BigInteger(), nullable=False),
        sa.Column(
            "closed", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="nothing of it can trade any more"
        ),
        sa.Column("reserved_cash", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_quantity", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("broker_order_number", sa.Text()),
        sa.Column("client_order_id", sa.Text()),
        sa.Column("rationale", sa.Text()),
        sa.Column("session_ends", sa.DateTime(timezone=True), nullable=False, comment="business time at which a remainder dies"),
        sa.Column("audit_seq", sa.Integer(), nullable=False, comment="ledger entries about this order so far"),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending_approval', 'pending_new', 'new', 'partially_filled', 'filled', 'pending_replace', "
            "'pending_cancel', 'canceled', 'rejected', 'expired', 'done_for_day', 'suspended', 'stopped', 'calculated')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_orders_side")),
        sa.CheckConstraint("order_type IN ('limit', 'market')", name=op.f("ck_orders_order_type")),
        sa.CheckConstraint("(order_type = 'limit') = (price IS NOT NULL)", name=op.f("ck_orders_only_limits_have_a_price")),
        sa.CheckConstraint("time_in_force IN ('day', 'ioc', 'fok')", name=op.f("ck_orders_time_in_force")),
        sa.CheckConstraint("session IN ('pre_close', 'regular', 'post_close', 'after_market')", name=op.f("ck_orders_session")),
        sa.CheckConstraint("quantity > 0 AND (price IS NULL OR price > 0)", name=op.f("ck_orders_positive")),
        sa.CheckConstraint(
            "filled_quantity >= 0 AND filled_quantity <= quantity", name=op.f("ck_orders_executed_within_ordered")
        ),
        sa.CheckConstraint(
            "remaining_quantity >= 0 AND remaining_quantity <= quantity", name=op.f("ck_orders_remaining_within_ordered")
        ),
        sa.CheckConstraint("reserved_cash >= 0 AND reserved_quantity >= 0", name=op.f("ck_orders_reservations_not_negative")),
        sa.CheckConstraint(
            "NOT closed OR (remaining_quantity = 0 AND reserved_cash = 0 AND reserved_quantity = 0)",
            name=op.f("ck_orders_closed_holds_nothing"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_orders_account_id")),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_orders_mandate_id")),
        sa.ForeignKeyConstraint(["manager_id"], ["app_user.id"], name=op.f("fk_orders_manager_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("client_order_id", "manager_id", name=op.f("uq_orders_client_order_id_manager_id")),
    )
    op.create_index("ix_orders_account_day", "orders", ["account_id", "business_date", "isin"])
    op.create_index("ix_orders_manager_created", "orders", ["manager_id", "id"])
    op.create_index("ix_orders_open", "orders", ["account_id"], postgresql_where=sa.text("NOT closed"))
    op.create_index("ix_orders_broker_number", "orders", ["broker", "account_id", "business_date", "broker_order_number"])


def _requests() -> None:
    op.create_table(
        "order_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3 … within the order"),
        sa.Column("cl_ord_id", sa.Text(), nullable=False),
        sa.Column("orig_cl_ord_id", sa.Text(), comment="set when it is claimed: the last request not refused"),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="FIX total this request asks for"),
        sa.Column("price", sa.Numeric(20, 4)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("send_by", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("sent_at", sa.DateTime(timezone=True), comment="business time"),
        sa.Column("answered_at", sa.DateTime(timezone=True), comment="business time"),
        sa.Column(
            "retry_at", sa.DateTime(timezone=True), comment="real time before which a request that was not sent is left alone"
        ),
        sa.CheckConstraint("kind IN ('new', 'amendment', 'cancellation')", name=op.f("ck_order_request_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'acknowledged', 'refused', 'unknown')", name=op.f("ck_order_request_state")
        ),
        sa.CheckConstraint("length(cl_ord_id) BETWEEN 1 AND 20", name=op.f("ck_order_request_cl_ord_id_fits")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_request_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_request_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], name=op.f("fk_order_request_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_request")),
        sa.UniqueConstraint("cl_ord_id", name=op.f("uq_order_request_cl_ord_id")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_order_request_order_id_number")),
    )
    op.create_index(
        "uq_order_request_one_new", "order_request", ["order_id"], unique=True, postgresql_where=sa.text("kind = 'new'")
    )
    op.create_index(
        "uq_order_request_in_flight",
        "order_request",
        ["order_id", "kind"],
        unique=True,
        postgresql_where=sa.text("kind <> 'new' AND state IN ('queued', 'sending', 'sent', 'unknown')"),
    )
    in_turn = [sa.text("(kind <> 'cancellation')"), "queued_at", "cl_ord_id"]
    op.create_index("ix_order_request_queue", "order_request", in_turn, postgresql_where=sa.text("state = 'queued'"))
    op.create_index(
        "ix_order_request_unknown", "order_request", ["order_id"], postgresql_where=sa.text("state IN ('sending', 'unknown')")
    )


def _attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="real time",
        ),
        sa.Column(
            "overdue_at", sa.DateTime(timezone=True), nullable=False, comment="real time after which no answer can come any more"
        ),
        sa.Column("answered_at", sa.DateTime(timezone=True), comment="real time"),
        sa.Column("outcome", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("evidence", sa.Uuid(), comment="raw answer"),
        sa.CheckConstraint("outcome IN ('accepted', 'refused', 'not_sent', 'unknown')", name=op.f("ck_attempt_outcome")),
        sa.CheckConstraint("n > 0", name=op.f("ck_attempt_counts_from_one")),
        sa.ForeignKeyConstraint(["request_id"], ["order_request.id"], name=op.f("fk_attempt_request_id")),
        sa.PrimaryKeyConstraint("request_id", "n", name=op.f("pk_attempt")),
    )
    op.create_index(
        "uq_attempt_one_send",
        "attempt",
        ["request_id"],
        unique=True,
        postgresql_where=sa.text("outcome IS NULL OR outcome <> 'not_sent'"),
    )
    op.create_index("ix_attempt_unanswered", "attempt", ["overdue_at"], postgresql_where=sa.text("outcome IS NULL"))


SECURITY = (
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE orders FORCE ROW LEVEL SECURITY",
    "CREATE POLICY books ON orders TO ilim_app USING (ilim_sees_account(account_id))",
    "CREATE POLICY everything ON orders TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    "ALTER TABLE order_request ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE order_request FORCE ROW LEVEL SECURITY",
    # the subquery is itself under the policy of orders
    """CREATE POLICY books ON order_request TO ilim_app
       USING (EXISTS (SELECT 1 FROM orders o WHERE o.id = order_request.order_id)) WITH CHECK (true)""",
    "CREATE POLICY everything ON order_request TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    "GRANT SELECT, INSERT, UPDATE ON orders, order_request TO ilim_app, ilim_worker",
    "GRANT SELECT ON attempt TO ilim_app",
    "GRANT SELECT, INSERT, UPDATE ON attempt TO ilim_worker",
    "GRANT USAGE ON SEQUENCE cl_ord_id_seq TO ilim_app, ilim_worker",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("orders")
    for table in ("attempt", "order_request", "orders"):
        op.drop_table(table)
