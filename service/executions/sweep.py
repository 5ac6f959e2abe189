"""Ask a broker what became of orders: those whose session has ended, and those whose outcome is not known.

One complete inquiry shows a whole account and day. What it shows is evidence; what it does not show proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.accounts.store import find_account
from service.audit import append
from service.audit.evidence import Raw
from service.core.clock import monotonic
from service.executions import store
from service.executions.apply import Applier
from service.executions.fills import Dated, cost_of, net, new_fills
from service.executions.matching import Trade, inquired
from service.executions.resolve import after_asking, before_asking, note_outcomes, worth_asking
from service.executions.settle import unfit
from service.executions.sighting import Sighted, sightings
from service.gateway import CallClass, Complete, ExecutionReport, OrderRow, RequestKind
from service.infra.failpoints import fp
from service.orders import known
from service.orders import store as orders
from service.orders.advance import Cause, advance
from service.orders.doubt import GIVE_ACKNOWLEDGEMENT, GIVE_REPORTS
from service.orders.model import Order, RequestState
from service.settlement.store import load_figures

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
ASK_ABOUT_REFUSAL = timedelta(seconds=60)  # so long after a refused cancellation the order is looked at

Place = tuple[UUID, date]  # account and business date


@dataclass
class Sweeper:
    """Which accounts to ask about, and when again. One per worker that holds the lease."""

    applier: Applier
    _pause: dict[Place, tuple[float, float]] = field(default_factory=dict)

    async def sweep(self) -> int:
        """Ask about every account that has something to find out. Returns how many were asked."""
        asked = 0
        for place, call_class in (await self._places()).items():
            if self._may_ask(place):
                asked += 1
                try:
                    await sweep_account(self.applier, place, call_class)
                except Exception:  # one account's trouble must not hide the others
                    log.exception("sweep.failed", account_id=str(place[0]), day=str(place[1]))
        await note_outcomes(self.applier)
        return asked

    async def _places(self) -> dict[Place, CallClass]:
        now = self.applier.clock.now()
        async with self.applier.transaction() as connection:
            ended = await worth_asking(connection, await orders.open_orders(connection, ended_before=now), now)
            unheard = await orders.doubtful_orders(connection, unheard_since=now - GIVE_ACKNOWLEDGEMENT)
            unsure = await worth_asking(connection, unheard, now)
        found = {(one.account_id, one.business_date): CallClass.ROUTINE for one in ended}
        found |= {(one.account_id, one.business_date): CallClass.RESOLVE for one in unsure if _unsure(one, now)}
        self._pause = {place: when for place, when in self._pause.items() if place in found}
        return found

    def _may_ask(self, place: Place) -> bool:
        after, pause = self._pause.get(place, (0.0, FIRST_PAUSE_S / 2))
        if monotonic() < after:
            return False
        pause = min(pause * 2, LONGEST_PAUSE_S)
        self._pause[place] = (monotonic() + pause, pause)
        return True


def _unsure(order: Order, now: datetime) -> bool:
    """Unknown for a moment, without acknowledgement for longer, with executions unaccounted for, or just told that it is
    too late to cancel (P8: that leads to an inquiry, not to another cancellation)."""
    doubtful = order.in_doubt()
    since = doubtful.answered_at or doubtful.sent_at if doubtful else None
    if order.unaccounted_quantity > 0 or (since is not None and now - since >= GIVE_REPORTS):
        return True
    if not order.requests:
        return False  # not ours: nobody waits for an answer
    born, last = order.requests[0], order.requests[-1]
    unheard = born.state is RequestState.SENT and born.sent_at is not None and now - born.sent_at >= GIVE_ACKNOWLEDGEMENT
    refused = last.kind is RequestKind.CANCELLATION and last.state is RequestState.REFUSED and last.answered_at is not None
    return unheard or (refused and last.answered_at is not None and now - last.answered_at < ASK_ABOUT_REFUSAL)


async def sweep_account(applier: Applier, place: Place, call_class: CallClass) -> bool:
    """One inquiry of an account's day, applied to its orders. False when it was not complete."""
    account_id, day = place
    async with applier.transaction() as connection:
        account = await find_account(connection, account_id)
    if account is None:
        return False
    await before_asking(applier, account_id, day)
    answer = await applier.gateway.orders(account.broker, account.number, day, call_class)
    if not isinstance(answer, Complete):
        log.warning("sweep.incomplete", account_id=str(account_id), reason=answer.reason, detail=answer.detail)
        await after_asking(applier, account_id, day, answer, None)
        return False
    fp("inquiry.answered")
    evidence = await _keep(applier, account, answer)
    fp("inquiry.stored")
    for found in await _match(applier, account_id, day, answer.rows):
        try:
            await _apply(applier, found, evidence, answer.asked_at)
        except Exception as error:
            if not unfit(error):
                raise
            log.exception("sweep.impossible", order_id=str(found.order.id), evidence=str(evidence))
    await after_asking(applier, account_id, day, answer, evidence)
    applier.poke("orders.changed")
    return True


