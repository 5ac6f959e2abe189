"""What is checked again in the transaction that claims the send (P16): the time, halts and locked brokers, whether the
stream is seen, the licence, the mandate and the manager's place in it, the contract, the instrument, and twins in doubt. A
cancellation always passes, for as long as its session lives."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls import store as controls
from service.controls.model import Subject
from service.core.clock import kst_date
from service.gateway import RequestKind
from service.orders import store
from service.orders.doubt_store import twin_bars
from service.orders.model import Order, Request


@dataclass(frozen=True)
class Recheck:
    """Plain values the claim needs from the root. `com_id`: the report stream that must be seen before anything new goes
    out; none asks about no stream."""

    licence_valid: Callable[[date], bool]
    com_id: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Go, unless it is refused for a reason or waits: then it stays queued until the gate opens or its time is up."""

    refused: str | None = None
    waits: bool = False


GO, WAIT = Verdict(), Verdict(waits=True)


async def verdict(connection: AsyncConnection, recheck: Recheck, order: Order, request: Request, now: datetime) -> Verdict:
    """Whether this request may go out now. The gate is held in one statement and read in a later one, so that no halt
    that is committed is overlooked and none commits before this claim does."""
    if request.kind is RequestKind.CANCELLATION:
        return Verdict("too-late") if now >= request.send_by else GO
    await controls.share_gate(connection)
    gate = await controls.gate(connection, recheck.com_id)
    if now >= request.send_by:
        return Verdict("stream-blind" if gate.blind else "too-late")
    reason = _own(recheck, order, request, now) or gate.refusal(subject(order))
    if reason is None:
        reason = (await store.standing(connection, order)).refusal(kst_date(now))
    if reason is None and request.kind is RequestKind.NEW and await twin_bars(connection, order, request):
        reason = "twin-in-doubt"
    if reason is not None:
        return Verdict(reason)
    return WAIT if gate.blind else GO


def _own(recheck: Recheck, order: Order, request: Request, now: datetime) -> str | None:
    """What the order and the licence say themselves."""
    if not recheck.licence_valid(kst_date(now)):
        return "licence-required"
    if order.closed:
        return "order-closed"
    if request.kind is RequestKind.AMENDMENT and order.cancelled_after(request):
        return "cancellation-requested"
    return None


def subject(order: Order) -> Subject:
    """What a halt may name of an order."""
    return Subject(order.broker, order.account_id, order.isin, order.manager_id)
