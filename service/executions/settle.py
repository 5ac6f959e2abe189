"""Settle a batch of messages in one transaction: reports applied to their orders, the others set aside.

What is set aside (parked: unreadable; unmatched: about no order we know yet; quarantined: impossible) stays whole in the
vault, with a ledger entry and an alarm; nothing of it is changed or dropped (P11, P19).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.move import PositionMismatch
from service.accounts.store import numbers_of
from service.audit import append
from service.core.clock import kst_date
from service.core.errors import ServiceError
from service.executions import store
from service.executions.external import Held, Hopeless, adopt_reported
from service.executions.fills import Dated, costs_of, restated
from service.executions.merge import merge_strangers
from service.executions.plan import Plan, plan, report_row, step_of
from service.executions.route import Message, route
from service.executions.store import Waiting
from service.gateway import Gateway, Unreadable
from service.infra.effects import Change, write
from service.infra.failpoints import fp
from service.infra.metrics import counter
from service.orders import known, whole
from service.orders.advance import Step, changes, write_steps
from service.orders.model import Order

log = structlog.get_logger()

SETTLED = counter("ilim_reports_settled", "Reports settled, by what became of them", ["state"])


@dataclass
class Outcome:
    """What a batch came to."""

    strangers: list[Message] = field(default_factory=list)  # readable, and about no order we know: one by one
    learned: bool = False  # some order has another number at its broker now


@dataclass
class _Batch:
    """What is written besides the orders' own moves."""

    now: datetime
    messages: list[dict[str, object]] = field(default_factory=list)
    entries: list[append.Entry] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)

    def aside(self, one: Waiting, state: str, reason: str, order_id: UUID | None = None) -> None:
        """A message that is not applied."""
        self.messages.append(store.settled(one.raw_id, state, reason, order_id))
        about = None if order_id is None else str(order_id)
        body = {"reason": reason, "order": about}
        self.entries.append(append.entry(kind=f"message.{state}", subject=("message", one.raw_id), body=body, at=self.now))
        self.after_commit.append(lambda: _alarm(one, state, reason, about))


def _alarm(one: Waiting, state: str, reason: str, order_id: str | None) -> None:
    SETTLED.labels(state).inc()
    what_now = f"ilim messages show {one.raw_id}"
    log.error(f"message.{state}", raw_id=str(one.raw_id), reason=reason, order_id=order_id, what_now=what_now)


async def settle(
    connection: AsyncConnection, messages: Sequence[Message], dated: Dated, gateway: Gateway, now: datetime
) -> tuple[Outcome, list[Callable[[], None]]]:
    """Take up those of `messages` that are still open. A stranger among several is left for a call of its own. Returns what
    to do after the commit as well. Raises what `unfit` knows when one message cannot be taken."""
    states = await store.still_open(connection, [one.raw_id for one, _ in messages])
    batch, outcome = _Batch(now), Outcome()
    routed = await route(connection, [each for each in messages if each[0].raw_id in states], kst_date(now))
    for one, report in routed.pop(None, []):
        if isinstance(report, Unreadable):
            batch.aside(one, "parked", report.reason)
        elif len(messages) > 1:
            outcome.strangers.append((one, report))
        else:
            order = await _stranger(connection, (one, report), states[one.raw_id], dated, gateway, batch)
            routed |= {order.id: [(one, report)]} if order else {}
    by_order = {order_id: group for order_id, group in routed.items() if order_id is not None}
    outcome.learned = await _apply(connection, by_order, dated, gateway, batch)
    fp("apply.before_commit")
    return outcome, batch.after_commit


async def _stranger(
    connection: AsyncConnection, message: Message, state: str, dated: Dated, gateway: Gateway, batch: _Batch
) -> Order | None:
    one, report = message
    assert not isinstance(report, Unreadable)  # noqa: S101 - those are parked before
    found = await adopt_reported(connection, one, report, dated.calendar, gateway, batch.now)
    if isinstance(found, Order):
        return found
    if isinstance(found, Hopeless):
        batch.aside(one, "quarantined", found.reason)
    elif isinstance(found, Held) and state == "waiting":  # said once, however often it is looked at again
        batch.aside(one, "unmatched", found.reason)
    return None


