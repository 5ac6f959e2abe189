"""Whether anything was sent twice, lost or misstated: the service's tables against the broker's own books.

The broker is asked what arrived, then our side is read in one snapshot, then the broker is read whole. So at any moment and
after any kill what had arrived before must be known to us, and what we say must be true of the broker by the time he is
asked again; that we know all he knows is asked only at rest.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import httpx

from ops.campaigns.rig import CampaignError, until
from ops.campaigns.traders import Intent
from ops.invariants import found_by

REST_S = 240.0  # real seconds, in which a slow machine passes few minutes of market time: two looks and what lies between
KINDS = ("sent twice", "lost", "misstated")
# A refusal of our own: the request never left, or the table of attempts says that no byte did.
OURS = ("not-sent", "too-late", "withdrawn", "cancellation-requested", "order-changed", "quantity-not-above-executed")

REQUESTS = """
    select r.cl_ord_id, r.kind, r.state, coalesce(r.reason, '') as reason, r.order_id::text as order_id, o.status, o.closed,
        (select string_agg(each.kind || ' ' || each.state, ', ' order by each.number) from order_request each
         where each.order_id = o.id) as requests,
        o.quantity, o.price::text as price, o.filled_quantity, o.remaining_quantity,
        exists (select from attempt a where a.request_id = r.id and a.outcome is distinct from 'not_sent') as may_have_left
    from order_request r join orders o on o.id = r.order_id order by r.cl_ord_id"""
FILLS = "select order_id::text, quantity, price::float8 from fill order by order_id, quantity, price"
TAKEN = """
    select route, count(*) as answers, array_agg(convert_from(response, 'UTF8')::jsonb ->> 'id') as ids
    from idempotency_key where status = 201 group by route"""


@dataclass(frozen=True)
class Finding:
    """One thing that should not be."""

    kind: str  # one of KINDS
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass
class Oracle:
    """Looks at both sides; remembers verdicts, so that one that turns into its opposite shows."""

    eye: asyncpg.Connection
    sandbox: httpx.AsyncClient
    verdicts: dict[str, str] = field(default_factory=dict)

    async def look(self, intents: list[Intent], at_rest: datetime | None = None) -> list[Finding]:
        """Everything wrong now. With the business time of a moment at which nothing is under way, also what is missing."""
        promised = [one for one in intents if one.taken]  # taken before the snapshot, so to be found in it
        arrived = (await self.sandbox.get("/_sandbox/sends")).json()
        async with self.eye.transaction(isolation="repeatable_read", readonly=True):
            requests = [dict(row) for row in await self.eye.fetch(REQUESTS)]
            fills: dict[str, list[tuple[int, float]]] = {}
            for order_id, quantity, price in await self.eye.fetch(FILLS):
                fills.setdefault(order_id, []).append((quantity, price))
            taken = {row["route"]: row for row in await self.eye.fetch(TAKEN)}
            broken = await found_by(self.eye, at_rest)
        sends = (await self.sandbox.get("/_sandbox/sends")).json()
        books = (await self.sandbox.get("/_sandbox/books")).json()
        theirs = {cl: order for order in _orders(books) for cl in order["cl_ord_ids"]}
        found = [Finding("misstated", str(one)) for one in broken]
        found += self._flips(requests)
        found += _twice(sends) + _doubled(requests, taken)
        found += _lost(promised, requests, arrived) + _unclaimed(requests, arrived) + _said(requests, sends, theirs)
        found += _executed(requests, fills, theirs, at_rest is not None)
        return found + (_missing(requests, theirs) if at_rest is not None else [])

    async def at_rest(self, intents: list[Intent], within_s: float = REST_S) -> list[Finding]:
        """What is still wrong when nothing is under way any more, or when the time (real seconds) is up."""
        left: list[Finding] = []

        async def quiet() -> bool:
            nonlocal left
            now = datetime.fromisoformat((await self.sandbox.get("/_sandbox/clock")).json()["now"])
            left = await self.look(intents, now)
            return not left

        with contextlib.suppress(CampaignError):
            await until(quiet, "everything to come to rest", within_s, every_s=0.3)
        return left

    def _flips(self, requests: list[dict[str, Any]]) -> list[Finding]:
        """A verdict shown to a manager never turns into its opposite (no broker here takes anything back)."""
        found = []
        for one in requests:
            before = self.verdicts.get(one["cl_ord_id"])
            if before in ("acknowledged", "refused") and one["state"] != before:
                found.append(Finding("misstated", f"{one['kind']} {one['cl_ord_id']} was {before} and is {one['state']}"))
            # Refused for the order's end says that nobody has answered: a later look at the order may.
            self.verdicts[one["cl_ord_id"]] = "" if one["reason"].startswith("order-closed") else one["state"]
        return found


def _orders(books: Mapping[str, Any]) -> list[Any]:
    return [order for broker in books["brokers"].values() for account in broker["accounts"] for order in account["orders"]]


def _twice(sends: Mapping[str, Any]) -> list[Finding]:
    return [Finding("sent twice", f"{cl} arrived more than once") for cl, one in sends.items() if one["received"] > 1]


def _doubled(requests: list[dict[str, Any]], taken: Mapping[str, Any]) -> list[Finding]:
    """One intent, one request: what is on disk came from keys, each of which made one."""
    found = []
    made: dict[str, int] = {}
    for one in requests:
        made[one["kind"]] = made.get(one["kind"], 0) + 1
    for route, row in taken.items():
        kind = {"amendments": "amendment", "cancellations": "cancellation"}.get(route.rpartition("/")[2], "new")
        ours = made.pop(kind, 0)
        if ours != row["answers"]:
            found.append(Finding("sent twice", f"{row['answers']} keys made {ours} requests of kind {kind}"))
        if kind == "new" and len(set(row["ids"])) != len(row["ids"]):
            found.append(Finding("sent twice", "two keys name one order"))
    return found + [Finding("sent twice", f"{n} requests of kind {kind} without a key") for kind, n in made.items()]


def _lost(promised: list[Intent], requests: list[dict[str, Any]], arrived: Mapping[str, Any]) -> list[Finding]:
    ours = {one["order_id"] for one in requests}
    numbers = {one["cl_ord_id"] for one in requests}
    found = [Finding("lost", f"{one.kind} {one.key}: order {one.order} is gone") for one in promised if one.order not in ours]
    return found + [Finding("lost", f"the broker has {cl}, we do not") for cl in arrived if cl not in numbers]


def _unclaimed(requests: list[dict[str, Any]], arrived: Mapping[str, Any]) -> list[Finding]:
    """Nothing arrives that we have not written down before as perhaps sent."""
    found = [one for one in requests if one["cl_ord_id"] in arrived and not one["may_have_left"]]
    return [Finding("misstated", f"{one['cl_ord_id']} arrived, and no attempt of ours may have left") for one in found]


def _said(requests: list[dict[str, Any]], sends: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Finding]:
    """What a request's state claims, against what arrived."""
    found = []
    for one in requests:
        cl, state = one["cl_ord_id"], one["state"]
        arrived = sends.get(cl, {"received": 0, "accepted": 0})
        here = one["reason"].startswith(OURS)
        wrong = None
        if arrived["received"] and state == "refused" and here:
            wrong = f"arrived, and we say that it never left ({one['reason']})"
        elif arrived["accepted"] and state == "refused" and one["kind"] == "new" and theirs[cl]["status"] != "rejected":
            wrong = f"is {theirs[cl]['status']} there and refused here ({one['reason']})"
        elif not arrived["accepted"] and state in ("sent", "acknowledged") and not here:
            wrong = f"was never taken there and is {state} here"
        if wrong:
            found.append(Finding("misstated", f"{one['kind']} {cl} {wrong}"))
    return found


