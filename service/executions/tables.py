"""Tables of executions: the inbox of raw reports, and the fills."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from service.infra.db import MOMENT, PRICE, QUANTITY, WON, metadata

inbox = Table(
    "inbox",
    metadata,
    Column("raw_id", Uuid, ForeignKey("audit.raw_message.id"), primary_key=True),
    Column("arrived", BigInteger, nullable=False, unique=True, autoincrement=False),
    Column("com_id", Text, nullable=False),
    Column("seq_date", Date),
    Column("seq", BigInteger),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("reason", Text),
    Column("order_id", Uuid, ForeignKey("orders.id"), comment="the order a quarantined message says it is about"),
    Column("received_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    Column("settled_at", MOMENT, comment="real time"),
    # unmatched: about an order we do not know; parked: unreadable; quarantined: readable and impossible
    CheckConstraint("state IN ('waiting', 'applied', 'unmatched', 'parked', 'quarantined')", name="state"),
    Index("ix_inbox_waiting", "arrived", postgresql_where=text("state = 'waiting'")),
    Index("ix_inbox_order", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    Index("ix_inbox_troubled", "state", postgresql_where=text("state IN ('unmatched', 'parked', 'quarantined')")),
)

fill = Table(
    "fill",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, 3 … within the order"),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("isin", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("quantity", QUANTITY, nullable=False, comment="negative for the reversal of a busted fill"),
    Column("price", PRICE, nullable=False),
    Column("amount", WON, nullable=False, comment="quantity times price, truncated to won; signed as quantity"),
    Column("traded_at", MOMENT, nullable=False, comment="business time"),
    Column("settles_on", Date, nullable=False),
    Column("exec_id", Text, comment="as the broker wrote it: a hint, never an identity"),
    Column("source", Text, nullable=False),
    Column("evidence", Uuid, ForeignKey("audit.raw_message.id"), nullable=False),
    Column("evidence_row", Integer, nullable=False, server_default="0"),
    Column("reverses", Uuid, ForeignKey("fill.id")),
    Column("recorded_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    CheckConstraint("side IN ('buy', 'sell')", name="side"),
    CheckConstraint("source IN ('stream', 'inquiry')", name="source"),
    CheckConstraint("price > 0 AND quantity <> 0", name="something_traded"),
    CheckConstraint("(quantity < 0) = (reverses IS NOT NULL)", name="only_reversals_are_negative"),
    CheckConstraint("sign(amount) = sign(quantity)", name="amount_follows_quantity"),
    UniqueConstraint("order_id", "number"),
    UniqueConstraint("evidence", "evidence_row", "reverses", postgresql_nulls_not_distinct=True),
    UniqueConstraint("reverses"),
    Index("ix_fill_account_day", "account_id", "business_date"),
)

# Orders we did not send. A broker's number means one order of an account and day, so two processes cannot adopt it twice.
external_order = Table(
    "external_order",
    metadata,
    Column("order_id", Uuid, ForeignKey("orders.id"), primary_key=True),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("number", Text, nullable=False, comment="the broker's, without leading zeros"),
    Column("cl_ord_id", Text, comment="somebody else's"),
    Column("evidence", Uuid, ForeignKey("audit.raw_message.id"), nullable=False, comment="what showed it first"),
    Column("adopted_at", MOMENT, nullable=False, comment="business time"),
    Column("merged_into", Uuid, ForeignKey("orders.id"), comment="the order of ours it proved to be"),
    UniqueConstraint("account_id", "business_date", "number"),
    Index("ix_external_order_cl_ord_id", "cl_ord_id", postgresql_where=text("cl_ord_id IS NOT NULL")),
)

# A day whose fills changed after the fact: what was signed off for it before `restated_at` is no longer what holds (P12).
restatement = Table(
    "restatement",
    metadata,
    Column("fill_id", Uuid, ForeignKey("fill.id"), primary_key=True),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("business_date", Date, nullable=False, comment="the day that is told differently now"),
    Column("kind", Text, nullable=False),
    Column("restated_at", MOMENT, nullable=False, comment="business time"),
    CheckConstraint("kind IN ('reversal', 'late')", name="kind"),
    Index("ix_restatement_account_day", "account_id", "business_date"),
)

stream_state = Table(
    "stream_state",
    metadata,
    Column("com_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("changed_at", MOMENT, nullable=False, comment="real time"),
    Column("business_at", MOMENT, nullable=False),
    Column("disconnects", Integer, nullable=False, server_default="0"),
    CheckConstraint("state IN ('connected', 'resending', 'live', 'lost')", name="state"),
)

sweep_round = Table(
    "sweep_round",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("accounts", Integer, nullable=False, comment="with live orders"),
    Column("every_s", Integer, nullable=False, comment="market seconds between two looks at an account"),
    Column("oldest_at", MOMENT, comment="business time of the look that is longest ago"),
    Column("noted_at", MOMENT, nullable=False, comment="real time"),
    CheckConstraint("single", name="single_row"),
)
