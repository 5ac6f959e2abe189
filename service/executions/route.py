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

    def order_of(self, one: Waiting, report: Readable, today: date) -> UUID | None:
        for name in (report.cl_ord_id, report.orig_cl_ord_id):
            if name is not None and name in self.by_name:
                return self.by_name[name]
        if isinstance(report, CancelReject):
            return None
        return owner_of(self.by_number, places_of(self.accounts, one, report, today), report.order_id)


async def route(connection: AsyncConnection, messages: Sequence[Message], today: date) -> dict[UUID | None, list[Message]]:
    """Messages by the order they are about; None for those nobody can read and those about no order we know."""
    names = await _names(connection, [(one, report) for one, report in messages if not isinstance(report, Unreadable)], today)
    routed: dict[UUID | None, list[Message]] = {}
    for one, report in messages:
        order_id = None if isinstance(report, Unreadable) else names.order_of(one, report, today)
        routed.setdefault(order_id, []).append((one, report))
    return routed


async def _names(connection: AsyncConnection, messages: Sequence[tuple[Waiting, Readable]], today: date) -> Names:
    given = [name for _, report in messages for name in (report.cl_ord_id, report.orig_cl_ord_id) if name]
    by_name = await by_cl_ord_ids(connection, given)
    nameless = [
        (one, report)
        for one, report in messages
        if isinstance(report, ExecutionReport) and not {report.cl_ord_id, report.orig_cl_ord_id} & by_name.keys()
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
