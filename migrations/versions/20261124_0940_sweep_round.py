"""How often the routine asks about each account, for the status page.

Dear next author,

one row, written by whoever holds the lease of the sweeps and read by people. Nothing is decided by it: the rounds themselves
are in the memory of the sweeping worker, and a new one begins by believing that every account has just been heard of.
"""

import sqlalchemy as sa
from alembic import op

revision = "sweep_round"
down_revision = "external_orders"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "sweep_round",
        sa.Column("single", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False, comment="with live orders"),
        sa.Column("every_s", sa.Integer(), nullable=False, comment="market seconds between two looks at an account"),
        sa.Column("oldest_at", MOMENT, comment="business time of the look that is longest ago"),
        sa.Column("noted_at", MOMENT, nullable=False, comment="real time"),
        sa.CheckConstraint("single", name=op.f("ck_sweep_round_single_row")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_sweep_round")),
    )
    op.execute("GRANT SELECT ON sweep_round TO ilim_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON sweep_round TO ilim_worker")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("sweep_round")
