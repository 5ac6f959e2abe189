"""Clients, their mandates, and the links of mandates to accounts and managers.

The link to `account` is a foreign key by name: accounts live in a slice above and know mandates, not the reverse.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from service.infra.db import MOMENT, WON, metadata

client = Table(
    "client",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ci", LargeBinary, nullable=True),  # 연계정보, sealed by the application (AES-GCM)
    Column("created_at", MOMENT, nullable=False),
    CheckConstraint("kind in ('individual','corporate')", name="kind"),
)

client_linkage = Table(
    "client_linkage",
    metadata,
    Column("client_id", Uuid, ForeignKey("client.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("member", Boolean, nullable=False),
    Column("terms_expire", Date, nullable=True),
    Column("accounts", JSONB, nullable=False),  # virtual numbers, aliases and expiry as the platform gave them
    Column("checked_at", MOMENT, nullable=False),
    CheckConstraint(
        "state in ('not_member','member_without_account','linked','consent_expiring','consent_expired')", name="state"
    ),
)

mandate = Table(
    "mandate",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("client_id", Uuid, ForeignKey("client.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=True),
    Column("limits", JSONB, nullable=False),
    Column("fee_schedule", JSONB(none_as_null=True), nullable=True),
    Column("created_at", MOMENT, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("status in ('draft','in_force','suspended','terminated')", name="status"),
    CheckConstraint("ends_on is null or ends_on >= starts_on", name="term"),
    Index(None, "client_id"),
)

mandate_account = Table(
    "mandate_account",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("mandate_id", Uuid, ForeignKey("mandate.id"), nullable=False),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("removed_at", MOMENT, nullable=True),
    # An account belongs to one mandate at a time.
    Index("uq_mandate_account_present", "account_id", unique=True, postgresql_where=text("removed_at IS NULL")),
    Index(None, "mandate_id"),
)

mandate_manager = Table(
    "mandate_manager",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("mandate_id", Uuid, ForeignKey("mandate.id"), nullable=False),
    Column("user_id", Uuid, ForeignKey("app_user.id"), nullable=False),
    Column("assigned_at", MOMENT, nullable=False),
    Column("revoked_at", MOMENT, nullable=True),
    Index(
        "uq_mandate_manager_present",
        "mandate_id",
        "user_id",
        unique=True,
        postgresql_where=text("revoked_at IS NULL"),
    ),
    Index(None, "user_id"),
)

# What the orders of one mandate have claimed of its daily turnover: a counter, so that the guard is one row.
mandate_day = Table(
    "mandate_day",
    metadata,
    Column("mandate_id", Uuid, ForeignKey("mandate.id"), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("turnover", WON, nullable=False),
    PrimaryKeyConstraint("mandate_id", "business_date"),
    CheckConstraint("turnover >= 0", name="turnover"),
)
