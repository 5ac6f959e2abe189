"""What two people decide about a request in doubt: one proposes, another confirms or declines. Neither is enough alone.

`not_sent` closes it on absence: only after the day's last session, on a complete inquiry asked after that which does not
show it. `twin_allowed` lets one twin of an unknown order pass, once, on the same day. The rules stand as constraints too.
Refusals: not-in-doubt, day-not-over, final-inquiry-missing, evidence-shows-order, resolution-pending, resolution-decided 409 ·
second-person-required 403 · resolution-not-found 404.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import kst_date
from service.core.errors import Conflict, Forbidden, NotFound
from service.core.ids import uuid7
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import RequestKind
from service.infra.idempotency import Answer, Intent
from service.market.calendar import Calendar
from service.orders import doubt_store, known
from service.orders.advance import Cause, advance, hold_more
from service.orders.desk import Desk
from service.orders.doubt import (
    CLOSED_ON_ABSENCE,
    CONFIRMED,
    DECLINED,
    INQUIRY,
    NOT_SENT,
    TWIN_ALLOWED,
    Decision,
    Step,
    final_step,
    instant,
    of_request,
    requests_in_doubt,
)
from service.orders.intents import carry_out
from service.orders.model import ROWS_ARE_LATE, Order, Request, RequestState
from service.orders.reading import shows_the_order
from service.orders.rules import Reserve


async def propose(
    desk: Desk, order_id: UUID, *, doubtful: UUID, conclusion: str, reason: str, principal: Principal, intent: Intent,
    request_id: str,
) -> Answer:  # fmt: skip
    """One person's half of a resolution; the order with it."""
    calendar = (await desk.market.rules()).calendar
    asked = {"request_id": str(doubtful), "conclusion": conclusion, "reason": reason}

    async def effect(connection: AsyncConnection, order: Order) -> Order:
        now = desk.clock.now()
        request, steps = await _in_doubt(connection, order, doubtful)
        await _not_pending(connection, order, request, conclusion)
        evidence: UUID | None = None
        if conclusion == NOT_SENT:
            evidence = await _absence(connection, order, request, steps, calendar, now)
        else:
            _bars_a_twin(order, request, now)
        made = Decision(
            uuid7(), order.id, request.id, conclusion, reason, request.user_id, principal.user_id, now, evidence,
            None if evidence is None else True,
        )  # fmt: skip
        await doubt_store.propose(connection, made)
        return await _noted(connection, order, _cause("resolution.proposed", made, request, principal, request_id), now)

    return await carry_out(
        desk, order_id, effect, what="resolution", asked=asked, principal=principal, intent=intent, request_id=request_id
    )


async def decide(
    desk: Desk, order_id: UUID, resolution_id: UUID, *, confirm: bool, reason: str, principal: Principal, intent: Intent,
    request_id: str,
) -> Answer:  # fmt: skip
    """The second person's half: the order as it is then."""
    calendar = (await desk.market.rules()).calendar
    asked = {"resolution_id": str(resolution_id), "confirm": confirm, "reason": reason}

    async def effect(connection: AsyncConnection, order: Order) -> Order:
        now = desk.clock.now()
        proposed = await _proposed(connection, order, resolution_id)
        decided = replace(
            proposed, decision=CONFIRMED if confirm else DECLINED, decided_by=principal.user_id, decided_at=now,
            decided_reason=reason,
        )  # fmt: skip
        request = next(one for one in order.requests if one.id == proposed.request_id)
        if not confirm:
            await doubt_store.decide(connection, decided)
            return await _noted(connection, order, _cause("resolution.declined", decided, request, principal, request_id), now)
        _other_person(proposed, principal)
        request, steps = await _in_doubt(connection, order, proposed.request_id)
        if proposed.conclusion == NOT_SENT:
            await _absence(connection, order, request, steps, calendar, now)
        await doubt_store.decide(connection, decided)
        cause = _cause("resolution.confirmed", decided, request, principal, request_id)
        if proposed.conclusion == TWIN_ALLOWED:
            return await _noted(connection, order, cause, now)
        await doubt_store.note_outcome(connection, request, steps, "person", proposed.evidence, now)
        return await _close(desk, connection, order, request, cause, now)

    return await carry_out(
        desk, order_id, effect, what="resolution", asked=asked, principal=principal, intent=intent, request_id=request_id
    )


async def _close(desk: Desk, connection: AsyncConnection, order: Order, request: Request, cause: Cause, now: datetime) -> Order:
    """A new order ends as rejected, another request is without effect; what was held back is free again."""
    refused = replace(request, state=RequestState.REFUSED, reason=CLOSED_ON_ABSENCE, answered_at=now)
    requests = tuple(refused if one.id == request.id else one for one in order.requests)
    profile = desk.profile(order.broker)
    return await advance(connection, replace(order, requests=requests), cause, profile=profile, now=now)


