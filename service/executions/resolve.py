"""What became of a request nobody knows about, in this order: wait for a report, ask for the resend, inquire, then people.

Each try leaves a step, and the order shows them. A row of a complete inquiry settles a request (`sighting`); a complete
inquiry without one proves nothing while a session of the day may still bring it. One asked after the last session, when
rows can be late no more, is *final*: with it two people may close the request on absence (`orders/resolutions.py`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.accounts.store import find_account
from service.audit import append
from service.controls.model import CLOCK_LIMIT
from service.controls.store import gate
from service.executions import store
from service.executions.absence import unowned
from service.executions.apply import Applier
from service.executions.sighting import might_be
from service.gateway import Complete, Inquiry, OrderRow, RequestKind
from service.infra.metrics import counter
from service.orders import doubt_store, known
from service.orders import store as orders
from service.orders.doubt import (
    INQUIRY,
    PUSH,
    RESEND,
    Step,
    closed_on_absence,
    doubtful_since,
    due,
    next_look,
    of_request,
    requests_in_doubt,
    unheard,
)
from service.orders.model import ROWS_ARE_LATE, Order, Request
from service.orders.numbers import Number, by_numbers
from service.orders.reading import shows_the_order

log = structlog.get_logger()

OVERTURNED = counter("ilim_closings_overturned", "Requests closed on absence for which evidence turned up after all")


async def worth_asking(connection: AsyncConnection, found: Sequence[Order], now: datetime) -> list[Order]:
    """Those of the orders whose next look is due. What waits for people is looked at less and less often."""
    steps = await doubt_store.steps_of(connection, [one.id for one in found]) if found else {}
    return [one for one in found if due(one, steps.get(one.id, ()), now)]


async def askable(applier: Applier, account_id: UUID) -> Account | None:
    """The account, unless this machine's clock is fast: by it a session would be over that still trades, and a list that shows
    an order standing would end it (I3). Who is slow ends nothing too soon."""
    async with applier.transaction() as connection:
        ahead = (await gate(connection, None)).clock_ahead
        account = await find_account(connection, account_id)
    if ahead <= CLOCK_LIMIT:
        return account
    log.warning("sweep.incomplete", broker=account and account.broker, account_id=str(account_id), reason="clock-wrong")
    return None


async def before_asking(applier: Applier, account_id: UUID, day: date) -> None:
    """No report came in time for what is in doubt: say so, and have the resend asked for before anybody inquires."""
    now, asked = applier.clock.now(), False
    async with applier.transaction() as connection:
        for order, steps in await _doubtful(connection, account_id, day):
            for request in unheard(order, now):
                if not of_request(steps, request):
                    await _waited(connection, order, request, now)
                    asked = True
    if asked:
        applier.poke("resend")


async def _waited(connection: AsyncConnection, order: Order, request: Request, now: datetime) -> None:
    waited = _step(order, request, PUSH, now, "no report came")
    await doubt_store.add_step(connection, (), waited)
    await doubt_store.add_step(connection, (waited,), _step(order, request, RESEND, now, "asked for whatever is missing"))


def _step(order: Order, request: Request, kind: str, now: datetime, detail: str) -> Step:
    since = doubtful_since(request) or now
    began = since if kind == PUSH else now
    return Step(request.id, 0, order.id, kind, began, now, 1, False, False, detail, None, None, now)


async def after_asking(applier: Applier, account_id: UUID, day: date, answer: Inquiry[OrderRow], evidence: UUID | None) -> None:
    """What an inquiry said about what is still in doubt after its rows were applied. `evidence`: the first page."""
    now = applier.clock.now()
    final_from = (await applier.market.rules()).calendar.last_close(day) + ROWS_ARE_LATE
    async with applier.transaction() as connection:
        doubtful = await _doubtful(connection, account_id, day)
        owners = await by_numbers(connection, [(account_id, day)]) if doubtful else {}
        adopted = await store.adoptions(connection, account_id, day) if doubtful else {}
        for order, steps in doubtful:
            for request in requests_in_doubt(order, [*steps, *_looked_into(order, now)]):
                mine, owned = of_request(steps, request), _owned(owners, adopted, request)
                await doubt_store.add_step(
                    connection, mine, _looked(order, request, mine, answer, evidence, owned, now, final_from)
                )


def _owned(owners: Mapping[Number, UUID], adopted: Mapping[UUID, datetime], request: Request) -> set[str]:
    """Numbers that are certainly not the request's. An order adopted since it was sent may be the very one: after the day what
    could be ours is adopted all the same, for nobody can tell any more (`external`)."""
    new, sent = request.kind is RequestKind.NEW, request.sent_at
    later = {one for one, at in adopted.items() if new and sent is not None and at >= sent}
    return {number for (_, _, number), owner in owners.items() if owner not in later}


def _looked_into(order: Order, now: datetime) -> list[Step]:
    return [_step(order, one, PUSH, now, "") for one in unheard(order, now)]


def _looked(
    order: Order, request: Request, steps: Sequence[Step], answer: Inquiry[OrderRow], evidence: UUID | None, owned: set[str],
    now: datetime, final_from: datetime,
) -> Step:  # fmt: skip
    """One inquiry as a step. Absence is proven only where no row is left that could be the request."""
    if not isinstance(answer, Complete):
        return _step(order, request, INQUIRY, now, answer.reason)
    at = answer.asked_at
    maybe = sum(might_be(order, row) for row in unowned(answer.rows, owned))
    if request.kind is not RequestKind.NEW:
        detail = "the order's rows do not show it"
    else:
        detail = f"{maybe} rows could be it, none for certain" if maybe else "not listed"
    digest = hashlib.sha256(b"".join(hashlib.sha256(page).digest() for page in answer.pages)).hexdigest()
    next_at = next_look(steps, at, complete=True, final_from=final_from)
    final = at >= final_from and not maybe
    return Step(request.id, 0, order.id, INQUIRY, at, at, 1, True, final, detail, evidence, digest, next_at)


async def _doubtful(connection: AsyncConnection, account_id: UUID, day: date) -> list[tuple[Order, list[Step]]]:
    """Open orders of the day with a request nobody knows about, their rows held."""
    open_orders = [one for one in await orders.orders_of_day(connection, account_id, day) if not one.closed]
    maybe = [one.id for one in open_orders if any(doubtful_since(request) for request in one.requests)]
    held = [await orders.load(connection, order_id, lock=True) for order_id in maybe]
    steps = await doubt_store.steps_of(connection, maybe) if maybe else {}
    return [(one, steps.get(one.id, [])) for one in held if one is not None and not one.closed]


# --- what became of it ------------------------------------------------------------------------------------------------------


async def note_outcomes(applier: Applier) -> int:
    """Requests that are in doubt no more: write what settled them, and when. Evidence against a closing on absence is an
    alarm. Returns how many there were."""
    async with applier.transaction() as connection:
        settled = await doubt_store.settled_unnoted(connection)
        overturned = await doubt_store.overturned_unnoted(connection)
    for order_id in {one for one, _ in (*settled, *overturned)}:
        requests = {request_id for one, request_id in settled if one == order_id}
        await _note(applier, order_id, requests, {request_id for one, request_id in overturned if one == order_id})
    return len(settled) + len(overturned)


async def _note(applier: Applier, order_id: UUID, settled: set[UUID], overturned: set[UUID]) -> None:
    now = applier.clock.now()
    async with applier.transaction() as connection:
        order = await orders.load(connection, order_id, lock=True)
        steps = (await doubt_store.steps_of(connection, [order_id])).get(order_id, [])
        for request in order.requests if order else ():
            if request.id in settled:
                how, evidence = await _how(connection, order_id, request)
                await doubt_store.note_outcome(connection, request, of_request(steps, request), how, evidence, now)
            if request.id in overturned:
                await _alarm(connection, order_id, request, now)


async def _how(connection: AsyncConnection, order_id: UUID, request: Request) -> tuple[str, UUID | None]:
    """What settled it first: the ids of raw messages rise with the time they came. Of a new order every report and row
    that shows it speaks; of another request the reports and rows that tell of it; else it ended with its order."""
    if closed_on_absence(request):
        return "person", await doubt_store.evidence_of_closing(connection, request.id)
    new = request.kind is RequestKind.NEW
    told = await known.reports(connection, order_id)
    reports = [one for one in told if (shows_the_order(one[1]) if new else _names(one[1], request))]
    found = [(raw_id, "resend" if report.possible_duplicate else "push") for raw_id, report in reports]
    found += [(raw_id, "inquiry") for raw_id in await doubt_store.sightings_of(connection, request)]
    found += [(raw_id, "answer") for raw_id in await doubt_store.telling_answers(connection, request.id)]
    raw_id, how = min(found, default=(None, "order-ended"))
    return how, raw_id


def _names(report: known.Known, request: Request) -> bool:
    """Also as what it replaced: a change that came after it."""
    return request.cl_ord_id in (report.cl_ord_id, report.orig_cl_ord_id)


async def _alarm(connection: AsyncConnection, order_id: UUID, request: Request, now: datetime) -> None:
    """Two people said that it was never sent, and it was: it lives again, and somebody must know at once."""
    await doubt_store.overturn(connection, request.id, now)
    await append.record(
        connection, kind="doubt.overturned", subject=("request", request.id),
        body={"order": str(order_id), "cl_ord_id": request.cl_ord_id, "state": request.state}, at=now,
    )  # fmt: skip
    OVERTURNED.inc()
    log.error("doubt.overturned", order_id=str(order_id), cl_ord_id=request.cl_ord_id, state=request.state)
