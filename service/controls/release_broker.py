"""Release a broker that was locked for a drift. Refusals: lock-not-found 404 · lock-released 409 when somebody else did.

It is the service that locks, so any one person of operations may release; a drift that goes on locks again at once.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from service.audit import append
from service.controls import store
from service.controls.model import Lock
from service.core.clock import KST, Clock
from service.core.errors import Conflict, NotFound
from service.core.principal import Principal
from service.infra.db import Transaction


async def release_broker(
    *,
    transaction: Transaction,
    clock: Clock,
    poke: Callable[[str], None],
    lock_id: UUID,
    reason: str,
    principal: Principal,
    request_id: str | None,
) -> Lock:
    async with transaction() as connection:
        found = await store.find_lock(connection, lock_id)
        if found is None:
            raise NotFound("lock-not-found", "There is no such lock of a broker.")
        if found.released_by == principal.user_id:
            return found
        if found.released_at is not None:
            raise Conflict("lock-released", f"It was released at {found.released_at.isoformat()} already.")
        released = replace(found, released_by=principal.user_id, released_at=clock.now(), release_reason=reason)
        await store.release_lock(connection, released)
        await append.record(
            connection, kind="broker.released", subject=("broker", found.broker), body={"lock": str(lock_id), "reason": reason},
            principal=principal, request_id=request_id, at=released.released_at,
        )  # fmt: skip
    poke("orders")
    return released


def lock_document(one: Lock) -> dict[str, object]:
    """A lock as it is shown."""
    return {
        "id": str(one.id),
        "broker": one.broker,
        "since": one.since.astimezone(KST),
        "message": one.message,
        "field": one.field,
        "what": one.what,
        "evidence": str(one.evidence) if one.evidence else None,
        "released_by": str(one.released_by) if one.released_by else None,
        "released_at": one.released_at.astimezone(KST) if one.released_at else None,
        "release_reason": one.release_reason,
    }
