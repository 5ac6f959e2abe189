"""Who holds a lease, in words another process of the same machine can check.

To the next author: a lease of a process that has provably died is let go by the next who wants it, instead of after its
time. `who` is null for leases taken before this page, and stays unread where nothing can be proved: then time decides, as
before.
"""

import sqlalchemy as sa
from alembic import op

revision = "lease_who"
down_revision = "doubts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("lease", sa.Column("who", sa.Text(), comment="process that holds it, as infra.processes names it"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("lease", "who")
