"""Release a halt: by somebody other than its setter and than the manager it names, with a reason.

Refusals: halt-not-found 404 · gate-busy 503 · halt-own-release 409 · halt-released 409 when somebody else has released it.
Releasing again what one released oneself changes nothing and answers the same.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from service.audit import append
from service.controls import store
from service.controls.model import Halt, Scope
from service.core.clock import Clock
from service.core.errors import Conflict, NotFound
from service.core.principal import Principal
from service.infra.db import Transaction
from service.infra.gate import gated


async def release_halt(
    *,
    transaction: Transaction,
    clock: Clock,
    poke: Callable[[str], None],
    halt_id: UUID,
    reason: str,
    principal: Principal,
    request_id: str | None,
) -> Halt:
    async with gated(transaction, "the halt is NOT released") as connection:
        found = await store.find_halt(connection, halt_id)
        if found is None:
            raise NotFound("halt-not-found", "There is no such halt.")
        if found.released_by == principal.user_id:
            return found
        _check(found, principal)
        released = replace(found, released_by=principal.user_id, released_at=clock.now(), release_reason=reason)
        await store.shut_gate(connection)
        await store.release_halt(connection, released)
        await append.record(
            connection, kind="halt.released", subject=("halt", halt_id), body={"reason": reason}, principal=principal,
            request_id=request_id, at=released.released_at,
        )  # fmt: skip
    poke("orders")
    return released


def _check(found: Halt, principal: Principal) -> None:
    if found.released_at is not None:
        raise Conflict("halt-released", f"It was released at {found.released_at.isoformat()} already.")
    if found.set_by == principal.user_id:
        raise Conflict("halt-own-release", "Who set a halt does not release it. Ask somebody else with the role operations.")
    if found.scope is Scope.MANAGER and found.target == str(principal.user_id):
        raise Conflict("halt-own-release", "This halt names you. Ask somebody else with the role operations to release it.")
