"""Who knows better: the tables by themselves (`ops.invariants`), and our books against the sandbox's.

After every step in which something was written: nothing reached the platform twice (I1), every new attempt had a mandate in
force, a manager in it and no halt against it (I5), nothing is closed here that lives there (I3), every fill of ours is one
of theirs (I4), no verdict has turned (I7). After every `EACH`th such step and at the end: every invariant of the tables
(I4, I6, conservation of cash and shares). At the end also: every answered request has its order (I2), nothing is stuck (I8),
and the books are equal but for what is said to be in doubt.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from ops.campaigns.simulation.database import Server
from ops.campaigns.simulation.upstream import Platform
from ops.invariants import ALWAYS, AT_REST
from service.core.clock import kst_date
from service.sandbox.hub import Stored
from service.sandbox.orders import STATUS_WORDS
from service.sandbox.orders import Order as TheirOrder

EACH = 12
WATCHED = frozenset({"orders", "order_request", "attempt", "fill"})
VERDICTS = frozenset({"rejected", "canceled", "expired", "filled"})

ORDERS = """
    select o.id, o.status, o.closed, o.quantity, o.price, o.filled_quantity, o.reported_quantity, o.remaining_quantity,
           o.needs_review,
           (select e.merged_into from external_order e where e.order_id = o.id) as merged,
           o.rationale, o.broker_order_number, o.broker, o.business_date, a.number as account_number, o.isin, o.side,
           (select array_agg(row(r.cl_ord_id, r.kind, r.state, r.reason)::text order by r.number) from order_request r
             where r.order_id = o.id) as requests,
           (select array_agg(r.cl_ord_id order by r.number) from order_request r where r.order_id = o.id) as ids,
           (select array_agg(r.state order by r.number) from order_request r where r.order_id = o.id) as states,
           (select array_agg(f.quantity || '@' || trim_scale(f.price) order by f.number) from fill f
             where f.order_id = o.id) as fills
    from orders o join account a on a.id = o.account_id order by o.id"""
CLAIMS = """
    select a.request_id, a.n, r.cl_ord_id, r.kind, m.status as mandate, m.starts_on, m.ends_on, o.business_date,
           exists (select from mandate_manager g where g.mandate_id = o.mandate_id and g.user_id = o.manager_id
                   and g.revoked_at is null) as assigned,
           (select count(*) from halt h where h.released_at is null and (h.scope = 'firm'
                or (h.scope, h.target) in (('broker', o.broker), ('account', o.account_id::text), ('instrument', o.isin),
                                           ('manager', o.manager_id::text)))) as halts
    from attempt a join order_request r on r.id = a.request_id join orders o on o.id = r.order_id
    left join mandate m on m.id = o.mandate_id order by a.request_id, a.n"""
HELD = """
    select from inbox where state = 'unmatched' and reason = 'may-be-ours'
        and (to_char(seq_date, 'YYYYMMDD'), seq) in (select * from unnest($1::text[], $2::bigint[])) limit 1"""
ASIDE = """
    select to_char(seq_date, 'YYYYMMDD') as day, seq from inbox
    where state not in ('waiting', 'applied') and reason <> 'may-be-ours' and seq is not null"""
LISTED_FIRST = """
    select from audit.record s join audit.record r on r.subject_kind = s.subject_kind and r.subject_id = s.subject_id
    where s.subject_kind = 'order' and s.subject_id = $1 and s.kind = 'order.sighted' and r.kind = 'order.reported'
        and r.subject_seq > s.subject_seq and convert_from(s.body, 'UTF8')::jsonb -> 'data' ->> 'ended' is not null limit 1"""


def _union(statements: Mapping[str, str]) -> str:
    return " union all ".join(
        f"select '{name.replace(chr(39), chr(39) * 2)}', * from ({sql}) as q{i}(which, what)"
        for i, (name, sql) in enumerate(statements.items())
    )


TABLES = _union(ALWAYS)


@dataclass
class Oracle:
    """One seed's."""

    server: Server
    platform: Platform
    violations: list[str] = field(default_factory=list)
    checks: int = 0
    _claims: set[Any] = field(default_factory=set)
    _verdicts: dict[Any, tuple[str, int]] = field(default_factory=dict)

    def say(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)

    def after_transaction(self) -> None:
        """Called when a transaction has ended; looks when something was written."""
        written = self.server.written & WATCHED
        self.server.written.clear()
        if not written:
            return
        self.checks += 1
        self._sent_once()
        if "attempt" in written:
            self._claimed_rightly()
        self._orders()
        if self.checks % EACH == 0:
            self.tables()

    def _sent_once(self) -> None:
        for cl_ord_id, count in self.platform.world.received.items():
            if count > 1 and cl_ord_id:
                self.say(f"I1: {cl_ord_id} reached the platform {count} times")

    def _claimed_rightly(self) -> None:
        for one in self.server.ask(CLAIMS):
            key = (one["request_id"], one["n"])
            if key in self._claims:
                continue
            self._claims.add(key)
            if one["kind"] == "cancellation":
                continue
            term = one["starts_on"] <= one["business_date"] and (one["ends_on"] is None or one["business_date"] <= one["ends_on"])
            if one["mandate"] != "in_force" or not term or not one["assigned"]:
                self.say(f"I5: {one['cl_ord_id']} was claimed without a mandate in force")
            if one["halts"]:
                self.say(f"I5: {one['cl_ord_id']} was claimed under a halt")

    def _orders(self) -> None:
        for one in self.server.ask(ORDERS):
            theirs = self._theirs(one)
            self._verdict(one, theirs)
            if theirs is not None and one["closed"] and theirs.live and not theirs.busted:  # a bust we are yet to hear of
                self.say(f"I3: {_called(one)} is closed here as {one['status']} and lives there with {theirs.leaves}")
            if theirs is None and one["states"] and one["states"][0] == "acknowledged":
                self.say(f"I3: {_called(one)} is acknowledged here and unknown there")
            mine, real = Counter(_plain(one["fills"])), Counter(_fills(theirs, ever=True))
            if mine - real:
                self.say(f"I4: {_called(one)} has fills nobody made: {dict(mine - real)}")

    def _verdict(self, one: Any, theirs: TheirOrder | None) -> None:
        if one["merged"] is not None:
            return  # it was ours all the time: its verdict is the one it has there
        was, filled = self._verdicts.get(one["id"], (None, 0))
        shown = _word(one["status"])
        # The broker's word that a change is under way outranks Filled, also where a list told of the fill before.
        pending = {"pending_replace"} | ({"pending_cancel"} if was == "filled" else set())
        same = was is not None and one["closed"] and (shown in {_word(was), *pending} or _lowered(one, was, filled))
        if was is not None and not same and not self._busted(one, theirs):
            self.say(f"I7: {_called(one)} was {was} and is {one['status']}{'' if one['closed'] else ', open'}")
        if one["closed"] and one["status"] in VERDICTS:
            self._verdicts[one["id"]] = (one["status"], one["filled_quantity"])

    def _busted(self, one: Any, theirs: TheirOrder | None) -> bool:
        """Here, or there: a list may show an order without the fill that was taken back, before the resend tells both."""
        return bool(theirs and theirs.busted) or any(text.startswith("-") for text in one["fills"] or ())

    def _theirs(self, one: Any) -> TheirOrder | None:
        """Ours by its first ClOrdID, a stranger's by the broker's number."""
        if one["ids"]:
            found = self.platform.world.by_ref.get(one["ids"][0])
            return found[1] if found else None
        number = (one["broker_order_number"] or "").lstrip("0")
        brokers = (broker for broker in self.platform.world.brokers.values() if broker.profile.code == one["broker"])
        whose = (one["account_number"], one["business_date"])  # the same numbers come again the next day
        listed = (order for broker in brokers for order in broker.orders if (order.account, order.business_date) == whose)
        return next((order for order in listed if number in {str(row.order_no) for row in order.rows}), None)

    def tables(self) -> None:
        for name, which, what in self.server.ask(TABLES):
            self.say(f"{name}: {which}: {what}")

    # --- the end

    def at_end(self, answered: Mapping[str, str], now: datetime) -> int:
        """Everything once more, and the comparison. Returns how many orders are said to be in doubt."""
        self.tables()
        self._sent_once()
        self._orders()
        rows = self.server.ask(ORDERS)
        self._answered(rows, answered)
        doubts = [one for one in rows if _doubt(one) or _mistaken(one, rows)]
        self._rest(
            now, {str(one["id"]) for one in doubts} | {cl for one in doubts for cl in one["ids"] or () if not one["closed"]}
        )
        for one in rows:
            if one not in doubts:
                self._equal(one)
        ours = {cl for one in rows for cl in one["ids"] or ()}
        adopted = {theirs.ref for one in rows if not one["ids"] and (theirs := self._theirs(one)) is not None}
        for ref, (_, theirs) in self.platform.world.by_ref.items():
            if ref not in ours | adopted and not self._unheard_of(theirs) and not self._held(theirs, doubts, now):
                self.say(f"I3: {ref} is there and not here")
        return len(doubts)

    def _unheard_of(self, theirs: TheirOrder) -> bool:
        """A client's own order that came and went without a trade, of which every report was lost: it has moved nothing, and
        nobody asks about accounts in which nothing of ours lives."""
        return theirs.placed_by == "client" and not theirs.fills and not theirs.live and not self._told(theirs)

    def _held(self, theirs: TheirOrder, doubts: list[Any], now: datetime) -> bool:
        """A stranger of today whose reports wait in sight, because an order of ours that is in doubt may be this one. It is
        adopted when its day is over: what is of an earlier day has no such excuse."""
        whose = (theirs.account, theirs.instrument.isin, theirs.side)
        near = any((one["account_number"], one["isin"], one["side"]) == whose and not one["closed"] for one in doubts)
        told = self._told(theirs)
        waits = self.server.ask(HELD, [one.day for one in told], [one.seq for one in told]) if told else []
        return near and theirs.business_date == kst_date(now) and bool(waits)

    def _told(self, theirs: TheirOrder) -> list[Stored]:
        """The reports about it that nothing lost and somebody can read."""
        gone = self._unheard()
        stored = (one for day in self.platform.world.hub.stored.values() for one in day)
        about = ((one, one.message["Body"]) for one in stored if (one.day, one.seq) not in gone)
        numbers = {str(row.order_no) for row in theirs.rows}
        return [one for one, body in about if body["Account"] == theirs.account and str(body["OrderID"]).lstrip("0") in numbers]

    def _answered(self, rows: list[Any], answered: Mapping[str, str]) -> None:
        """Each client's intent has at most one order, and exactly the one that was told."""
        by_intent: dict[str, list[str]] = {}
        for one in rows:
            by_intent.setdefault(one["rationale"] or "", []).append(str(one["id"]))
        for intent, ids in by_intent.items():
            if intent and len(ids) > 1:
                self.say(f"I1: {intent} became {len(ids)} orders")
        for intent, order_id in answered.items():
            if by_intent.get(intent) != [order_id]:
                self.say(f"I2: {intent} was answered as {order_id} and is {by_intent.get(intent)}")

    def _rest(self, now: datetime, doubted: set[str]) -> None:
        for name, sql in AT_REST.items():
            for row in self.server.ask(sql, *((now,) if "$1" in sql else ())):
                if row[0] not in doubted:
                    self.say(f"I8: {name}: {row[0]}: {row[1]}")

    def _equal(self, one: Any) -> None:
        theirs = self._theirs(one)
        name = f"{_called(one)} {one['requests']}"
        if one["merged"] is not None:
            return  # taken for a stranger's, and found to be ours since
        if not one["ids"] and theirs is not None and theirs.placed_by == "service":
            self.say(f"I3: {theirs.ref} is ours and stands as a stranger's")
        if theirs is None:
            if one["filled_quantity"] or not one["closed"]:
                self.say(f"books: {name} is {one['status']} here and was never there")
            return
        if self._rejected_by_its_amendment(one, theirs):
            return
        if sorted(_plain(one["fills"])) != sorted(_fills(theirs)):
            self.say(f"I4: {name}: fills {_plain(one['fills'])} here, {_fills(theirs)} there")
        mine = (one["remaining_quantity"], _word(one["status"]))
        real = (theirs.leaves, _word(STATUS_WORDS.get(theirs.status, theirs.status)))
        if mine != real and not self._told_late(one["id"], theirs, mine, real):
            self.say(f"books: {name}: {mine} here, {real} there")
        terms = (one["quantity"], one["price"] if theirs.price is not None else None)
        theirs_now = (theirs.ordered, None if theirs.price is None else Decimal(theirs.price))
        if terms != theirs_now and not (one["closed"] and terms[1] == theirs_now[1] and self._lost(theirs, "D")):
            self.say(f"books: {name}: {terms} here, {(theirs.ordered, theirs.price)} there (quantity, price)")

    def _told_late(self, order_id: Any, theirs: TheirOrder, mine: tuple[int, str], real: tuple[int, str]) -> bool:
        """Whether both say that it is over with the same fills, and the report that tells why was lost, or came when a list had
        ended the order: a list at night shows that an order is gone, not whether it was rejected after all or lowered to what
        it had executed."""
        why = {"rejected": "8", "filled": "5D"}.get(real[1], "")
        if mine != (0, "expired") or real[0] != 0 or not why:
            return False
        return self._lost(theirs, why) or bool(self.server.ask(LISTED_FIRST, str(order_id)))

    def _rejected_by_its_amendment(self, one: Any, theirs: TheirOrder) -> bool:
        """A late rejection names the order by its amendment. Where that amendment's confirmation is lost for good, it reads as
        the amendment's own refusal, and the broker's list shows just that: the order is over without a trade that holds either
        way."""
        over = one["closed"] and not _plain(one["fills"]) and not theirs.fills
        return bool(over) and theirs.ended_by == "late_reject" and self._lost(theirs, "5")

    def _unheard(self) -> set[tuple[str, int]]:
        """Of the stored reports those which no resend has, or which came so that nobody can read them or say whose they are."""
        return self.platform.world.hub.forgotten | {(one["day"], one["seq"]) for one in self.server.ask(ASIDE)}

    def _lost(self, theirs: TheirOrder, exec_types: str) -> bool:
        """Whether a report of such a type about this order was lost."""
        hub = self.platform.world.hub
        unheard = self._unheard()
        gone = [one.message for day in hub.stored.values() for one in day if (one.day, one.seq) in unheard]
        chain = {*theirs.cl_ord_ids, theirs.ref}
        bodies = [message["Body"] for message in (*hub.lost, *gone)]
        about = (one for one in bodies if {one.get("ClOrdID"), one.get("OrigClOrdID")} & chain)
        return any(one.get("ExecType", "9") in exec_types for one in about)


