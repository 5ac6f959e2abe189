"""Statements of the dispatcher, on the raw driver: pick, look, and what an attempt and its outcome write.

A claim is three of them in one transaction. `pick` locks the orders, then holds the gate; only then does LOOK read
what the claim decides on: at READ COMMITTED a statement that waited for a lock still reads other rows as they were before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Numeric,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.facts import account_part, number_part
from service.controls.model import Gate
from service.controls.parts import blind_part, gate_lock, gate_part
from service.core.money import Won
from service.core.secret import AccountNumber
from service.infra.db import MOMENT, HotStatement
from service.infra.effects import Change, Effect, Returning
from service.mandates.facts import mandate_part
from service.market.facts import closed_part, instrument_part
from service.orders.doubt_store import twin_part
from service.orders.recheck import Standing
from service.orders.tables import attempt, order_request, orders
from service.orders.whole import Whole, whole_of, whole_part
from service.people.facts import entitled_part

# A sender's deadline, the call's own deadline, and recording while the database is away a moment: after that nobody is likely
# to bring an answer. One that comes later still counts: it moves what is unknown by then.
PATIENCE_S = Decimal(30)


def _after_now(seconds: Any) -> ColumnElement[datetime]:
    """The database's real clock and so many seconds."""
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


# --- pick ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picked:
    """A request whose order is locked, and who asked for it: an amendment may be another manager's than the order."""

    order_id: UUID
    request_id: UUID
    cancels: bool
    account_id: UUID
    user_id: UUID | None
    isin: str
    business_date: date


PICKED = tuple(one.name for one in fields(Picked))


def _pick(limit: ColumnElement[int]) -> HotStatement:
    """The most urgent queued requests: cancellations first, then the oldest. Orders somebody else works on are passed over,
    and all but cancellations while the stream `com_id` is not seen, unless their time is up. A cancellation waits while a
    request of its order is on its way, or it would overtake what it cancels. Read committed: a request may have moved since
    we looked, its order is locked from now on. Each broker's queue is read from its head, each order by its key, and the
    limit is written into the text: otherwise a plan made while there are few would read and sort all that waits."""
    first = _queue(limit)
    wanted = func.unnest(bindparam("brokers", type_=ARRAY(Text))).table_valued("broker").render_derived(name="wanted")
    queue = first.where(order_request.c.broker == wanted.c.broker).lateral("queue")
    question = select(queue).select_from(wanted).join(queue, true())
    return HotStatement(question.order_by(queue.c.cancels.desc(), queue.c.queued_at, queue.c.cl_ord_id))


def _queue(limit: ColumnElement[int]) -> Select[Any]:
    other, c = order_request.alias("other"), order_request.c
    on_its_way = exists().where(other.c.order_id == c.order_id, other.c.state == "sending")
    # Written as in the index: with values bound later neither its condition nor its order would be recognised.
    queued, sent_later = literal_column("'queued'", Text), c.kind != literal_column("'cancellation'")
    ripe = or_(c.retry_at.is_(None), c.retry_at <= func.clock_timestamp())
    order = (
        select(orders.c.account_id, orders.c.isin, orders.c.business_date)
        .where(orders.c.id == c.order_id)
        .with_for_update(skip_locked=True)
        .lateral("its_order")
    )
    return (
        select(
            c.order_id, c.id.label("request_id"), (~sent_later).label("cancels"), c.queued_at, c.cl_ord_id, c.user_id,
            order.c.account_id, order.c.isin, order.c.business_date,
        )
        .select_from(order_request.join(order, true()))
        .where(
            c.state == queued,
            ripe,
            or_(sent_later, ~on_its_way),
            or_(~sent_later, ~blind_part(), c.send_by <= bindparam("now", type_=MOMENT)),
        )
        .order_by(sent_later, c.queued_at, c.cl_ord_id)
        .limit(limit)
    )  # fmt: skip


PICK_ONE, PICK_SOME = _pick(literal_column("1", Integer)), _pick(literal_column("8", Integer))
LOCK_GATE = HotStatement(gate_lock())


