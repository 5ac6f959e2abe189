"""A worker's sending: claims at the brokers' pace, several calls at once, and what has begun is carried to its end."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from service.core.clock import monotonic
from service.orders.dispatch import Claim, Dispatcher
from service.orders.pace import Pace

log = structlog.get_logger()
T = TypeVar("T")
FINISH_S = 30


@dataclass
class Sender:
    """At most `most` claims and calls at a time. `brokers`: company codes it sends to."""

    dispatcher: Dispatcher
    pace: Pace
    brokers: tuple[str, ...]
    most: int
    _under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    async def send_some(self) -> bool:
        """Claim what may go now, and send it beside the caller. False when nothing waits any more.

        A caller that is cancelled does not take its claim along: cut off between claim and answer a request would be
        unknown for no reason."""
        may = self.pace.open(self.brokers)
        if not may:
            await asyncio.sleep(self.pace.wait_s(self.brokers))
            return True
        free = self.most - len(self._under_way)
        if free <= 0:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return await asyncio.shield(self._beside(self._take(may, min(free, self.pace.room(may)))))

    async def finish(self) -> None:
        """Wait until all that has begun is recorded, and what a claim under way begins too: a call's deadline, and RECORDING_S
        where the database is away. One whose disk is full is not waited for any longer."""
        until = monotonic() + FINISH_S
        while self._under_way and (left := until - monotonic()) > 0:
            await asyncio.wait(self._under_way, timeout=left)

    def abandon(self) -> None:
        """Drop what has begun, as a killed process does."""
        for one in list(self._under_way):
            one.cancel()

    async def _take(self, may: Sequence[str], most: int) -> bool:
        taken = await self.dispatcher.claim(may, most)
        for claim in taken.claims:
            self._beside(self._carry(claim))
        return taken.found and not taken.emptied

    async def _carry(self, claim: Claim) -> None:
        try:
            await self.dispatcher.carry(claim)
        except Exception:
            log.exception("request.carry_failed", cl_ord_id=claim.request.cl_ord_id)

    def _beside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task
