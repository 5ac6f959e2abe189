"""Questions about doubt: what was tried, what people decided, and what bars a twin."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import BindParameter, ColumnElement, and_, exists, func, insert, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.gateway import RequestKind
from service.infra.metrics import counter
from service.orders.doubt import CLOSED_ON_ABSENCE, CONFIRMED, NOT_SENT, OUTCOME, TWIN_ALLOWED, Decision, Step
from service.orders.model import Request
from service.orders.model import RequestState as S
from service.orders.tables import attempt, doubt_decision, doubt_step, order_request, order_sighting, orders

log = structlog.get_logger()

SETTLED = counter("ilim_doubts_settled", "Requests in doubt that were settled, by what", ["how"])
STEP_FIELDS = tuple(one.name for one in fields(Step))
DECISION_FIELDS = tuple(one.name for one in fields(Decision))


async def steps_of(connection: AsyncConnection, order_ids: Sequence[UUID]) -> dict[UUID, list[Step]]:
    """What was tried, by order, as it was tried."""
    c = doubt_step.c
    question = select(doubt_step).where(c.order_id.in_(order_ids)).order_by(c.order_id, c.request_id, c.n)
    found: dict[UUID, list[Step]] = {}
    for row in (await connection.execute(question)).mappings():
        found.setdefault(row["order_id"], []).append(Step(**{name: row[name] for name in STEP_FIELDS}))
    return found


async def add_step(connection: AsyncConnection, before: Sequence[Step], step: Step) -> None:
    """Write one step of a request; the same as the newest before it only counts up. A final one always stands alone: a
    decision may rest on it. The caller holds the order's row."""
    last = before[-1] if before else None
    if last is not None and not step.final and _result(last) == _result(step):
        again = replace(last, at=step.at, times=last.times + 1, next_at=step.next_at)
        c = doubt_step.c
        changes = {"at": again.at, "times": again.times, "next_at": again.next_at}
        if step.complete:
            changes |= {"evidence": step.evidence, "digest": step.digest}
        await connection.execute(update(doubt_step).where(c.request_id == last.request_id, c.n == last.n).values(changes))
        return
    numbered = replace(step, n=len(before) + 1)
    await connection.execute(insert(doubt_step).values({name: getattr(numbered, name) for name in STEP_FIELDS}))


def _result(step: Step) -> tuple[object, ...]:
    return step.kind, step.complete, step.final, step.detail


async def note_outcome(
    connection: AsyncConnection, request: Request, before: Sequence[Step], how: str, evidence: UUID | None, now: datetime
) -> None:
    """What settled a request that was in doubt, once."""
    if any(one.kind == OUTCOME for one in before):
        return
    step = Step(request.id, 0, request.order_id, OUTCOME, now, now, 1, False, False, how, evidence, None, None)
    await add_step(connection, before, step)
    SETTLED.labels(how).inc()
    log.info("doubt.settled", cl_ord_id=request.cl_ord_id, how=how, evidence=str(evidence))


async def settled_unnoted(connection: AsyncConnection) -> list[tuple[UUID, UUID]]:
    """(order, request) of requests that were in doubt, are no more, and do not say yet by what."""
    c = order_request.c
    tried = exists().where(doubt_step.c.request_id == c.id, doubt_step.c.kind != OUTCOME)
    recent = func.clock_timestamp() - func.make_interval(0, 0, 0, 2)
    lost = exists().where(attempt.c.request_id == c.id, attempt.c.outcome == "unknown", attempt.c.claimed_at > recent)
    noted = exists().where(doubt_step.c.request_id == c.id, doubt_step.c.kind == OUTCOME)
    mine = select(doubt_step.c.request_id).union(select(attempt.c.request_id).where(attempt.c.outcome == "unknown"))
    question = select(c.order_id, c.id).where(
        c.id.in_(mine), c.state.in_([S.ACKNOWLEDGED, S.REFUSED]), or_(tried, lost), ~noted
    )  # fmt: skip
    return [(row[0], row[1]) for row in await connection.execute(question)]


async def sightings_of(connection: AsyncConnection, request: Request) -> list[UUID]:
    """First pages of the inquiries that showed a request: a new order by any row of it, a change by what they proved of it."""
    c = order_sighting.c
    question = select(c.raw_id).where(c.order_id == request.order_id)
    if request.kind is not RequestKind.NEW:
        question = question.where(c.document.contains({"changes": [{"cl_ord_id": request.cl_ord_id}]}))
    return list((await connection.execute(question)).scalars())


