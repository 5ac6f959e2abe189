"""A queue for each broker: a request names the broker of its order.

Dear next author,

while one broker's pace was used up its backlog lay before everybody else's requests: each look for the next one to send read
through all of it. The name is the order's own, and the foreign key over both columns keeps it so.
"""

import sqlalchemy as sa
from alembic import op

revision = "queue_by_broker"
down_revision = "amendments_unanswered"
branch_labels = None
depends_on = None

SENT_LATER = sa.text("(kind <> 'cancellation')")
QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_unique_constraint(op.f("uq_orders_id_broker"), "orders", ["id", "broker"])
    op.add_column("order_request", sa.Column("broker", sa.Text(), comment="the order's"))
    op.execute("UPDATE order_request r SET broker = o.broker FROM orders o WHERE o.id = r.order_id")
    op.alter_column("order_request", "broker", nullable=False)
    op.drop_constraint(op.f("fk_order_request_order_id"), "order_request", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_order_request_order_id_broker"), "order_request", "orders", ["order_id", "broker"], ["id", "broker"]
    )
    op.drop_index("ix_order_request_queue", table_name="order_request")
    in_turn = ["broker", SENT_LATER, "queued_at", "cl_ord_id"]
    op.create_index("ix_order_request_queue", "order_request", in_turn, postgresql_where=QUEUED)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_order_request_queue", table_name="order_request")
    in_turn = [SENT_LATER, "queued_at", "cl_ord_id"]
    op.create_index("ix_order_request_queue", "order_request", in_turn, postgresql_where=QUEUED)
    op.drop_constraint(op.f("fk_order_request_order_id_broker"), "order_request", type_="foreignkey")
    op.create_foreign_key(op.f("fk_order_request_order_id"), "order_request", "orders", ["order_id"], ["id"])
    op.drop_column("order_request", "broker")
    op.drop_constraint(op.f("uq_orders_id_broker"), "orders", type_="unique")
