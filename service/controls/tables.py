"""Tables of controls. What stands is what has no release."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Table, Text, Uuid, func, text

from service.infra.db import MOMENT, metadata

SCOPES = "scope IN ('firm', 'broker', 'account', 'instrument', 'manager')"
RELEASED_WHOLE = (
    "(released_by IS NULL) = (released_at IS NULL) AND (released_by IS NULL) = (release_reason IS NULL) AND release_reason <> ''"
)

halt_gate = Table(
    "halt_gate",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("cluster_epoch", BigInteger, nullable=False, server_default=text("1"), comment="rises when the database fails over"),
    Column("version", BigInteger, nullable=False, server_default=text("1"), comment="rises with every halt set or released"),
    Column("made_at", MOMENT, nullable=False, server_default=func.clock_timestamp(), comment="real time"),
    CheckConstraint("single", name="single_row"),
)

halt = Table(
    "halt",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("target", Text, comment="company code, account id, ISIN or user id; none for the whole firm"),
    Column("reason", Text, nullable=False),
    Column("set_by", Uuid, ForeignKey("app_user.id"), nullable=False),
    Column("set_at", MOMENT, nullable=False, comment="business time"),
    Column("released_by", Uuid, ForeignKey("app_user.id")),
    Column("released_at", MOMENT, comment="business time"),
    Column("release_reason", Text),
    CheckConstraint(SCOPES, name="scope"),
    CheckConstraint("(scope = 'firm') = (target IS NULL)", name="only_the_firm_needs_no_target"),
    CheckConstraint("reason <> ''", name="reason"),
    CheckConstraint("released_by <> set_by", name="released_by_another"),
    CheckConstraint(RELEASED_WHOLE, name="released_whole"),
    Index("ix_halt_standing", "scope", "target", postgresql_where=text("released_at IS NULL")),
)

broker_lock = Table(
    "broker_lock",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("broker", Text, nullable=False, comment="company code"),
    Column("since", MOMENT, nullable=False, comment="business time"),
    Column("message", Text, nullable=False, comment="the kind of message that differs from the profile"),
    Column("field", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("evidence", Uuid, ForeignKey("audit.raw_message.id")),
    Column("released_by", Uuid, ForeignKey("app_user.id")),
    Column("released_at", MOMENT, comment="business time"),
    Column("release_reason", Text),
    CheckConstraint(RELEASED_WHOLE, name="released_whole"),
    Index("uq_broker_lock_standing", "broker", unique=True, postgresql_where=text("released_at IS NULL")),
)

stream_gate = Table(
    "stream_gate",
    metadata,
    Column("com_id", Text, primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("since", MOMENT, nullable=False, comment="real time of the last change"),
    Column("why", Text, nullable=False),
    # Open only while this lease lives: a reader that was killed closes the gate by saying nothing.
    Column("lease", Text, nullable=False),
    Column("lease_epoch", BigInteger, nullable=False),
)