async def telling_answers(connection: AsyncConnection, request_id: UUID) -> list[UUID]:
    """Raw answers that said what became of it."""
    c = attempt.c
    told = and_(c.request_id == request_id, c.outcome.in_(["refused", "accepted"]), c.evidence.is_not(None))
    return list((await connection.execute(select(c.evidence).where(told))).scalars())


# --- decisions ------------------------------------------------------------------------------------------------------------


async def decisions_of(connection: AsyncConnection, order_ids: Sequence[UUID]) -> dict[UUID, list[Decision]]:
    c = doubt_decision.c
    question = select(doubt_decision).where(c.order_id.in_(order_ids)).order_by(c.order_id, c.id)
    found: dict[UUID, list[Decision]] = {}
    for row in (await connection.execute(question)).mappings():
        found.setdefault(row["order_id"], []).append(Decision(**{name: row[name] for name in DECISION_FIELDS}))
    return found


async def propose(connection: AsyncConnection, decision: Decision) -> None:
    await connection.execute(insert(doubt_decision).values({name: getattr(decision, name) for name in DECISION_FIELDS}))


async def decide(connection: AsyncConnection, decision: Decision) -> None:
    """Write what the second person said."""
    names = ("decision", "decided_by", "decided_at", "decided_reason")
    changes = {name: getattr(decision, name) for name in names}
    await connection.execute(update(doubt_decision).where(doubt_decision.c.id == decision.id).values(changes))


async def undecided(connection: AsyncConnection) -> int:
    """Proposals that wait for a second person."""
    question = select(func.count()).where(doubt_decision.c.decision.is_(None))
    return (await connection.execute(question)).scalar_one()


async def evidence_of_closing(connection: AsyncConnection, request_id: UUID) -> UUID | None:
    return (await connection.execute(select(doubt_decision.c.evidence).where(_closing(request_id)))).scalar()


def _closing(request_id: UUID) -> ColumnElement[bool]:
    c = doubt_decision.c
    return and_(c.request_id == request_id, c.conclusion == NOT_SENT, c.decision == CONFIRMED)


async def overturned_unnoted(connection: AsyncConnection) -> list[tuple[UUID, UUID]]:
    """(order, request) of closings on absence that evidence has contradicted since, without anybody having been told."""
    c, r = doubt_decision.c, order_request.c
    question = (
        select(c.order_id, c.request_id)
        .join(order_request, r.id == c.request_id)
        .where(
            c.conclusion == NOT_SENT,
            c.decision == CONFIRMED,
            c.overturned_at.is_(None),
            r.reason.is_distinct_from(CLOSED_ON_ABSENCE),
        )
    )
    return [(row[0], row[1]) for row in await connection.execute(question)]


async def overturn(connection: AsyncConnection, request_id: UUID, now: datetime) -> None:
    """Evidence turned up for a request that two people had closed on absence."""
    await connection.execute(update(doubt_decision).where(_closing(request_id)).values(overturned_at=now))


# --- twins ------------------------------------------------------------------------------------------------------------------


def twin_part(request_id: BindParameter[UUID]) -> ColumnElement[bool]:
    """Whether a new order must not go out because a twin of it is unknown and no decision lets it pass, as a part of a
    question about `orders`. The database asks the same again in the claim's own write, where nobody can be faster."""
    mine, other, twin = order_request.alias("mine"), order_request.alias("other"), orders.alias("twin")
    c, o, decided = other.c, twin.c, doubt_decision.c
    allowed = (
        exists()
        .where(decided.request_id == c.id, decided.conclusion == TWIN_ALLOWED, decided.used_by == orders.c.id)
        .correlate(other, orders)
    )
    unknown = (
        exists()
        .where(
            c.state == literal_column("'unknown'"), c.kind == literal_column("'new'"), c.id != mine.c.id,
            c.quantity == mine.c.quantity, o.id == c.order_id, o.account_id == orders.c.account_id,
            o.business_date == orders.c.business_date, o.isin == orders.c.isin, o.side == orders.c.side, ~allowed,
        )
        .correlate(mine, orders)
    )  # fmt: skip
    asked = exists().where(mine.c.id == request_id, mine.c.kind == literal_column("'new'"), unknown)
    return asked.correlate(orders)
