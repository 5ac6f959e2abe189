"""${message}

Dear next author,

what changes for those who read and write these tables, and why now:

    (two or three sentences; the reason is what nobody can recover later)

How long it holds which lock on a full table, and why that is harmless:

    (a migration waits at most 5 s for a lock, then fails whole: `lock_timeout`, set in env.py)

Down: refuses when it would drop rows (`refuse_to_drop`); up, down, up runs on an empty database.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
