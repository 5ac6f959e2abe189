"""Halts, locked brokers and the stream's gate: what stops new orders.

Dear next author,

`halt_gate` is one row that every claim of a send holds FOR SHARE. Setting a halt takes the whole table EXCLUSIVE instead of
locking the row: claims come one behind the other without a pause, and a row's share locks would let them pass a waiting
halt for ever, while a table's queue is fair. So keep nothing else in that table. The cluster's epoch has moved here from
`cluster`, because a claim must read it under the same lock; it only ever rises.

A halt's release by its setter, a firm-wide halt with a target, or a stream open without a lease are refused by the
database, whoever writes. `stream_gate` names the lease of its reader: it is shut when that lease lapses, without a write.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "controls"
down_revision = "platform"
branch_labels = None
depends_on = None

SCOPES = "scope IN ('firm', 'broker', 'account', 'instrument', 'manager')"
RELEASED_WHOLE = (
    "(released_by IS NULL) = (released_at IS NULL) AND (released_by IS NULL) = (release_reason IS NULL) AND release_reason <> ''"
)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _gate()
    _halt()
    _broker_lock()
    op.create_table(
        "stream_gate",
        sa.Column("com_id", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("since", MOMENT, nullable=False, comment="real time of the last change"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("com_id", name=op.f("pk_stream_gate")),
    )
    for statement in SECURITY:
        op.execute(statement)


def _gate() -> None:
    op.create_table(
        "halt_gate",
        sa.Column("single", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "cluster_epoch",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="rises when the database fails over",
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="rises with every halt set or released",
        ),
        sa.Column("made_at", MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False, comment="real time"),
        sa.CheckConstraint("single", name=op.f("ck_halt_gate_single_row")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_halt_gate")),
    )
    op.execute("INSERT INTO halt_gate (cluster_epoch) SELECT epoch FROM cluster")
    op.drop_table("cluster")


def _halt() -> None:
    op.create_table(
        "halt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), comment="company code, account id, ISIN or user id; none for the whole firm"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.Column("set_at", MOMENT, nullable=False, comment="business time"),
        sa.Column("released_by", sa.Uuid()),
        sa.Column("released_at", MOMENT, comment="business time"),
        sa.Column("release_reason", sa.Text()),
        sa.CheckConstraint(SCOPES, name=op.f("ck_halt_scope")),
        sa.CheckConstraint("(scope = 'firm') = (target IS NULL)", name=op.f("ck_halt_only_the_firm_needs_no_target")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_halt_reason")),
        sa.CheckConstraint("released_by <> set_by", name=op.f("ck_halt_released_by_another")),
        sa.CheckConstraint(RELEASED_WHOLE, name=op.f("ck_halt_released_whole")),
        sa.ForeignKeyConstraint(["set_by"], ["app_user.id"], name=op.f("fk_halt_set_by")),
        sa.ForeignKeyConstraint(["released_by"], ["app_user.id"], name=op.f("fk_halt_released_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_halt")),
    )
    op.create_index("ix_halt_standing", "halt", ["scope", "target"], postgresql_where=sa.text("released_at IS NULL"))


def _broker_lock() -> None:
    op.create_table(
        "broker_lock",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False, comment="company code"),
        sa.Column("since", MOMENT, nullable=False, comment="business time"),
        sa.Column("message", sa.Text(), nullable=False, comment="the kind of message that differs from the profile"),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Uuid()),
        sa.Column("released_by", sa.Uuid()),
        sa.Column("released_at", MOMENT, comment="business time"),
        sa.Column("release_reason", sa.Text()),
        sa.CheckConstraint(RELEASED_WHOLE, name=op.f("ck_broker_lock_released_whole")),
        sa.ForeignKeyConstraint(["evidence"], ["audit.raw_message.id"], name=op.f("fk_broker_lock_evidence")),
        sa.ForeignKeyConstraint(["released_by"], ["app_user.id"], name=op.f("fk_broker_lock_released_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broker_lock")),
    )
    op.create_index(
        "uq_broker_lock_standing", "broker_lock", ["broker"], unique=True, postgresql_where=sa.text("released_at IS NULL")
    )


SECURITY = (
    # The epoch fences old senders: whoever may write the row may not take it back.
    """CREATE FUNCTION ilim_epoch_rises() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF NEW.cluster_epoch < OLD.cluster_epoch OR NEW.version < OLD.version THEN
           RAISE EXCEPTION 'the epoch and the version of the gate never fall';
         END IF;
         RETURN NEW;
       END $$""",
    "CREATE TRIGGER only_rises BEFORE UPDATE ON halt_gate FOR EACH ROW EXECUTE FUNCTION ilim_epoch_rises()",
    "GRANT SELECT, UPDATE ON halt_gate TO ilim_app, ilim_worker",
    "GRANT SELECT, INSERT ON halt TO ilim_app",
    "GRANT UPDATE (released_by, released_at, release_reason) ON halt, broker_lock TO ilim_app",
    "GRANT SELECT ON halt TO ilim_worker",
    "GRANT SELECT ON broker_lock, stream_gate TO ilim_app",
    "GRANT SELECT, INSERT ON broker_lock TO ilim_worker",
    "GRANT SELECT, INSERT, UPDATE ON stream_gate TO ilim_worker",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("halt", "broker_lock", "stream_gate")
    op.create_table(
        "cluster",
        sa.Column("single", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="1"),
        sa.CheckConstraint("single", name="single_row"),
    )
    op.execute("INSERT INTO cluster (epoch) SELECT cluster_epoch FROM halt_gate")
    op.execute("GRANT SELECT ON cluster TO ilim_app, ilim_worker")
    op.execute("GRANT UPDATE (epoch) ON cluster TO ilim_worker")
    for table in ("stream_gate", "broker_lock", "halt", "halt_gate"):
        op.drop_table(table)
    op.execute("DROP FUNCTION ilim_epoch_rises()")
