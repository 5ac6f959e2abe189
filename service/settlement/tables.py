"""Dated figures of settlement (tax rates by settlement date, the length of the cycle by trade date) and what trades cost."""

from sqlalchemy import CheckConstraint, Column, Date, ForeignKey, Integer, Numeric, PrimaryKeyConstraint, Table, Text, Uuid

from service.infra.db import WON, metadata

tax_rate = Table(
    "tax_rate",
    metadata,
    Column("market", Text, nullable=False),
    Column("name", Text, nullable=False),  # transaction_tax (증권거래세) | rural_tax (농어촌특별세)
    Column("valid_from", Date, nullable=False),  # a settlement date
    Column("rate", Numeric(9, 8), nullable=False),
    PrimaryKeyConstraint("market", "name", "valid_from"),
    CheckConstraint("market in ('kospi','kosdaq')", name="market"),
    CheckConstraint("name in ('transaction_tax','rural_tax')", name="name"),
    CheckConstraint("rate >= 0 and rate < 1", name="rate"),
)

settlement_cycle = Table(
    "settlement_cycle",
    metadata,
    Column("valid_from", Date, primary_key=True),  # a trade date
    Column("days", Integer, nullable=False),
    CheckConstraint("days between 0 and 5", name="days"),
)

# What brokers work costs out on differs: an issue and day, an order, or a fill. One row is one such basis.
trade_cost = Table(
    "trade_cost",
    metadata,
    Column("account_id", Uuid, ForeignKey("account.id"), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("isin", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("basis", Text, nullable=False),  # empty: issue and day; else the id of the order or the fill
    Column("amount", WON, nullable=False),
    Column("commission", WON, nullable=False),
    Column("taxes", WON, nullable=False),
    PrimaryKeyConstraint("account_id", "business_date", "isin", "side", "basis"),
    CheckConstraint("side in ('buy','sell')", name="side"),
    CheckConstraint("amount >= 0 and commission >= 0 and taxes >= 0", name="not_negative"),
)
