"""The state of every part (`GET /v1/status`), from tables: whatever process answers says the same, its own clock apart.

Each part has `ok` and, when it is not, `what_now`: what a person can do.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls import store as controls
from service.controls.model import CLOCK_ALARM
from service.core.clock import KST, Clock, kst_date
from service.core.errors import ServiceError
from service.executions import store as executions
from service.infra import jobs
from service.market.store import is_open
from service.orders import doubt_store
from service.orders import store as orders

Part = dict[str, Any]
SHOWN = 50  # halts and locks on the page
A_MINUTE_S = 60
UNSEEN = timedelta(minutes=2)  # an account with live orders is looked at every 50 s, again after 5 s what failed
BEGINS_WITHIN = timedelta(minutes=10)  # of its first slot a daily job begins, where a worker runs
Budgets = Callable[[], Awaitable[dict[str, dict[str, int]]]]


@dataclass(frozen=True)
class Named:
    """Orders a page may name to whoever reads it."""

    reviews: Sequence[tuple[UUID, str]]
    outlived: Sequence[UUID]
    in_doubt: Sequence[UUID]


async def named(connection: AsyncConnection, clock: Clock) -> Named:
    """Those of the books that are open: the page is for every role, another manager's orders are not."""
    today = kst_date(clock.now())
    return Named(
        reviews=await orders.reviews(connection, SHOWN),
        outlived=await orders.outlived(connection, today, SHOWN),
        in_doubt=await orders.in_doubt(connection, SHOWN),
    )


async def status(
    connection: AsyncConnection,
    *,
    clock: Clock,
    brokers: Sequence[str],
    budgets: Budgets,
    licensed: bool,
    names: Named,
) -> dict[str, Any]:
    """Every part. The connection must see all books. `names`: what the reader may be told by name."""
    parts = {
        "database": {"ok": True},
        "licence": _licence(licensed),
        "clock": await _clock(connection),
        "stream": await _stream(connection),
        "messages": await _messages(connection),
        "orders": await _orders(connection, kst_date(clock.now()), names),
        "brokers": await _brokers(connection, brokers),
        "halts": await _halts(connection),
        "sweeps": await _sweeps(connection, clock.now()),
        "budgets": await _budgets(budgets),
        "jobs": await _jobs(connection, clock.now()),
    }
    now = clock.now()
    return {
        "ok": all(part["ok"] for part in parts.values()),
        "business_time": now.astimezone(KST).isoformat(timespec="seconds"),
        "business_date": kst_date(now).isoformat(),
        **parts,
    }


def _licence(licensed: bool) -> Part:
    if licensed:
        return {"ok": True}
    return {"ok": False, "what_now": "Set ILIM_LICENCE_NUMBER and ILIM_LICENCE_VALID_UNTIL; until then orders are refused."}


