"""What the bodies of control calls may say, read strictly: anything else raises `Refused`."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from service.sandbox import poison
from service.sandbox.broker import Broker
from service.sandbox.errors import Refused
from service.sandbox.faults import KINDS, MATCH, Rate
from service.sandbox.world import World

Json = dict[str, Any]
_NUMBERS = ("seconds", "n", "code", "http_status", "bytes", "quantity")


def fault(body: Json) -> tuple[str, dict[str, str], Json]:
    """(name, what it aims at, its own parameters)."""
    own = {name: value for name, value in body.items() if name not in ("fault", "match", "count", "rate")}
    for name in _NUMBERS:
        if name in own:
            Decimal(str(own[name]))
    if "what" in own:
        poison.known(str(own["what"]))
    return known(body.get("fault")), _match(body), own


def rates(wanted: Mapping[str, Any]) -> dict[str, Rate]:
    """Each a chance between 0 and 1, or an object of `rate`, `match` and the fault's parameters."""
    found = {}
    for name, value in wanted.items():
        body = value if isinstance(value, dict) else {"rate": value}
        chance = Decimal(str(body.get("rate")))
        if not 0 <= chance <= 1:
            raise Refused(400, 400, "a rate is between 0 and 1")
        _, match, parameters = fault({**body, "fault": name})
        found[name] = Rate(int(chance * 10_000), match, parameters)
    return found


def known(name: object) -> str:
    if name not in KINDS:
        raise Refused(400, 400, f"unknown fault; known: {sorted(KINDS)}")
    return str(name)


def brokers(world: World, body: Json) -> list[Broker]:
    wanted = body.get("broker")
    found = [one for one in world.brokers.values() if wanted in (None, one.profile.name, one.profile.code)]
    if not found:
        raise Refused(400, 400, f"unknown broker {wanted}")
    return found


def listed(world: World, body: Json) -> str:
    isin = str(body.get("isin"))
    if isin not in world.exchange.listings:
        raise Refused(400, 400, f"unknown isin {isin}")
    return isin


def whole(value: object) -> int:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise Refused(400, 400, "a whole number expected") from error
    if not number.is_finite() or number < 0 or number > 10**12 or number != int(number):
        raise Refused(400, 400, "a whole number expected")
    return int(number)


def _match(body: Json) -> dict[str, str]:
    match = {str(name): str(value) for name, value in (body.get("match") or {}).items()}
    unknown = match.keys() - set(MATCH)
    if unknown:
        raise Refused(400, 400, f"match: unknown {sorted(unknown)}")
    return match
