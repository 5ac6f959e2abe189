"""Instruments, their state on each day, and the dated rules of the market."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Time,
    text,
)

from service.infra.db import MOMENT, PRICE, QUANTITY, metadata

instrument = Table(
    "instrument",
    metadata,
    Column("isin", Text, primary_key=True),
    Column("short_code", Text, nullable=False),  # as delivered, without the leading letter A
    Column("name", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("updated_at", MOMENT, nullable=False),
    CheckConstraint("market in ('kospi','kosdaq')", name="market"),
    CheckConstraint("product in ('stock','etf','etn','elw','other')", name="product"),
    Index(None, "short_code"),
)

instrument_day = Table(
    "instrument_day",
    metadata,
    Column("isin", Text, ForeignKey("instrument.isin"), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("base_price", PRICE, nullable=False),
    Column("upper_limit", PRICE, nullable=True),
    Column("lower_limit", PRICE, nullable=True),
    Column("halted", Boolean, nullable=False),
    Column("liquidation", Boolean, nullable=False),
    Column("administrative", Boolean, nullable=False),
    Column("warning", Text, nullable=False),
    Column("attention", Boolean, nullable=False),
    Column("overheated", Text, nullable=False),
    Column("trading_unit", Integer, nullable=False),
    Column("listed_shares", QUANTITY, nullable=True),
    Column("after_market_eligible", Boolean, nullable=False),
    Column("fetched_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("isin", "business_date"),
    CheckConstraint("base_price > 0", name="base_price"),
    CheckConstraint("trading_unit > 0", name="trading_unit"),
)

trading_day = Table(
    "trading_day",
    metadata,
    Column("day", Date, primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("day_kind", Text, nullable=False, server_default=text("'normal'")),
    Column("regular_open", Time, nullable=True),
    Column("regular_close", Time, nullable=True),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("known_since", Date, nullable=False),
    Column("calendar_version", Text, nullable=False),
    CheckConstraint("day_kind in ('normal','late_open','csat')", name="day_kind"),
    CheckConstraint("open = (regular_open is not null and regular_close is not null)", name="hours"),
)

session_rule = Table(
    "session_rule",
    metadata,
    Column("session", Text, nullable=False),
    Column("day_kind", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, nullable=True),  # the last day it holds
    Column("enters_at", Time, nullable=False),
    Column("opens_at", Time, nullable=False),
    Column("closes_at", Time, nullable=False),
    PrimaryKeyConstraint("session", "day_kind", "valid_from"),
    CheckConstraint("session in ('pre_close','regular','post_close','after_market')", name="session"),
    CheckConstraint("day_kind in ('normal','late_open','csat')", name="day_kind"),
    CheckConstraint("enters_at <= opens_at and opens_at < closes_at", name="order"),
)

tick_band = Table(
    "tick_band",
    metadata,
    Column("product", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("lower_price", PRICE, nullable=False),
    Column("tick", PRICE, nullable=False),
    PrimaryKeyConstraint("product", "valid_from", "lower_price"),
    CheckConstraint("product in ('stock','etf','etn','elw','other')", name="product"),
    CheckConstraint("tick > 0", name="tick"),
)
