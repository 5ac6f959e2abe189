"""What must be true of the tables at any time (P34), as SQL: each statement finds what is not.

`python -m ops.invariants URL [--now 2026-11-23T20:10:00+09:00]` prints violations and ends with status 1 if there are any.
URL belongs to a login that sees every row (a superuser, or `ilim_owner`). With `--now`, the business time of a moment at
which nothing is under way, it also finds what is stuck.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

ALWAYS: dict[str, str] = {
    "one send per request (P2)": """
        select request_id::text as which, count(*) || ' attempts may have been sent' as what from attempt
        where outcome is null or outcome <> 'not_sent' group by request_id having count(*) > 1""",
    "a queued request was never sent": """
        select r.cl_ord_id, 'an attempt says ' || coalesce(a.outcome, 'nothing') from order_request r
        join attempt a on a.request_id = r.id where r.state = 'queued' and a.outcome is distinct from 'not_sent'""",
    "what is on its way or sent has an attempt": """
        select r.cl_ord_id, r.state || ' without an attempt' from order_request r
        where r.state in ('sending', 'sent', 'unknown') and not exists (
            select from attempt a where a.request_id = r.id and a.outcome is distinct from 'not_sent')""",
    "executed is the sum of fills (P7)": """
        select o.id::text, o.filled_quantity || ' against ' || coalesce(sum(f.quantity), 0) from orders o
        left join fill f on f.order_id = o.id group by o.id
        having o.filled_quantity <> coalesce(sum(f.quantity), 0)
            or o.filled_amount <> coalesce(sum(f.quantity * f.price), 0)""",
    "executed at most ordered, remaining is the rest": """
        select id::text, format('%s of %s executed, %s remaining', filled_quantity, quantity, remaining_quantity) from orders
        where filled_quantity > quantity
            or remaining_quantity not in (0, quantity - greatest(filled_quantity, reported_quantity))""",
    "a broker's number belongs to one order of an account and day (P10)": """
        select min(id::text), format('%s on %s has number %s, so have %s others', account_id, business_date,
                                     ltrim(broker_order_number, '0'), count(*) - 1)
        from orders where ltrim(broker_order_number, '0') <> ''
        group by account_id, business_date, ltrim(broker_order_number, '0') having count(*) > 1""",
    "fills are numbered without gap, from reports or rows we hold": """
        select order_id::text, 'numbers ' || string_agg(number::text, ',' order by number) from fill
        group by order_id having count(*) <> max(number) or min(number) <> 1""",
    "no fill is undone beyond what it was": """
        select r.id::text, 'undoes ' || r.quantity from fill r join fill f on f.id = r.reverses
        where r.quantity <> -f.quantity or r.order_id <> f.order_id""",
    "a closed order holds nothing and nothing of it can trade": """
        select id::text, format('%s cash, %s shares, %s remaining', reserved_cash, reserved_quantity, remaining_quantity)
        from orders where closed and (reserved_cash <> 0 or reserved_quantity <> 0 or remaining_quantity <> 0)""",
    "an open sale holds back what it may sell": """
        select id::text, format('%s held for %s', reserved_quantity, remaining_quantity) from orders
        where not closed and side = 'sell'
            and reserved_quantity <> remaining_quantity + greatest(reported_quantity - filled_quantity, 0)""",
    "an open purchase holds back its price": """
        select id::text, format('%s held for %s', reserved_cash, remaining_quantity) from orders
        where not closed and side = 'buy' and reserved_cash < remaining_quantity * coalesce(price, limit_price)""",
    "cash held back is what open orders of the day hold back": """
        select c.account_id::text, format('%s against %s', c.reserved, coalesce(sum(o.reserved_cash), 0)) from cash c
        left join orders o on o.account_id = c.account_id and o.business_date = c.opened_on
        group by c.account_id having c.reserved <> coalesce(sum(o.reserved_cash), 0)""",
    "shares held back are what open sales of the day hold back": """
        select h.account_id || ' ' || h.isin, format('%s against %s', h.reserved_sell, coalesce(sum(o.reserved_quantity), 0))
        from holding h left join orders o
            on o.account_id = h.account_id and o.isin = h.isin and o.business_date = h.opened_on
        group by h.account_id, h.isin having h.reserved_sell <> coalesce(sum(o.reserved_quantity), 0)""",
    "cash moved as the day's fills and their costs": """
        select c.account_id::text, format('bought %s, sold %s, costs %s', c.bought, c.sold, c.costs) from cash c
        where c.bought <> (select coalesce(sum(amount), 0) from fill f
                           where f.account_id = c.account_id and f.business_date = c.opened_on and f.side = 'buy')
           or c.sold <> (select coalesce(sum(amount), 0) from fill f
                         where f.account_id = c.account_id and f.business_date = c.opened_on and f.side = 'sell')
           or c.costs <> (select coalesce(sum(commission + taxes), 0) from trade_cost t
                          where t.account_id = c.account_id and t.business_date = c.opened_on)""",
    "shares moved as the day's fills": """
        select h.account_id || ' ' || h.isin, format('bought %s, sold %s', h.bought, h.sold) from holding h
        where h.bought <> (select coalesce(sum(quantity), 0) from fill f where f.account_id = h.account_id
                           and f.isin = h.isin and f.business_date = h.opened_on and f.side = 'buy')
           or h.sold <> (select coalesce(sum(quantity), 0) from fill f where f.account_id = h.account_id
                         and f.isin = h.isin and f.business_date = h.opened_on and f.side = 'sell')""",
    "the ledger has one entry for each version of an order, without gap": """
        select o.id::text, format('version %s, sequence %s, %s entries up to %s',
                                  o.version, o.audit_seq, count(r.record_id), max(r.subject_seq))
        from orders o left join audit.record r on r.subject_kind = 'order' and r.subject_id = o.id::text
        group by o.id having count(r.record_id) <> o.audit_seq or max(r.subject_seq) is distinct from o.audit_seq
            or o.version <> o.audit_seq""",
    "no entry of the ledger was changed, taken out or put in besides (P29)": """
        select coalesce(r.arrived, p.arrived)::text, case when r.arrived is null then 'its entry is gone'
               when p.arrived is null then 'it was never queued' else 'its body is not the one that was queued' end
        from audit.record r full join audit.pending p using (record_id)
        where r.leaf_hash is distinct from p.leaf_hash or r.arrived is distinct from p.arrived""",
    "what is closed on absence was closed by two people on a final inquiry (P3)": """
        select r.cl_ord_id, 'closed on absence alone' from order_request r
        where r.state = 'refused' and r.reason = 'closed-on-absence' and not exists (
            select from doubt_decision d join doubt_step s on s.request_id = d.request_id and s.evidence = d.evidence and s.final
            where d.request_id = r.id and d.conclusion = 'not_sent' and d.decision = 'confirmed'
                and d.decided_by <> d.proposed_by and d.decided_by is distinct from d.maker)""",
    "an applied message is a report of an order, and no other is": """
        select i.raw_id::text, i.state from inbox i left join order_report p on p.raw_id = i.raw_id
        where (i.state = 'applied') <> (p.raw_id is not null)""",
}

# Kind, subject and number stand beside the bytes that were hashed; in those they have one place, as keys are sorted. Apart from
# the others, which simulated days ask every few steps: this one reads every body.
FILED: dict[str, str] = {
    "no entry of the ledger was filed elsewhere, or put in another order (P29)": """
        select arrived::text, case when elsewhere then 'it is filed otherwise than it says'
                                   else 'it came before the entry it is numbered after' end
        from (select r.arrived,
                     r.arrived < lag(r.arrived) over (partition by subject_kind, subject_id order by subject_seq) as early,
                     r.leaf_hash = p.leaf_hash and (
                         position(convert_to(',"kind":"' || kind || '","request_id":', 'UTF8') in body) = 0 or case subject_kind
                             when 'entry' then (subject_id, subject_seq) <> (r.record_id::text, 1)
                             else position(convert_to('{"about":["' || subject_kind || '","' || subject_id || '"],', 'UTF8')
                                           in body) <> 1 end) as elsewhere
              from audit.record r join audit.pending p using (record_id)) filed
        where elsewhere or early""",
}

AT_REST: Mapping[str, str] = {
    "no request waits or is on its way": """
        select cl_ord_id, state from order_request where state in ('queued', 'sending')""",
    "no message waits": "select raw_id::text, state from inbox where state = 'waiting'",
    "every attempt has its outcome": "select request_id::text, sender from attempt where outcome is null",
    "an order that has ended has no request open": """
        select r.cl_ord_id, r.state from order_request r join orders o on o.id = r.order_id
        where o.closed and r.state in ('queued', 'sending', 'sent', 'unknown')""",
    # Only an order whose sending is in doubt, or whose executions are not accounted for, may outlive its session.
    "orders of an ended session are closed, or in doubt": """
        select o.id::text, o.status || ' since ' || o.session_ends from orders o
        where not o.closed and o.session_ends <= $1 and o.reported_quantity <= o.filled_quantity and not exists (
            select from order_request r where r.order_id = o.id and r.kind = 'new' and r.state in ('sent', 'unknown'))""",
}


@dataclass(frozen=True)
class Violation:
    """One row that should not be."""

    invariant: str
    which: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.which}: {self.what}"


async def violations(url: str, at_rest: datetime | None = None) -> list[Violation]:
    """Everything that is not as it must be, in one snapshot."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await found_by(connection, at_rest)
    finally:
        await connection.close()


async def found_by(connection: asyncpg.Connection, at_rest: datetime | None = None) -> list[Violation]:
    """The same through a connection of the caller's, in whatever snapshot it has."""
    found = [Violation(name, *row) for name, sql in (ALWAYS | FILED).items() for row in await connection.fetch(sql)]
    for name, sql in AT_REST.items() if at_rest is not None else ():
        given = (at_rest,) if "$1" in sql else ()
        found += [Violation(name, *row) for row in await connection.fetch(sql, *given)]
    return found


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m ops.invariants", description=__doc__)
    words.add_argument("url", help="PostgreSQL, by a login that sees every row")
    words.add_argument("--now", type=datetime.fromisoformat, help="business time at which nothing is under way")
    given = words.parse_args()
    found = asyncio.run(violations(given.url, given.now))
    for one in found:
        print(one)
    print(f"{len(ALWAYS | FILED) + (len(AT_REST) if given.now else 0)} invariants, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
