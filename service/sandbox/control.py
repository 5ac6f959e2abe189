"""`/_sandbox/…`: driving, watching and disturbing the sandbox. The real client never needs any of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import acts, wishes
from service.sandbox.books import books
from service.sandbox.broker import OrderedRejection
from service.sandbox.door import Door, answer, refused
from service.sandbox.drive import Drive, moment
from service.sandbox.errors import Refused
from service.sandbox.people import CLIENTS
from service.sandbox.profiles import MEANING, PROFILES
from service.sandbox.world import World

Json = dict[str, Any]
Act = Callable[["Control", Request, Json], Awaitable[object]]


@dataclass(slots=True)
class Control:
    world: World
    drive: Drive
    door: Door

    def routes(self) -> list[Route]:
        return [Route(f"/_sandbox/{path}", self._endpoint(act), methods=[method]) for (method, path), act in _ACTS.items()]

    def _endpoint(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                return answer(await act(self, request, await _body(request)))
            except Refused as refusal:
                return refused(refusal)
            except (ValueError, TypeError, KeyError, ArithmeticError) as error:
                return refused(Refused(400, 400, f"{type(error).__name__}: {error}"))

        return serve


async def _clock(control: Control, request: Request, _body: Json) -> object:
    if "version" in request.query_params:
        await control.drive.wait(int(request.query_params["version"]), float(request.query_params.get("wait", "30")))
    return control.drive.state()


async def _set_clock(control: Control, _request: Request, body: Json) -> object:
    if "now" in body:
        await control.drive.move(moment(body["now"]))
    elif "advance_seconds" in body:
        seconds = Decimal(str(body["advance_seconds"]))
        await control.drive.move(control.world.now + timedelta(microseconds=int(seconds * 1_000_000)))
    if "rate" in body:
        rate = int(body["rate"])
        if not 0 <= rate <= 1_000:
            raise Refused(400, 400, "rate: 0 (stepped) to 1000")
        await control.drive.run(rate, daily_loop=bool(body.get("daily_loop", False)))
    if not body.keys() & {"now", "advance_seconds", "rate"}:
        raise Refused(400, 400, "one of now, advance_seconds, rate")
    return control.drive.state()


async def _idle(control: Control, _request: Request, _body: Json) -> object:
    world, door = control.world, control.door
    counts = {
        "waiting_reports": world.hub.waiting + len(world.faults.held), "unacked_reports": world.hub.unacked,
        "open_requests": door.open, "delayed": world.faults.delayed,
    }  # fmt: skip
    return {"idle": not any(counts.values()), **counts}


async def _books(control: Control, request: Request, _body: Json) -> object:
    day = request.query_params.get("business_date")
    return books(control.world, date.fromisoformat(day) if day else None)


async def _sends(control: Control, _request: Request, _body: Json) -> object:
    world = control.world
    return {name: {"received": count, "accepted": world.accepted[name]} for name, count in world.received.items() if name}


async def _reports(control: Control, _request: Request, _body: Json) -> object:
    return {day: [{"seq": one.seq, "message": one.message} for one in stored] for day, stored in control.world.hub.stored.items()}


async def _lost(control: Control, _request: Request, _body: Json) -> object:
    hub = control.world.hub
    return {"lost": hub.lost, "held": [{"until": until.isoformat(), "message": message} for until, message in hub.held]}


async def _faults(control: Control, _request: Request, _body: Json) -> object:
    state = control.world.faults
    armed = [
        {"fault": one.kind, "match": one.match, "count": one.count, "parameters": _plain(one.parameters)} for one in state.armed
    ]
    rates = {
        name: {"rate": str(Decimal(rate.chance) / 10_000), "match": rate.match, **_plain(rate.parameters)}
        for name, rate in state.rates.items()
    }
    return {
        "catalogue": state.catalogue(), "armed": armed, "fired": state.fired,
        "schedule": {"seed": state.seed, "rates": rates},
    }  # fmt: skip


async def _arm(control: Control, request: Request, body: Json) -> object:
    state = control.world.faults
    if "schedule" in body:
        state.schedule(int(body["schedule"].get("seed", 0)), wishes.rates(body["schedule"].get("rates", {})))
    else:
        name, match, parameters = wishes.fault(body)
        state.arm(name, match, int(body.get("count", 1)), parameters)
    return await _faults(control, request, body)


async def _disarm(control: Control, request: Request, body: Json) -> object:
    kind = request.query_params.get("fault")
    control.world.faults.disarm(wishes.known(kind) if kind else None)
    return await _faults(control, request, body)


async def _quote(control: Control, _request: Request, body: Json) -> object:
    world = control.world
    isin, session = wishes.listed(world, body), str(body.get("session", "regular"))
    if (isin, session) not in world.exchange.books:
        raise Refused(400, 400, f"no {session} book of {isin} now")
    sides = {
        side: (wishes.whole(body[name]), wishes.whole(body.get(f"{name}_quantity", 0)))
        for side, name in (("buy", "bid"), ("sell", "ask"))
        if body.get(name) is not None
    }
    if len(sides) == 2 and sides["buy"][0] >= sides["sell"][0]:
        raise Refused(400, 400, "bid below ask")
    world.dispatch(world.exchange.quote(isin, session, sides, pinned=bool(body.get("pinned", True))))
    return {"isin": isin, "session": session}


async def _trade_through(control: Control, _request: Request, body: Json) -> object:
    world = control.world
    isin, session = wishes.listed(world, body), str(body.get("session", "regular"))
    if (isin, session) not in world.exchange.books:
        raise Refused(400, 400, f"no {session} book of {isin} now")
    events = world.exchange.trade_through(isin, session, wishes.whole(body["price"]), wishes.whole(body["quantity"]))
    world.dispatch(events)
    return {"traded": sum(event.quantity for event in events)}


async def _halt(control: Control, _request: Request, body: Json) -> object:
    isin = wishes.listed(control.world, body)
    control.world.exchange.listings[isin].halted = bool(body.get("halted", True))
    return {"isin": isin, "halted": control.world.exchange.listings[isin].halted}


async def _broker_reject(control: Control, _request: Request, body: Json) -> object:
    isin, account = body.get("isin"), body.get("account")
    for broker in wishes.brokers(control.world, body):
        if account is None or account in broker.accounts:
            broker.rejections.append(
                OrderedRejection(account, isin, int(body.get("count", 1)), str(body.get("reason", "증권사 거부")))
            )
    return {"ok": True}


async def _hold(control: Control, _request: Request, body: Json) -> object:
    """Hold or release the second half of amends and cancels, so that fills can fall into the pending state."""
    for broker in wishes.brokers(control.world, body):
        if body.get("held", True):
            broker.held = broker.held if broker.held is not None else []
        else:
            broker.release()
    return {"held": {name: broker.held is not None for name, broker in control.world.brokers.items()}}


async def _limits(control: Control, _request: Request, body: Json) -> object:
    for service, limit in body.items():
        if service not in control.door.limits:
            raise Refused(400, 400, f"unknown service {service}")
        control.door.limits[service] = wishes.whole(limit)
    return control.door.limits


async def _profiles(_control: Control, _request: Request, _body: Json) -> object:
    return {"meaning": MEANING, "brokers": {profile.code: profile.described() for profile in PROFILES}}


async def _clients(_control: Control, _request: Request, _body: Json) -> object:
    return [{"name": one.name, "ci": one.ci, "member": one.member, "linked": one.linked} for one in CLIENTS]


def _unasked(verb: acts.Verb) -> Act:
    async def act(control: Control, _request: Request, body: Json) -> object:
        return verb(control.world, body)

    return act


_ACTS: dict[tuple[str, str], Act] = {
    ("GET", "clock"): _clock, ("POST", "clock"): _set_clock, ("GET", "idle"): _idle, ("GET", "books"): _books,
    ("GET", "sends"): _sends, ("GET", "reports"): _reports, ("GET", "faults"): _faults, ("POST", "faults"): _arm,
    ("DELETE", "faults"): _disarm, ("POST", "quote"): _quote, ("POST", "trade-through"): _trade_through,
    ("POST", "halt"): _halt, ("POST", "broker-reject"): _broker_reject, ("POST", "hold"): _hold,
    ("POST", "limits"): _limits, ("GET", "profiles"): _profiles, ("GET", "clients"): _clients,
    ("GET", "lost"): _lost, **{("POST", name): _unasked(verb) for name, verb in acts.VERBS.items()},
}  # fmt: skip


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw or request.method == "GET":
        return {}
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, 400, "JSON expected") from error
    if not isinstance(document, dict):
        raise Refused(400, 400, "a JSON object expected")
    return document


def _plain(parameters: Json) -> Json:
    """Parameters may hold any JSON number; told back as text where it is not whole."""
    return {name: value if isinstance(value, int | str) else str(value) for name, value in parameters.items()}
