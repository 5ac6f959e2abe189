"""Faults, on request or by seeded schedule: what is armed, what is drawn, what has fired.

The faults themselves stand in `faults_http`, `faults_inquiry`, `faults_report` and `faults_market`; adding one is a function
of a few lines under its stage's decorator. Stages: `reading` (the request is not counted as received), `before` (it has been
read, nothing has happened), `after` (all has happened, nothing was answered), `rows` (an inquiry is about to be answered),
`emit` (a report is about to get its sequence number), `report` (it is about to go to the subscribers), `market` (a beat of
the market, every ten seconds of a session).
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.types import Scope

from service.sandbox.background import Dice
from service.sandbox.errors import Refused

if TYPE_CHECKING:
    from service.sandbox.hub import Hub, Stored
    from service.sandbox.reports import Message
    from service.sandbox.world import World


class Cut(Exception):
    """End the connection without a byte of answer; `reset`: with a RST, as if the request had not been read to its end."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


@dataclass(frozen=True, slots=True)
class Call:
    """What a fault may aim at. `exec_type` is a report's in FIX 4.4 whatever the broker's dialect, 9 for a refused change."""

    path: str = ""
    cl_ord_id: str = ""
    broker: str = ""
    account: str = ""
    isin: str = ""
    exec_type: str = ""


MATCH = ("path", "cl_ord_id", "broker", "account", "isin", "exec_type")


@dataclass(slots=True)
class Armed:
    """One armed fault; `count` below 0 means until disarmed."""

    kind: str
    match: dict[str, str]
    count: int
    parameters: dict[str, Any]

    def hits(self, call: Call) -> bool:
        return self.count != 0 and all(_matches(name, getattr(call, name), want) for name, want in self.match.items())

    def seconds(self, default: float) -> float:
        return min(36_000.0, max(0.0, float(self.parameters.get("seconds", default))))

    def number(self, name: str, default: int) -> int:
        return int(self.parameters.get(name, default))

    def text(self, name: str, default: str) -> str:
        return str(self.parameters.get(name, default))


@dataclass(frozen=True, slots=True)
class Rate:
    """A fault drawn by chance: at each call it may aim at, with `chance` in 1/10,000."""

    chance: int
    match: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Occasion:
    """Where an answering fault strikes: the connection's ASGI scope, and from `after` on the answer that would go out."""

    call: Call
    scope: Scope = field(default_factory=dict)
    answer: Response | None = None


