"""A database that lacks its last commits, because a standby that lagged took over: what it shows as queued may be out.

Of a claim only the commit tells, and that one may be missing. So each new order and amendment that is queued here is given
the attempt it may have had, in the epoch that ends, and is `unknown` from then on: the next worker only notes that its sender
is lost. Nothing sends it again; evidence settles it, or two people. Cancellations stay queued: one that goes out twice harms
nobody. None is `sending` meanwhile: beside a twin in doubt nobody may be (P5), and the fence must not fail for that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls import store as controls
from service.gateway import BrokerProfile, RequestKind
from service.orders import send_store, whole
from service.orders.advance import Cause, Step, step, write_steps
from service.orders.model import Request, RequestState
from service.orders.outcome import SENDER_LOST, answered, claimed, with_request
from service.orders.whole import Whole

SENDER = "presumed"


@dataclass(frozen=True)
class Presumption:
    """What is to be done before the epoch rises, in the same transaction; the number of requests it presumes sent."""

    profile: Callable[[str], BrokerProfile]
    now: datetime  # business time

    async def __call__(self, connection: AsyncConnection) -> int:
        epoch, count = (await controls.gate(connection, None)).cluster_epoch, 0
        while queued := await send_store.queued_to_trade(connection):
            await whole.lock(connection, queued)
            known = await whole.read(connection, queued)
            found = [(one, request) for one in known.values() if (request := _first_queued(one)) is not None]
            made = await send_store.attempts_made(connection, [request.id for _, request in found])
            next_n = {request.id: made.get(request.id, 0) + 1 for _, request in found}
            steps = [self._presumed(one, request, next_n[request.id]) for one, request in found]
            attempts = send_store.attempted([*next_n.items()], sender=SENDER, epoch=epoch)
            await write_steps(connection, steps, [attempts])
            count += len(found)
        return count

    def _presumed(self, known: Whole, request: Request, n: int) -> Step:
        """Sent at any time since it was queued, with no answer."""
        sent = claimed(known.order, request, request.queued_at)
        sent = answered(sent, SENDER_LOST, SENDER_LOST.reason, self.now)
        cause = Cause("request.presumed_sent", {"cl_ord_id": sent.cl_ord_id, "kind": sent.kind, "attempt": n})
        profile = self.profile(known.order.broker)
        return step(known, cause, profile=profile, now=self.now, moved=with_request(known.order, sent))


def _first_queued(known: Whole) -> Request | None:
    """The requests of an order in their turn: an amendment names the request before it. None where a sender was faster."""
    trading = (one for one in known.order.requests if one.kind is not RequestKind.CANCELLATION)
    return next((one for one in trading if one.state is RequestState.QUEUED), None)
