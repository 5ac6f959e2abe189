"""Ask a broker what became of orders: those in doubt, those whose session has ended, and now and then of all that live.

One complete inquiry shows a whole account and day. What it shows is evidence; what it does not show proves nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.audit import append
from service.audit.evidence import Raw
from service.core.clock import KST, kst_date, monotonic
from service.executions import store
from service.executions.absence import LACKS, lacking, proof
from service.executions.apply import Applier
from service.executions.differ import quiet, review, worth_a_review
from service.executions.drift import Drift, of_answer, of_side
from service.executions.fills import Dated
from service.executions.impossible import Impossible
from service.executions.merge import merge
from service.executions.resolve import after_asking, askable, before_asking, note_outcomes, worth_asking
from service.executions.rounds import TARGET, Rounds, interval
from service.executions.settle import unfit
from service.executions.sight import Seen, sight, sight_stranger
from service.executions.sighting import Sighted, sort_out, tied
from service.executions.strangers import Rows, groups
from service.gateway import CallClass, Complete, ExecutionReport, Inquiry, OrderRow, RequestKind
from service.infra.failpoints import fp
from service.orders import known, places, whole
from service.orders import store as orders
from service.orders.doubt import GIVE_ACKNOWLEDGEMENT, GIVE_REPORTS, ended_on_absence, ended_unanswered
from service.orders.model import ROWS_ARE_LATE, Order, RequestState
from service.orders.places import Place

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
NOT_YET_S = 4.0  # until an account is looked at again of whose orders none was due
AT_ONCE = 4  # inquiries under way: one broker that does not answer must not keep the others waiting
TOLD = 50  # remarks of an answer in a ledger entry, and letters of each: they quote the broker, and the pages have them whole
AT_MOST = 200  # places whose orders are loaded in one pass
URGENCY = tuple(CallClass)
FINAL_EVERY = timedelta(seconds=60)  # between two looks at what traded on a day that is over
TURNS, OVER = time(9, 0), time(20, 0)  # the platform's day of calls, the last session's end (KST)
ASK_ABOUT_REFUSAL = timedelta(seconds=60)  # so long after a refused cancellation the order is looked at

RoutineLeft = Callable[[], Awaitable[int]]  # inquiries the routine may still make today


class Shown(IntEnum):
    """What an inquiry showed of an account's day."""

    NOTHING = 0  # it was not complete
    NOT_YET = 1  # a difference in an order that moved just now: whether it lasts, another look tells
    ALL = 2