Act = Callable[["Faults", Armed, Occasion], Awaitable[Response | None]]
Withhold = Callable[["Hub", Armed, "Message"], "Message | None"]
Deliver = Callable[["Faults", Armed, "Hub", "Stored"], None]
Happen = Callable[["World", Armed, Dice], None]
Change = Callable[[Armed, Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: its stage, what it does in a line, and the function of that stage."""

    name: str
    stage: str
    about: str
    act: Act | None = None
    withhold: Withhold | None = None
    deliver: Deliver | None = None
    happen: Happen | None = None
    rows: Change | None = None
    document: Change | None = None


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


def on_emit(name: str, about: str) -> Callable[[Withhold], Withhold]:
    def register(withhold: Withhold) -> Withhold:
        KINDS[name] = Kind(name, "emit", about, withhold=withhold)
        return withhold

    return register


def on_market(name: str, about: str) -> Callable[[Happen], Happen]:
    def register(happen: Happen) -> Happen:
        KINDS[name] = Kind(name, "market", about, happen=happen)
        return happen

    return register


@dataclass(slots=True)
class Faults:
    """What is armed, what is scheduled, and what has fired."""

    armed: list[Armed] = field(default_factory=list)
    fired: list[dict[str, str]] = field(default_factory=list)
    seed: int = 0
    rates: dict[str, Rate] = field(default_factory=dict)
    drawn: int = 0
    delayed: int = 0
    held: list["Stored"] = field(default_factory=list)
    hold_until: int = 2

    def arm(self, kind: str, match: Mapping[str, str], count: int, parameters: dict[str, Any]) -> Armed:
        armed = Armed(kind, dict(match), count, parameters)
        self.armed.append(armed)
        return armed

    def schedule(self, seed: int, rates: Mapping[str, Rate | str]) -> None:
        """Each chance is drawn from the seed: the same calls in the same order meet the same faults. A bare "0.01" aims
        at everything the fault can hit.
        """
        self.rates = {name: rate if isinstance(rate, Rate) else Rate(ten_thousandths(rate)) for name, rate in rates.items()}
        self.seed, self.drawn = seed, 0

    def disarm(self, kind: str | None = None) -> None:
        """One fault, or all."""
        self.armed = [one for one in self.armed if kind not in (None, one.kind)]
        self.rates = {name: rate for name, rate in self.rates.items() if kind not in (None, name)}

    def take(self, stage: str, call: Call, *, at_most: int | None = None) -> list[Armed]:
        """The faults that strike now; each is used up by one."""
        if not self.armed and not self.rates:
            return []
        struck = [one for one in self.armed if KINDS[one.kind].stage == stage and one.hits(call)]
        drawn = [Armed(name, rate.match, 1, rate.parameters) for name, rate in self.rates.items() if KINDS[name].stage == stage]
        struck += [one for one in drawn if one.hits(call) and self._falls(one.kind)]
        struck = struck[:at_most]
        for one in struck:
            one.count -= 1
            self.fired.append({"fault": one.kind, "path": call.path, "cl_ord_id": call.cl_ord_id})
        self.armed = [one for one in self.armed if one.count != 0]
        return struck

    async def strike(self, stage: str, occasion: Occasion) -> Response | None:
        """Let them act; the first that answers decides the answer."""
        for armed in self.take(stage, occasion.call):
            act = KINDS[armed.kind].act
            answer = await act(self, armed, occasion) if act else None
            if answer is not None:
                return answer
        return None

    def withhold(self, hub: "Hub", message: "Message") -> "Message | None":
        """The report as it will be told, or nothing if it is lost or late."""
        told: Message | None = message
        for armed in self.take("emit", call_of(message)):
            act = KINDS[armed.kind].withhold
            told = act(hub, armed, told) if act and told is not None else told
        return told

    def deliver(self, hub: "Hub", stored: "Stored") -> None:
        if self.held:  # a reordering is under way
            self.held.append(stored)
            if len(self.held) >= self.hold_until:
                self.release(hub)
            return None
        for armed in self.take("report", call_of(stored.message), at_most=1):
            deliver = KINDS[armed.kind].deliver
            if deliver:
                return deliver(self, armed, hub, stored)
        return hub.push(stored)

    def release(self, hub: "Hub") -> None:
        """What a reordering holds, newest first."""
        held, self.held = self.held, []
        for stored in reversed(held):
            hub.push(stored)

    def happen(self, world: "World") -> None:
        """A beat of the market: what nobody asked for may happen."""
        for armed in self.take("market", Call()):
            act = KINDS[armed.kind].happen
            with contextlib.suppress(Refused):  # nobody to whom it could happen
                if act:
                    act(world, armed, Dice(self.seed, armed.kind, len(self.fired)))

    def catalogue(self) -> list[dict[str, str]]:
        return [{"fault": kind.name, "stage": kind.stage, "about": kind.about} for kind in KINDS.values()]

    def _falls(self, name: str) -> bool:
        self.drawn += 1
        return Dice(self.seed, name, self.drawn).below(0, 10_000) < self.rates[name].chance


def call_of(message: "Message") -> Call:
    """A report as something to aim at."""
    body = message["Body"]
    kind = str(body.get("ExecType", message["Header"]["MsgType"]))
    if kind in ("1", "2"):  # FIX 4.2
        kind = {"0": "F", "1": "H", "2": "G"}[str(body.get("ExecTransType", "0"))]
    return Call(
        "order/stream", str(body.get("ClOrdID", "")), str(message["Header"].get("SenderCompID", "")),
        str(body.get("Account", "")), str(body.get("SecurityID", "")), kind,
    )  # fmt: skip


def ten_thousandths(rate: object) -> int:
    return int(Decimal(str(rate)) * 10_000)


def _matches(name: str, value: str, want: str) -> bool:
    return want in value if name == "path" else value == want