async def pick(
    connection: asyncpg.Connection, brokers: Sequence[str], most: int, com_id: str | None, now: datetime
) -> tuple[list[Picked], bool]:
    """Lock up to `most` orders (8 are the most) with the most urgent requests, one request of each; and the gate, unless
    only cancellations were found: those pass it. The second value: whether that was all there was."""
    rows = await (PICK_ONE if most == 1 else PICK_SOME).rows(connection, brokers=list(brokers), com_id=com_id, now=now)
    found: dict[UUID, Picked] = {}
    for row in rows:
        if len(found) < most:
            found.setdefault(row["order_id"], Picked(**{name: row[name] for name in PICKED}))
    if any(not one.cancels for one in found.values()):
        await LOCK_GATE.row(connection)
    return list(found.values()), len(rows) == len(found) < most


# --- look ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """Everything a claim decides on, as it is under the locks."""

    known: Whole
    account: AccountNumber
    attempts: int  # made before
    standing: Standing
    gate: Gate


def _look() -> Select[Any]:
    account, mandate, instrument, gate = account_part(), mandate_part(), instrument_part(), gate_part()
    made = select(func.count()).where(attempt.c.request_id == bindparam("request_id", type_=Uuid)).scalar_subquery()
    joined = (
        orders.join(gate, true())
        .outerjoin(account, true())
        .outerjoin(mandate, true())
        .outerjoin(instrument, true())
    )  # fmt: skip
    return (
        whole_part()
        .add_columns(
            twin_part(bindparam("request_id", type_=Uuid)).label("twin_in_doubt"), entitled_part().label("entitled"),
            number_part().label("number"), made.label("attempts"), gate,
            (mandate.c.mandate_id == orders.c.mandate_id).label("same_mandate"),
            account.c.contract_status, account.c.vanished, mandate.c.status.label("mandate_status"), mandate.c.starts_on,
            mandate.c.ends_on, mandate.c.assigned, mandate.c.limits, mandate.c.turnover, instrument.c.halted,
            closed_part().label("closed_day"),
        )
        .select_from(joined)
        .where(orders.c.id == bindparam("order_id", type_=Uuid))
    )  # fmt: skip


LOOK = HotStatement(_look())


async def look(connection: asyncpg.Connection, one: Picked, com_id: str | None) -> Look:
    row = await LOOK.row(
        connection, order_id=one.order_id, request_id=one.request_id, account_id=one.account_id, user_id=one.user_id,
        isin=one.isin, symbol=None, business_date=one.business_date, com_id=com_id,
    )  # fmt: skip
    if row is None or row["number"] is None:
        raise RuntimeError("a locked order without its row or its account")
    standing = Standing(
        row["contract_status"], bool(row["vanished"]), bool(row["same_mandate"]), row["mandate_status"], row["starts_on"],
        row["ends_on"],
        row["entitled"], bool(row["assigned"]), bool(row["halted"]), row["twin_in_doubt"],
        orjson.loads(row["limits"] or "{}"), Won(row["turnover"] or 0), row["closed_day"],
    )  # fmt: skip
    return Look(whole_of(row), AccountNumber(row["number"]), row["attempts"], standing, Gate.of(row))


# --- attempts --------------------------------------------------------------------------------------------------------------


def _attempt(rows: FromClause) -> Returning:
    """Claim the send: the inserted row is the permission. The database refuses a second one (P2)."""
    names = ["request_id", "n", "sender", "epoch", "overdue_at"]
    wanted = select(rows.c.request_id, rows.c.n, rows.c.sender, rows.c.epoch, _after_now(rows.c.patience_s))
    return insert(attempt).from_select(names, wanted).returning(attempt.c.request_id)


def _answer(rows: FromClause) -> Returning:
    new = {name: rows.c[name] for name in ("outcome", "reason", "evidence")}
    return (
        update(attempt)
        .where(attempt.c.request_id == rows.c.request_id, attempt.c.n == rows.c.n)
        .values(answered_at=func.clock_timestamp(), **new)
        .returning(attempt.c.request_id)
    )


ATTEMPTED = Effect(
    "attempted",
    {**{name: attempt.c[name].type for name in ("request_id", "n", "sender", "epoch")}, "patience_s": Numeric()},
    _attempt,
)
ANSWERED = Effect(
    "answered", {name: attempt.c[name].type for name in ("request_id", "n", "outcome", "reason", "evidence")}, _answer
)