async def _apply(
    connection: AsyncConnection, groups: Mapping[UUID, Sequence[Message]], dated: Dated, gateway: Gateway, batch: _Batch
) -> bool:
    plans = await _plans(connection, groups, dated, batch.now) if groups else []
    costs, saved = await costs_of(connection, [(one.order, one.fills) for one in plans], dated, gateway)
    standing = await _set_aside(connection, plans)
    steps: list[Step] = []
    for one, cost in zip(plans, costs, strict=True):
        made = step_of(one, cost, standing.get(one.order.id, 0), gateway.profile(one.order.broker), batch.now)
        steps += [made] if made else []
        _settled(one, batch)
    await write_steps(connection, steps, [*_kept(plans, batch), *saved])
    await append.write(connection, batch.entries)
    learned = [(one.order, number) for one in plans for number in one.new_numbers]
    await merge_strangers(connection, [one for one in learned if not one[0].external], dated, gateway, batch.now)
    return bool(learned)


async def _plans(
    connection: AsyncConnection, groups: Mapping[UUID, Sequence[Message]], dated: Dated, now: datetime
) -> list[Plan]:
    await whole.lock(connection, groups)
    known_orders = await whole.read(connection, groups)
    held = await store.fills_of(connection, list(groups))
    numbers = await numbers_of(connection, sorted({one.order.account_id for one in known_orders.values()}))
    return [
        plan(known_orders[order_id], held[order_id], group, numbers.get(known_orders[order_id].order.account_id), dated, now)
        for order_id, group in groups.items()
    ]


async def _set_aside(connection: AsyncConnection, plans: Sequence[Plan]) -> Mapping[UUID, int]:
    """Messages that stay set aside, by order: only where one was before."""
    looked_at = [one.order.id for one in plans if one.order.needs_review]
    return await store.set_aside(connection, looked_at) if looked_at else {}


def _settled(one: Plan, batch: _Batch) -> None:
    batch.messages += [store.settled(each.raw_id, "applied") for each, _ in one.applied]
    for each, reason in one.refused:
        batch.aside(each, "quarantined", reason, one.order.id)
    for each, reason in one.unread:
        batch.aside(each, "parked", reason, one.order.id)
    batch.after_commit.append(lambda: SETTLED.labels("applied").inc(len(one.applied)))


def _kept(plans: Sequence[Plan], batch: _Batch) -> list[Change]:
    fills = [fill for one in plans for fill in one.fills]
    reports = [report_row(one.order, each, known.to_document(said)) for one in plans for each, said in one.applied]
    return [
        known.kept(reports),
        store.filled(fills),
        Change(store.RESTATED, restated(fills, batch.now)),
        Change(store.SETTLED, batch.messages),
    ]


async def give_up(
    connection: AsyncConnection, message: Message, error: Exception, gateway: Gateway, now: datetime, *, tell_order: bool
) -> list[Callable[[], None]]:
    """A message that cannot be taken: out of the way, so that it stops nobody; its order shows that somebody must look."""
    one = message[0]
    batch = _Batch(now)
    if one.raw_id not in await store.still_open(connection, [one.raw_id]):
        return []
    routed = await route(connection, [message], kst_date(now)) if tell_order else {}
    order_id = next((each for each in routed if each is not None), None)
    batch.aside(one, "quarantined" if order_id else "parked", word(error), order_id)
    settled = Change(store.SETTLED, batch.messages)
    if order_id is None:
        await write(connection, [settled])
    else:
        await whole.lock(connection, [order_id])
        order = (await whole.read(connection, [order_id]))[order_id]
        asked = Plan(order, (), ((one, word(error)),), ())
        made = step_of(asked, 0, 1, gateway.profile(order.order.broker), now)
        await write(connection, [*(changes([made]) if made else []), settled])
    await append.write(connection, batch.entries)
    return batch.after_commit


WRONG = (PositionMismatch, IntegrityError, ServiceError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)


def unfit(error: Exception) -> bool:
    """Whether the message is to blame: it would fail again. A database that is away or busy is not the message's fault."""
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        return str(getattr(error.orig, "sqlstate", "") or "")[:2] in ("22", "54")  # data exception, limit exceeded
    return isinstance(error, WRONG)


WORDS = {
    "ck_orders_executed_within_ordered": "overfill",
    "ck_orders_remaining_within_ordered": "overfill",
    "ex_orders_broker_order_number": "number-of-another-order",
}


def word(error: Exception) -> str:
    """The reason under which a message is set aside; whoever looks at it is told which constraint it met."""
    if isinstance(error, PositionMismatch):
        return "position-mismatch"
    met = _constraint(error) or "" if isinstance(error, IntegrityError) else ""
    return WORDS.get(met, f"failed: {met or type(error).__name__}")


def _constraint(error: IntegrityError) -> str | None:
    """Its name, from the driver's own error, which SQLAlchemy wraps twice."""
    return getattr(error.orig.__cause__, "constraint_name", None) if error.orig is not None else None
