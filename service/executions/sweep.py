"""Ask a broker what became of orders: those whose session has ended, and those whose outcome is not known.

One complete inquiry shows a whole account and day. What it shows is evidence; what it does not show proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.accounts.store import find_account
from service.audit import append
from service.audit.evidence import Raw
from service.core.clock import monotonic
from service.executions.apply import Applier
from service.executions.fills import Dated
from service.executions.resolve import after_asking, before_asking, note_outcomes, worth_asking
from service.executions.settle import unfit
from service.executions.sight import Seen, sight, sight_stranger
from service.executions.sighting import Sighted, sort_out
from service.executions.strangers import Rows, groups
from service.gateway import CallClass, Complete, ExecutionReport, OrderRow, RequestKind
from service.infra.failpoints import fp
from service.orders import known, whole
from service.orders import store as orders
from service.orders.doubt import GIVE_ACKNOWLEDGEMENT, GIVE_REPORTS
from service.orders.model import Order, RequestState

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
    seen = Seen(evidence, answer.asked_at, applier.clock.now())
    dated = await applier.dated()
    mine, strangers = await _match(applier, account_id, day, answer.rows)
    for found in mine:
        try:
            await _apply(applier, found, seen, dated)
        except Exception as error:
            if not unfit(error):
                raise
            log.exception("sweep.impossible", order_id=str(found.order.id), evidence=str(evidence))
    await after_asking(applier, account_id, day, answer, evidence)
    for rows in strangers:
        await _adopt(applier, account, day, rows, seen, dated)
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


async def _match(applier: Applier, account_id: UUID, day: date, rows: Sequence[OrderRow]) -> tuple[list[Sighted], list[Rows]]:
    """Our open orders with their rows, and the rows of orders nobody here sent."""
    async with applier.transaction() as connection:
        mine = await orders.orders_of_day(connection, account_id, day)
        numbers = {one.id: await _numbers(connection, one) for one in mine}
    found, strangers = sort_out(mine, numbers, rows)
    return [one for one in found if not one.order.closed], [*groups(strangers)]


async def _numbers(connection: AsyncConnection, order: Order) -> set[str]:
    """Every number the broker ever gave this order."""
    reports = [one for _, one in await known.reports(connection, order.id) if isinstance(one, ExecutionReport)]
    seen = {one.order_id for one in reports if one.order_id}
    return seen | {order.broker_order_number} if order.broker_order_number else seen


async def _apply(applier: Applier, found: Sighted, seen: Seen, dated: Dated) -> None:
    async with applier.transaction() as connection:
        await whole.lock(connection, [found.order.id])
        await sight(connection, found, seen, dated, applier.gateway)
        fp("sighting.before_commit")


async def _adopt(applier: Applier, account: Account, day: date, rows: Rows, seen: Seen, dated: Dated) -> None:
    """An order nobody here sent, with all that its rows show, in one transaction."""
    try:
        async with applier.transaction() as connection:
            await sight_stranger(connection, account, day, rows, seen, dated, applier.gateway)
    except Exception as error:
        if not unfit(error):
            raise
        log.exception("sweep.stranger_impossible", account_id=str(account.id), evidence=str(seen.evidence))
