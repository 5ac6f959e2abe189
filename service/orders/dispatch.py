"""The dispatcher: the only code that sends to the order endpoint.

Three beats: claim (a transaction that checks everything again and inserts the attempt row, which is the permission), send
(one POST, no transaction open), record (a transaction that stores the raw answer and moves the request). Killed anywhere in
between, the request is left `sending`; `orphans` turns it to `unknown`, and nothing ever sends it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.store import find_account
from service.audit.evidence import Raw, Vault
from service.core.clock import Clock, monotonic
from service.core.secret import AccountNumber
from service.gateway import Accepted, Gateway, NotSent, OrderMessage, Refused, RequestKind, SendOutcome, Unknown
from service.infra.db import Transaction
from service.infra.failpoints import fp
from service.infra.processes import is_gone
from service.orders import store
from service.orders.advance import Cause, advance
from service.orders.model import Order, Request, RequestEvent, RequestState, move
from service.orders.recheck import Recheck, verdict

log = structlog.get_logger()

DEADLINE_S = 3.0  # from the claim to the first byte; a sender that was held up longer sends nothing
RECORDING_S = 20.0  # so long a known outcome is offered to a database that does not answer
RECORD_AGAIN_S = 0.2
PATIENCE_S = Decimal(30)  # deadline + the call's own deadline + 5 s: after that nobody can bring an answer
NEVER_THERE = frozenset({RequestState.QUEUED, RequestState.REFUSED})
OUTCOMES = {Accepted: "accepted", Refused: "refused", NotSent: "not_sent", Unknown: "unknown"}
EVENTS = {
    Accepted: RequestEvent.ACCEPTED,
    Refused: RequestEvent.REFUSED,
    NotSent: RequestEvent.NOT_SENT,
    Unknown: RequestEvent.LOST,
}


@dataclass(frozen=True)
class Claim:
    """Permission to send one request once."""

    order: Order
    request: Request
    n: int
    message: OrderMessage
    not_after: float  # monotonic seconds


@dataclass(frozen=True)
class Dispatcher:
    """What dispatching needs; one per worker, shared by its tasks."""

    transaction: Transaction
    gateway: Gateway
    clock: Clock
    vault: Vault
    recheck: Recheck
    sender: str
    poke: Callable[[str], None]
    epoch: int = 0
    spend: Callable[[str], None] = lambda _broker: None  # told of each claim, so that only what is sent counts

    async def dispatch_one(self, brokers: Sequence[str]) -> bool:
        """Take the most urgent queued request through its three beats. False when there was none."""
        async with self.transaction() as connection:
            found = await store.next_queued(connection, brokers, self.recheck.com_id, self.clock.now())
            claim = await self._claim(connection, *found) if found else None
        if claim is not None:
            self.spend(claim.order.broker)
            fp("send.before")
            outcome = await self._send(claim)
            fp("send.after")
            await self._record_for_sure(claim, outcome)
        return found is not None

    async def _claim(self, connection: AsyncConnection, order_id: UUID, request_id: UUID) -> Claim | None:
        """Check everything again, then insert the attempt; or refuse. Both commit with the ledger entry."""
        order = await store.load(connection, order_id)
        if order is None:
            return None
        request = next(one for one in order.requests if one.id == request_id)
        if request.state is not RequestState.QUEUED:
            return None  # somebody took it between our look and our lock
        now = self.clock.now()
        said = await verdict(connection, self.recheck, order, request, now)
        if said.refused is not None:
            await self._refuse(connection, order, request, said.refused, now)
        if said.refused is not None or said.waits:
            return None
        return await self._permit(connection, order, request, now)

    async def _permit(self, connection: AsyncConnection, order: Order, request: Request, now: datetime) -> Claim:
        orig = None if request.kind is RequestKind.NEW else _orig(order, request)
        claimed = replace(request, state=move(request.state, RequestEvent.CLAIMED), sent_at=now, orig_cl_ord_id=orig)
        n = await store.add_attempt(connection, request.id, sender=self.sender, epoch=self.epoch, patience_s=PATIENCE_S)
        account = await find_account(connection, order.account_id)
        if account is None:
            raise RuntimeError("an order without its account")
        message = _message(order, claimed, account.number, now)
        cause = Cause("request.claimed", {"cl_ord_id": request.cl_ord_id, "kind": request.kind, "attempt": n})
        moved = await advance(connection, _with(order, claimed), cause, profile=self.gateway.profile(order.broker), now=now)
        fp("claim.before_commit")
        return Claim(moved, claimed, n, message, monotonic() + DEADLINE_S)

    async def _refuse(self, connection: AsyncConnection, order: Order, request: Request, reason: str, now: datetime) -> None:
        refused = replace(request, state=RequestState.REFUSED, reason=reason, answered_at=now)
        cause = Cause("request.refused", {"cl_ord_id": request.cl_ord_id, "kind": request.kind, "reason": reason})
        await advance(connection, _with(order, refused), cause, profile=self.gateway.profile(order.broker), now=now)
        fp("refusal.before_commit")

    async def _send(self, claim: Claim) -> SendOutcome:
        if monotonic() > claim.not_after:
            return NotSent("deadline-passed")  # held up since the claim: the world may have moved on
        return await self.gateway.send(claim.message)

    async def _record_for_sure(self, claim: Claim, outcome: SendOutcome) -> None:
        """A known outcome must not become unknown because the database was away for a moment. Writing it is repeatable."""
        until = monotonic() + RECORDING_S
        while True:
            try:
                return await self._record(claim, outcome)
            except IntegrityError:
                raise
            except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if monotonic() > until:
                    raise
                log.warning("request.not_recorded", cl_ord_id=claim.request.cl_ord_id, reason=type(error).__name__)
            await asyncio.sleep(RECORD_AGAIN_S)

    async def _record(self, claim: Claim, outcome: SendOutcome) -> None:
        """Store the raw answer and move the request. A report may have been faster: then this only adds."""
        now = self.clock.now()
        async with self.transaction() as connection:
            order = await store.load(connection, claim.order.id, lock=True)
            if order is None:
                raise RuntimeError("an order that was claimed is gone")
            raw = getattr(outcome, "raw", b"")
            evidence = await self.vault.keep(connection, [Raw("answer", raw, now)]) if raw else []
            fp("record.stored")
            reason = _reason(outcome)
            await store.close_attempt(
                connection, claim.request.id, claim.n,
                outcome=OUTCOMES[type(outcome)], reason=reason, evidence=evidence[0] if evidence else None,
            )  # fmt: skip
            request = next(one for one in order.requests if one.id == claim.request.id)
            answered = _answered(request, outcome, reason, now)
            if answered.state is RequestState.QUEUED:
                await store.leave_alone(connection, request.id, claim.n)
            await advance(
                connection, _with(order, answered), _cause(request, outcome, reason, evidence),
                profile=self.gateway.profile(order.broker), now=now,
            )  # fmt: skip
            fp("record.before_commit")
        fp("record.after_commit")
        self.poke("orders.changed")
        log.info("request.answered", cl_ord_id=claim.request.cl_ord_id, outcome=OUTCOMES[type(outcome)], reason=reason)

    async def orphans(self) -> int:
        """Attempts whose sender can no longer bring an answer become unknown: their time is up, or the sender is a process
        of this machine that has ended. Returns how many."""
        async with self.transaction() as connection:
            unanswered = await store.unanswered_attempts(connection)
        lost = [one for one in unanswered if one.overdue or is_gone(one.sender)]
        for one in lost:
            await self._orphan(one.order_id, one.request_id, one.n)
        return len(lost)

    async def _orphan(self, order_id: UUID, request_id: UUID, n: int) -> None:
        now = self.clock.now()
        async with self.transaction() as connection:
            order = await store.load(connection, order_id, lock=True)
            if order is None or not await store.still_unanswered(connection, request_id, n):
                return
            await store.close_attempt(connection, request_id, n, outcome="unknown", reason="sender-lost", evidence=None)
            request = next(one for one in order.requests if one.id == request_id)
            lost = _answered(request, Unknown("sender-lost"), "sender-lost", now)
            cause = Cause("request.lost", {"cl_ord_id": request.cl_ord_id, "attempt": n})
            await advance(connection, _with(order, lost), cause, profile=self.gateway.profile(order.broker), now=now)
            fp("orphan.before_commit")


def _orig(order: Order, request: Request) -> str | None:
    """ClOrdID of the last request before this one that was not refused; an amendment in flight included, one that still
    waits here not: the broker never saw its id."""
    before = [one for one in order.requests if one.number < request.number and one.kind is not RequestKind.CANCELLATION]
    return next((one.cl_ord_id for one in reversed(before) if one.state not in NEVER_THERE), None)


def _with(order: Order, request: Request) -> Order:
    return replace(order, requests=tuple(request if one.id == request.id else one for one in order.requests))


def _message(order: Order, request: Request, account: AccountNumber, now: datetime) -> OrderMessage:
    return OrderMessage(
        kind=request.kind,
        broker=order.broker,
        account=account,
        cl_ord_id=request.cl_ord_id,
        orig_cl_ord_id=request.orig_cl_ord_id,
        broker_order_number=order.broker_order_number,
        isin=order.isin,
        short_code=order.short_code,
        side=order.side,
        quantity=request.quantity,
        executed_quantity=order.executed_at_least,
        order_type=order.order_type,
        price=request.price if request.price is not None else order.price,
        time_in_force=order.time_in_force,
        session=order.session,
        transact_time=now,
    )


def _reason(outcome: SendOutcome) -> str | None:
    if isinstance(outcome, Refused):
        return f"{outcome.code}: {outcome.reason}"
    return None if isinstance(outcome, Accepted) else outcome.reason


def _answered(request: Request, outcome: SendOutcome, reason: str | None, now: datetime) -> Request:
    """The request after an answer. Not sent and out of time is a refusal: nothing left this house. So is not sent by a
    sender who was given up before: what was shown as unknown never goes out by itself."""
    state = move(request.state, EVENTS[type(outcome)])
    given_up = state is RequestState.UNKNOWN or (state is RequestState.QUEUED and now >= request.send_by)
    if isinstance(outcome, NotSent) and given_up:
        return replace(request, state=RequestState.REFUSED, reason="not-sent", answered_at=now)
    told = state is not request.state and not isinstance(outcome, (Accepted, NotSent))
    return replace(
        request,
        state=state,
        reason=reason if told else request.reason,
        answered_at=now if told else request.answered_at,
        sent_at=None if isinstance(outcome, NotSent) else request.sent_at,
    )


def _cause(request: Request, outcome: SendOutcome, reason: str | None, evidence: list[UUID]) -> Cause:
    data = {
        "cl_ord_id": request.cl_ord_id,
        "outcome": OUTCOMES[type(outcome)],
        "reason": reason,
        "evidence": [str(one) for one in evidence],
    }
    return Cause("request.answered", data)
