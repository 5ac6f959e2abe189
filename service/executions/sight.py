"""What rows of one complete inquiry do to one order: fills nobody pushed, an end, a number, an acknowledgement.

What rows prove they prove of the moment they were asked for: an answer may outlive the session it was read in.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.executions import store
from service.executions.changes import proven
from service.executions.external import Held, adopt, instrument_of
from service.executions.fills import Dated, costs_of, net, new_fills, restated, short
from service.executions.impossible import Impossible, impossible_rows
from service.executions.sighting import Sighted
from service.executions.strangers import Rows, terms_of_rows
from service.executions.told import Trade, inquired
from service.gateway import BrokerProfile, ExecutionReport, Gateway, RequestKind
from service.infra.effects import Change
from service.orders import known, whole
from service.orders.advance import Cause, facts_of, step, write_steps
from service.orders.doubt import ended_on_absence, ended_unanswered
from service.orders.identity import REVERSING
from service.orders.known import Sightings
from service.orders.machine import view
from service.orders.model import ROWS_ARE_LATE, Order, Proven, RequestState, Status
from service.orders.whole import Whole

TOLD = 200  # fills or changes named one by one in a ledger entry


@dataclass(frozen=True)
class Seen:
    """Where rows come from."""

    evidence: UUID  # the first page
    asked_at: datetime  # business time
    now: datetime


async def sight(connection: AsyncConnection, found: Sighted, seen: Seen, dated: Dated, gateway: Gateway) -> Order:
    """Carry the order, whose row the caller has locked, to where these rows put it. Raises Impossible."""
    before = (await whole.read(connection, [found.order.id]))[found.order.id]
    order, found, profile = before.order, replace(found, order=before.order), gateway.profile(found.order.broker)
    live = not order.closed or ended_on_absence(order)
    if not live and not ended_unanswered(order) and not (found.crossed_its_end and not _undone(before)):
        return order
    wrong = impossible_rows(order, [row for _, row in found.rows])
    if wrong is not None:
        raise Impossible(wrong)
    ended = found.ended(seen.asked_at, before.seen) if live else None
    claims = live and _claims_anew(before.seen, found, seen.asked_at)
    changes = proven(found, profile, seen.asked_at)
    async with connection.begin_nested() as kept:
        await known.add_sightings(connection, [_row(found, seen, ended.value if ended else None, changes)])
        told = (await whole.read(connection, [order.id]))[order.id]
        held = (await store.fills_of(connection, [order.id]))[order.id]
        fills = new_fills(told, held, dated, seen.now, _trades(found, seen)).fills
        ends = ended is not None and ended is not before.seen.ended  # said before, it did not end what we know to have traded
        tells = _tells(order, found, fills, ends) or claims or _settles(told, profile)
        if not tells and _settled(order):
            await kept.rollback()  # the hundredth look that shows what we know: pages and ledger have it
    if not tells:
        return order
    (costs,), saved = await costs_of(connection, [(order, fills)], dated, gateway)
    numbered = replace(order, broker_order_number=order.broker_order_number or found.number)
    cause = Cause("order.sighted", _told(found, seen, fills, ended, changes))
    moved = step(told, cause, profile=profile, now=seen.now, traded=net(fills, costs), moved=numbered)
    (after,) = await write_steps(
        connection, [moved], [store.filled(fills), Change(store.RESTATED, restated(fills, seen.now)), *saved]
    )  # fmt: skip
    return after


async def sight_stranger(
    connection: AsyncConnection, account: Account, day: date, rows: Rows, seen: Seen, dated: Dated, gateway: Gateway
) -> Order | None:
    """Rows that belong to no order we know: the order they show, adopted, or None while it may be one of ours (P13)."""
    instrument = rows[0][1].instrument
    isin, code = await instrument_of(connection, instrument.isin, instrument.short_code)
    terms = terms_of_rows(rows, isin, code)
    if terms is None:
        return None
    order = await adopt(connection, account, day, terms, seen.evidence, dated.calendar, seen.now)
    if isinstance(order, Held):
        return None
    found = Sighted(order, tuple(rows), terms.number, gateway.profile(account.broker).cancelled_words)
    await sight(connection, found, seen, dated, gateway)
    return order


def _undone(known: Whole) -> bool:
    """Whether something of it was busted or corrected: a list may go on showing that, and is no evidence of more."""
    return any(isinstance(one, ExecutionReport) and one.exec_type in REVERSING for one in known.reports)


def _claims_anew(before: Sightings, found: Sighted, asked_at: datetime) -> bool:
    """Whether these rows claim, or claim no longer, an end that the newest look did not: such a look is kept."""
    said = (found.claimed(), found.executed) if asked_at < found.order.session_ends + ROWS_ARE_LATE else (None, 0)
    held = (before.last.claim, before.last.executed) if before.last and before.last.claim else (None, 0)
    return said != held and (said[0] is not None or held[0] is not None)


def _told(
    found: Sighted, seen: Seen, fills: Sequence[store.Fill], ended: Status | None, changes: Sequence[Proven]
) -> dict[str, object]:
    """For the ledger, whose entries hold 60 kB: of hundreds of fills the first ones and their number, of changes the last;
    each stands in its own row with the same evidence."""
    told: dict[str, object] = {"evidence": [str(seen.evidence)], "executed": found.executed, "ended": ended}
    claim = found.claimed()
    told |= {"claim": claim} if claim and not ended else {}
    told |= {"changes": [[one.cl_ord_id, one.proof] for one in changes[-TOLD:]]} if changes else {}
    told["fills"] = [short(one) for one in fills[:TOLD]]
    return told | {"more_fills": len(fills) - TOLD} if len(fills) > TOLD else told


def _tells(order: Order, found: Sighted, fills: Sequence[store.Fill], ended: bool) -> bool:
    """Whether the rows say anything we did not know: otherwise nothing is written twice."""
    unknown = any(one.state in (RequestState.UNKNOWN, RequestState.SENT) for one in order.requests[:1])
    unknown = unknown or ended_on_absence(order) or (order.broker_order_number is None and found.number is not None)
    return bool(fills) or ended or unknown or found.executed > order.reported_quantity or order.audit_seq == 1


def _settles(told: Whole, profile: BrokerProfile) -> bool:
    """Whether what rows prove moves an amendment or a cancellation."""
    facts = facts_of(told.order, told.seen, reports_pending=profile.reports_pending)
    shown = view(facts, told.reports, told.order.filled_quantity).requests
    changes = [one for one in told.order.requests if one.kind is not RequestKind.NEW]
    return any(shown[one.cl_ord_id] != (one.state, one.reason) for one in changes)


def _settled(order: Order) -> bool:
    return not any(one.state in (RequestState.UNKNOWN, RequestState.SENT) for one in order.requests)


def _row(found: Sighted, seen: Seen, ended: str | None, changes: Sequence[Proven]) -> dict[str, object]:
    first, row = found.rows[0]
    document: dict[str, object] = {
        "numbers": [number for _, one in found.rows for number in (one.order_number, one.original_number) if number],
        "states": [one.state_text for _, one in found.rows],
        "quantity": row.quantity,
        "price": str(row.price),
    }
    claim = found.claimed()
    document |= {"claim": claim.value} if claim else {}
    document |= {"changes": [asdict(one) for one in changes]} if changes else {}
    return {
        "raw_id": seen.evidence,
        "row": first,
        "order_id": found.order.id,
        "seen_at": seen.asked_at,
        "executed_quantity": found.executed,
        "ended": ended,
        "document": document,
    }


def _trades(found: Sighted, seen: Seen) -> list[Trade]:
    """Executions listed in the rows. Rows are a thousand apart so that each execution has a place of its own."""
    return [trade for i, row in found.rows for trade in inquired(row, seen.evidence, 1000 * (i + 1), seen.asked_at)]
