"""Users and API keys. A key is stored as an HMAC under a pepper the database never sees."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY

from service.infra.db import MOMENT, metadata

ROLES_KNOWN = "roles <@ array['manager','approver','operations','compliance','administrator']::text[]"

app_user = Table(
    "app_user",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("roles", ARRAY(Text), nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", MOMENT, nullable=False),
    CheckConstraint(ROLES_KNOWN, name="roles"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("app_user.id"), nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=True),
    Column("revoked_at", MOMENT, nullable=True),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    Index(None, "user_id"),
)
