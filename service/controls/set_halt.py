"""Set a halt (매매정지): from its commit on no new order and no amendment it names is claimed. Cancellations pass.

Told at once are the requests whose send had been claimed before. The answer waits until each of them has its own answer or
is past the moment at which its sender may still begin, a few seconds at most; the halt holds from its commit, not from the
answer. Refusals: halt-target-unknown 422 · gate-busy 503, when a claim holds the gate for too long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit import append
from service.controls import store
from service.controls.model import Halt, Scope, UnderWay
from service.core.clock import KST, Clock
from service.core.errors import Invalid, Violation
from service.core.ids import uuid7
from service.core.principal import Principal
from service.infra import idempotency
from service.infra.db import Books, Transaction
from service.infra.gate import gated
from service.infra.idempotency import Answer, Intent

ROUTE = "POST /v1/halts"
LOOK_AGAIN_S = 0.05
HOLD_S = 60  # longer than anything under way can take to settle

TargetKnown = Callable[[AsyncConnection, Scope, str], Awaitable[bool]]
UnderWayOf = Callable[[AsyncConnection, Scope, str | None], Awaitable[list[UnderWay]]]
Again = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[list[UnderWay]]]


@dataclass(frozen=True)
class Switch:
    """What halting needs of the house. Orders are above this slice, so what is known of them comes in as functions."""

    transaction: Transaction
    clock: Clock
    target_known: TargetKnown
    under_way: UnderWayOf  # claimed and not settled now
    again: Again  # the same requests, as they are now
    poke: Callable[[str], None]


async def set_halt(
    switch: Switch,
    scope: Scope,
    target: str | None,
    reason: str,
    *,
    principal: Principal,
    intent: Intent,
    request_id: str | None,
) -> Answer:
    """The halt with the requests that were under way when it was set, and what became of them."""
    made = Halt(uuid7(), scope, _canonical(scope, target), reason, principal.user_id, switch.clock.now())
    async with gated(switch.transaction, "the halt is NOT set", books=Books.ALL) as connection:
        replay = await idempotency.stored(connection, intent)
        if replay is not None:
            return replay
        await _check_target(switch, connection, made)
        before = await _set(switch, connection, made, principal, request_id)
        answer = _answer(made, before)
        await idempotency.remember(connection, replace(intent, hold_s=HOLD_S if before else 0), answer)
    switch.poke("orders")
    return await _settled(switch, made, before, answer, intent)


def _canonical(scope: Scope, target: str | None) -> str | None:
    """An id as the database writes it: a claim compares texts."""
    if target is None or scope not in (Scope.ACCOUNT, Scope.MANAGER):
        return target
    try:
        return str(UUID(target))
    except ValueError:
        raise _unknown(scope, target) from None


def _unknown(scope: Scope, target: str) -> Invalid:
    said = f"There is no {scope} {target} here: nothing would be halted, so nothing was."
    return Invalid("halt-target-unknown", said, violations=(Violation("halt-target-unknown", "target", said),))


async def _check_target(switch: Switch, connection: AsyncConnection, made: Halt) -> None:
    """A halt that names nothing would stop nothing, and somebody would believe it did."""
    if made.target is not None and not await switch.target_known(connection, made.scope, made.target):
        raise _unknown(made.scope, made.target)


async def _set(
    switch: Switch, connection: AsyncConnection, made: Halt, principal: Principal, request_id: str | None
) -> list[UnderWay]:
    await store.shut_gate(connection)
    before = await switch.under_way(connection, made.scope, made.target)
    await store.add_halt(connection, made)
    body = {
        "scope": made.scope, "target": made.target, "reason": made.reason, "under_way": [one.cl_ord_id for one in before]
    }  # fmt: skip
    await append.record(
        connection, kind="halt.set", subject=("halt", made.id), body=body, principal=principal, request_id=request_id,
        at=made.set_at,
    )  # fmt: skip
    return before


async def _settled(switch: Switch, made: Halt, before: list[UnderWay], answer: Answer, intent: Intent) -> Answer:
    """Wait for what was under way, then answer with it: that is the first answer, which every replay repeats."""
    seen = before
    while not all(one.settled for one in seen):
        await asyncio.sleep(LOOK_AGAIN_S)
        async with switch.transaction(books=Books.ALL) as connection:
            seen = await switch.again(connection, [one.request_id for one in before])
    if not before:
        return answer
    final = _answer(made, seen)
    async with switch.transaction() as connection:
        return final if await idempotency.finish(connection, intent, final) else answer


def _answer(made: Halt, under_way: Sequence[UnderWay]) -> Answer:
    return Answer(201, orjson.dumps(halt_document(made) | {"under_way": [_told(one) for one in under_way]}))


def _told(one: UnderWay) -> dict[str, Any]:
    return {"order_id": str(one.order_id), "cl_ord_id": one.cl_ord_id, "kind": one.kind, "state": one.state}


def halt_document(one: Halt) -> dict[str, Any]:
    """A halt as it is shown."""
    return {
        "id": str(one.id),
        "scope": one.scope,
        "target": one.target,
        "reason": one.reason,
        "set_by": str(one.set_by),
        "set_at": one.set_at.astimezone(KST),
        "released_by": str(one.released_by) if one.released_by else None,
        "released_at": one.released_at.astimezone(KST) if one.released_at else None,
        "release_reason": one.release_reason,
    }
