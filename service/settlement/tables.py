"""Dated figures of settlement: tax rates by settlement date, and the length of the cycle by trade date."""

from sqlalchemy import CheckConstraint, Column, Date, Integer, Numeric, PrimaryKeyConstraint, Table, Text

from service.infra.db import metadata

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
