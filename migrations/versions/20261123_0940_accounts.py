"""Accounts with their day's counters, the broker's statements, and the dated figures of settlement.

To the next author: the four tables of a book are under FORCE ROW LEVEL SECURITY. The app sees what `ilim_sees_account`
allows, the worker and the owner see all. A new table that belongs to an account needs the same three policies.
The counters of `holding` and `cash` are moved only by the statement parts in `service/accounts/parts.py`, whose guards
keep our own orders inside the position; a client's own sale may still overtake a reservation, so no CHECK forbids that.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.infra.migrations import refuse_to_drop
from service.settlement import seed

revision = "accounts"
down_revision = "mandates"
branch_labels = None
depends_on = None

BOOKS = {"account": "id", "holding": "account_id", "cash": "account_id", "broker_statement": "account_id"}
ZERO = sa.text("0")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_account()
    _create_counters()
    _create_statements()
    op.create_foreign_key(op.f("fk_mandate_account_account_id"), "mandate_account", "account", ["account_id"], ["id"])
    for table, column in BOOKS.items():
        _put_behind_the_wall(table, column)
    op.execute("GRANT SELECT, INSERT, UPDATE ON account, holding, cash TO ilim_app, ilim_worker")
    op.execute("GRANT SELECT, INSERT ON broker_statement TO ilim_app, ilim_worker")
    _create_settlement_figures()
    op.execute("GRANT SELECT ON tax_rate, settlement_cycle TO ilim_app, ilim_worker")


def _create_account() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("virtual_number", sa.Text(), nullable=True),
        sa.Column("contract_status", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("vanished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("contract_status in ('0','1','2')", name=op.f("ck_account_contract_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("broker", "number", name=op.f("uq_account_broker_number")),
    )


def _create_counters() -> None:
    op.create_table(
        "holding",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("opening", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("bought", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("sold", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("reserved_sell", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("opening_cost", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("bought_cost", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.CheckConstraint("opening >= 0 and bought >= 0 and sold >= 0 and reserved_sell >= 0", name=op.f("ck_holding_counters")),
        sa.CheckConstraint("opening + bought - sold >= 0", name=op.f("ck_holding_position")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_holding_account_id")),
        sa.PrimaryKeyConstraint("account_id", "isin", name=op.f("pk_holding")),
    )
    op.create_table(
        "cash",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("opening", sa.BigInteger(), nullable=False),
        sa.Column("deposit", sa.BigInteger(), nullable=False),
        sa.Column("deposit_next", sa.BigInteger(), nullable=False),
        sa.Column("bought", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("sold", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("costs", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.CheckConstraint("bought >= 0 and sold >= 0 and costs >= 0 and reserved >= 0", name=op.f("ck_cash_counters")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_cash_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_cash")),
    )


def _create_statements() -> None:
    op.create_table(
        "broker_statement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("raw_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.CheckConstraint("kind in ('balance')", name=op.f("ck_broker_statement_kind")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_broker_statement_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broker_statement")),
    )
    columns = ["account_id", "kind", "taken_at"]
    op.create_index(op.f("ix_broker_statement_account_id_kind_taken_at"), "broker_statement", columns)


def _put_behind_the_wall(table: str, column: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    seen = f"ilim_sees_account({column})"
    op.execute(f"CREATE POLICY books ON {table} TO ilim_app USING ({seen}) WITH CHECK ({seen})")
    op.execute(f"CREATE POLICY worker ON {table} TO ilim_worker USING (true) WITH CHECK (true)")
    op.execute(f"CREATE POLICY owner ON {table} TO ilim_owner USING (true) WITH CHECK (true)")


def _create_settlement_figures() -> None:
    rates = op.create_table(
        "tax_rate",
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("rate", sa.Numeric(9, 8), nullable=False),
        sa.CheckConstraint("market in ('kospi','kosdaq')", name=op.f("ck_tax_rate_market")),
        sa.CheckConstraint("name in ('transaction_tax','rural_tax')", name=op.f("ck_tax_rate_name")),
        sa.CheckConstraint("rate >= 0 and rate < 1", name=op.f("ck_tax_rate_rate")),
        sa.PrimaryKeyConstraint("market", "name", "valid_from", name=op.f("pk_tax_rate")),
    )
    cycles = op.create_table(
        "settlement_cycle",
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.CheckConstraint("days between 0 and 5", name=op.f("ck_settlement_cycle_days")),
        sa.PrimaryKeyConstraint("valid_from", name=op.f("pk_settlement_cycle")),
    )
    op.bulk_insert(rates, seed.tax_rates())
    op.bulk_insert(cycles, seed.settlement_cycles())


def downgrade() -> None:
    refuse_to_drop("account")
    op.drop_constraint(op.f("fk_mandate_account_account_id"), "mandate_account", type_="foreignkey")
    for name in ("settlement_cycle", "tax_rate", "broker_statement", "cash", "holding", "account"):
        op.drop_table(name)