def attempted(rows: Iterable[tuple[UUID, int]], *, sender: str, epoch: int) -> Change:
    """Attempts as (request, n), to be written with the claims they permit."""
    common = {"sender": sender, "epoch": epoch, "patience_s": PATIENCE_S}
    return Change(ATTEMPTED, [{"request_id": request_id, "n": n, **common} for request_id, n in rows])


def answered(request_id: UUID, n: int, *, outcome: str, reason: str | None, evidence: UUID | None) -> Change:
    return Change(
        ANSWERED, [{"request_id": request_id, "n": n, "outcome": outcome, "reason": reason, "evidence": evidence}]
    )  # fmt: skip


LEAVE_ALONE = HotStatement(
    update(order_request)
    .where(order_request.c.id == bindparam("request_id", type_=Uuid))
    .values(retry_at=_after_now(bindparam("pause_s", type_=Numeric)))
    .returning(order_request.c.id)
)


async def leave_alone(connection: asyncpg.Connection, request_id: UUID, n: int) -> None:
    """After attempt `n` wrote no byte: twice as long each time, 0.2 s to 5 s, or a platform that is down would be
    knocked at thousands of times in the 30 s an order has."""
    pause = min(Decimal("0.1") * 2**n, Decimal(5)) if n < 10 else Decimal(5)
    await LEAVE_ALONE.row(connection, request_id=request_id, pause_s=pause)


# --- attempts without an answer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unanswered:
    """An attempt without an outcome, who made it, and whether its time is up."""

    order_id: UUID
    request_id: UUID
    n: int
    sender: str
    epoch: int
    overdue: bool


UNANSWERED = HotStatement(
    select(
        order_request.c.order_id, attempt.c.request_id, attempt.c.n, attempt.c.sender, attempt.c.epoch,
        (attempt.c.overdue_at < func.clock_timestamp()).label("overdue"),
    )
    .join(order_request, order_request.c.id == attempt.c.request_id)
    .where(attempt.c.outcome.is_(None))
    .order_by(attempt.c.overdue_at)
    .limit(1000)
)  # fmt: skip
STILL_UNANSWERED = HotStatement(
    select(attempt.c.n).where(
        and_(
            attempt.c.request_id == bindparam("request_id", type_=Uuid),
            attempt.c.n == bindparam("n", type_=Integer),
            attempt.c.outcome.is_(None),
        )
    )
)

FOUND_UNSENT = HotStatement(
    select(attempt.c.n).where(
        attempt.c.request_id == bindparam("request_id", type_=Uuid),
        attempt.c.n == bindparam("n", type_=Integer),
        attempt.c.outcome == literal_column("'not_sent'"),
    )
)


async def unanswered_attempts(connection: asyncpg.Connection) -> list[Unanswered]:
    """The oldest first."""
    return [Unanswered(**row) for row in await UNANSWERED.rows(connection)]


async def still_unanswered(connection: asyncpg.Connection, one: Unanswered) -> bool:
    return await STILL_UNANSWERED.row(connection, request_id=one.request_id, n=one.n) is not None


async def found_unsent(connection: asyncpg.Connection, request_id: UUID, n: int) -> bool:
    """Whether it is recorded of attempt `n` that it wrote no byte: then the next one may have been claimed since."""
    return await FOUND_UNSENT.row(connection, request_id=request_id, n=n) is not None


# --- after a fail-over that lost commits -------------------------------------------------------------------------------------


async def queued_to_trade(connection: AsyncConnection, most: int = 100) -> list[UUID]:
    """Orders with a new order or an amendment that is queued."""
    c = order_request.c
    question = select(c.order_id).where(c.state == "queued", c.kind != "cancellation").distinct().limit(most)
    return list((await connection.execute(question)).scalars())


async def attempts_made(connection: AsyncConnection, request_ids: Sequence[UUID]) -> dict[UUID, int]:
    """By request; none for one that has none."""
    c = attempt.c
    question = select(c.request_id, func.max(c.n)).where(c.request_id.in_(request_ids)).group_by(c.request_id)
    return {row[0]: row[1] for row in await connection.execute(question)}