def _lowered(one: Any, was: str, filled: int) -> bool:
    """It was over with these fills before, and an amendment of which we heard late says that it was all there was to fill."""
    return (was, one["status"]) == ("expired", "filled") and filled == one["filled_quantity"] == one["quantity"]


def _called(one: Any) -> str:
    return str(one["ids"][0]) if one["ids"] else f"stranger {one['broker_order_number']}"


def _doubt(one: Any) -> bool:
    """Shown as open: an outcome or fills that are missing, or a difference that nobody explained and a person is to look at."""
    missing = "unknown" in (one["states"] or ()) or one["reported_quantity"] > one["filled_quantity"]
    return missing or one["needs_review"] is not None


def _mistaken(one: Any, rows: list[Any]) -> bool:
    """The platform took it and nobody acknowledged it, and what a list shows may as well be its twin, which is in doubt."""
    named = ("account_number", "business_date", "isin", "side", "quantity", "price")
    twins = (other for other in rows if other["id"] != one["id"] and all(other[name] == one[name] for name in named))
    return (one["states"] or ("",))[0] == "sent" and any(_doubt(other) for other in twins)


def _plain(fills: Any) -> list[str]:
    """Fills that stand: a reversal takes its fill with it."""
    standing: Counter[str] = Counter(text for text in fills or () if not text.startswith("-"))
    standing.subtract(text[1:] for text in fills or () if text.startswith("-"))
    return sorted(standing.elements())


def _fills(theirs: TheirOrder | None, *, ever: bool = False) -> list[str]:
    """What stands; with `ever` also what was busted or corrected since: we may be yet to hear of that."""
    if theirs is None:
        return []
    gone = (*theirs.busted, *theirs.corrected) if ever else ()
    return sorted(f"{fill.quantity}@{fill.price}" for fill in (*theirs.fills, *gone))


def _word(status: str) -> str:
    return {"cancelled": "canceled", "done_for_day": "expired"}.get(status, status)
