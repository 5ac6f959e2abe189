"""Adopt what we did not send: the client's own trading, an exchange's orders (P13).

An external order is a row of `orders` that belongs to no manager. It changes the account's sellable quantity and cash like any
other, and nobody amends or cancels it here. Adoption waits as long as the order could be one of ours whose acknowledgement
was lost, but not beyond its day: then the next opening contains what it did, and the order of ours stays in doubt beside it.
And it waits until the account's day is open: a balance taken later would already contain it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.model import Account
from service.accounts.store import accounts_by_number, cash_of
from service.audit import append
from service.core.clock import kst_date
from service.core.ids import uuid7
from service.executions import store
from service.executions.route import business_date
from service.executions.store import Waiting
from service.executions.strangers import Terms, external_order, may_be_ours, session_of, terms_of_report
from service.gateway import CancelReject, ExecutionReport, Gateway
from service.infra.metrics import counter
from service.market.calendar import Calendar
from service.market.store import find_by_short_code, find_instrument, instrument_days
from service.orders import store as orders
from service.orders.model import Order
from service.orders.numbers import bare, by_numbers

log = structlog.get_logger()

WHAT_NOW = "Not sent by this service, adopted as external: ask the client or the broker who gave it."
ADOPTED = counter("ilim_external_orders", "Orders adopted that nobody here sent", [])


@dataclass(frozen=True)
class Held:
    """Not now: looked at again when more is known."""

    reason: str


@dataclass(frozen=True)
class Hopeless:
    """Never: a person has to look."""

    reason: str


async def adopt_reported(
    connection: AsyncConnection, one: Waiting, report: ExecutionReport | CancelReject, calendar: Calendar, gateway: Gateway,
    now: datetime,
) -> Order | Held | Hopeless:  # fmt: skip
    """The order a stranger's report is about, adopted if need be and locked; or why not."""
    if isinstance(report, CancelReject):
        return Hopeless("refuses-a-request-that-is-not-ours")
    day = business_date(one, report, kst_date(now))
    account = await _account(connection, report, gateway)
    if account is None:
        # Accounts are listed every morning: until the day is over it may still turn up.
        return Held("unknown-account") if day >= kst_date(now) and report.account else Hopeless("unknown-account")
    isin, code = await instrument_of(connection, report.isin, report.short_code)
    terms = terms_of_report(report, isin, code)
    if isinstance(terms, str):
        return Held(terms) if terms == "no-broker-number" and day >= kst_date(now) else Hopeless(terms)
    return await adopt(connection, account, day, terms, one.raw_id, calendar, now)


async def adopt(
    connection: AsyncConnection, account: Account, day: date, terms: Terms, evidence: UUID, calendar: Calendar, now: datetime
) -> Order | Held:
    """One at a time per account. What may be ours is looked at before its number is: whoever gives an order its number
    closes the request in the same transaction, so one of the two looks sees it."""
    await store.lock_adoption(connection, account.id)
    lives = day >= kst_date(now)
    under_way = await orders.orders_under_way(connection, account.id, day) if lives else []
    unnumbered = await orders.unnumbered_orders(connection, account.id, day) if lives else []
    if may_be_ours(under_way, unnumbered, terms):
        return Held("may-be-ours")
    known = (await by_numbers(connection, [(account.id, day)])).get((account.id, day, bare(terms.number) or ""))
    if known is not None:
        order = await orders.load(connection, known, lock=True)
        assert order is not None  # noqa: S101 - nothing deletes orders
        return order
    cash = await cash_of(connection, account.id)
    if lives and (cash is None or cash.opened_on < day):
        return Held("no-opening-balance")
    return await _add(connection, account, day, terms, evidence, calendar, now)


async def _add(
    connection: AsyncConnection, account: Account, day: date, terms: Terms, evidence: UUID, calendar: Calendar, now: datetime
) -> Order:
    bounds = session_of(calendar, day, terms.at)
    master = (await instrument_days(connection, [terms.isin], day)).get(terms.isin)
    dearest = master.upper_limit if master and master.upper_limit else Decimal(0)
    order = external_order(uuid7(), account.id, account.broker, day, terms, bounds, dearest, now)
    await orders.add_order(connection, order)
    await store.add_external(connection, order, bare(terms.number) or "", terms.cl_ord_id, evidence, now)
    body = {
        "broker_order_number": terms.number, "account": account.id, "isin": terms.isin, "side": terms.side,
        "quantity": terms.quantity, "price": terms.price, "business_date": day, "evidence": [str(evidence)],
    }  # fmt: skip
    await append.record(connection, kind="order.adopted", subject=("order", order.id), seq=1, body=body, at=now)
    ADOPTED.inc()
    log.error("order.external", order_id=str(order.id), account_id=str(account.id), isin=terms.isin, what_now=WHAT_NOW)
    return order


async def _account(connection: AsyncConnection, report: ExecutionReport, gateway: Gateway) -> Account | None:
    """The account of that number; where two brokers have one, the one whose broker sent the report."""
    if report.account is None:
        return None
    found = (await accounts_by_number(connection, [report.account])).get(report.account, [])
    return only(found, report.sender, gateway)


def only(found: Sequence[Account], sender: str | None, gateway: Gateway) -> Account | None:
    if len(found) > 1:
        found = [one for one in found if gateway.profile(one.broker).short_name == sender]
    return found[0] if len(found) == 1 else None


async def instrument_of(connection: AsyncConnection, isin: str | None, code: str | None) -> tuple[str | None, str | None]:
    """표준코드 and short code, the missing one from our master."""
    if isin is not None and code is not None:
        return isin, code
    listed = await find_instrument(connection, isin) if isin else await find_by_short_code(connection, code or "")
    return (isin or (listed.isin if listed else None)), (code or (listed.short_code if listed else None))
