"""Replay order state scenarios: what was sent and what came back, step by step, told to an order without a database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.executions.matching import standing
from service.executions.plain import Life, PlainFill, Told, tell
from service.executions.scenarios import Request as Sent
from service.executions.scenarios import Scenario, Step
from service.gateway import CancelReject, ExecutionReport, RequestKind
from service.orders.identity import telling
from service.orders.machine import View
from service.orders.model import Request, RequestState
from service.orders.states import ORD_STATUS

NEVER = datetime(2000, 1, 1, tzinfo=UTC)  # scenarios have no clock


@dataclass(frozen=True)
class World:
    """The orders of one scenario, in their order, and which one was spoken of last."""

    lives: tuple[Life, ...] = ()
    spoken_of: int | None = None

    def find(self, *names: str | None) -> int | None:
        """The order a ClOrdID of any of its requests or reports belongs to."""
        for name in names:
            for i, life in enumerate(self.lives):
                if name is not None and name in _names(life):
                    return i
        return None

    def with_life(self, place: int | None, life: Life) -> "World":
        if place is None:
            return World((*self.lives, life), len(self.lives))
        return World((*self.lives[:place], life, *self.lives[place + 1 :]), place)


def _names(life: Life) -> set[str]:
    named = {one.cl_ord_id for one in life.requests}
    return named | {one.report.cl_ord_id for one in life.told if one.report.cl_ord_id}


def replay(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """The state after each step, as JSON. An either-or row is told to a fork; the rows after it go on without it."""
    world = World()
    for number, step in enumerate(scenario.steps, start=1):
        before, after = world, _take(world, step, number)
        yield _line(scenario, number, step, before, after)
        world = before if step.forks else after


def _take(world: World, step: Step, number: int) -> World:
    if step.request is not None:
        world = _send(world, step.request)
    if step.report is not None:
        world = _hear(world, Told(number, UUID(int=number), step.report))
    return world


def _send(world: World, sent: Sent) -> World:
    known = world.find(sent.cl_ord_id)
    if known is not None:
        return World(world.lives, known)  # the same ClOrdID again: whatever they answer, it makes no second order of ours
    if sent.kind is None or sent.kind is RequestKind.NEW:
        requests = () if sent.kind is None else (_request(sent, 0, sent.quantity or 0),)
        return world.with_life(None, Life(sent.quantity or 0, requests))
    place = world.find(sent.orig_cl_ord_id) if sent.orig_cl_ord_id else world.spoken_of
    life = Life(sent.quantity or 0) if place is None else world.lives[place]
    wanted = life.view().quantity if sent.quantity is None else sent.quantity
    return world.with_life(place, replace(life, requests=(*life.requests, _request(sent, len(life.requests), wanted))))


def _request(sent: Sent, number: int, quantity: int) -> Request:
    assert sent.kind is not None  # noqa: S101 - status requests ask for nothing
    return Request(
        id=UUID(int=number), order_id=UUID(int=0), kind=sent.kind, number=number, cl_ord_id=sent.cl_ord_id,
        orig_cl_ord_id=sent.orig_cl_ord_id, quantity=quantity, price=sent.price, state=RequestState.SENT, reason=None,
        user_id=None, send_by=NEVER, queued_at=NEVER, sent_at=NEVER,
    )  # fmt: skip


def _hear(world: World, news: Told) -> World:
    report = news.report
    place = world.find(report.cl_ord_id, report.orig_cl_ord_id)
    if place is None and report.cl_ord_id is None:  # about an order given by telephone, else about the one at hand
        nameless = [i for i, life in enumerate(world.lives) if not _names(life)]
        place = nameless[0] if nameless else world.spoken_of
    life = Life(0) if place is None else world.lives[place]
    if not life.quantity and isinstance(report, ExecutionReport):
        life = replace(life, quantity=report.order_quantity or (report.cumulative_quantity or 0) + (report.leaves_quantity or 0))
    return world.with_life(place, tell(life, news))


def _line(scenario: Scenario, number: int, step: Step, before: World, after: World) -> dict[str, Any]:
    unpriced = {UUID(int=i) for i, one in enumerate(scenario.steps, start=1) if not one.priced}
    head = {
        "scenario": scenario.id,
        "step": number,
        "time": step.time,
        "branch": step.branch,
        "crosses": step.crosses,
        "direction": "received" if step.request is not None else "none" if step.report is None else "sent",
    }
    if after.spoken_of is None:
        return head | NOTHING
    life = after.lives[after.spoken_of]
    earlier = before.lives[after.spoken_of] if after.spoken_of < len(before.lives) else Life(life.quantity)
    return head | _state(life, unpriced) | {"alarms": _alarms(earlier, life, step.report)}


NOTHING: dict[str, Any] = {
    "order": None, "status": None, "ord_status": None, "quantity": 0, "cumulative": 0, "filled": 0, "unaccounted": 0,
    "restated": 0, "leaves": 0, "closed": False, "fills_count": 0, "fills": [], "busted_count": 0, "requests": [], "alarms": [],
}  # fmt: skip


def _state(life: Life, unpriced: set[UUID]) -> dict[str, Any]:
    seen = life.view()
    known = bool(life.told) or any(one.kind is RequestKind.NEW for one in life.requests)
    holding = standing(life.fills)
    names = [one.cl_ord_id for one in life.requests] or sorted(_names(life))
    return {
        "order": names[0] if names else None,
        "status": seen.status.value if known else None,
        "ord_status": ORD_STATUS.get(seen.status) if known else None,
        "quantity": seen.quantity,
        "cumulative": max(life.filled + seen.restated_quantity, seen.reported_quantity),
        "filled": life.filled,
        "unaccounted": _unaccounted(life, seen),
        "restated": seen.restated_quantity,
        "leaves": seen.remaining_quantity,
        "closed": seen.closed,
        "fills_count": len(holding),
        "fills": [_fill(one, unpriced) for one in holding],
        "busted_count": sum(one.reverses is not None for one in life.fills),
        "requests": [
            {"cl_ord_id": one.cl_ord_id, "kind": one.kind.value, "state": seen.requests[one.cl_ord_id][0].value}
            for one in life.requests
        ],
    }  # fmt: skip


def _fill(one: PlainFill, unpriced: set[UUID]) -> dict[str, Any]:
    return {"exec_id": one.exec_id, "quantity": one.quantity, "price": None if one.evidence in unpriced else str(one.price)}


def _unaccounted(life: Life, seen: View) -> int:
    return max(seen.reported_quantity - seen.restated_quantity - life.filled, 0)


def _alarms(before: Life, after: Life, report: ExecutionReport | CancelReject | None) -> list[str]:
    """What a person should look at now, in stable words."""
    seen = after.view()
    executed = max(after.filled + seen.restated_quantity, seen.reported_quantity)
    found = {
        "unaccounted": _unaccounted(after, seen) > 0,
        "overfill": executed > seen.quantity,
        "bust-unresolved": bool(after.unresolved),
        "stray-reject": seen.stray_rejects > before.view().stray_rejects,
        "unknown-order": report is not None and report.ord_status == "8" and _unknown(report),
        "exec-id-reused": isinstance(report, ExecutionReport) and _reused(before.told, report),
    }
    return [word for word, so in found.items() if so]


def _unknown(report: ExecutionReport | CancelReject) -> bool:
    return isinstance(report, CancelReject) or report.exec_type.name == "ORDER_STATUS"


def _reused(told: Sequence[Told], report: ExecutionReport) -> bool:
    """The same number on something else than before."""
    known = [one.report for one in told if isinstance(one.report, ExecutionReport) and one.report.exec_id == report.exec_id]
    return telling(report.exec_id) and any(_content(one) != _content(report) for one in known)


def _content(report: ExecutionReport) -> tuple[object, ...]:
    return (report.exec_type, report.cl_ord_id, report.cumulative_quantity, report.last_quantity, report.last_price)
