"""The dispatcher: the only code that sends to the order endpoint.

Three beats: claim (a transaction that checks everything again and inserts the attempt rows, which are the permission), send
(one POST each, no transaction open), record (a transaction that stores the raw answer and moves the request). Killed anywhere
in between, a request is left `sending`; `orphans` turns it to `unknown`, and nothing ever sends it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import asyncpg
import structlog

from service.accounts.move import PositionMismatch
from service.audit.evidence import Raw, Vault
from service.controls.model import Gate
from service.core.clock import Clock, monotonic
from service.core.errors import NotFound
from service.gateway import Accepted, Gateway, NotSent, OrderMessage, SendOutcome
from service.infra.db import DRIVER_ERRORS, HotTransaction, is_full
from service.infra.effects import Overtaken, write
from service.infra.failpoints import fp
from service.infra.metrics import counter
from service.infra.processes import is_gone
from service.orders import send_store, whole
from service.orders.advance import Cause, Step, step, withdrawal, write_steps
from service.orders.model import Order, Request, RequestState
from service.orders.outcome import (
    OUTCOMES,
    SENDER_LOST,
    answered,
    called_off,
    cause_of,
    claimed,
    message_of,
    reason_of,
    with_request,
)
from service.orders.recheck import Recheck, verdict
from service.orders.send_store import Look, Picked, Unanswered
from service.orders.whole import Whole

log = structlog.get_logger()

DEADLINE_S = 3.0  # from the claim's look at the clock to the first byte; a sender that was held up longer sends nothing
RECORDING_S = 20.0  # so long a known outcome is offered to a database that does not answer
RECORD_AGAIN_S = 0.2
ROOM_AGAIN_S = 2.0  # and again and again to one whose disk is full, as long as this process lives: a person makes room
LONG_ASIDE = 10  # attempts after which a request is left alone for longest
# One request's own trouble: counters that do not bear it, or a row about its order that nobody can read.
UNFIT = (PositionMismatch, Overtaken, asyncpg.IntegrityConstraintViolationError, LookupError, ValueError)
FENCED = counter("ilim_claims_fenced", "Claims given up because the cluster's epoch is not the one this sender began in")


@dataclass(frozen=True)
class Claim:
    """Permission to send one request once."""

    known: Whole  # as it was written with the claim
    request: Request
    n: int
    message: OrderMessage
    not_after: float  # monotonic seconds

    @property
    def order(self) -> Order:
        return self.known.order


@dataclass(frozen=True)
class Taken:
    """What a claim found. `found` without claims: what was there was refused. `emptied`: nothing else waited that could have
    been taken too."""

    found: bool
    claims: tuple[Claim, ...] = ()
    emptied: bool = False


@dataclass
class _Batch:
    """What one transaction is going to write."""

    steps: list[Step] = field(default_factory=list)
    permits: list[tuple[Step, Look, Request]] = field(default_factory=list)


@dataclass(frozen=True)
class Dispatcher:
    """What dispatching needs; one per worker, shared by its tasks."""

    hot: HotTransaction
    gateway: Gateway
    clock: Clock
    vault: Vault
    recheck: Recheck
    sender: str
    poke: Callable[[str], None]
    epoch: int = 1  # the cluster's, as it was when this sender began
    schema: str | None = None  # the migrations this code was written for; none asks about none
    spend: Callable[[str], None] = lambda _broker: None  # told of each claim, so that only what is sent counts

    async def dispatch_one(self, brokers: Sequence[str]) -> bool:
        """Take the most urgent queued request through its three beats. False when there was none."""
        taken = await self.claim(brokers, 1)
        for one in taken.claims:
            await self.carry(one)
        return taken.found

    # --- claim

    async def claim(self, brokers: Sequence[str], most: int) -> Taken:
        """Permission to send up to `most` of the most urgent queued requests, each of another order."""
        picked: list[Picked] = []
        try:
            return await self._take(brokers, most, picked)
        except UNFIT as error:
            if most > 1:
                return await self.claim(brokers, 1)  # one that cannot be written must not hold up the others
            if not isinstance(error, asyncpg.ExclusionViolationError):  # a twin's: the next look refuses it
                await self._set_aside(picked)
            raise

    async def _take(self, brokers: Sequence[str], most: int, picked: list[Picked]) -> Taken:
        async with self.hot() as connection:
            now, began = self.clock.now(), monotonic()  # deadlines count from here, however long the commit takes
            found, emptied = await send_store.pick(connection, brokers, most, self.recheck.com_id, now)
            picked += found
            looks = [(one, await send_store.look(connection, one, self.recheck.com_id)) for one in found]
            if any(self._strange(look.gate) for _, look in looks):
                return Taken(False)
            moved, claims = await self._claim(connection, looks, now, began)
        for claim in claims:
            self.spend(claim.order.broker)
        return Taken(moved, claims, emptied)

    async def _set_aside(self, picked: Sequence[Picked]) -> None:
        """The most urgent request would be met again and again, and nobody get past it. Its alarm is the loop's."""
        async with self.hot() as connection:
            for one in picked:
                await send_store.leave_alone(connection, one.request_id, LONG_ASIDE)

    def _strange(self, gate: Gate) -> bool:
        """Whether this sender is of another time than the database: it began before a fail-over, or its code was written
        for other tables. Then nothing goes out, no cancellation either."""
        if gate.cluster_epoch != self.epoch:
            FENCED.inc()
            log.error("dispatch.fenced", epoch=self.epoch)
            return True
        return self.schema not in (None, gate.schema)

    async def _claim(
        self, connection: asyncpg.Connection, looks: Sequence[tuple[Picked, Look]], now: datetime, began: float
    ) -> tuple[bool, tuple[Claim, ...]]:
        """Check everything again; write the attempts and the refusals with their ledger entries, all in one statement.
        Whether anything was written, and what may be sent."""
        batch = _Batch()
        for picked, look in looks:
            self._decide(batch, picked, look, now)
        made = [(request.id, look.attempts + 1) for _, look, request in batch.permits]
        attempts = send_store.attempted(made, sender=self.sender, epoch=self.epoch)
        await write_steps(connection, batch.steps, [attempts])
        if batch.permits:
            fp("claim.before_commit")
        if len(batch.steps) > len(batch.permits):
            fp("refusal.before_commit")
        return bool(batch.steps), tuple(_permission(*one, now, began) for one in batch.permits)

    def _decide(self, batch: _Batch, picked: Picked, look: Look, now: datetime) -> None:
        order = look.known.order
        request = next(one for one in order.requests if one.id == picked.request_id)
        if request.state is not RequestState.QUEUED:
            return  # somebody took it between our look and our lock
        ended = called_off(order, now)
        if ended is not None:
            cause = Cause("order.withdrawn", {"cl_ord_id": order.requests[0].cl_ord_id})
            batch.steps.append(withdrawal(order, ended, cause, now))
            return
        said = verdict(self.recheck, order, request, look.gate, look.standing, now)
        if said.waits:
            return
        if said.refused is not None:
            batch.steps.append(self._refusal(look, request, said.refused, now))
            return
        sent = claimed(order, request, now)
        cause = Cause("request.claimed", {"cl_ord_id": sent.cl_ord_id, "kind": sent.kind, "attempt": look.attempts + 1})
        batch.steps.append(self._step(look.known, sent, cause, now))
        batch.permits.append((batch.steps[-1], look, sent))

    def _refusal(self, look: Look, request: Request, reason: str, now: datetime) -> Step:
        refused = replace(request, state=RequestState.REFUSED, reason=reason, answered_at=now)
        cause = Cause("request.refused", {"cl_ord_id": request.cl_ord_id, "kind": request.kind, "reason": reason})
        return self._step(look.known, refused, cause, now)

    def _step(self, known: Whole, request: Request, cause: Cause, now: datetime) -> Step:
        profile = self.gateway.profile(known.order.broker)
        return step(known, cause, profile=profile, now=now, moved=with_request(known.order, request))

    # --- send

    async def carry(self, claim: Claim) -> None:
        """Send what was claimed, and record what came of it."""
        fp("send.before")
        outcome = await self._send(claim)
        fp("send.after")
        try:
            await self._record_for_sure(claim, outcome)
        except Exception:
            await self._keep(claim, outcome)  # whatever becomes of its request, what was said is not lost
            raise

    async def _send(self, claim: Claim) -> SendOutcome:
        if monotonic() > claim.not_after:
            return NotSent("deadline-passed")  # held up since the claim: the world may have moved on
        return await self.gateway.send(claim.message, claim.not_after)

    # --- record

    async def _record_for_sure(self, claim: Claim, outcome: SendOutcome) -> None:
        """A known outcome must not become unknown because the database was away for a moment. Writing it is repeatable."""
        until = monotonic() + RECORDING_S
        while True:
            pause = RECORD_AGAIN_S
            try:
                return await self._record(claim, outcome)
            except asyncpg.IntegrityConstraintViolationError:
                raise
            except (Overtaken, *DRIVER_ERRORS) as error:
                if monotonic() > until:
                    if not is_full(error):
                        raise
                    pause = ROOM_AGAIN_S
                log.warning("request.not_recorded", cl_ord_id=claim.request.cl_ord_id, reason=type(error).__name__)
            await asyncio.sleep(pause)

    async def _record(self, claim: Claim, outcome: SendOutcome) -> None:
        """Store the raw answer and move the request. Usually nothing has happened to the order since its claim, which the
        order's version tells; else read again under the lock: a report may have been faster, then this only adds."""
        try:
            await self._write_outcome(claim, outcome, claim.known)
        except Overtaken:
            await self._write_outcome(claim, outcome, None)
        fp("record.after_commit")
        self.poke("orders.changed")
        told = {"outcome": OUTCOMES[type(outcome)], "reason": reason_of(outcome)}
        if isinstance(outcome, Accepted) and outcome.platform_request_id:
            told["platform_request_id"] = outcome.platform_request_id  # what the platform's help desk asks for
        log.info("request.answered", cl_ord_id=claim.request.cl_ord_id, **told)

    async def _write_outcome(self, claim: Claim, outcome: SendOutcome, known: Whole | None) -> None:
        now = self.clock.now()
        async with self.hot() as connection:
            locked = known is None
            known = known or await self._locked(connection, claim.order)
            fp("record.begun")
            if locked and isinstance(outcome, NotSent) and await send_store.found_unsent(connection, claim.request.id, claim.n):
                return  # a commit of ours that seemed lost took effect; the request may be the next sender's by now
            raw = getattr(outcome, "raw", b"")
            kept = self.vault.kept([Raw("answer", raw, now)] if raw else [])
            evidence = kept.rows[0]["id"] if kept.rows else None
            request = next(one for one in known.order.requests if one.id == claim.request.id)
            reason = reason_of(outcome)
            after = answered(request, outcome, reason, now)
            moved = self._step(known, after, cause_of(request, outcome, reason, evidence), now)
            if moved.movement.moves() and not locked:
                raise Overtaken("the order's row is locked before the account's")
            told = send_store.answered(
                request.id, claim.n, outcome=OUTCOMES[type(outcome)], reason=reason, evidence=evidence
            )  # fmt: skip
            await write_steps(connection, [moved], [kept, told])
            if after.state is RequestState.QUEUED:
                await send_store.leave_alone(connection, request.id, claim.n)
            fp("record.before_commit")

    async def _keep(self, claim: Claim, outcome: SendOutcome) -> None:
        """The bytes of an answer that could not be recorded, by themselves."""
        raw = getattr(outcome, "raw", b"")
        if not raw:
            return
        kept = self.vault.kept([Raw("answer", raw, self.clock.now())])
        async with self.hot() as connection:
            await write(connection, [kept])
        log.error("request.answer_unrecorded", cl_ord_id=claim.request.cl_ord_id, raw_id=str(kept.rows[0]["id"]))

    async def _locked(self, connection: asyncpg.Connection, order: Order) -> Whole:
        await whole.lock(connection, [order.id])
        return (await whole.read(connection, [order.id]))[order.id]

    # --- attempts without an answer

    async def orphans(self) -> int:
        """Attempts whose sender can no longer bring an answer become unknown: their time is up, the sender is a process of
        this machine that has ended, or it began before the database failed over. Returns how many."""
        async with self.hot() as connection:
            unanswered = await send_store.unanswered_attempts(connection)
        lost = [one for one in unanswered if one.overdue or one.epoch < self.epoch or is_gone(one.sender)]
        for one in lost:
            try:
                await self._orphan(one)
            except (*UNFIT, NotFound):  # nor must one that cannot be given up, or of a broker that nobody knows here any more
                log.exception("orphan.failed", order_id=str(one.order_id))
        return len(lost)

    async def _orphan(self, one: Unanswered) -> None:
        now, outcome = self.clock.now(), SENDER_LOST
        async with self.hot() as connection:
            await whole.lock(connection, [one.order_id])
            known = (await whole.read(connection, [one.order_id]))[one.order_id]
            if not await send_store.still_unanswered(connection, one):
                return
            request = next(each for each in known.order.requests if each.id == one.request_id)
            lost = answered(request, outcome, outcome.reason, now)
            cause = Cause("request.lost", {"cl_ord_id": request.cl_ord_id, "attempt": one.n})
            told = send_store.answered(request.id, one.n, outcome="unknown", reason=outcome.reason, evidence=None)
            await write_steps(connection, [self._step(known, lost, cause, now)], [told])
            fp("orphan.before_commit")


def _permission(written: Step, look: Look, request: Request, now: datetime, began: float) -> Claim:
    """No byte of it leaves after its deadline, nor when its own time is over; that it is so already is only said of a
    cancellation, by a clock that is wrong. `began`: monotonic seconds at `now`."""
    left = (request.send_by - now).total_seconds()
    not_after = began + (min(DEADLINE_S, left) if left > 0 else DEADLINE_S)
    known = replace(look.known, order=written.written)
    message = message_of(look.known.order, request, look.account, now)
    return Claim(known, request, look.attempts + 1, message, not_after)
