"""Which order a report is about: by any ClOrdID of the chain, else by the broker's number on the business date.

The business date of a report without a ClOrdID is the KST date of its TransactTime, else of the stream it came in, never of
its arrival: numbers repeat the next day, and a late report must not find tomorrow's order (P10).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.accounts.store import accounts_by_number
from service.core.clock import kst_date
from service.core.secret import AccountNumber
from service.executions.store import Waiting
from service.gateway import CancelReject, ExecutionReport, Report, Unreadable
from service.orders.numbers import Number, Place, by_cl_ord_ids, by_numbers, owner_of

Message = tuple[Waiting, Report]
Readable = ExecutionReport | CancelReject


@dataclass(frozen=True)
class Names:
    """What a batch of reports is looked up in."""

    by_name: Mapping[str, UUID]
    by_number: Mapping[Number, UUID]
    accounts: Mapping[AccountNumber, Sequence[Account]]

    def order_of(self, one: Waiting, report: Report, today: date) -> UUID | None:
        for name in _named(report):
            if name in self.by_name:
                return self.by_name[name]
        if not isinstance(report, ExecutionReport):
            return None
        return owner_of(self.by_number, places_of(self.accounts, one, report, today), report.order_id)


async def route(connection: AsyncConnection, messages: Sequence[Message], today: date) -> dict[UUID | None, list[Message]]:
    """Messages by the order they are about; None for those about no order we know. Of one that nobody can read the name of its
    request may be legible: its order shows then that somebody must look."""
    names = await _names(connection, messages, today)
    routed: dict[UUID | None, list[Message]] = {}
    for one, report in messages:
        routed.setdefault(names.order_of(one, report, today), []).append((one, report))
    return routed


def _named(report: Report) -> list[str]:
    """The requests a report names, its own first."""
    if isinstance(report, Unreadable):
        return [report.cl_ord_id] if report.cl_ord_id else []
    return [name for name in (report.cl_ord_id, report.orig_cl_ord_id) if name]


async def _names(connection: AsyncConnection, messages: Sequence[Message], today: date) -> Names:
    given = [name for _, report in messages for name in _named(report)]
    by_name = await by_cl_ord_ids(connection, given)
    nameless = [
        (one, report)
        for one, report in messages
        if isinstance(report, ExecutionReport) and by_name.keys().isdisjoint(_named(report))
    ]
    accounts = await accounts_by_number(connection, [report.account for _, report in nameless if report.account])
    places = {place for one, report in nameless for place in places_of(accounts, one, report, today)}
    return Names(by_name, await by_numbers(connection, places), accounts)


def business_date(one: Waiting, report: ExecutionReport, today: date) -> date:
    """The KST day a report speaks of."""
    return kst_date(report.transact_time) if report.transact_time else one.seq_date or today


def places_of(
    accounts: Mapping[AccountNumber, Sequence[Account]], one: Waiting, report: ExecutionReport, today: date
) -> list[Place]:
    """The accounts of that number, at any broker: a report does not always say whose it is."""
    day = business_date(one, report, today)
    return [(account.id, day) for account in accounts.get(report.account, ())] if report.account and report.order_id else []
