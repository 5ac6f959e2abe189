"""Calls counted per service and day."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Table, Text

from service.gateway import CallClass
from service.infra.db import metadata


def _count(call_class: CallClass) -> Column[int]:
    return Column(f"{call_class}_calls", BigInteger, nullable=False, server_default="0")


call_budget = Table(
    "call_budget",
    metadata,
    Column("service", Text, primary_key=True),
    Column("day", Date, primary_key=True),  # the platform's day, not the market's
    *(_count(call_class) for call_class in CallClass),
    CheckConstraint(
        "least(cancel_calls, resolve_calls, order_calls, night_calls, routine_calls) >= 0", name="calls_not_negative"
    ),
)
