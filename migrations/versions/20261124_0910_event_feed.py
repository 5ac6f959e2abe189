"""The feed of changes: a queue that the changes themselves fill, and the numbered events that readers follow.

To the next author: events are written by triggers, in the transaction of the change, so that no verb can forget one; the
functions run as the owner, because no login of the service may write an event by hand. `event_pending.ordinal` only orders
the queue: a row with a smaller ordinal may still commit later. `event.id` is what readers rely on: one lease holder
numbers what is committed, in transactions that follow one another. Events are never changed and never deleted. A new table
that should be heard gets a trigger of its own; what concerns one account names it, and row-level security does the rest.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.infra.migrations import refuse_to_drop

revision = "event_feed"
down_revision = "controls"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "event_pending",
        sa.Column("ordinal", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *_told(),
        sa.PrimaryKeyConstraint("ordinal", name=op.f("pk_event_pending")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "2000"},
    )
    op.create_table(
        "event",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3 … in the order readers may rely on"
        ),
        *_told(),
        sa.CheckConstraint("id > 0", name=op.f("ck_event_counts_from_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    for statement in (*TRIGGERS, *SECURITY):
        op.execute(statement)


def _told() -> list[sa.Column[object]]:
    return [
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), comment="whose book it is in; none for what concerns everybody"),
        sa.Column("user_id", sa.Uuid(), comment="the only manager it concerns, if it concerns one"),
        sa.Column("document", postgresql.JSON(), nullable=False),
        sa.Column(
            "happened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="real time",
        ),
    ]


TRIGGERS = (
    """CREATE FUNCTION ilim_tell_order() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
       BEGIN
         INSERT INTO public.event_pending (kind, subject_id, account_id, document) VALUES (
           'order.changed', NEW.id, NEW.account_id, json_build_object(
             'order_id', NEW.id, 'account_id', NEW.account_id, 'business_date', NEW.business_date, 'version', NEW.version,
             'status', NEW.status, 'quantity', NEW.quantity, 'filled_quantity', NEW.filled_quantity,
             'unaccounted_quantity', greatest(NEW.reported_quantity - NEW.filled_quantity, 0),
             'remaining_quantity', NEW.remaining_quantity));
         RETURN NULL;
       END $$""",
    "CREATE TRIGGER tell_insert AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION ilim_tell_order()",
    """CREATE TRIGGER tell_update AFTER UPDATE ON orders FOR EACH ROW
       WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION ilim_tell_order()""",
    """CREATE FUNCTION ilim_tell_fill() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
       BEGIN
         INSERT INTO public.event_pending (kind, subject_id, account_id, document) VALUES (
           'execution.recorded', NEW.id, NEW.account_id, json_build_object(
             'execution_id', NEW.id, 'order_id', NEW.order_id, 'account_id', NEW.account_id,
             'business_date', NEW.business_date, 'isin', NEW.isin, 'side', NEW.side, 'quantity', NEW.quantity,
             'price', trim_scale(NEW.price)::text, 'reverses', NEW.reverses));
         RETURN NULL;
       END $$""",
    "CREATE TRIGGER tell_insert AFTER INSERT ON fill FOR EACH ROW EXECUTE FUNCTION ilim_tell_fill()",
    """CREATE FUNCTION ilim_tell_halt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
       BEGIN
         INSERT INTO public.event_pending (kind, subject_id, account_id, user_id, document) VALUES (
           'halt.changed', NEW.id, CASE NEW.scope WHEN 'account' THEN NEW.target::uuid END,
           CASE NEW.scope WHEN 'manager' THEN NEW.target::uuid END, json_build_object(
             'halt_id', NEW.id, 'scope', NEW.scope, 'target', NEW.target, 'reason', NEW.reason,
             'standing', NEW.released_at IS NULL));
         RETURN NULL;
       END $$""",
    "CREATE TRIGGER tell_change AFTER INSERT OR UPDATE ON halt FOR EACH ROW EXECUTE FUNCTION ilim_tell_halt()",
    """CREATE FUNCTION ilim_tell_broker_lock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
       BEGIN
         INSERT INTO public.event_pending (kind, subject_id, document) VALUES (
           'broker.changed', NEW.id, json_build_object(
             'broker', NEW.broker, 'message', NEW.message, 'field', NEW.field, 'locked', NEW.released_at IS NULL));
         RETURN NULL;
       END $$""",
    "CREATE TRIGGER tell_change AFTER INSERT OR UPDATE ON broker_lock FOR EACH ROW EXECUTE FUNCTION ilim_tell_broker_lock()",
    "CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON event FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION audit.deny()",
)

# How far the feed goes, whoever asks: a reader who may see little must not look through all of it again each second.
HORIZON = """CREATE FUNCTION ilim_event_horizon() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
       AS $$ SELECT coalesce(max(id), 0) FROM public.event $$"""

SECURITY = (
    HORIZON,
    "REVOKE ALL ON FUNCTION ilim_tell_order(), ilim_tell_fill(), ilim_tell_halt(), ilim_tell_broker_lock(), "
    "ilim_event_horizon() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION ilim_event_horizon() TO ilim_app, ilim_worker",
    "ALTER TABLE event ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE event FORCE ROW LEVEL SECURITY",
    """CREATE POLICY books ON event FOR SELECT TO ilim_app USING (
         (account_id IS NULL OR ilim_sees_account(account_id))
         AND (user_id IS NULL OR current_setting('ilim.user', true) IN ('*', user_id::text)))""",
    "CREATE POLICY everything ON event TO ilim_worker, ilim_owner USING (true) WITH CHECK (true)",
    "GRANT SELECT ON event TO ilim_app",
    "GRANT SELECT, INSERT ON event TO ilim_worker",
    "GRANT SELECT, DELETE ON event_pending TO ilim_worker",
)


TELLING = (
    ("tell_update", "orders"),
    ("tell_insert", "orders"),
    ("tell_insert", "fill"),
    ("tell_change", "halt"),
    ("tell_change", "broker_lock"),
)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    refuse_to_drop("event", "event_pending")
    for trigger, table in TELLING:
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for name in ("tell_order", "tell_fill", "tell_halt", "tell_broker_lock", "event_horizon"):
        op.execute(f"DROP FUNCTION ilim_{name}()")
    op.drop_table("event")
    op.drop_table("event_pending")
