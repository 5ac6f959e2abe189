"""Find the amendments that their order's end left without an answer.

Dear next author,

hardly ever a row: the sweeps ask for it every time, and ask the broker once more about each.
"""

import sqlalchemy as sa
from alembic import op

revision = "amendments_unanswered"
down_revision = "rights"
branch_labels = None
depends_on = None

UNANSWERED = "kind = 'amendment' AND reason IN ('order-closed', 'order-closed-in-doubt') AND sent_at IS NOT NULL"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("ix_order_request_unanswered", "order_request", ["order_id"], postgresql_where=sa.text(UNANSWERED))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_order_request_unanswered", table_name="order_request")