async def _clock(connection: AsyncConnection) -> Part:
    """This replica's clock beside the database's; each worker tells of its own."""
    present = await controls.gate(connection, None)
    ahead = present.clock_ahead
    part: Part = {"ok": abs(ahead) <= CLOCK_ALARM, "ahead_ms": ahead // timedelta(milliseconds=1)}
    if part["ok"]:
        return part
    said = "New orders and amendments are refused; cancellations pass. " if present.clock_wrong else ""
    return part | {"what_now": f"{said}Set this machine's clock or the database's right (NTP)."}


async def _stream(connection: AsyncConnection) -> Part:
    gates = {one.com_id: one for one in await controls.stream_gates(connection)}
    shown = [await _one_stream(connection, one, gates.get(one["com_id"])) for one in await executions.stream_states(connection)]
    seen = bool(shown) and all(one["state"] == "live" for one in shown)
    part: Part = {"ok": seen, "streams": shown, "cluster_epoch": (await controls.gate(connection, None)).cluster_epoch}
    if seen:
        return part
    return part | {
        "what_now": "New orders and amendments wait, then are refused; cancellations pass. A worker must run and reach the "
        "platform's report stream and its inquiries; see its log."
    }


async def _one_stream(connection: AsyncConnection, state: dict[str, Any], gate: controls.StreamGate | None) -> Part:
    """What the reader said last, unless it has fallen silent: then its lease is over and the stream is lost."""
    present = await controls.gate(connection, state["com_id"])
    since = present.blind_since or (gate.since if gate else state["changed_at"])
    return {
        "com_id": state["com_id"],
        "state": _stream_state(gate, present.blind),
        "since": since.isoformat(),
        "disconnects": state["disconnects"],
    }


def _stream_state(gate: controls.StreamGate | None, blind: bool) -> str:
    if not blind:
        return "live"
    return "lost" if gate is None or gate.open else gate.why


async def _messages(connection: AsyncConnection) -> Part:
    counts = await executions.inbox_counts(connection)
    troubled = {name: counts.get(name, 0) for name in ("parked", "quarantined", "unmatched")}
    part: Part = {"ok": not any(troubled.values()), "waiting": counts.get("waiting", 0), **troubled}
    return part if part["ok"] else part | {"what_now": "Look at each: ilim messages list. It was kept whole and changed nothing."}


async def _orders(connection: AsyncConnection, today: date, names: Named) -> Part:
    counts, review, external = (
        await orders.counts(connection),
        await orders.to_review(connection),
        await orders.external_open(connection),
    )
    outlived = await orders.outlived(connection, today, SHOWN)
    part: Part = {
        "ok": not counts.get("unknown") and not review and not outlived,
        "requests": counts,
        "oldest_unknown_since": since.astimezone(KST).isoformat() if (since := await orders.oldest_unknown(connection)) else None,
        "in_doubt": [str(one) for one in names.in_doubt],
        "needs_review": review,
        "reviews": [{"order": str(one), "why": why} for one, why in names.reviews],
        "waiting_for_second_person": await doubt_store.undecided(connection),
        "external": external,
        "outlived": [str(one) for one in names.outlived],
    }
    return part if part["ok"] else part | {"what_now": _about_orders(review, outlived, counts.get("unknown", 0))}


def _needed(said: Mapping[str, object]) -> str:
    return " ".join(sentence for sentence, needed in said.items() if needed)


def _about_orders(review: int, outlived: Sequence[UUID], unknown: int) -> str:
    said = {
        "Look at each order under reviews: a message about it is set aside (ilim messages list), or the broker "
        "took back an execution that nobody told here, or his list shows it otherwise: ask the broker.": review,
        "Ask the broker about each order under outlived: its day is over, and nothing tells how it ended.": outlived,
        "Requests with an unknown outcome are being asked for; send nothing again. Where in_doubt of an order (the page "
        "names those of your books) names a person as owner, two people decide.": unknown,
    }
    return _needed(said)


async def _brokers(connection: AsyncConnection, brokers: Sequence[str]) -> Part:
    open_by_broker = await orders.open_by_broker(connection)
    locks = await controls.locks_page(connection, standing=True, limit=SHOWN, before=None)
    locked = [
        {"id": str(one.id), "broker": one.broker, "since": one.since.astimezone(KST).isoformat(), "message": one.message,
         "field": one.field, "what": one.what}
        for one in locks
    ]  # fmt: skip
    part: Part = {"ok": not locked, "open_orders": {one: open_by_broker.get(one, 0) for one in brokers}, "locked": locked}
    if not locked:
        return part
    return part | {
        "what_now": "A locked broker gets no new orders; cancellations pass. See docs/operating.md, when a broker is locked."
    }


async def _halts(connection: AsyncConnection) -> Part:
    """What stands, without whom it names: the page is for every role."""
    standing = await controls.halts_page(connection, standing=True, limit=SHOWN, before=None)
    shown = [{"id": str(one.id), "scope": one.scope, "since": one.set_at.astimezone(KST).isoformat()} for one in standing]
    part: Part = {"ok": not shown, "standing": shown}
    return part if not shown else part | {"what_now": "Somebody of operations other than who set a halt releases it."}


async def _sweeps(connection: AsyncConnection, now: datetime) -> Part:
    """How often accounts with live orders are looked at: within a minute of market time while the day's calls carry it, and
    their brokers answer whole."""
    last = await executions.last_round(connection)
    if last is None:
        return {"ok": True, "accounts": 0, "every_seconds": None, "oldest_at": None}
    oldest: datetime | None = last["oldest_at"]
    slow, unseen = last["every_s"] > A_MINUTE_S, oldest is not None and now - oldest > UNSEEN
    part: Part = {
        "ok": not slow and not unseen,
        "accounts": last["accounts"],
        "every_seconds": last["every_s"],
        "oldest_at": oldest.astimezone(KST).isoformat() if oldest else None,
    }
    return part if part["ok"] else part | {"what_now": _about_sweeps(slow, unseen)}


def _about_sweeps(slow: bool, unseen: bool) -> str:
    said = {
        "A lost fill is found later than in a minute: the routine share of calls carries no more.": slow,
        "No complete inquiry of at least one account with live orders since oldest_at: a lost fill is not found meanwhile. A "
        "worker must run; sweep.incomplete in its log names the broker, the account and the reason.": unseen and not slow,
    }
    return _needed(said)


async def _budgets(budgets: Budgets) -> Part:
    try:
        left = await budgets()
    except ServiceError as error:
        return {"ok": False, "what_now": error.detail}
    empty = sorted(name for name, classes in left.items() if classes.get("order") == 0)
    part: Part = {"ok": not empty, "calls_left": left}
    return part if not empty else part | {"what_now": f"The day's calls are used up for {', '.join(empty)}."}


async def _jobs(connection: AsyncConnection, now: datetime) -> Part:
    """Today's: what came of an earlier day's reading stops nobody any more, at a week-end neither."""
    last, today = await jobs.last_runs(connection), kst_date(now)
    shown = {
        one.job: {"slot": one.slot.astimezone(KST).isoformat(timespec="minutes"), "outcome": one.outcome or "running"}
        for one in last
    }
    begun = {one.job: one.outcome for one in last if kst_date(one.slot) == today}
    opened = await is_open(connection, today)
    due = [job for job, first in jobs.FIRST.items() if now - datetime.combine(today, first, KST) >= BEGINS_WITHIN]
    said = {
        "Incomplete: {}. The next slot tries again.": [job for job, said in begun.items() if said == "incomplete"],
        "Failed: {}; tried again each second. worker.job_failed in a worker's log says why.": [
            job for job, said in begun.items() if said == jobs.FAILED
        ],
        "Not begun today: {}. A worker must run whose clock is right; see its log.": [
            job for job in due if opened and job not in begun
        ],
        "Whether {} is a trading day is not known, so nothing was read for it: extend the calendar.": [
            today.isoformat() for _ in [opened] if opened is None
        ],
    }
    wrong = " ".join(words.format(", ".join(sorted(named))) for words, named in said.items() if named)
    part: Part = {"ok": not wrong, "last": shown}
    return part | {"what_now": wrong} if wrong else part
