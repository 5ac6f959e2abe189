"""Clients, mandates, and whose book an account is in.

To the next author: `ilim_sees_account` is the one sentence of the second wall. A policy of every table that belongs to
an account calls it; the application sets `ilim.user` in the transaction. It answers true for '*' (roles that read all
books), true for a manager assigned to the mandate that holds the account now, and false for everybody else, the unset
setting included. The status of the mandate does not matter for seeing: a manager may look at a suspended book.
It runs with the rights of the caller, so the app needs SELECT on both link tables. `mandate_account.account_id` gets its
foreign key in the next revision, where accounts are made.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.infra.migrations import refuse_to_drop

revision = "mandates"
down_revision = "market"
branch_labels = None
depends_on = None

STATES = "state in ('not_member','member_without_account','linked','consent_expiring','consent_expired')"

SEES_ACCOUNT = """
CREATE FUNCTION ilim_sees_account(account uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT coalesce(current_setting('ilim.user', true), '') = '*' OR EXISTS (
        SELECT 1
        FROM public.mandate_account AS held
        JOIN public.mandate_manager AS manages ON manages.mandate_id = held.mandate_id
        WHERE held.account_id = ilim_sees_account.account
          AND held.removed_at IS NULL
          AND manages.revoked_at IS NULL
          AND manages.user_id = nullif(nullif(current_setting('ilim.user', true), ''), '*')::uuid
    )
$$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_clients()
    _create_mandates()
    _create_links()
    op.execute(SEES_ACCOUNT)
    op.execute("REVOKE ALL ON FUNCTION ilim_sees_account(uuid) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION ilim_sees_account(uuid) TO ilim_app, ilim_worker")
    op.execute("GRANT SELECT, INSERT ON client TO ilim_app")
    op.execute("GRANT SELECT (id, name, kind, created_at) ON client TO ilim_worker")
    op.execute("GRANT SELECT, INSERT, UPDATE ON client_linkage, mandate, mandate_day TO ilim_app")
    op.execute("GRANT SELECT, INSERT ON mandate_account, mandate_manager TO ilim_app")
    op.execute("GRANT UPDATE (removed_at) ON mandate_account TO ilim_app")
    op.execute("GRANT UPDATE (revoked_at) ON mandate_manager TO ilim_app")
    op.execute("GRANT SELECT ON client_linkage, mandate, mandate_account, mandate_manager TO ilim_worker")
    op.execute("GRANT SELECT, INSERT, UPDATE ON mandate_day TO ilim_worker")


def _create_clients() -> None:
    op.create_table(
        "client",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ci", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('individual','corporate')", name=op.f("ck_client_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_table(
        "client_linkage",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("terms_expire", sa.Date(), nullable=True),
        sa.Column("accounts", postgresql.JSONB(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(STATES, name=op.f("ck_client_linkage_state")),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_client_linkage_client_id")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_client_linkage")),
    )


def _create_mandates() -> None:
    op.create_table(
        "mandate",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("limits", postgresql.JSONB(), nullable=False),
        sa.Column("fee_schedule", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("status in ('draft','in_force','suspended','terminated')", name=op.f("ck_mandate_status")),
        sa.CheckConstraint("ends_on is null or ends_on >= starts_on", name=op.f("ck_mandate_term")),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_mandate_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate")),
    )
    op.create_index(op.f("ix_mandate_client_id"), "mandate", ["client_id"])
    op.create_table(
        "mandate_day",
        sa.Column("mandate_id", sa.Uuid(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("turnover", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("turnover >= 0", name=op.f("ck_mandate_day_turnover")),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_mandate_day_mandate_id")),
        sa.PrimaryKeyConstraint("mandate_id", "business_date", name=op.f("pk_mandate_day")),
    )


def _create_links() -> None:
    op.create_table(
        "mandate_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mandate_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_mandate_account_mandate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_account")),
    )
    op.create_index(op.f("ix_mandate_account_mandate_id"), "mandate_account", ["mandate_id"])
    present = {"unique": True, "postgresql_where": sa.text("removed_at IS NULL")}
    op.create_index("uq_mandate_account_present", "mandate_account", ["account_id"], **present)
    op.create_table(
        "mandate_manager",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mandate_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["mandate_id"], ["mandate.id"], name=op.f("fk_mandate_manager_mandate_id")),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], name=op.f("fk_mandate_manager_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate_manager")),
    )
    op.create_index(op.f("ix_mandate_manager_user_id"), "mandate_manager", ["user_id"])
    present = {"unique": True, "postgresql_where": sa.text("revoked_at IS NULL")}
    op.create_index("uq_mandate_manager_present", "mandate_manager", ["mandate_id", "user_id"], **present)


def downgrade() -> None:
    refuse_to_drop("client")
    op.execute("DROP FUNCTION ilim_sees_account(uuid)")
    for name in ("mandate_manager", "mandate_account", "mandate_day", "mandate", "client_linkage", "client"):
        op.drop_table(name)
