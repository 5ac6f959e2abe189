"""What is checked again in the transaction that claims the send (P16): the time, the licence, the mandate and the
manager's place in it, the contract, the instrument. A cancellation always passes, for as long as its session lives."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.clock import kst_date
from service.gateway import RequestKind
from service.orders import store
from service.orders.model import Order, Request


@dataclass(frozen=True)
class Recheck:
    """Plain values the claim needs from the root."""

    licence_valid: Callable[[date], bool]


async def refusal(connection: AsyncConnection, recheck: Recheck, order: Order, request: Request, now: datetime) -> str | None:
    """Why this request must not go out now, or None."""
    if now >= request.send_by:
        return "too-late"
    if request.kind is RequestKind.CANCELLATION:
        return None
    if not recheck.licence_valid(kst_date(now)):
        return "licence-required"
    if order.closed:
        return "order-closed"
    if request.kind is RequestKind.AMENDMENT and order.cancelled_after(request):
        return "cancellation-requested"
    standing = await store.standing(connection, order)
    return standing.refusal(kst_date(now))
