"""What becomes of a message that is not applied: parked, unmatched or quarantined, always with a ledger entry and an alarm.

The message itself stays whole in the vault; nothing of it is changed or dropped (P11, P19).
"""

from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.move import PositionMismatch
from service.audit import append
from service.core.errors import ServiceError
from service.executions import store
from service.executions.store import Waiting
from service.infra.metrics import counter

log = structlog.get_logger()

SETTLED = counter("ilim_reports_settled", "Reports settled, by what became of them", ["state"])


async def set_aside(
    connection: AsyncConnection, one: Waiting, state: str, reason: str, *, now: datetime, order_id: UUID | None = None
) -> None:
    """Settle a message as `parked`, `unmatched` or `quarantined`, in the caller's transaction. The caller has it locked."""
    await store.settle(connection, [one.raw_id], state, reason)
    await append.record(
        connection,
        kind=f"message.{state}",
        subject=("message", one.raw_id),
        body={"reason": reason, "order": None if order_id is None else str(order_id)},
        at=now,
    )
    SETTLED.labels(state).inc()
    log.error(f"message.{state}", raw_id=str(one.raw_id), reason=reason, order_id=str(order_id) if order_id else None)


WRONG = (PositionMismatch, IntegrityError, ServiceError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)


def unfit(error: Exception) -> bool:
    """Whether the message is to blame: it would fail again. A database that is away or busy is not the message's fault."""
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        return str(getattr(error.orig, "sqlstate", "") or "")[:2] in ("22", "54")  # data exception, limit exceeded
    return isinstance(error, WRONG)


def word(error: Exception) -> str:
    if isinstance(error, PositionMismatch):
        return "position-mismatch"
    return "overfill" if isinstance(error, IntegrityError) else f"failed: {type(error).__name__}"