def _executed(
    requests: list[dict[str, Any]], fills: Mapping[str, list[tuple[int, float]]], theirs: Mapping[str, Any], at_rest: bool
) -> list[Finding]:
    """We never know of more executions than there were; at rest of exactly those."""
    found = []
    for one in requests:
        if one["kind"] != "new":
            continue
        there = theirs.get(one["cl_ord_id"])
        other = sorted((fill["quantity"], float(fill["price"])) for fill in there["fills"]) if there else []
        here, real = Counter(fills.get(one["order_id"], [])), Counter(other)
        if here - real or (at_rest and real - here):
            found.append(Finding("misstated", f"{one['cl_ord_id']}: executed {sorted(here.elements())} here, {other} there"))
    return found


def _missing(requests: list[dict[str, Any]], theirs: Mapping[str, Any]) -> list[Finding]:
    """At rest: every order that is known there is so known here, and every other one is stated for what it is."""
    found = []
    for one in requests:
        there = theirs.get(one["cl_ord_id"])
        if one["kind"] != "new":
            continue
        if there is None:
            if not (one["closed"] or one["state"] == "unknown"):
                found.append(Finding("misstated", f"{one['cl_ord_id']} is not there and {one['status']} ({one['state']}) here"))
            continue
        price = None if there["price"] is None else float(there["price"])
        truth = (there["ordered"], price, there["executed"], there["leaves"])
        ours = (one["quantity"], one["price"] and float(one["price"]), one["filled_quantity"], one["remaining_quantity"])
        if truth != ours:
            what = f"{one['cl_ord_id']} is {ours} here and {truth} there (quantity, price, executed, left)"
            found.append(Finding("misstated", f"{what}, {one['status']}: {one['requests']}"))
    return found
