"""Tables of orders, of what reports and inquiries said about them, and of the attempts to send.

The constraints say what must never be false, whoever writes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint

from service.infra.db import MOMENT, PRICE, QUANTITY, WON, metadata

STATUSES = (
    "pending_approval",
    "pending_new",
    "new",
    "partially_filled",
    "filled",
    "pending_replace",
    "pending_cancel",
    "canceled",
    "rejected",
    "expired",
    "done_for_day",
    "suspended",
    "stopped",
    "calculated",
)
REQUEST_STATES = ("queued", "sending", "sent", "acknowledged", "refused", "unknown")
SENT_LATER = "(kind <> 'cancellation')"  # false sorts first
# Amendments that were sent and that their order's end left without an answer (`doubt.ended_unanswered`).
UNANSWERED = "kind = 'amendment' AND reason IN ('order-closed', 'order-closed-in-doubt') AND sent_at IS NOT NULL"
OUTCOMES = ("accepted", "refused", "not_sent", "unknown")


def one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("business_date", Date, nullable=False),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("broker", Text, nullable=False, comment="company code"),
    Column("mandate_id", Uuid, ForeignKey("mandate.id")),
    Column("manager_id", Uuid, ForeignKey("app_user.id"), comment="none for orders that are not ours"),
    Column("isin", Text, nullable=False),
    Column("short_code", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("order_type", Text, nullable=False),
    Column("time_in_force", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("quantity", QUANTITY, nullable=False, comment="ordered now, after accepted amendments"),
    Column("price", PRICE, comment="limit price now; none for market orders"),
    Column("limit_price", PRICE, nullable=False, comment="worst case price a reservation is made at"),
    Column("status", Text, nullable=False),
    Column("filled_quantity", QUANTITY, nullable=False, server_default="0", comment="sum of recorded fills"),
    Column("filled_amount", PRICE, nullable=False, server_default="0"),
    Column("reported_quantity", QUANTITY, nullable=False, server_default="0", comment="highest CumQty evidence shows"),
    Column("remaining_quantity", QUANTITY, nullable=False),
    Column("closed", Boolean, nullable=False, server_default=text("false"), comment="nothing of it can trade any more"),
    Column("reserved_cash", WON, nullable=False, server_default="0"),
    Column("reserved_quantity", QUANTITY, nullable=False, server_default="0"),
    Column("broker_order_number", Text),
    Column("client_order_id", Text),
    Column("rationale", Text),
    Column("session_ends", MOMENT, nullable=False, comment="business time at which a remainder dies"),
    Column("audit_seq", Integer, nullable=False, comment="ledger entries about this order so far"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", MOMENT, nullable=False, comment="business time"),
    Column("updated_at", MOMENT, nullable=False, comment="business time"),
    Column("recorded_at", MOMENT, nullable=False, server_default=func.clock_timestamp()),
    Column("needs_review", Text, comment="why a person must look at it: a message about it is in quarantine"),
    CheckConstraint(one_of("status", STATUSES), name="status"),
    CheckConstraint("side IN ('buy', 'sell')", name="side"),
    CheckConstraint("order_type IN ('limit', 'market')", name="order_type"),
    CheckConstraint("(order_type = 'limit') = (price IS NOT NULL)", name="only_limits_have_a_price"),
    CheckConstraint("time_in_force IN ('day', 'ioc', 'fok')", name="time_in_force"),
    CheckConstraint("session IN ('pre_close', 'regular', 'post_close', 'after_market')", name="session"),
    CheckConstraint("quantity > 0 AND (price IS NULL OR price > 0)", name="positive"),
    CheckConstraint("filled_quantity >= 0 AND filled_quantity <= quantity", name="executed_within_ordered"),
    CheckConstraint("remaining_quantity >= 0 AND remaining_quantity <= quantity", name="remaining_within_ordered"),
    CheckConstraint("reserved_cash >= 0 AND reserved_quantity >= 0", name="reservations_not_negative"),
    CheckConstraint(
        "NOT closed OR (remaining_quantity = 0 AND reserved_cash = 0 AND reserved_quantity = 0)", name="closed_holds_nothing"
    ),
    UniqueConstraint("client_order_id", "manager_id"),
    UniqueConstraint("id", "broker"),  # what a request names
    Index("ix_orders_account_day", "account_id", "business_date", "isin"),
    Index("ix_orders_manager_created", "manager_id", "id"),
    Index("ix_orders_open", "account_id", postgresql_where=text("NOT closed")),
    Index("ix_orders_needs_review", "id", postgresql_where=text("needs_review IS NOT NULL")),
    ExcludeConstraint(  # at the commit: an order adopted as a stranger's hands its number over within a transaction
        ("account_id", "="),
        ("business_date", "="),
        (text("ltrim(broker_order_number, '0')"), "="),
        using="btree",
        where=text("ltrim(broker_order_number, '0') <> ''"),
        name="ex_orders_broker_order_number",
        deferrable=True,
        initially="DEFERRED",
    ),
)

order_request = Table(
    "order_request",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("broker", Text, nullable=False, comment="the order's"),
    Column("kind", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, 3 … within the order"),
    Column("cl_ord_id", Text, nullable=False, unique=True),
    Column("orig_cl_ord_id", Text, comment="set when it is claimed: the last request not refused"),
    Column("quantity", QUANTITY, nullable=False, comment="FIX total this request asks for"),
    Column("price", PRICE),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("user_id", Uuid, ForeignKey("app_user.id")),
    Column("send_by", MOMENT, nullable=False, comment="business time"),
    Column("queued_at", MOMENT, nullable=False, comment="business time"),
    Column("sent_at", MOMENT, comment="business time"),
    Column("answered_at", MOMENT, comment="business time"),
    Column("retry_at", MOMENT, comment="real time before which a request that was not sent is left alone"),
    CheckConstraint("kind IN ('new', 'amendment', 'cancellation')", name="kind"),
    CheckConstraint(one_of("state", REQUEST_STATES), name="state"),
    CheckConstraint("length(cl_ord_id) BETWEEN 1 AND 20", name="cl_ord_id_fits"),
    CheckConstraint("quantity > 0", name="positive"),
    UniqueConstraint("order_id", "number"),
    ForeignKeyConstraint(["order_id", "broker"], ["orders.id", "orders.broker"]),
    Index("uq_order_request_one_new", "order_id", unique=True, postgresql_where=text("kind = 'new'")),
    Index(
        "uq_order_request_in_flight",
        "order_id",
        "kind",
        unique=True,
        postgresql_where=text("kind <> 'new' AND state IN ('queued', 'sending', 'sent', 'unknown')"),
    ),
    # Each broker's in the order in which they are sent: the next one is found at once, however many wait, here or elsewhere.
    Index(
        "ix_order_request_queue", "broker", text(SENT_LATER), "queued_at", "cl_ord_id", postgresql_where=text("state = 'queued'")
    ),
    Index("ix_order_request_unknown", "order_id", postgresql_where=text("state IN ('sending', 'unknown')")),
    Index("ix_order_request_unanswered", "order_id", postgresql_where=text(UNANSWERED)),
    # What bars a twin: hardly ever a row, and asked for by every submission and every claim.
    Index("ix_order_request_new_unknown", "order_id", postgresql_where=text("state = 'unknown' AND kind = 'new'")),
)

attempt = Table(
    "attempt",
    metadata,
    Column("request_id", Uuid, ForeignKey("order_request.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("epoch", QUANTITY, nullable=False),
    Column("claimed_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    Column("overdue_at", MOMENT, nullable=False, comment="real time after which no answer can come any more"),
    Column("answered_at", MOMENT, comment="real time"),
    Column("outcome", Text),
    Column("reason", Text),
    Column("evidence", Uuid, comment="raw answer"),
    CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
    CheckConstraint("n > 0", name="counts_from_one"),
    # At most one send per intent: only an attempt that provably wrote no byte leaves room for another.
    Index(
        "uq_attempt_one_send",
        "request_id",
        unique=True,
        postgresql_where=text("outcome IS NULL OR outcome <> 'not_sent'"),
    ),
    Index("ix_attempt_unanswered", "overdue_at", postgresql_where=text("outcome IS NULL")),
    Index("ix_attempt_unknown", "request_id", postgresql_where=text("outcome = 'unknown'")),
)

order_report = Table(
    "order_report",
    metadata,
    Column("raw_id", Uuid, ForeignKey("audit.raw_message.id"), primary_key=True),
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("seq_date", Date),
    Column("seq", BigInteger),
    Column("arrived", BigInteger, nullable=False),
    Column("document", JSONB, nullable=False, comment="the report as read; a projection, the raw message is the evidence"),
    Index("ix_order_report_order", "order_id"),
)

order_sighting = Table(
    "order_sighting",
    metadata,
    Column("raw_id", Uuid, ForeignKey("audit.raw_message.id"), primary_key=True),
    Column("row", Integer, primary_key=True, comment="index of the row in the page"),
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("seen_at", MOMENT, nullable=False, comment="business time of the inquiry"),
    Column("executed_quantity", QUANTITY, nullable=False),
    Column("ended", Text, comment="set when the row proves that nothing of the order can trade any more"),
    Column("document", JSONB, nullable=False, comment="the inquiry row as read"),
    CheckConstraint("ended IN ('canceled', 'expired', 'rejected')", name="ended"),
    Index("ix_order_sighting_order", "order_id"),
)

doubt_step = Table(
    "doubt_step",
    metadata,
    Column("request_id", Uuid, ForeignKey("order_request.id"), primary_key=True),
    Column("n", Integer, primary_key=True, comment="1, 2, 3 … within the request"),
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("began_at", MOMENT, nullable=False, comment="business time of the first of its `times`"),
    Column("at", MOMENT, nullable=False, comment="business time of the newest of its `times`"),
    Column("times", Integer, nullable=False, server_default="1"),
    Column("complete", Boolean, nullable=False, server_default=text("false")),
    Column("final", Boolean, nullable=False, server_default=text("false"), comment="asked after the day's last session"),
    Column("detail", Text, nullable=False),
    Column("evidence", Uuid, ForeignKey("audit.raw_message.id"), comment="first raw page, or the message that settled it"),
    Column("digest", Text, comment="SHA-256 over the pages' own, hexadecimal"),
    Column("next_at", MOMENT, comment="business time of the next look; none when it is settled"),
    CheckConstraint("kind IN ('push', 'resend', 'inquiry', 'outcome')", name="kind"),
    CheckConstraint("n > 0 AND times > 0", name="counts_from_one"),
    CheckConstraint("NOT complete OR kind = 'inquiry'", name="only_inquiries_are_complete"),
    CheckConstraint("NOT complete OR (evidence IS NOT NULL AND digest IS NOT NULL)", name="complete_has_evidence"),
    CheckConstraint("NOT final OR complete", name="final_is_complete"),
    CheckConstraint("(kind = 'outcome') = (next_at IS NULL)", name="looked_at_again_until_settled"),
    UniqueConstraint("request_id", "evidence", "final"),
    Index("ix_doubt_step_order", "order_id"),
)

doubt_decision = Table(
    "doubt_decision",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("request_id", Uuid, ForeignKey("order_request.id"), nullable=False),
    Column("conclusion", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("maker", Uuid, ForeignKey("app_user.id"), comment="who asked for the request in doubt"),
    Column("proposed_by", Uuid, ForeignKey("app_user.id"), nullable=False),
    Column("proposed_at", MOMENT, nullable=False, comment="business time"),
    Column("evidence", Uuid, comment="first page of the final complete inquiry that does not show it"),
    Column("evidence_final", Boolean),
    Column("decision", Text),
    Column("decided_by", Uuid, ForeignKey("app_user.id")),
    Column("decided_at", MOMENT, comment="business time"),
    Column("decided_reason", Text),
    Column("used_by", Uuid, ForeignKey("orders.id"), comment="the one order that a permission let pass"),
    Column("overturned_at", MOMENT, comment="business time at which evidence turned up after all"),
    CheckConstraint("conclusion IN ('not_sent', 'twin_allowed')", name="conclusion"),
    CheckConstraint("decision IN ('confirmed', 'declined')", name="decision"),
    CheckConstraint("(conclusion = 'not_sent') = (evidence IS NOT NULL)", name="absence_needs_evidence"),
    CheckConstraint("(evidence IS NULL) = (evidence_final IS NULL) AND evidence_final IS NOT FALSE", name="evidence_is_final"),
    CheckConstraint(
        "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)", name="decided_by_somebody"
    ),
    # One person proposes, another confirms, and the maker of the request never confirms.
    CheckConstraint(
        "decision IS DISTINCT FROM 'confirmed' OR (decided_by <> proposed_by AND decided_by IS DISTINCT FROM maker)",
        name="two_people",
    ),
    CheckConstraint(
        "used_by IS NULL OR (conclusion = 'twin_allowed' AND decision IS NOT DISTINCT FROM 'confirmed')",
        name="only_permissions_are_used",
    ),
    ForeignKeyConstraint(
        ["request_id", "evidence", "evidence_final"],
        ["doubt_step.request_id", "doubt_step.evidence", "doubt_step.final"],
    ),
    Index("ix_doubt_decision_order", "order_id"),
    Index(
        "uq_doubt_decision_one_open",
        "request_id",
        "conclusion",
        unique=True,
        postgresql_where=text("decision IS NULL OR (decision = 'confirmed' AND used_by IS NULL)"),
    ),
)
