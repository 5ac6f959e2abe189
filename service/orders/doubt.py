"""Doubt: a request whose outcome no evidence establishes, what was tried about it, and what is missing (P3). Pure.

In doubt is what is `unknown`, and a new order the platform took and nobody acknowledged, once somebody has had to look.
The order of looking: a report is waited for, the resend is asked for, a complete inquiry is matched, two people decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.core.clock import KST
from service.gateway import RequestKind
from service.orders.machine import ORDER_CLOSED
from service.orders.model import Order, Request, RequestState, Status

GIVE_REPORTS = timedelta(seconds=5)  # business time a report may take before anybody asks
GIVE_ACKNOWLEDGEMENT = timedelta(seconds=30)  # a request the platform took and nobody has reported on since
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=10)  # between complete inquiries of the day
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=1)  # after the final one, while people decide
CLOSED_ON_ABSENCE = "closed-on-absence"
PUSH, RESEND, INQUIRY, OUTCOME = "push", "resend", "inquiry", "outcome"
NOT_SENT, TWIN_ALLOWED = "not_sent", "twin_allowed"
CONFIRMED, DECLINED = "confirmed", "declined"


@dataclass(frozen=True)
class Step:
    """One thing tried, `times` times with the same result, or the outcome. Business times."""

    request_id: UUID
    n: int
    order_id: UUID
    kind: str
    began_at: datetime
    at: datetime
    times: int
    complete: bool
    final: bool
    detail: str
    evidence: UUID | None
    digest: str | None
    next_at: datetime | None


@dataclass(frozen=True)
class Decision:
    """What one person proposed about a request in doubt, and what another made of it."""

    id: UUID
    order_id: UUID
    request_id: UUID
    conclusion: str
    reason: str
    maker: UUID | None
    proposed_by: UUID
    proposed_at: datetime
    evidence: UUID | None
    evidence_final: bool | None
    decision: str | None = None
    decided_by: UUID | None = None
    decided_at: datetime | None = None
    decided_reason: str | None = None
    used_by: UUID | None = None
    overturned_at: datetime | None = None


def of_request(steps: Sequence[Step], request: Request) -> list[Step]:
    return [one for one in steps if one.request_id == request.id]


def requests_in_doubt(order: Order, steps: Sequence[Step]) -> list[Request]:
    """Requests whose outcome is not established, the earliest first."""
    tried = {one.request_id for one in steps if one.kind != OUTCOME}
    return [
        one
        for one in order.requests
        if one.state is RequestState.UNKNOWN
        or (one.state is RequestState.SENT and one.kind is RequestKind.NEW and one.id in tried)
    ]


def unheard(order: Order, now: datetime) -> list[Request]:
    """Requests to look into now: unknown for a moment, or a new order without acknowledgement for longer."""
    return [one for one in order.requests if now - (doubtful_since(one) or now) >= _patience(one)]


def doubtful_since(request: Request) -> datetime | None:
    """Since when nobody knows. None for a request that cannot be in doubt."""
    if request.state is RequestState.UNKNOWN:
        return request.answered_at or request.sent_at or request.queued_at
    if request.state is RequestState.SENT and request.kind is RequestKind.NEW:
        return request.sent_at
    return None


def _patience(request: Request) -> timedelta:
    return GIVE_REPORTS if request.state is RequestState.UNKNOWN else GIVE_ACKNOWLEDGEMENT


def next_look(steps: Sequence[Step], at: datetime, *, complete: bool, final_from: datetime) -> datetime:
    """When to look again after a look at `at`: at growing pauses, but not past `final_from`, from which on absence counts;
    and from then at pauses that grow to a day, since only people go on from there. An incomplete look is repeated at once."""
    if not complete:
        return at
    if at >= final_from:
        waited = sum(one.times for one in steps if one.complete and one.at >= final_from)
        return at + min(FIRST_WAIT * (1 << min(waited, 10)), LONGEST_WAIT)
    looked = sum(one.times for one in steps if one.complete)
    return min(at + min(FIRST_PAUSE * (1 << min(looked, 10)), LONGEST_PAUSE), final_from)


def due(order: Order, steps: Sequence[Step], now: datetime) -> bool:
    """Whether somebody should look at a doubtful order now. What was never looked at is due."""
    open_requests = {one.id for one in requests_in_doubt(order, steps)}
    last = {one.request_id: one for one in steps if one.request_id in open_requests}
    return not open_requests or any(one not in last or (last[one].next_at or now) <= now for one in open_requests)


def final_step(steps: Sequence[Step]) -> Step | None:
    """The final complete inquiry that does not show the request. A later complete one that may show it takes its place."""
    newest = next((one for one in reversed(steps) if one.complete), None)
    return newest if newest is not None and newest.final else None


# --- how the order shows it -----------------------------------------------------------------------------------------------


def document(order: Order, steps: Sequence[Step], decisions: Sequence[Decision]) -> dict[str, Any] | None:
    """`in_doubt` of the order resource: of the earliest request in doubt, or of one that two people closed on absence."""
    found = requests_in_doubt(order, steps) or [one for one in order.requests if closed_on_absence(one)]
    if not found:
        return None
    request = found[0]
    mine = of_request(steps, request)
    said = [one for one in decisions if one.request_id == request.id]
    closed = closed_on_absence(request)
    last = mine[-1] if mine else None
    since = request.sent_at if closed else doubtful_since(request)
    return {
        "request_id": str(request.id),
        "since": instant(since or request.queued_at),
        "reason": request.reason or "the platform took it and nobody has acknowledged it",
        "missing_evidence": "none: two people closed it on a final inquiry" if closed else _missing(request, mine, said),
        "what_now": _what_now(request, mine, said),
        "safe_to_resubmit": closed,
        "owner": "person" if closed or final_step(mine) else "worker",
        "next_check_at": None if closed else instant(last.next_at if last else _first_look(request)),
        "tried": [_step(one) for one in mine],
        "resolutions": [decision_document(one) for one in said],
    }


def closed_on_absence(request: Request) -> bool:
    return request.state is RequestState.REFUSED and request.reason == CLOSED_ON_ABSENCE


def ended_on_absence(order: Order) -> bool:
    """Whether the order ended because two people said that it was never sent: evidence may still revive it."""
    return bool(order.requests) and closed_on_absence(order.requests[0])


def ended_unanswered(order: Order) -> bool:
    """Whether the order ended with a change sent of which nobody said what became of it: with an amendment its last terms are
    in doubt, and a cancellation whose refusal was lost would be shown as pending for ever."""
    kinds = {RequestKind.AMENDMENT} | ({RequestKind.CANCELLATION} if order.status is Status.PENDING_CANCEL else set())
    changes = [one for one in order.requests if one.kind in kinds and one.sent_at is not None]
    reasons = ORDER_CLOSED.values()
    return order.closed and any(one.state is RequestState.REFUSED and one.reason in reasons for one in changes)


def _first_look(request: Request) -> datetime:
    return (doubtful_since(request) or request.queued_at) + _patience(request)


def _missing(request: Request, steps: Sequence[Step], said: Sequence[Decision]) -> str:
    """What would settle it, after what was tried."""
    waiting = next((one for one in said if one.conclusion == NOT_SENT and one.decision is None), None)
    final = final_step(steps)
    if waiting is not None:
        return f"the confirmation of a second person: it was proposed at {_clock(waiting.proposed_at)} that it was never sent"
    if final is not None:
        return (
            f"the decision of two people: the final complete inquiry of {_clock(final.at)} (evidence {final.evidence}) does not "
            "show it, and no report came"
        )
    if not steps:
        return f"a report about it, waited for until {_clock(_first_look(request))}; then a resend, then an order inquiry"
    looked = next((one for one in reversed(steps) if one.kind == INQUIRY), None)
    if looked is None:
        return "a report about it, or a complete order inquiry that shows it; the resend is asked for"
    if not looked.complete:
        return f"a complete order inquiry: that of {_clock(looked.at)} was incomplete ({looked.detail}); or a report about it"
    return (
        f"a report, or an inquiry row that shows it: the complete inquiry of {_clock(looked.at)} (evidence {looked.evidence}) "
        "does not, which proves nothing before the day's last session has ended"
    )


def _what_now(request: Request, steps: Sequence[Step], said: Sequence[Decision]) -> str:
    if closed_on_absence(request):
        return "It may be ordered again. Should evidence of it still turn up, the order is revived and an alarm is raised."
    if any(one.conclusion == NOT_SENT and one.decision is None for one in said):
        return "An approver or operations, neither its proposer nor its maker, confirms or declines the proposed resolution."
    if final_step(steps):
        return "Ask the broker. If he has no such order, propose the resolution `not_sent`; a second person confirms it."
    if request.kind is RequestKind.NEW:
        return "Do not send it again: it may be live. Wait for the next check, or cancel the order."
    return "Do not send it again. Wait for the next check: a report, a row of an inquiry or the order's end settles it."


def _step(one: Step) -> dict[str, Any]:
    return {
        "what": one.kind,
        "first_at": instant(one.began_at),
        "at": instant(one.at),
        "times": one.times,
        "complete": one.complete,
        "final": one.final,
        "detail": one.detail,
        "evidence": None if one.evidence is None else str(one.evidence),
        "sha256": one.digest,
    }


def decision_document(one: Decision) -> dict[str, Any]:
    def text(value: UUID | None) -> str | None:
        return None if value is None else str(value)

    return {
        "id": str(one.id),
        "conclusion": one.conclusion,
        "reason": one.reason,
        "evidence": text(one.evidence),
        "proposed_by": str(one.proposed_by),
        "proposed_at": instant(one.proposed_at),
        "decision": one.decision,
        "decided_by": text(one.decided_by),
        "decided_at": instant(one.decided_at),
        "decided_reason": one.decided_reason,
        "used_by": text(one.used_by),
        "overturned_at": instant(one.overturned_at),
    }


def instant(moment: datetime | None) -> str | None:
    """An instant with its offset, in KST as the market reads it."""
    return None if moment is None else moment.astimezone(KST).isoformat(timespec="milliseconds")


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%d %H:%M:%S} KST"
