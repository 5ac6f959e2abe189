"""Accounts, the day's cash and holdings as counters on a row, and the broker's statements beside them.

Two views follow from the counters and are never stored:
    sellable  = opening + bought - sold - reserved_sell   (selling an executed, unsettled buy is allowed)
    orderable = opening - bought + sold - costs - reserved (sale proceeds may be used again at once, 재매매)

There is no CHECK that `reserved_sell` stays below the position: a client's own sale may overtake our resting order, and
the fill is a fact that must be booked. Guards of the statement parts keep our own orders inside.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.infra.db import MOMENT, QUANTITY, WON, metadata

ZERO = text("0")

account = Table(
    "account",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("broker", Text, nullable=False),  # company code
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("virtual_number", Text, nullable=True),
    Column("contract_status", Text, nullable=False),  # 0 in force, 1 terminated, 2 matured
    Column("first_seen", MOMENT, nullable=False),
    Column("last_seen", MOMENT, nullable=False),
    Column("vanished_at", MOMENT, nullable=True),
    UniqueConstraint("broker", "number"),
    CheckConstraint("contract_status in ('0','1','2')", name="contract_status"),
)

holding = Table(
    "holding",
    metadata,
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("isin", Text, nullable=False),
    Column("opened_on", Date, nullable=False),
    Column("opening", QUANTITY, nullable=False, server_default=ZERO),
    Column("bought", QUANTITY, nullable=False, server_default=ZERO),
    Column("sold", QUANTITY, nullable=False, server_default=ZERO),
    Column("reserved_sell", QUANTITY, nullable=False, server_default=ZERO),
    Column("opening_cost", WON, nullable=False, server_default=ZERO),
    Column("bought_cost", WON, nullable=False, server_default=ZERO),
    PrimaryKeyConstraint("account_id", "isin"),
    CheckConstraint("opening >= 0 and bought >= 0 and sold >= 0 and reserved_sell >= 0", name="counters"),
    CheckConstraint("opening + bought - sold >= 0", name="position"),
)

cash = Table(
    "cash",
    metadata,
    Column("account_id", Uuid, ForeignKey("account.id"), primary_key=True),
    Column("opened_on", Date, nullable=False),
    Column("opening", WON, nullable=False),  # orderable at the opening: the last rung of the broker's ladder
    Column("deposit", WON, nullable=False),  # D+0
    Column("deposit_next", WON, nullable=False),  # D+1
    Column("bought", WON, nullable=False, server_default=ZERO),
    Column("sold", WON, nullable=False, server_default=ZERO),
    Column("costs", WON, nullable=False, server_default=ZERO),  # commission and taxes of the day's trades
    Column("reserved", WON, nullable=False, server_default=ZERO),
    CheckConstraint("bought >= 0 and sold >= 0 and costs >= 0 and reserved >= 0", name="counters"),
)

broker_statement = Table(
    "broker_statement",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("taken_at", MOMENT, nullable=False),  # business clock, before the first page was asked for
    Column("complete", Boolean, nullable=False),
    Column("document", JSONB, nullable=False),  # the rows as read
    Column("raw_ids", ARRAY(Uuid), nullable=False),
    CheckConstraint("kind in ('balance')", name="kind"),
    Index(None, "account_id", "kind", "taken_at"),
)