@dataclass
class Sweeper:
    """Which accounts to ask about, and when again. One per worker that holds the lease. Without `routine_left` it asks only
    about what is in doubt or has ended."""

    applier: Applier
    routine_left: RoutineLeft | None = None
    rounds: Rounds = field(default_factory=Rounds)
    _pause: dict[Place, tuple[float, float]] = field(default_factory=dict)
    _final: dict[Place, datetime] = field(default_factory=dict)  # looked at after their day's last session, as of when
    _final_at: datetime | None = None

    async def sweep(self) -> int:
        """Ask about every account that has something to find out, a few at a time. Returns how many were asked."""
        urgent = {place: call_class for place, call_class in (await self._places()).items() if self._may_ask(place)}
        routine = [place for place in dict.fromkeys([*await self._round(), *await self._finally()]) if place not in urgent]
        few = asyncio.Semaphore(AT_ONCE)
        wanted = sorted(urgent.items(), key=lambda one: URGENCY.index(one[1])) + [(one, CallClass.ROUTINE) for one in routine]
        await asyncio.gather(*(self._ask(few, place, call_class) for place, call_class in wanted))
        await note_outcomes(self.applier)
        return len(wanted)

    async def _ask(self, few: asyncio.Semaphore, place: Place, call_class: CallClass) -> None:
        async with few:
            asked_at, shown = self.applier.clock.now(), Shown.NOTHING
            try:
                shown = await sweep_account(self.applier, place, call_class)
            except Exception:  # one account's trouble must not hide the others
                log.exception("sweep.failed", account_id=str(place[0]), day=str(place[1]))
            if shown is Shown.ALL:
                self._final |= dict.fromkeys(await self._over(asked_at, {place}), asked_at)
            (self.rounds.done if shown else self.rounds.failed)(place, asked_at)

    async def _places(self) -> dict[Place, CallClass]:
        """What is in doubt, what ended with an amendment unanswered, and what has outlived its session: of the last, only what
        may be asked about again is looked at whole."""
        now = self.applier.clock.now()
        late = now - ROWS_ARE_LATE  # a list that is asked sooner may be older than the session's end, and ends nothing
        async with self.applier.transaction() as connection:
            over = await places.ended_places(connection, before=late)
            unanswered = await places.unanswered_places(connection, since=kst_date(now), ending_after=now)
            unheard = await orders.doubtful_orders(connection, unheard_since=now - GIVE_ACKNOWLEDGEMENT)
            unsure = _places_of(one for one in await worth_asking(connection, unheard, now) if _unsure(one, now))
            look = [one for one in over if one not in unsure and self._waited(one)][:AT_MOST]
            ended = _places_of(await worth_asking(connection, await orders.open_orders(connection, look, ended_before=late), now))
        known_places = unsure.union(over, unanswered)
        self._pause = {place: when for place, when in self._pause.items() if place in known_places}
        for place in set(look) - ended:  # not its time yet: its orders are not read again at once
            self._pause[place] = (monotonic() + NOT_YET_S, FIRST_PAUSE_S)
        return dict.fromkeys([*unanswered, *ended], CallClass.ROUTINE) | dict.fromkeys(unsure, CallClass.RESOLVE)

    async def _round(self) -> list[Place]:
        """Accounts with live orders whose turn it is. What the round is like now is noted for the status page."""
        if self.routine_left is None:
            return []
        now = self.applier.clock.now()
        async with self.applier.transaction() as connection:
            live = await places.live_places(connection, since=kst_date(now), ending_after=now - ROWS_ARE_LATE)
        every = interval(len(live), await self.routine_left(), _until_the_turn(now)) if live else TARGET
        due = self.rounds.take(live, now, every)
        async with self.applier.transaction() as connection:
            await store.note_round(connection, self.rounds.accounts, every, self.rounds.oldest)
        return due

    async def _finally(self) -> list[Place]:
        """Accounts that traded on a day that is over, or whose order's last terms are in doubt, once each after its last
        session and its last movement: a bust that nobody told shows there, though no order lives. Who begins anew asks again;
        what failed is tried again in a minute."""
        now = self.applier.clock.now()
        if self.routine_left is None or (self._final_at is not None and now - self._final_at < FINAL_EVERY):
            return []
        self._final_at = now
        since = (await self.applier.market.rules()).calendar.previous_trading_day(kst_date(now))
        async with self.applier.transaction() as connection:
            traded = await places.traded_places(connection, since=since)
            unanswered = await places.unanswered_places(connection, since=since)
        wanted = dict.fromkeys([*traded, *unanswered])
        over = await self._over(now, wanted)
        left = [one for one in wanted if one in over and not self._seen_whole(one, traded.get(one))]
        return left[: min(AT_MOST, max(await self.routine_left(), 0))] if left else []

    def _seen_whole(self, place: Place, moved_at: datetime | None) -> bool:
        """A movement at the very moment of the look may have come after it."""
        looked_at = self._final.get(place)
        return looked_at is not None and (moved_at is None or moved_at < looked_at)

    async def _over(self, now: datetime, those: Iterable[Place]) -> set[Place]:
        calendar = (await self.applier.market.rules()).calendar
        days = {day for _, day in those}
        over = {day for day in days if calendar.is_trading_day(day) and now >= calendar.last_close(day) + ROWS_ARE_LATE}
        return {place for place in those if place[1] in over}

    def _waited(self, place: Place) -> bool:
        return monotonic() >= self._pause.get(place, (0.0, 0.0))[0]

    def _may_ask(self, place: Place) -> bool:
        if not self._waited(place):
            return False
        _, pause = self._pause.get(place, (0.0, FIRST_PAUSE_S / 2))
        pause = min(pause * 2, LONGEST_PAUSE_S)
        self._pause[place] = (monotonic() + pause, pause)
        return True


