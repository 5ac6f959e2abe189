"""The tools' own tables, and ClOrdIDs.

Dear next author,

this is the first page. Idempotency keys, leases, job runs and the cluster's epoch belong to no slice; they are here so
that every later migration may rely on them. `ilim_cl_ord_id` builds in the database what `core/ids.cl_ord_id` builds in
Python, so that the statement that writes an order can take and print its number in one breath: change both or neither.

The logins `ilim_app` and `ilim_worker` come from `ilim database prepare`; migrations only GRANT to them.
"""

import sqlalchemy as sa
from alembic import op

from service.core.ids import BASE32
from service.infra.migrations import refuse_to_drop

revision = "house"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("idempotency_key", "lease", "job_run")


def upgrade() -> None:
    op.execute("create sequence cl_ord_id_seq as bigint cache 1")
    op.execute(cl_ord_id_function())
    op.create_table(
        "idempotency_key",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("route", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False, server_default="application/json"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("octet_length(body_hash) = 32", name="body_hash_is_sha256"),
    )
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"])
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "job_run",
        sa.Column("job", sa.Text(), primary_key=True),
        sa.Column("slot", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.Text()),
    )
    op.create_table(
        "cluster",
        sa.Column("single", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="1"),
        sa.CheckConstraint("single", name="single_row"),
    )
    op.execute("insert into cluster default values")
    grants()


def grants() -> None:
    op.execute("grant select on alembic_version, cluster to ilim_app, ilim_worker")
    op.execute("grant usage on sequence cl_ord_id_seq to ilim_app, ilim_worker")
    op.execute("grant select, insert, update on idempotency_key to ilim_app, ilim_worker")
    op.execute("grant delete on idempotency_key to ilim_worker")  # keys older than 48 hours
    op.execute("grant select, insert, update, delete on lease to ilim_app, ilim_worker")
    op.execute("grant select, insert, update on job_run to ilim_app, ilim_worker")
    op.execute("grant update (epoch) on cluster to ilim_worker")


def cl_ord_id_function() -> str:
    """Twelve written-out digits: a plain expression, which the planner inlines into the statement."""
    digits = " || ".join(f"substr('{BASE32}', (n >> {5 * place} & 31)::int + 1, 1)" for place in range(11, -1, -1))
    day = "(extract(year from day) * 10000 + extract(month from day) * 100 + extract(day from day))::int::text"
    return f"""
        create function ilim_cl_ord_id(day date, n bigint) returns text
        language sql immutable strict parallel safe
        return {day} || {digits}
    """


def downgrade() -> None:
    refuse_to_drop(*TABLES)
    for table in (*TABLES, "cluster"):
        op.drop_table(table)
    op.execute("drop function ilim_cl_ord_id(date, bigint)")
    op.execute("drop sequence cl_ord_id_seq")
    op.execute("revoke select on alembic_version from ilim_app, ilim_worker")
