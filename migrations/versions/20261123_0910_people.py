"""Users, roles and API keys.

To the next author: a key is stored as an HMAC-SHA-256 under a pepper this database never sees, so a copy of the table
opens no door. Nobody is deleted; a user becomes inactive, a key is revoked, and both stay as history behind the ledger.
The worker reads users (their rights are checked again when a send is claimed) and never keys.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.infra.migrations import refuse_to_drop

revision = "people"
down_revision = "house"
branch_labels = None
depends_on = None

ROLES_KNOWN = "roles <@ array['manager','approver','operations','compliance','administrator']::text[]"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "app_user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(ROLES_KNOWN, name=op.f("ck_app_user_roles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_user")),
        sa.UniqueConstraint("name", name=op.f("uq_app_user_name")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_api_key_digest")),
        sa.ForeignKeyConstraint(["user_id"], ["app_user.id"], name=op.f("fk_api_key_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_index(op.f("ix_api_key_user_id"), "api_key", ["user_id"])
    op.execute("GRANT SELECT, INSERT ON app_user, api_key TO ilim_app")
    op.execute("GRANT UPDATE (roles, active) ON app_user TO ilim_app")
    op.execute("GRANT UPDATE (revoked_at) ON api_key TO ilim_app")
    op.execute("GRANT SELECT ON app_user TO ilim_worker")


def downgrade() -> None:
    refuse_to_drop("app_user", "api_key")
    op.drop_table("api_key")
    op.drop_table("app_user")