def _places_of(found: Iterable[Order]) -> set[Place]:
    return {(one.account_id, one.business_date) for one in found}


def _until_the_turn(now: datetime) -> timedelta:
    """Until the day's calls turn (00:00 UTC, 09:00 KST) or, if that is earlier, until the market of the day is over."""
    local = now.astimezone(KST)
    ends = [datetime.combine(local.date(), at, KST) for at in (TURNS, OVER)]
    return min((one for one in ends if one > local), default=local + TARGET) - local


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


async def sweep_account(applier: Applier, place: Place, call_class: CallClass) -> Shown:
    """One inquiry of an account's day, applied to its orders."""
    account_id, day = place
    account = await askable(applier, account_id)
    if account is None:
        return Shown.NOTHING
    await before_asking(applier, account_id, day)
    answer = await applier.gateway.orders(account.broker, account.number, day, call_class)
    if not isinstance(answer, Complete):
        log.warning(
            "sweep.incomplete", broker=account.broker, account_id=str(account_id), reason=answer.reason, detail=answer.detail
        )
        await _compare(applier, account, answer, answer.pages)
        await after_asking(applier, account_id, day, answer, None)
        return Shown.NOTHING
    fp("inquiry.answered")
    evidence = await _keep(applier, account, answer)
    fp("inquiry.stored")
    drift = await _compare(applier, account, answer, (), evidence)
    seen = Seen(evidence, answer.asked_at, applier.clock.now())
    dated = await applier.dated()
    mine, strangers, lacks = await _match(applier, account, day, answer, dated)
    # A stranger's order that was read wrongly once must not keep the gate shut for everybody.
    shown = Shown.ALL if lacks is None or lacks.external else Shown.NOTHING
    for found in mine:
        wrong = of_side(found.order.side, [row for _, row in found.rows], drift)
        if wrong is not None:
            log.error("sweep.side_unclear", order_id=str(found.order.id), what=wrong.what, evidence=str(evidence))
            await applier.lock(account.broker, wrong, evidence)
            continue
        try:
            shown = min(shown, await _show(applier, found, seen, dated))
        except Exception as error:
            if not unfit(error):
                raise
            log.exception("sweep.impossible", order_id=str(found.order.id), evidence=str(evidence))
    await after_asking(applier, account_id, day, proof(answer, drift, lacks), evidence)
    for rows in strangers:
        await _adopt(applier, account, day, rows, seen, dated)
    applier.poke("orders.changed")
    return shown


async def _compare(
    applier: Applier, account: Account, answer: Inquiry[OrderRow], pages: Sequence[bytes], evidence: UUID | None = None
) -> Drift | None:
    """Lock the broker when its rows are not what its profile says; the pages that show it are kept."""
    drift = of_answer(answer)
    if drift is None:
        return None
    if pages:
        async with applier.transaction() as connection:
            kept = await applier.vault.keep(connection, [Raw("inquiry", page, applier.clock.now()) for page in pages])
        evidence = kept[-1]  # the last one read is the one that failed
    await applier.lock(account.broker, drift, evidence)
    return drift


async def _keep(applier: Applier, account: Account, answer: Complete[OrderRow]) -> UUID:
    """The pages as they came, and a ledger entry that names them. Rows are known by the first page and their place."""
    async with applier.transaction() as connection:
        ids = await applier.vault.keep(connection, [Raw("inquiry", page, answer.asked_at) for page in answer.pages])
        await append.record(
            connection, kind="inquiry.orders", subject=("account", account.id),
            body={
                "evidence": [str(one) for one in ids], "rows": len(answer.rows),
                "remarks": [one[:TOLD] for one in answer.remarks[:TOLD]],
            },
            at=answer.asked_at,
        )  # fmt: skip
    return ids[0]


