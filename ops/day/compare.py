"""Our books against the exchange's truth: orders, fills, holdings and cash, both sides in full; what the exchange received
twice; and what must be true of our own tables whatever the exchange says."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import asyncpg

from ops.day.stage import Stage
from ops.invariants import ALWAYS, AT_REST, FILED, violations
from service.infra.roles import OWNER
from service.up import market_time


@dataclass(frozen=True)
class Difference:
    """One thing the two sides say differently."""

    what: str
    which: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Comparison:
    compared: dict[str, int]
    differences: list[Difference]


async def compare(stage: Stage) -> Comparison:
    """Read both sides and compare the union of what they name."""
    day = stage.house.business_date.isoformat()
    books = (await stage.sandbox.get("/_sandbox/books", params={"business_date": day})).json()
    orders = await stage.every("compliance", "/v1/orders", business_date=day)
    fills = await stage.every("compliance", "/v1/executions", business_date=day)
    accounts = {one["id"]: one for one in await stage.every("compliance", "/v1/accounts")}
    theirs = {(code, one["account"]): one for code, broker in books["brokers"].items() for one in broker["accounts"]}
    compared: Counter[str] = Counter()
    found = _orders(orders, fills, theirs, compared)
    for account_id, account in accounts.items():
        if account["contract_status"] == "0":
            balance = await stage.get("compliance", f"/v1/accounts/{account_id}/balance")
            truth = theirs.get((account["broker"], account["number"]))
            found += _balance(account["number"], balance["ours"], truth, compared)
    sends = (await stage.sandbox.get("/_sandbox/sends")).json()
    compared["sends"] = len(sends)
    found += [Difference("sends", cl, 1, one["received"]) for cl, one in sends.items() if one["received"] != 1]
    compared["invariants"] = len(ALWAYS | FILED) + len(AT_REST)
    wrong = await violations(stage.house.database_urls[OWNER].reveal(), await market_time(stage.sandbox))
    found += [Difference("invariant", f"{one.invariant}: {one.which}", one.what, "nothing") for one in wrong]
    return Comparison(dict(compared), found)


def _orders(orders: list[Any], fills: list[Any], theirs: dict[Any, Any], compared: Counter[str]) -> list[Difference]:
    truth = {cl: order for one in theirs.values() for order in one["orders"] for cl in order["cl_ord_ids"]}
    found: list[Difference] = []
    matched: set[str] = set()
    for one in orders:
        ours = _ours(one, fills)
        cl = one["requests"][0]["cl_ord_id"]
        other = truth.get(cl)
        compared["orders"] += 1
        compared["fills"] += len(ours["fills"])
        if other is None:
            if ours["executed"] or one["status"] not in ("rejected", "canceled"):
                found.append(Difference("order", cl, ours, None))
            continue
        matched.update(other["cl_ord_ids"])
        found += [Difference(name, cl, ours[name], value) for name, value in _theirs(other).items() if ours[name] != value]
    strangers = {order["cl_ord_ids"][0] for order in truth.values() if not matched & set(order["cl_ord_ids"])}
    return found + [Difference("order", cl, None, _theirs(truth[cl])) for cl in sorted(strangers)]


def _ours(one: Any, fills: list[Any]) -> dict[str, Any]:
    mine = sorted((fill["quantity"], fill["price"]) for fill in fills if fill["order_id"] == one["id"])
    return {
        "ordered": one["quantity"],
        "price": one["price"],
        "executed": one["filled_quantity"],
        "remaining": one["remaining_quantity"],
        "fills": mine,
        "ended": _word(one["status"]),
        "unaccounted": one["unaccounted_quantity"],
    }


def _theirs(other: Any) -> dict[str, Any]:
    return {
        "ordered": other["ordered"],
        "price": None if other["price"] is None else str(other["price"]),
        "executed": other["executed"],
        "remaining": other["leaves"],
        "fills": sorted((fill["quantity"], str(fill["price"])) for fill in other["fills"]),
        "ended": _word(other["status"]),
        "unaccounted": 0,
    }


def _word(status: str) -> str:
    """How an order ended. Brokers call the end of a day's remainder expired or done for day."""
    return {"cancelled": "canceled", "done_for_day": "expired"}.get(status, status)


def _balance(number: str, ours: Any, truth: Any, compared: Counter[str]) -> list[Difference]:
    name = f"account …{number[-3:]}"
    if ours is None or truth is None:
        return [Difference("balance", name, ours, truth)]
    mine = {one["isin"]: one["quantity"] for one in ours["holdings"] if one["quantity"]}
    other = {one["isin"]: one["quantity"] for one in truth["holdings"] if one["quantity"]}
    isins = sorted(mine.keys() | other.keys())
    compared["holdings"] += len(isins)
    found = [
        Difference("holding", f"{name} {one}", mine.get(one, 0), other.get(one, 0))
        for one in isins
        if mine.get(one) != other.get(one)
    ]
    rungs = (("today", "d0"), ("next_day", "d1"), ("after_settlement", "d2"))
    compared["cash"] += len(rungs)
    pairs = [(mine_name, int(ours["cash"][mine_name]), int(truth["cash"][name_there])) for mine_name, name_there in rungs]
    return found + [Difference("cash", f"{name} {rung}", one, two) for rung, one, two in pairs if one != two]


DOUBTS = """
    select coalesce(s.detail, 'still in doubt') as how, count(*)::int as count
    from (select request_id, order_id from doubt_step
          union select a.request_id, r.order_id from attempt a join order_request r on r.id = a.request_id
          where a.outcome = 'unknown') d
    join orders o on o.id = d.order_id
    left join doubt_step s on s.request_id = d.request_id and s.kind = 'outcome'
    where o.business_date = $1 group by 1 order by 1"""


async def doubts(stage: Stage) -> dict[str, int]:
    """Requests of the day that were in doubt, by what settled them: push, resend, inquiry, answer or person."""
    connection = await asyncpg.connect(stage.house.database_urls[OWNER].reveal())
    try:
        return {row["how"]: row["count"] for row in await connection.fetch(DOUBTS, stage.house.business_date)}
    finally:
        await connection.close()
