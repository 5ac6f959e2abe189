"""Tables of the ledger, in a schema of their own. Append-only by trigger and by right; see the migration."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from service.infra.db import MOMENT, metadata

record = Table(
    "record",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("arrived", BigInteger, Identity(always=True), nullable=False, comment="a hint of order; gaps are normal"),
    Column("written_at", MOMENT, nullable=False, server_default=func.clock_timestamp()),
    Column("kind", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("subject_seq", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the exact canonical bytes: the evidence"),
    Column(
        "leaf_hash",
        LargeBinary,
        Computed(r"sha256('\x00'::bytea || body)", persisted=True),
        nullable=False,
    ),
    CheckConstraint("octet_length(body) BETWEEN 2 AND 60000", name="body_fits"),
    CheckConstraint("subject_seq > 0", name="subject_seq_counts_from_one"),
    UniqueConstraint("subject_kind", "subject_id", "subject_seq"),
    Index("ix_record_arrived", "arrived"),
    schema="audit",
)

pending = Table(
    "pending",
    metadata,
    Column("arrived", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", Uuid, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    schema="audit",
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "2000"},
)

raw_message = Table(
    "raw_message",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("com_id", Text),
    Column("seq_date", Date),
    Column("seq", BigInteger),
    Column("sealed", LargeBinary, nullable=False, comment="nonce and AES-GCM of the bytes as they came"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the bytes as they came"),
    Column("received_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    Column("business_at", MOMENT, nullable=False, comment="business time"),
    CheckConstraint("source IN ('stream', 'inquiry', 'answer')", name="source"),
    CheckConstraint("seq IS NULL OR (seq > 0 AND seq_date IS NOT NULL AND com_id IS NOT NULL)", name="sequence_is_whole"),
    CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
    Index(
        "uq_raw_message_stream",
        "com_id",
        "seq_date",
        "seq",
        unique=True,
        postgresql_where=text("source = 'stream' AND seq IS NOT NULL"),
    ),
    Index(
        "uq_raw_message_unsequenced",
        "digest",
        unique=True,
        postgresql_where=text("source = 'stream' AND seq IS NULL"),
    ),
    schema="audit",
)
