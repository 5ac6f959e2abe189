"""Read the instrument lists and the day's master of both markets, and the platform's closing days.

An instrument whose master cannot be read keeps its older day: an order for it is then refused, not guessed. So it does when
the day is over, after its last close or at a week-end: base price and limits are then those of that day. The platform
is the authority over the calendar: a closing day we did not know is taken over at once; one we believe in and it does not
name is only reported, since its list is updated irregularly.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.append import record
from service.core.clock import Clock, kst_date
from service.core.money import MAX_QUANTITY
from service.core.principal import Principal
from service.gateway import Complete, Failure, Gateway, Incomplete, Inquiry, InstrumentMaster, ListedInstrument
from service.infra.db import Transaction
from service.market import rules, store
from service.market.calendar import Calendar
from service.market.model import Instrument, InstrumentDay

Market = Literal["kospi", "kosdaq"]
MARKETS: tuple[Market, ...] = ("kospi", "kosdaq")
AT_ONCE = 8
SOURCE = "platform"


@dataclass
class InstrumentsDiff:
    """What a synchronisation found."""

    business_date: date
    listed: int = 0
    refreshed: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # ISIN → why its master could not be read
    incomplete: dict[str, str] = field(default_factory=dict)  # list → why it broke off
    closed: list[date] = field(default_factory=list)  # days taken over as closed
    disputed: list[date] = field(default_factory=list)  # days we hold closed and the platform does not name


async def synchronise_instruments(
    *,
    transaction: Transaction,
    clock: Clock,
    gateway: Gateway,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> InstrumentsDiff:
    """For the trading day that is open now; when none is, instruments and closing days alone."""
    async with transaction() as connection:
        calendar = await store.load_calendar(connection)
    now = clock.now()
    diff = InstrumentsDiff(calendar.business_day_at(now))
    listed = [row for market in MARKETS for row in await _listed(gateway, market, diff)]
    masters = await _masters(gateway, listed, diff)
    holidays = await gateway.holidays()
    async with transaction() as connection:
        await store.save_instruments(connection, [_instrument(one, now) for one in masters])
        if diff.business_date == kst_date(now):
            await store.save_instrument_days(connection, [_day(one, diff.business_date, now) for one in masters])
        await _compare_calendar(connection, calendar, holidays, kst_date(now), diff)
        await record(
            connection,
            kind="instruments.synchronised",
            subject=("market", str(diff.business_date)),
            body=_facts(diff),
            principal=principal,
            request_id=request_id,
        )
    return diff


async def _listed(gateway: Gateway, market: Market, diff: InstrumentsDiff) -> tuple[ListedInstrument, ...]:
    answer = await gateway.instruments(market)
    if isinstance(answer, Incomplete):
        diff.incomplete[market] = answer.reason
    diff.listed += len(answer.rows)
    return answer.rows


async def _masters(gateway: Gateway, listed: Sequence[ListedInstrument], diff: InstrumentsDiff) -> list[InstrumentMaster]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: ListedInstrument) -> InstrumentMaster | Failure:
        async with gate:
            return await gateway.master(row.market, row.short_code)

    async with asyncio.TaskGroup() as group:
        tasks = [(row, group.create_task(one(row))) for row in listed]
    whole: dict[str, InstrumentMaster] = {}
    for row, task in tasks:
        trouble = _trouble(row, task.result())
        if isinstance(trouble, str):
            diff.failed[row.isin] = trouble
        else:
            whole[trouble.isin] = trouble
    diff.refreshed = len(whole)
    return list(whole.values())


def _trouble(row: ListedInstrument, answer: InstrumentMaster | Failure) -> InstrumentMaster | str:
    """The master, or why it cannot be used."""
    if isinstance(answer, Failure):
        return answer.reason
    if answer.isin != row.isin:
        return "wrong-instrument"
    if answer.base_price < 1 or not 0 < answer.trading_unit <= MAX_QUANTITY:  # in won and shares; no table would hold them
        return "impossible-figures"
    return answer


def _instrument(master: InstrumentMaster, now: datetime) -> Instrument:
    code = rules.normalise_short_code(master.short_code)
    return Instrument(master.isin, code, master.name, master.market, rules.product_of(master.group), now)


def _day(master: InstrumentMaster, day: date, now: datetime) -> InstrumentDay:
    eligible = rules.after_market_eligible(
        rules.product_of(master.group),
        halted=master.halted,
        liquidation=master.liquidation,
        administrative=master.administrative,
        warning=master.warning,
        overheated=master.overheated,
    )
    return InstrumentDay(
        isin=master.isin,
        business_date=day,
        base_price=master.base_price,
        upper_limit=master.upper_limit,
        lower_limit=master.lower_limit,
        halted=master.halted,
        liquidation=master.liquidation,
        administrative=master.administrative,
        warning=master.warning,
        attention=master.attention,
        overheated=master.overheated,
        trading_unit=master.trading_unit,
        listed_shares=master.listed_shares,
        after_market_eligible=eligible,
        fetched_at=now,
    )


async def _compare_calendar(
    connection: AsyncConnection, calendar: Calendar, holidays: Inquiry[date], today: date, diff: InstrumentsDiff
) -> None:
    named = {day for day in holidays.rows if day >= today}
    diff.closed = sorted(day for day in named if day not in calendar.days or calendar.days[day].open)
    await store.close_days(connection, diff.closed, known_since=today, source=SOURCE)
    if isinstance(holidays, Incomplete):
        diff.incomplete["holidays"] = holidays.reason
    if isinstance(holidays, Complete) and named:
        ours = {day for day, known in calendar.days.items() if not known.open and day.weekday() < 5}
        diff.disputed = sorted(day for day in ours - named if today <= day <= max(named))
    for kind, days in (("calendar.day_closed", diff.closed), ("calendar.day_disputed", diff.disputed)):
        for day in days:
            await record(connection, kind=kind, subject=("trading_day", str(day)), body={"source": SOURCE})


def _facts(diff: InstrumentsDiff) -> dict[str, object]:
    """Counts and names that fit a ledger entry however bad the day."""
    return {
        "listed": diff.listed,
        "refreshed": diff.refreshed,
        "failed": len(diff.failed),
        "failed_first": dict(list(diff.failed.items())[:20]),
        "incomplete": dict(diff.incomplete),
        "closed": diff.closed,
        "disputed": diff.disputed,
    }