async def _noted(connection: AsyncConnection, order: Order, cause: Cause, now: datetime) -> Order:
    """The order as it is, with a ledger entry more."""
    return await hold_more(connection, order, Reserve(Won(order.reserved_cash), order.reserved_quantity), cause, now)


def _cause(kind: str, made: Decision, request: Request, principal: Principal, request_id: str) -> Cause:
    data: dict[str, Any] = {
        "resolution": str(made.id),
        "cl_ord_id": request.cl_ord_id,
        "conclusion": made.conclusion,
        "reason": made.decided_reason or made.reason,
        "evidence": [] if made.evidence is None else [str(made.evidence)],
    }
    return Cause(kind, data, principal, request_id)


# --- what is asked of the facts ---------------------------------------------------------------------------------------------


async def _in_doubt(connection: AsyncConnection, order: Order, doubtful: UUID) -> tuple[Request, list[Step]]:
    steps = (await doubt_store.steps_of(connection, [order.id])).get(order.id, [])
    request = next((one for one in requests_in_doubt(order, steps) if one.id == doubtful), None)
    if request is None:
        raise Conflict("not-in-doubt", "The order has no such request whose outcome is in doubt. Read the order again.")
    return request, of_request(steps, request)


async def _not_pending(connection: AsyncConnection, order: Order, request: Request, conclusion: str) -> None:
    for one in (await doubt_store.decisions_of(connection, [order.id])).get(order.id, []):
        waits = one.decision is None or (one.decision == CONFIRMED and one.used_by is None)
        if one.request_id == request.id and one.conclusion == conclusion and waits:
            said = "waits for a second person" if one.decision is None else "is confirmed already"
            raise Conflict("resolution-pending", f"The resolution {one.id} of the same request {said}.")


async def _absence(
    connection: AsyncConnection, order: Order, request: Request, steps: list[Step], calendar: Calendar, now: datetime
) -> UUID:
    """The evidence that it is absent: the final complete inquiry. Raises Conflict that names what is missing."""
    final_from = calendar.last_close(order.business_date) + ROWS_ARE_LATE
    if now < final_from:
        raise Conflict(
            "day-not-over",
            f"A session of the order's day may still bring it: absence counts from {instant(final_from)} on, in a complete "
            "inquiry asked after that.",
        )
    if request.kind is RequestKind.NEW and await _shown(connection, order):
        raise Conflict("evidence-shows-order", "A report or an inquiry row shows the order: it reached the broker.")
    final = final_step(steps)
    if final is None or final.evidence is None:
        raise Conflict(
            "final-inquiry-missing", f"No complete inquiry asked after {instant(final_from)} is here yet. {_last(steps)}"
        )
    return final.evidence


def _last(steps: list[Step]) -> str:
    looked = next((one for one in reversed(steps) if one.kind == INQUIRY), None)
    if looked is None:
        return "Nobody has inquired yet."
    return f"The last one, at {instant(looked.at)}: {looked.detail}; the next is due at {instant(looked.next_at)}."


async def _shown(connection: AsyncConnection, order: Order) -> bool:
    told = any(shows_the_order(report) for _, report in await known.reports(connection, order.id))
    return told or (await known.sightings(connection, order.id)).seen


def _bars_a_twin(order: Order, request: Request, now: datetime) -> None:
    bars = request.kind is RequestKind.NEW and request.state is RequestState.UNKNOWN
    if not bars or kst_date(now) != order.business_date:
        raise Conflict("not-in-doubt", "The request bars no twin: only an unknown new order does, on its own day.")


async def _proposed(connection: AsyncConnection, order: Order, resolution_id: UUID) -> Decision:
    said = (await doubt_store.decisions_of(connection, [order.id])).get(order.id, [])
    found = next((one for one in said if one.id == resolution_id), None)
    if found is None:
        raise NotFound("resolution-not-found", "The order has no such resolution.")
    if found.decision is not None:
        raise Conflict("resolution-decided", f"The resolution was {found.decision} at {instant(found.decided_at)}.")
    return found


def _other_person(proposed: Decision, principal: Principal) -> None:
    if principal.user_id == proposed.proposed_by:
        raise Forbidden("second-person-required", "You proposed it yourself: another person confirms it.")
    if principal.user_id == proposed.maker:
        raise Forbidden("second-person-required", "The request in doubt is yours: somebody else confirms.")
