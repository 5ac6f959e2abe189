"""Faults, on request or by seeded schedule. Adding one is a function of a few lines under its stage's decorator.

Stages: `before` (the request has been read, nothing has happened), `after` (all has happened, nothing was answered),
`report` (a report is about to go to the subscribers), `rows` (an inquiry is about to be answered).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from service.sandbox import encode, errors
from service.sandbox.background import Dice

if TYPE_CHECKING:
    from service.sandbox.hub import Hub, Stored


class Cut(Exception):
    """Close the connection without a byte of answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a fault may aim at."""

    path: str = ""
    cl_ord_id: str = ""
    broker: str = ""
    account: str = ""


@dataclass(slots=True)
class Armed:
    """One armed fault; `count` below 0 means until disarmed."""

    kind: str
    match: dict[str, str]
    count: int
    parameters: dict[str, Any]

    def hits(self, call: Call) -> bool:
        return self.count != 0 and all(_matches(name, getattr(call, name, ""), want) for name, want in self.match.items())


Act = Callable[["Faults", Armed], Awaitable[Response | None]]
Deliver = Callable[["Faults", Armed, "Hub", "Stored"], None]


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    stage: str
    about: str
    act: Act | None = None
    deliver: Deliver | None = None


KINDS: dict[str, Kind] = {}


def on_answer(name: str, stage: str, about: str) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        KINDS[name] = Kind(name, stage, about, act=act)
        return act

    return register


def on_report(name: str, about: str) -> Callable[[Deliver], Deliver]:
    def register(deliver: Deliver) -> Deliver:
        KINDS[name] = Kind(name, "report", about, deliver=deliver)
        return deliver

    return register


@dataclass(slots=True)
class Faults:
    """What is armed, what is scheduled, and what has fired."""

    armed: list[Armed] = field(default_factory=list)
    fired: list[dict[str, str]] = field(default_factory=list)
    seed: int = 0
    rates: dict[str, str] = field(default_factory=dict)
    drawn: int = 0
    delayed: int = 0
    held: list["Stored"] = field(default_factory=list)
    hold_until: int = 2

    def arm(self, kind: str, match: Mapping[str, str], count: int, parameters: dict[str, Any]) -> Armed:
        armed = Armed(kind, dict(match), count, parameters)
        self.armed.append(armed)
        return armed

    def schedule(self, seed: int, rates: Mapping[str, str]) -> None:
        """Each chance is drawn from the seed: the same calls in the same order meet the same faults."""
        self.seed, self.rates, self.drawn = seed, dict(rates), 0

    def disarm(self) -> None:
        self.armed.clear()
        self.rates.clear()

    def take(self, stage: str, call: Call) -> list[Armed]:
        """The faults that strike now; each is used up by one."""
        struck = [one for one in self.armed if KINDS[one.kind].stage == stage and one.hits(call)]
        struck += [Armed(name, {}, 1, {}) for name in self.rates if self._falls(name, stage)]
        for one in struck:
            one.count -= 1
            self.fired.append({"fault": one.kind, "path": call.path, "cl_ord_id": call.cl_ord_id})
        self.armed = [one for one in self.armed if one.count != 0]
        return struck

    async def strike(self, stage: str, call: Call) -> Response | None:
        """Let them act; the first that answers decides the answer."""
        for armed in self.take(stage, call):
            act = KINDS[armed.kind].act
            answer = await act(self, armed) if act else None
            if answer is not None:
                return answer
        return None

    def deliver(self, hub: "Hub", stored: "Stored") -> None:
        body = stored.message["Body"]
        call = Call("order/stream", str(body.get("ClOrdID", "")), "", str(body.get("Account", "")))
        if self.held:  # a reordering is under way
            return _hold(self, hub, stored)
        for armed in self.take("report", call):
            deliver = KINDS[armed.kind].deliver
            if deliver:
                return deliver(self, armed, hub, stored)
        return hub.push(stored)

    def lag(self, call: Call) -> timedelta:
        """How much business time the inquiry is behind."""
        return timedelta(seconds=max((_seconds(one, 60) for one in self.take("rows", call)), default=0))

    def catalogue(self) -> list[dict[str, str]]:
        return [{"fault": kind.name, "stage": kind.stage, "about": kind.about} for kind in KINDS.values()]

    def _falls(self, name: str, stage: str) -> bool:
        if KINDS[name].stage != stage:
            return False
        self.drawn += 1
        return Dice(self.seed, name, self.drawn).below(0, 10_000) < _ten_thousandths(self.rates[name])


@on_answer("answer_lost_before", "before", "the connection is cut, the request was never looked at")
async def _lost_before(_faults: Faults, _armed: Armed) -> Response | None:
    raise Cut


@on_answer("answer_lost_after", "after", "the connection is cut after the request took effect")
async def _lost_after(_faults: Faults, _armed: Armed) -> Response | None:
    raise Cut


@on_answer("answer_delayed", "after", "the answer comes `seconds` of real time later (default 1)")
async def _delayed(faults: Faults, armed: Armed) -> Response | None:
    faults.delayed += 1
    try:
        await asyncio.sleep(_seconds(armed, 1))
    finally:
        faults.delayed -= 1
    return None


@on_answer("request_delayed", "before", "the request waits `seconds` of real time before it is looked at (default 1)")
async def _request_delayed(faults: Faults, armed: Armed) -> Response | None:
    return await _delayed(faults, armed)


@on_answer("error", "before", "`code`, `http_status`, `style` old | message | error | inside; nothing takes effect")
async def _error(_faults: Faults, armed: Armed) -> Response | None:
    return error_answer(armed)


@on_answer("error_after", "after", "as `error`, but the request took effect")
async def _error_after(_faults: Faults, armed: Armed) -> Response | None:
    return error_answer(armed)


@on_answer("inquiry_lag", "rows", "rows and executions younger than `seconds` of business time are missing")
async def _inquiry_lag(_faults: Faults, _armed: Armed) -> Response | None:
    return None


@on_report("stream_drop", "the report is stored and every stream connection is cut")
def _drop(_faults: Faults, _armed: Armed, hub: "Hub", _stored: "Stored") -> None:
    hub.drop_all()


@on_report("stream_duplicate", "the report arrives twice, same seq, no PossDupFlag")
def _duplicate(_faults: Faults, _armed: Armed, hub: "Hub", stored: "Stored") -> None:
    hub.push(stored)
    hub.push(stored)


@on_report("stream_reorder", "the next `n` reports (default 2) arrive backwards; fewer, after a moment of real time")
def _reorder(faults: Faults, armed: Armed, hub: "Hub", stored: "Stored") -> None:
    faults.held.append(stored)
    faults.hold_until = int(armed.parameters.get("n", 2))
    # A second report may never come: what is held must not be held for ever.
    asyncio.get_running_loop().call_later(0.3, release, faults, hub)


def _hold(faults: Faults, hub: "Hub", stored: "Stored") -> None:
    faults.held.append(stored)
    if len(faults.held) >= faults.hold_until:
        release(faults, hub)


def release(faults: Faults, hub: "Hub") -> None:
    held, faults.held = faults.held, []
    for stored in reversed(held):
        hub.push(stored)


def error_answer(armed: Armed) -> Response:
    """An answer with any documented code in any documented shape."""
    code = int(armed.parameters.get("code", 3999))
    status, message = errors.CODES.get(code, (500, "알 수 없는 오류"))
    status = int(armed.parameters.get("http_status", status))
    message = str(armed.parameters.get("message", message))
    style = str(armed.parameters.get("style", "old"))
    if style == "inside":
        document: dict[str, object] = {"commonHeader": {}, "resp": {"respCode": str(code), "respMsg": message}}
        return Response(encode.dumps(document, "plain"), 200, media_type="application/json")
    document = errors.body(style, code=code, message=message, category=errors.category(code))
    return Response(encode.dumps(document, "plain"), status, media_type="application/json")


def _matches(name: str, value: str, want: str) -> bool:
    return want in value if name == "path" else value == want


def _seconds(armed: Armed, default: int) -> float:
    return min(600.0, max(0.0, float(armed.parameters.get("seconds", default))))


def _ten_thousandths(rate: str) -> int:
    return int(float(rate) * 10_000)
