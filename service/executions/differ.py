"""What a complete inquiry shows otherwise than we have it: a bust, a correction or a restatement of which nobody told.

It reverses nothing: a broker's list may lag or be added up differently. The order is marked for a person, with both figures;
a later look that agrees, or a report that explains it, takes the mark away.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.money import plain
from service.executions.impossible import ever_asked
from service.executions.sight import Seen
from service.executions.sighting import Sighted
from service.gateway import Gateway, OrderRow
from service.infra.metrics import counter
from service.orders import whole
from service.orders.advance import Cause, step, write_steps
from service.orders.model import BY_INQUIRY, OPEN_REQUEST, OTHER_PRICES, OTHER_QUANTITY, SHOWS_LESS, SHOWS_MORE, Order

log = structlog.get_logger()

QUIET = timedelta(seconds=60)  # market time since the order last moved: until then lists and reports may be apart
DIFFERS = counter("ilim_inquiries_differ", "Orders that a complete inquiry shows otherwise than we have them", ["what"])


@dataclass(frozen=True)
class Difference:
    """In a word, and both figures: shares, or won."""

    what: str
    ours: str
    theirs: str


def worth_a_review(found: Sighted) -> bool:
    """Whether these rows change what a person must look at, once the order has been quiet for long enough."""
    order = found.order
    if order.needs_review and order.needs_review not in BY_INQUIRY:
        return False  # somebody looks at it already
    if any(one.state in OPEN_REQUEST for one in order.requests):
        return False
    differs = difference(found)
    return (differs.what if differs else None) != order.needs_review


def quiet(order: Order, asked_at: datetime) -> bool:
    return asked_at - order.updated_at >= QUIET


def difference(found: Sighted) -> Difference | None:
    """What the rows show otherwise than a quiet order has it."""
    order, rows = found.order, [row for _, row in found.rows if not row.is_cancel]
    listed = [max(row.executed_quantity, sum(one.quantity for one in row.executions)) for row in rows]
    if not order.external and found.executed > ever_asked(order):
        return Difference(SHOWS_MORE, str(order.filled_quantity), str(found.executed))
    if sum(listed) < order.filled_quantity:
        return Difference(SHOWS_LESS, str(order.filled_quantity), str(sum(listed)))
    amount = sum(one.quantity * one.price for row in rows for one in row.executions)
    if found.executed == sum(listed) == order.filled_quantity == _itemised(rows) and amount != order.filled_amount:
        return Difference(OTHER_PRICES, plain(order.filled_amount), plain(Decimal(amount)))
    return _other_quantity(order, found)


def _itemised(rows: list[OrderRow]) -> int:
    return sum(one.quantity for row in rows for one in row.executions)


def _other_quantity(order: Order, found: Sighted) -> Difference | None:
    """Only of a live order of ours. Brokers list the quantity ordered, or what was left of it at its last execution."""
    present = found.present
    if order.closed or order.external or present is None:
        return None
    total = found.executed - present.executed_quantity + present.quantity
    if order.quantity in (total, found.executed + present.quantity):
        return None
    return Difference(OTHER_QUANTITY, str(order.quantity), str(total))


async def review(connection: AsyncConnection, found: Sighted, seen: Seen, gateway: Gateway) -> bool:
    """Mark the order, whose row the caller has locked, or take the mark of an earlier look away. False when it moved just now,
    and another look must tell."""
    known = (await whole.read(connection, [found.order.id]))[found.order.id]
    order, found = known.order, replace(found, order=known.order)
    if not worth_a_review(found):
        return True
    if not quiet(order, seen.asked_at):
        return False
    differs = difference(found)
    data: dict[str, object] = {"evidence": [str(seen.evidence)]}
    data |= {"differs": differs.what, "ours": differs.ours, "theirs": differs.theirs} if differs else {"agrees": True}
    moved = replace(order, needs_review=differs.what if differs else None)
    cause = Cause("order.needs_review", data)
    await write_steps(connection, [step(known, cause, profile=gateway.profile(order.broker), now=seen.now, moved=moved)])
    if differs is None:
        return True
    DIFFERS.labels(differs.what).inc()
    log.error("inquiry.differs", order_id=str(order.id), what=differs.what, ours=differs.ours, theirs=differs.theirs)
    return True
