"""A broker's number belongs to one order of an account and day.

Dear next author,

two orders had one number once (a row of an order the broker had lowered was taken for a smaller one in doubt), and a fill was
counted for both. The code that did it is mended; this says it where nothing gets past it. It is looked at when a transaction
commits, because a stranger's order that proves to be ours hands its number over within one. Orders without a number, and
numbers of noughts only, are not in the index at all. Where two orders have one number already this stops and names it: ask the
broker whose it is before anything else.
"""

from alembic import op

revision = "number_of_one_order"
down_revision = "queue_by_broker"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        ALTER TABLE orders ADD CONSTRAINT ex_orders_broker_order_number
        EXCLUDE USING btree (account_id WITH =, business_date WITH =, ltrim(broker_order_number, '0') WITH =)
        WHERE (ltrim(broker_order_number, '0') <> '') DEFERRABLE INITIALLY DEFERRED"""
    )
    op.drop_index("ix_orders_broker_number", table_name="orders")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("ix_orders_broker_number", "orders", ["broker", "account_id", "business_date", "broker_order_number"])
    op.drop_constraint("ex_orders_broker_order_number", "orders")
