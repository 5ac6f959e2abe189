"""What was tried about a request in doubt, what two people decided about it, and the lock on its twins.

To the next author: three promises are kept here and not in Python. A request is `closed-on-absence` only under a confirmed
decision that names a final complete inquiry and two people, neither of whom confirms for the other or for himself (the
checks of `doubt_decision`, its composite foreign key and the trigger `closed_by_two`). A twin of an unknown new order can
neither be inserted nor claimed without a decision that allows it (`twin_guard`): the advisory lock of the twins' key makes
whoever learns that an order is unknown and whoever would send its twin wait for each other. And a decision is used once.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop

revision = "doubts"
down_revision = "event_feed"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _steps()
    _decisions()
    op.create_index(
        "ix_order_request_new_unknown",
        "order_request",
        ["order_id"],
        postgresql_where=sa.text("state = 'unknown' AND kind = 'new'"),
    )
    op.create_index("ix_attempt_unknown", "attempt", ["request_id"], postgresql_where=sa.text("outcome = 'unknown'"))
    op.add_column("idempotency_key", sa.Column("held_until", MOMENT, comment="real time until which the first call still waits"))
    for statement in (*GUARDS, *SECURITY):
        op.execute(statement)


def _steps() -> None:
    op.create_table(
        "doubt_step",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="1, 2, 3 … within the request"),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False, comment="business time of the first of its `times`"),
        sa.Column("at", MOMENT, nullable=False, comment="business time of the newest of its `times`"),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("complete", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "final", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="asked after the day's last session"
        ),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Uuid(), comment="first raw page, or the message that settled it"),
        sa.Column("digest", sa.Text(), comment="SHA-256 over the pages' own, hexadecimal"),
        sa.Column("next_at", MOMENT, comment="business time of the next look; none when it is settled"),
        sa.CheckConstraint("kind IN ('push', 'resend', 'inquiry', 'outcome')", name=op.f("ck_doubt_step_kind")),
        sa.CheckConstraint("n > 0 AND times > 0", name=op.f("ck_doubt_step_counts_from_one")),
        sa.CheckConstraint("NOT complete OR kind = 'inquiry'", name=op.f("ck_doubt_step_only_inquiries_are_complete")),
        sa.CheckConstraint(
            "NOT complete OR (evidence IS NOT NULL AND digest IS NOT NULL)", name=op.f("ck_doubt_step_complete_has_evidence")
        ),
        sa.CheckConstraint("NOT final OR complete", name=op.f("ck_doubt_step_final_is_complete")),
        sa.CheckConstraint("(kind = 'outcome') = (next_at IS NULL)", name=op.f("ck_doubt_step_looked_at_again_until_settled")),
        sa.ForeignKeyConstraint(["request_id"], ["order_request.id"], name=op.f("fk_doubt_step_request_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_doubt_step_order_id")),
        sa.ForeignKeyConstraint(["evidence"], ["audit.raw_message.id"], name=op.f("fk_doubt_step_evidence")),
        sa.PrimaryKeyConstraint("request_id", "n", name=op.f("pk_doubt_step")),
        sa.UniqueConstraint("request_id", "evidence", "final", name=op.f("uq_doubt_step_request_id_evidence_final")),
    )
    op.create_index("ix_doubt_step_order", "doubt_step", ["order_id"])


def _decisions() -> None:
    op.create_table(
        "doubt_decision",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("conclusion", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("maker", sa.Uuid(), comment="who asked for the request in doubt"),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_at", MOMENT, nullable=False, comment="business time"),
        sa.Column("evidence", sa.Uuid(), comment="first page of the final complete inquiry that does not show it"),
        sa.Column("evidence_final", sa.Boolean()),
        sa.Column("decision", sa.Text()),
        sa.Column("decided_by", sa.Uuid()),
        sa.Column("decided_at", MOMENT, comment="business time"),
        sa.Column("decided_reason", sa.Text()),
        sa.Column("used_by", sa.Uuid(), comment="the one order that a permission let pass"),
        sa.Column("overturned_at", MOMENT, comment="business time at which evidence turned up after all"),
        sa.CheckConstraint("conclusion IN ('not_sent', 'twin_allowed')", name=op.f("ck_doubt_decision_conclusion")),
        sa.CheckConstraint("decision IN ('confirmed', 'declined')", name=op.f("ck_doubt_decision_decision")),
        sa.CheckConstraint(
            "(conclusion = 'not_sent') = (evidence IS NOT NULL)", name=op.f("ck_doubt_decision_absence_needs_evidence")
        ),
        sa.CheckConstraint(
            "(evidence IS NULL) = (evidence_final IS NULL) AND evidence_final IS NOT FALSE",
            name=op.f("ck_doubt_decision_evidence_is_final"),
        ),
        sa.CheckConstraint(
            "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
            name=op.f("ck_doubt_decision_decided_by_somebody"),
        ),
        sa.CheckConstraint(
            "decision IS DISTINCT FROM 'confirmed' OR (decided_by <> proposed_by AND decided_by IS DISTINCT FROM maker)",
            name=op.f("ck_doubt_decision_two_people"),
        ),
        sa.CheckConstraint(
            "used_by IS NULL OR (conclusion = 'twin_allowed' AND decision IS NOT DISTINCT FROM 'confirmed')",
            name=op.f("ck_doubt_decision_only_permissions_are_used"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_doubt_decision_order_id")),
        sa.ForeignKeyConstraint(["request_id"], ["order_request.id"], name=op.f("fk_doubt_decision_request_id")),
        sa.ForeignKeyConstraint(["maker"], ["app_user.id"], name=op.f("fk_doubt_decision_maker")),
        sa.ForeignKeyConstraint(["proposed_by"], ["app_user.id"], name=op.f("fk_doubt_decision_proposed_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["app_user.id"], name=op.f("fk_doubt_decision_decided_by")),
        sa.ForeignKeyConstraint(["used_by"], ["orders.id"], name=op.f("fk_doubt_decision_used_by")),
        sa.ForeignKeyConstraint(
            ["request_id", "evidence", "evidence_final"],
            ["doubt_step.request_id", "doubt_step.evidence", "doubt_step.final"],
            name=op.f("fk_doubt_decision_request_id_evidence_evidence_final"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doubt_decision")),
    )
    op.create_index("ix_doubt_decision_order", "doubt_decision", ["order_id"])
    op.create_index(
        "uq_doubt_decision_one_open",
        "doubt_decision",
        ["request_id", "conclusion"],
        unique=True,
        postgresql_where=sa.text("decision IS NULL OR (decision = 'confirmed' AND used_by IS NULL)"),
    )


GUARDS = (
    """CREATE FUNCTION ilim_closed_by_two() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF NOT EXISTS (SELECT FROM doubt_decision d WHERE d.request_id = NEW.id AND d.conclusion = 'not_sent'
                          AND d.decision = 'confirmed') THEN
           RAISE EXCEPTION 'request % is closed on absence without two people', NEW.cl_ord_id
             USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_by_two';
         END IF;
         RETURN NEW;
       END $$""",
    """CREATE TRIGGER closed_by_two BEFORE INSERT OR UPDATE OF state, reason ON order_request
       FOR EACH ROW WHEN (NEW.reason = 'closed-on-absence') EXECUTE FUNCTION ilim_closed_by_two()""",
    # Shared by those who would send a twin, exclusive for whoever learns that an order is unknown.
    """CREATE FUNCTION ilim_twin_guard() RETURNS trigger LANGUAGE plpgsql AS $$
       DECLARE
         mine record; twin_key bigint; twins uuid[]; allowed integer;
       BEGIN
         SELECT account_id, business_date, isin, side INTO mine FROM orders WHERE id = NEW.order_id;
         twin_key := hashtextextended(concat_ws('|', mine.account_id, mine.business_date, mine.isin, mine.side, NEW.quantity), 5);
         IF NEW.state = 'unknown' THEN
           PERFORM pg_advisory_xact_lock(twin_key);
           RETURN NEW;
         END IF;
         PERFORM pg_advisory_xact_lock_shared(twin_key);
         SELECT array_agg(r.id) INTO twins FROM order_request r JOIN orders o ON o.id = r.order_id
           WHERE r.state = 'unknown' AND r.kind = 'new' AND r.id <> NEW.id AND r.quantity = NEW.quantity
             AND o.account_id = mine.account_id AND o.business_date = mine.business_date
             AND o.isin = mine.isin AND o.side = mine.side;
         IF twins IS NULL THEN
           RETURN NEW;
         END IF;
         IF TG_OP = 'INSERT' THEN
           UPDATE doubt_decision SET used_by = NEW.order_id
             WHERE request_id = ANY (twins) AND conclusion = 'twin_allowed' AND decision = 'confirmed' AND used_by IS NULL;
           GET DIAGNOSTICS allowed = ROW_COUNT;
         ELSE
           SELECT count(*) INTO allowed FROM doubt_decision WHERE request_id = ANY (twins) AND used_by = NEW.order_id;
         END IF;
         IF allowed < cardinality(twins) THEN
           RAISE EXCEPTION 'request % is a twin of one in doubt', NEW.cl_ord_id
             USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'twin_in_doubt';
         END IF;
         RETURN NEW;
       END $$""",
    """CREATE TRIGGER twin_guard_insert BEFORE INSERT ON order_request
       FOR EACH ROW WHEN (NEW.kind = 'new' AND NEW.state IN ('queued', 'sending')) EXECUTE FUNCTION ilim_twin_guard()""",
    """CREATE TRIGGER twin_guard_update BEFORE UPDATE OF state ON order_request
       FOR EACH ROW WHEN (NEW.kind = 'new' AND NEW.state IN ('sending', 'unknown') AND NEW.state <> OLD.state)
       EXECUTE FUNCTION ilim_twin_guard()""",
)

OF_AN_ORDER = "EXISTS (SELECT 1 FROM orders o WHERE o.id = {0}.order_id)"


def _walled(table: str) -> tuple[str, ...]:
    """Behind the wall of its order."""
    seen = OF_AN_ORDER.format(table)
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY books ON {table} TO ilim_app USING ({seen}) WITH CHECK ({seen})",
        f"CREATE POLICY everything ON {table} TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    )


SECURITY = (
    *_walled("doubt_step"),
    *_walled("doubt_decision"),
    # The api carries an order on when two people close it, and an order moves by everything known about it.
    *_walled("order_report"),
    *_walled("order_sighting"),
    "GRANT SELECT ON order_report, order_sighting TO ilim_app",
    "GRANT SELECT, INSERT ON doubt_step TO ilim_app",
    "GRANT SELECT, INSERT, UPDATE ON doubt_step TO ilim_worker",
    "GRANT SELECT, INSERT ON doubt_decision TO ilim_app",
    "GRANT UPDATE (decision, decided_by, decided_at, decided_reason, used_by) ON doubt_decision TO ilim_app",
    "GRANT SELECT ON doubt_decision TO ilim_worker",
    "GRANT UPDATE (overturned_at) ON doubt_decision TO ilim_worker",
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("doubt_decision", "doubt_step")
    for name in ("twin_guard_update", "twin_guard_insert", "closed_by_two"):
        op.execute(f"DROP TRIGGER {name} ON order_request")
    op.execute("DROP FUNCTION ilim_twin_guard()")
    op.execute("DROP FUNCTION ilim_closed_by_two()")
    op.execute("REVOKE SELECT ON order_report, order_sighting FROM ilim_app")
    for table in ("order_report", "order_sighting"):
        for policy in ("books", "everything"):
            op.execute(f"DROP POLICY {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_column("idempotency_key", "held_until")
    op.drop_index("ix_attempt_unknown", "attempt")
    op.drop_index("ix_order_request_new_unknown", "order_request")
    op.drop_table("doubt_decision")
    op.drop_table("doubt_step")
