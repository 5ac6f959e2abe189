"""Open a trading day for accounts: the broker's complete balance since the last close becomes the opening position.

Idempotent per account and day: an account that is open for the day is left alone, with what it bought, sold and reserved.
A balance already kept since the close is used before the broker is asked again. Without a complete one the account stays
closed, and its orders are refused with `no-opening-balance`. Each account stands alone: what fails for one fails for no other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts import store
from service.accounts.model import FAULT, Account, Statement
from service.accounts.read_balance import read_balance
from service.accounts.rules import opening_of
from service.audit.append import record
from service.audit.evidence import Vault
from service.controls.store import gate
from service.core.clock import Clock
from service.core.errors import Unavailable
from service.core.principal import Principal
from service.gateway import CallClass, Gateway
from service.infra.db import Books, Transaction, passes
from service.market.calendar import Calendar
from service.market.store import isins_by_short_code, load_calendar

log = structlog.get_logger()

NAMED = 50  # rows in a ledger entry, and letters of each: they are the broker's words, and the statement has them whole


@dataclass
class Openings:
    """What became of each account on the day."""

    day: date
    opened: list[UUID] = field(default_factory=list)
    already: list[UUID] = field(default_factory=list)
    failed: dict[UUID, str] = field(default_factory=dict)  # with the reason the broker's answer is not whole, or FAULT
    unresolved: dict[UUID, tuple[str, ...]] = field(default_factory=dict)  # rows no instrument was found for


@dataclass(frozen=True)
class _Task:
    day: date
    trade_days: tuple[date, ...]  # whose trades have not all settled when the day begins
    since: datetime  # the last close: a balance taken earlier does not hold all that was traded before the day
    until: datetime  # the day's first session begins: a balance taken later may contain what the day traded
    isins: dict[str, str]
    calendar: Calendar


async def take_opening(
    *,
    transaction: Transaction,
    clock: Clock,
    gateway: Gateway,
    vault: Vault,
    account_ids: Sequence[UUID] | None = None,
    call_class: CallClass = CallClass.ROUTINE,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Openings:
    """For `account_ids`, or for every account that may trade. The day is the one whose books are open now, or open next.
    Raises what the database says while it is away or busy, after every account had its turn: then it is worth repeating.
    Raises Unavailable `clock-wrong` before anything is opened: another day's opening would close this one, for good."""
    async with transaction(books=Books.ALL) as connection:
        task = await _task(connection, clock)
        accounts = await store.tradable_accounts(connection)
    read = partial(
        read_balance,
        transaction=transaction,
        clock=clock,
        gateway=gateway,
        vault=vault,
        call_class=call_class,
        principal=principal,
        request_id=request_id,
    )
    result = Openings(task.day)
    passing: Exception | None = None
    for account in accounts:
        if account_ids is not None and account.id not in account_ids:
            continue
        try:
            await _take(transaction, account, task, read, result, principal, request_id)
        except Exception as error:
            log.exception("opening.failed", account_id=str(account.id), day=str(task.day))
            result.failed[account.id] = FAULT
            passing = passing or (error if passes(error) else None)
    if passing is not None:
        raise passing
    return result


async def _task(connection: AsyncConnection, clock: Clock) -> _Task:
    if (await gate(connection, None)).clock_wrong:
        raise Unavailable(
            "clock-wrong",
            "The clocks of this server and of the database are apart, so nobody knows which day to open. Nothing was opened.",
            extra={"retry_after_seconds": 30},
        )
    calendar = await load_calendar(connection)
    day = calendar.business_day_at(clock.now())
    since = calendar.last_close(calendar.previous_trading_day(day))
    before = tuple(calendar.add_trading_days(day, -n) for n in (1, 2))
    until = calendar.sessions_of(day)[0].opens
    return _Task(day, before, since, until, await isins_by_short_code(connection), calendar)


async def _take(
    transaction: Transaction,
    account: Account,
    task: _Task,
    read: Callable[..., Awaitable[Statement]],
    result: Openings,
    principal: Principal | None,
    request_id: str | None,
) -> None:
    mine = await _of(transaction, account, task)
    if mine is None:
        result.already.append(account.id)
        return
    kept = await _kept(transaction, account, mine) or await read(account=account, trade_days=mine.trade_days)
    await _open(transaction, account, kept, mine, result, principal, request_id)


async def _of(transaction: Transaction, account: Account, task: _Task) -> _Task | None:
    """The task for one account, None when it is open already. A day the account was opened for may have been closed by the
    exchange since: what it had traded by then, and its orders until its end, are in no balance taken before that, and its trades
    settle though it is no trading day."""
    async with transaction(books=Books.ALL) as connection:
        cash = await store.cash_of(connection, account.id)
    if cash is None:
        return task
    if cash.opened_on >= task.day:
        return None
    since = max(task.since, task.calendar.last_close(cash.opened_on))
    traded = {cash.opened_on} if cash.opened_on > min(task.trade_days) else set()
    return replace(task, since=since, trade_days=tuple(sorted({*task.trade_days, *traded}, reverse=True)))


async def _kept(transaction: Transaction, account: Account, task: _Task) -> Statement | None:
    """A whole balance we hold since the close."""
    async with transaction(books=Books.ALL) as connection:
        return await store.last_complete_balance(connection, account.id, task.since, task.until)


async def _open(
    transaction: Transaction,
    account: Account,
    statement: Statement,
    task: _Task,
    result: Openings,
    principal: Principal | None,
    request_id: str | None,
) -> None:
    if not statement.complete:
        result.failed[account.id] = statement.document["reason"]
        return
    if statement.taken_at < task.since:
        result.failed[account.id] = "taken-before-the-close"
        return
    if statement.taken_at >= task.until:  # trades of the day would be counted twice: by the balance and by their reports
        result.failed[account.id] = "taken-after-trading-began"
        return
    opening = opening_of(statement.document, task.isins)
    async with transaction(books=Books.ALL) as connection:
        if not await store.open_the_day(connection, account.id, task.day, opening):
            result.already.append(account.id)
            return
        body = {
            "day": task.day,
            "statement_id": statement.id,
            "orderable": str(opening.orderable),
            "holdings": len(opening.holdings),
            "unresolved": [name[:NAMED] for name in opening.unresolved[:NAMED]],
        }
        await record(
            connection,
            kind="account.opened",
            subject=("account", account.id),
            body=body,
            principal=principal,
            request_id=request_id,
        )
    result.opened.append(account.id)
    if opening.unresolved:
        result.unresolved[account.id] = opening.unresolved
