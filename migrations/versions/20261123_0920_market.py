"""Instruments, the calendar, sessions and ticks, with the figures we ship.

To the next author: everything here is dated and looked up, nothing is computed from today. To correct a figure, add a
data file beside `service/market/seed.py` and a migration that inserts it; do not edit the released file, or an old
database and a new one will disagree. A day without a row is unknown, and the service refuses rather than guesses.
"""

import sqlalchemy as sa
from alembic import op

from service.infra.migrations import refuse_to_drop
from service.market import seed

revision = "market"
down_revision = "people"
branch_labels = None
depends_on = None

PRODUCTS = "product in ('stock','etf','etn','elw','other')"
DAY_KINDS = "day_kind in ('normal','late_open','csat')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_instruments()
    days, sessions, ticks = _create_rules()
    op.bulk_insert(days, seed.trading_days())
    op.bulk_insert(sessions, seed.session_rules())
    op.bulk_insert(ticks, seed.tick_bands())
    op.execute("GRANT SELECT ON session_rule, tick_band TO ilim_app, ilim_worker")
    op.execute("GRANT SELECT, INSERT, UPDATE ON instrument, instrument_day, trading_day TO ilim_app, ilim_worker")


def _create_instruments() -> None:
    op.create_table(
        "instrument",
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("short_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("market in ('kospi','kosdaq')", name=op.f("ck_instrument_market")),
        sa.CheckConstraint(PRODUCTS, name=op.f("ck_instrument_product")),
        sa.PrimaryKeyConstraint("isin", name=op.f("pk_instrument")),
    )
    op.create_index(op.f("ix_instrument_short_code"), "instrument", ["short_code"])
    op.create_table(
        "instrument_day",
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("base_price", sa.Numeric(20, 4), nullable=False),
        sa.Column("upper_limit", sa.Numeric(20, 4), nullable=True),
        sa.Column("lower_limit", sa.Numeric(20, 4), nullable=True),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column("liquidation", sa.Boolean(), nullable=False),
        sa.Column("administrative", sa.Boolean(), nullable=False),
        sa.Column("warning", sa.Text(), nullable=False),
        sa.Column("attention", sa.Boolean(), nullable=False),
        sa.Column("overheated", sa.Text(), nullable=False),
        sa.Column("trading_unit", sa.Integer(), nullable=False),
        sa.Column("listed_shares", sa.BigInteger(), nullable=True),
        sa.Column("after_market_eligible", sa.Boolean(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("base_price > 0", name=op.f("ck_instrument_day_base_price")),
        sa.CheckConstraint("trading_unit > 0", name=op.f("ck_instrument_day_trading_unit")),
        sa.ForeignKeyConstraint(["isin"], ["instrument.isin"], name=op.f("fk_instrument_day_isin")),
        sa.PrimaryKeyConstraint("isin", "business_date", name=op.f("pk_instrument_day")),
    )


def _create_rules() -> tuple[sa.Table, sa.Table, sa.Table]:
    days = op.create_table(
        "trading_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("day_kind", sa.Text(), server_default=sa.text("'normal'"), nullable=False),
        sa.Column("regular_open", sa.Time(), nullable=True),
        sa.Column("regular_close", sa.Time(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("known_since", sa.Date(), nullable=False),
        sa.Column("calendar_version", sa.Text(), nullable=False),
        sa.CheckConstraint(DAY_KINDS, name=op.f("ck_trading_day_day_kind")),
        sa.CheckConstraint("open = (regular_open is not null and regular_close is not null)", name=op.f("ck_trading_day_hours")),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_trading_day")),
    )
    sessions = op.create_table(
        "session_rule",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("day_kind", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("enters_at", sa.Time(), nullable=False),
        sa.Column("opens_at", sa.Time(), nullable=False),
        sa.Column("closes_at", sa.Time(), nullable=False),
        sa.CheckConstraint(
            "session in ('pre_close','regular','post_close','after_market')", name=op.f("ck_session_rule_session")
        ),
        sa.CheckConstraint(DAY_KINDS, name=op.f("ck_session_rule_day_kind")),
        sa.CheckConstraint("enters_at <= opens_at and opens_at < closes_at", name=op.f("ck_session_rule_order")),
        sa.PrimaryKeyConstraint("session", "day_kind", "valid_from", name=op.f("pk_session_rule")),
    )
    ticks = op.create_table(
        "tick_band",
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("lower_price", sa.Numeric(20, 4), nullable=False),
        sa.Column("tick", sa.Numeric(20, 4), nullable=False),
        sa.CheckConstraint(PRODUCTS, name=op.f("ck_tick_band_product")),
        sa.CheckConstraint("tick > 0", name=op.f("ck_tick_band_tick")),
        sa.PrimaryKeyConstraint("product", "valid_from", "lower_price", name=op.f("pk_tick_band")),
    )
    return days, sessions, ticks


def downgrade() -> None:
    refuse_to_drop("instrument", "instrument_day")
    op.execute("LOCK TABLE trading_day IN ACCESS EXCLUSIVE MODE")
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM trading_day WHERE source <> 'house')")):
        raise RuntimeError("trading_day has days learned from the platform: a downgrade would drop them")
    for name in ("tick_band", "session_rule", "trading_day", "instrument_day", "instrument"):
        op.drop_table(name)
