"""The ledger: records and the queue of what is not yet sealed.

To the next author: every row here is evidence. The triggers refuse UPDATE, DELETE and TRUNCATE even to a session that
plays replica; they are hygiene, the proofs of the sealed tree are the control. `pending` is the sealing queue: rows get
there by trigger in the transaction of the record, and only a sealer may take them out. The generated `leaf_hash` follows
the body, so a verifier recomputes it and never trusts the column.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "audit"
down_revision = "accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE SCHEMA IF NOT EXISTS audit")
    op.create_table(
        "record",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column(
            "arrived",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="a hint of order; gaps are normal",
        ),
        sa.Column("written_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("subject_seq", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the exact canonical bytes: the evidence"),
        sa.Column("leaf_hash", sa.LargeBinary(), sa.Computed(r"sha256('\x00'::bytea || body)", persisted=True), nullable=False),
        sa.CheckConstraint("octet_length(body) BETWEEN 2 AND 60000", name=op.f("ck_record_body_fits")),
        sa.CheckConstraint("subject_seq > 0", name=op.f("ck_record_subject_seq_counts_from_one")),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_record")),
        sa.UniqueConstraint(
            "subject_kind", "subject_id", "subject_seq", name=op.f("uq_record_subject_kind_subject_id_subject_seq")
        ),
        schema="audit",
    )
    op.create_index("ix_record_arrived", "record", ["arrived"], schema="audit")
    op.create_table(
        "pending",
        sa.Column("arrived", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("arrived", name=op.f("pk_pending")),
        schema="audit",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "2000"},
    )
    op.create_table(
        "raw_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("com_id", sa.Text()),
        sa.Column("seq_date", sa.Date()),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="nonce and AES-GCM of the bytes as they came"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the bytes as they came"),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="real time",
        ),
        sa.Column("business_at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.CheckConstraint("source IN ('stream', 'inquiry', 'answer')", name=op.f("ck_raw_message_source")),
        sa.CheckConstraint(
            "seq IS NULL OR (seq > 0 AND seq_date IS NOT NULL AND com_id IS NOT NULL)",
            name=op.f("ck_raw_message_sequence_is_whole"),
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_raw_message_digest_is_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_raw_message")),
        schema="audit",
    )
    op.create_index(
        "uq_raw_message_stream",
        "raw_message",
        ["com_id", "seq_date", "seq"],
        unique=True,
        schema="audit",
        postgresql_where=sa.text("source = 'stream' AND seq IS NOT NULL"),
    )
    op.create_index(
        "uq_raw_message_unsequenced",
        "raw_message",
        ["digest"],
        unique=True,
        schema="audit",
        postgresql_where=sa.text("source = 'stream' AND seq IS NULL"),
    )
    for statement in TRIGGERS:
        op.execute(statement)
    for statement in GRANTS:
        op.execute(statement)


TRIGGERS = (
    """CREATE FUNCTION audit.deny() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         RAISE EXCEPTION 'the ledger is append-only: % on %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
       END $$""",
    "CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON audit.record FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit.record FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
    """CREATE FUNCTION audit.enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
       BEGIN
         INSERT INTO audit.pending (arrived, record_id, leaf_hash) VALUES (NEW.arrived, NEW.record_id, NEW.leaf_hash);
         RETURN NULL;
       END $$""",
    "CREATE TRIGGER enqueue AFTER INSERT ON audit.record FOR EACH ROW EXECUTE FUNCTION audit.enqueue()",
    """CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON audit.raw_message
       FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()""",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit.raw_message FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
    "ALTER TABLE audit.raw_message ENABLE ALWAYS TRIGGER no_change",
    "ALTER TABLE audit.raw_message ENABLE ALWAYS TRIGGER no_truncate",
    "ALTER TABLE audit.record ENABLE ALWAYS TRIGGER no_change",
    "ALTER TABLE audit.record ENABLE ALWAYS TRIGGER no_truncate",
    "ALTER TABLE audit.record ENABLE ALWAYS TRIGGER enqueue",
)

GRANTS = (
    "GRANT USAGE ON SCHEMA audit TO ilim_app, ilim_worker",
    "GRANT SELECT ON audit.record, audit.pending TO ilim_app, ilim_worker",
    # raw messages hold account numbers: the api may not read them
    "GRANT SELECT, INSERT ON audit.raw_message TO ilim_worker",
    "GRANT INSERT ON audit.raw_message TO ilim_app",
    # a column list: arrival, time and hash are the database's to say
    "GRANT INSERT (record_id, kind, subject_kind, subject_id, subject_seq, body) ON audit.record TO ilim_app, ilim_worker",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("audit.record", "audit.raw_message")
    op.drop_table("raw_message", schema="audit")
    op.drop_table("pending", schema="audit")
    op.drop_table("record", schema="audit")
    op.execute("DROP FUNCTION audit.enqueue()")
    op.execute("DROP FUNCTION audit.deny()")
    op.execute("DROP SCHEMA audit")