async def _keep(applier: Applier, account: Account, answer: Complete[OrderRow]) -> UUID:
    """The pages as they came, and a ledger entry that names them. Rows are known by the first page and their place."""
    async with applier.transaction() as connection:
        ids = await applier.vault.keep(connection, [Raw("inquiry", page, answer.asked_at) for page in answer.pages])
        await append.record(
            connection, kind="inquiry.orders", subject=("account", account.id),
            body={"evidence": [str(one) for one in ids], "rows": len(answer.rows), "remarks": list(answer.remarks)},
            at=answer.asked_at,
        )  # fmt: skip
    return ids[0]


async def _match(applier: Applier, account_id: UUID, day: date, rows: Sequence[OrderRow]) -> list[Sighted]:
    async with applier.transaction() as connection:
        mine = await orders.orders_of_day(connection, account_id, day)
        numbers = {one.id: await _numbers(connection, one) for one in mine}
    return [one for one in sightings(mine, numbers, rows) if not one.order.closed]


async def _numbers(connection: AsyncConnection, order: Order) -> set[str]:
    """Every number the broker ever gave this order."""
    reports = [one for _, one in await known.reports(connection, order.id) if isinstance(one, ExecutionReport)]
    seen = {one.order_id for one in reports if one.order_id}
    return seen | {order.broker_order_number} if order.broker_order_number else seen


async def _apply(applier: Applier, found: Sighted, evidence: UUID, asked_at: datetime) -> None:
    """What rows prove they prove of the moment they were asked for: an answer may outlive the session it was read in."""
    now = applier.clock.now()
    rules = await applier.market.rules()
    async with applier.transaction() as connection:
        order = await orders.load(connection, found.order.id, lock=True)
        if order is None or order.closed:
            return
        ended = replace(found, order=order).ended(asked_at)
        await known.add_sightings(connection, [_row(found, evidence, asked_at, ended.value if ended else None)])
        dated = Dated(rules.calendar, await load_figures(connection))
        fills = await new_fills(connection, order, dated, applier.clock, _trades(found, evidence))
        if not _tells(order, found, fills, ended is not None):
            return
        await store.add_fills(connection, fills)
        numbered = replace(order, broker_order_number=order.broker_order_number or found.number)
        cause = Cause("order.sighted", {"evidence": [str(evidence)], "executed": found.executed, "ended": ended})
        profile = applier.gateway.profile(order.broker)
        costs = await cost_of(connection, order, fills, dated, profile)
        await advance(connection, numbered, cause, profile=profile, now=now, traded=net(fills, costs))
        fp("sighting.before_commit")


def _tells(order: Order, found: Sighted, fills: Sequence[store.Fill], ended: bool) -> bool:
    """Whether the rows say anything we did not know: otherwise nothing is written twice."""
    unknown = any(one.state in (RequestState.UNKNOWN, RequestState.SENT) for one in order.requests[:1])
    return bool(fills) or ended or unknown or found.executed > order.reported_quantity


def _row(found: Sighted, evidence: UUID, asked_at: datetime, ended: str | None) -> dict[str, object]:
    first, row = found.rows[0]
    document = {
        "numbers": [one.order_number for _, one in found.rows],
        "states": [one.state_text for _, one in found.rows],
        "quantity": row.quantity,
        "price": str(row.price),
    }
    return {
        "raw_id": evidence,
        "row": first,
        "order_id": found.order.id,
        "seen_at": asked_at,
        "executed_quantity": found.executed,
        "ended": ended,
        "document": document,
    }


def _trades(found: Sighted, evidence: UUID) -> list[Trade]:
    """Executions listed in the rows. Rows are a thousand apart so that each execution has a place of its own."""
    return [trade for i, row in found.rows for trade in inquired(row, evidence, 1000 * (i + 1))]