async def _match(
    applier: Applier, account: Account, day: date, answer: Complete[OrderRow], dated: Dated
) -> tuple[list[Sighted], list[Rows], Order | None]:
    """Our orders with their rows, the rows of orders nobody here sent, and an order that the list lacks."""
    mine, numbers = await _of_day(applier, account, day)
    same = tied(mine, numbers, answer.rows)
    for order, stranger in same:
        await _unite(applier, order, stranger, dated)
    if same:
        mine, numbers = await _of_day(applier, account, day)
    found, strangers = sort_out(mine, numbers, answer.rows, answer.asked_at)
    lacks = lacking(mine, numbers, answer)
    if lacks is not None:
        log.warning("sweep.incomplete", broker=account.broker, account_id=str(account.id), reason=LACKS, detail=str(lacks.id))
    profile = applier.gateway.profile(account.broker)
    told = [replace(one, confirmed=profile.cancelled_words, renumbers=profile.new_number_on_amend) for one in found]
    return told, [*groups(strangers)], lacks


async def _of_day(applier: Applier, account: Account, day: date) -> tuple[Sequence[Order], dict[UUID, set[str]]]:
    async with applier.transaction() as connection:
        mine = await orders.orders_of_day(connection, account.id, day)
        return mine, {one.id: await _numbers(connection, one) for one in mine}


async def _unite(applier: Applier, order: Order, stranger: Order, dated: Dated) -> None:
    """An order that was adopted is one of ours: counted once, before its rows are."""
    try:
        async with applier.transaction() as connection:
            await whole.lock(connection, [order.id, stranger.id])
            now_known = (await whole.read(connection, [stranger.id]))[stranger.id].order
            if now_known.broker_order_number is not None:  # else somebody was faster
                await merge(connection, order, stranger.id, dated, applier.gateway, applier.clock.now())
    except Exception as error:
        if not unfit(error):
            raise
        log.exception("sweep.merge_impossible", order_id=str(order.id), external_id=str(stranger.id))


async def _numbers(connection: AsyncConnection, order: Order) -> set[str]:
    """Every number the broker ever gave this order."""
    reports = [one for _, one in await known.reports(connection, order.id) if isinstance(one, ExecutionReport)]
    seen = {one.order_id for one in reports if one.order_id}
    return seen | {order.broker_order_number} if order.broker_order_number else seen


async def _show(applier: Applier, found: Sighted, seen: Seen, dated: Dated) -> Shown:
    """What its rows do to one order of ours, and whether a person must look at what they show otherwise."""
    looked_at = not found.order.closed or ended_on_absence(found.order) or ended_unanswered(found.order)
    if looked_at or found.crossed_its_end:
        try:
            found = await _apply(applier, found, seen, dated)
        except Impossible as wrong:  # nothing of it is booked (P11)
            log.error("sweep.impossible", order_id=str(found.order.id), what=str(wrong), evidence=str(seen.evidence))
    if not worth_a_review(found):
        return Shown.ALL
    return await _review(applier, found, seen) if quiet(found.order, seen.asked_at) else Shown.NOT_YET


async def _apply(applier: Applier, found: Sighted, seen: Seen, dated: Dated) -> Sighted:
    """The same rows, with the order as it is now."""
    async with applier.transaction() as connection:
        await whole.lock(connection, [found.order.id])
        after = await sight(connection, found, seen, dated, applier.gateway)
        fp("sighting.before_commit")
    return replace(found, order=after)


async def _review(applier: Applier, found: Sighted, seen: Seen) -> Shown:
    async with applier.transaction() as connection:
        await whole.lock(connection, [found.order.id])
        return Shown.ALL if await review(connection, found, seen, applier.gateway) else Shown.NOT_YET


async def _adopt(applier: Applier, account: Account, day: date, rows: Rows, seen: Seen, dated: Dated) -> None:
    """An order nobody here sent, with all that its rows show, in one transaction."""
    try:
        async with applier.transaction() as connection:
            await sight_stranger(connection, account, day, rows, seen, dated, applier.gateway)
    except Exception as error:
        if not unfit(error):
            raise
        log.exception("sweep.stranger_impossible", account_id=str(account.id), evidence=str(seen.evidence))
