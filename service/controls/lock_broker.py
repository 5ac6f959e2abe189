"""Lock a broker whose messages are not what its profile says: no new orders for it until a person has looked (P20)."""

from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit import append
from service.controls import store
from service.controls.model import Lock
from service.core.ids import uuid7
from service.infra.metrics import counter

log = structlog.get_logger()
LOCKED = counter("ilim_brokers_locked", "Brokers locked because their messages drifted from their profile", ["broker"])


async def lock_broker(
    connection: AsyncConnection, broker: str, *, message: str, field: str, what: str, evidence: UUID | None, now: datetime
) -> bool:
    """False when it is locked already: the first finding stands, and whoever releases it has seen that one."""
    made = Lock(uuid7(), broker, now, message, field, what, evidence)
    if not await store.add_lock(connection, made):
        return False
    await store.shut_gate(connection)  # no claim that has looked before commits after this
    body = {"broker": broker, "message": message, "field": field, "what": what, "evidence": str(evidence) if evidence else None}
    await append.record(connection, kind="broker.locked", subject=("broker", broker), body=body, at=now)
    LOCKED.labels(broker).inc()
    what_now = "GET /v1/broker-locks; cancellations pass; release it when its messages are understood again"
    log.error("broker.drift", **body, what_now=what_now)
    return True
