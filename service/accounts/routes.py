"""Accounts and their balances over HTTP. A manager's transaction sees that manager's books only; the rest is 404."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from service.accounts import store
from service.accounts.model import Account
from service.accounts.schemas import (
    AccountOut,
    AccountPage,
    AccountSynchronization,
    AccountSynchronizationRequest,
    BalanceOut,
    OpeningsOut,
    balance_out,
)
from service.accounts.synchronise_accounts import synchronise_accounts
from service.accounts.take_opening import Openings, take_opening
from service.audit.append import record
from service.core.clock import kst_date
from service.core.errors import Forbidden, NotFound
from service.core.principal import Principal, Role
from service.infra import paging
from service.infra.caller import Caller, require
from service.infra.db import books_of
from service.infra.http import Cursor, Limit, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.mandates.store import mandates_of_accounts
from service.market.store import isins_by_short_code, load_calendar

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])

Operations = Annotated[Principal, require(Role.OPERATIONS)]
READ = ("authentication-required", "validation-failed")


def sees_numbers(principal: Principal) -> bool:
    return principal.has(Role.COMPLIANCE, Role.OPERATIONS)


def _who(principal: Principal) -> dict[str, Any]:
    return {"principal": principal, "request_id": request_id.get()}


@router.get("", responses=problem_responses(*READ, "cursor-invalid"))
async def get_accounts(
    request: Request,
    principal: Caller,
    broker: Annotated[str | None, Query(pattern=r"^[0-9]{5}$", description="company code: only this broker's")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> AccountPage:
    """List accounts. The look-up is in the ledger."""
    after, clear = paging.after_uuid(listed(request), cursor), sees_numbers(principal)
    async with request.app.state.wiring.transaction(books=books_of(principal)) as connection:
        rows = await store.accounts_page(connection, after=after, limit=limit, broker=broker)
        page = paging.cut(listed(request), rows, limit, lambda account: str(account.id))
        mandates = await mandates_of_accounts(connection, [account.id for account in page.items])
        body = {"rows": len(page.items), "first": page.items[0].id if page.items else None, "in_clear": clear}
        await record(connection, kind="account.listed", subject=("user", principal.user_id), body=body, **_who(principal))
    items = [AccountOut.of(account, mandates.get(account.id), clear) for account in page.items]
    return AccountPage(items=items, next_cursor=page.next_cursor)


@router.get("/{account_id}", responses=problem_responses(*READ, "not-found"))
async def get_account(request: Request, account_id: UUID, principal: Caller) -> AccountOut:
    """One account. The look-up is in the ledger."""
    clear = sees_numbers(principal)
    async with request.app.state.wiring.transaction(books=books_of(principal)) as connection:
        account = _found(await store.find_account(connection, account_id))
        mandates = await mandates_of_accounts(connection, [account_id])
        body = {"in_clear": clear}
        await record(connection, kind="account.viewed", subject=("account", account_id), body=body, **_who(principal))
    return AccountOut.of(account, mandates.get(account_id), clear)


@router.get("/{account_id}/balance", responses=problem_responses(*READ, "not-found"))
async def get_balance(request: Request, account_id: UUID, principal: Caller) -> BalanceOut:
    """Ours, the broker's last complete statement with its time, and every difference. The look-up is in the ledger."""
    wiring = request.app.state.wiring
    async with wiring.transaction(books=books_of(principal)) as connection:
        _found(await store.find_account(connection, account_id))
        cash = await store.cash_of(connection, account_id)
        holdings = await store.holdings_of(connection, account_id)
        statement = await store.last_complete_balance(connection, account_id)
        isins = await isins_by_short_code(connection)
        calendar = await load_calendar(connection)
        await record(connection, kind="balance.viewed", subject=("account", account_id), body={}, **_who(principal))
    day = calendar.business_day_at(wiring.clock.now())
    ladder = [day, calendar.add_trading_days(day, 1), calendar.add_trading_days(day, 2)]
    return balance_out(account_id, cash, holdings, statement, isins, ladder)


@router.post(
    "/synchronizations", responses=problem_responses(*READ, "role-required", "licence-required", "gate-busy", "clock-wrong")
)
async def post_synchronization(
    request: Request, principal: Operations, body: AccountSynchronizationRequest | None = None
) -> AccountSynchronization:
    """Ask every broker for its discretionary accounts; what is new, changed or gone comes back."""
    wiring = request.app.state.wiring
    if not wiring.settings.licence_valid(kst_date(wiring.clock.now())):
        raise Forbidden("licence-required", "Discretionary inquiries need a licence that is valid today.")
    tools = {name: getattr(wiring, name) for name in ("transaction", "clock", "gateway", "vault")} | _who(principal)
    diff = await synchronise_accounts(**tools, brokers=wiring.brokers)
    openings = await take_opening(**tools) if body is not None and body.openings else None
    return AccountSynchronization(**vars(diff), openings=_openings(openings) if openings is not None else None)


def _openings(openings: Openings) -> OpeningsOut:
    return OpeningsOut(**{**vars(openings), "unresolved": {key: list(rows) for key, rows in openings.unresolved.items()}})


def _found(account: Account | None) -> Account:
    if account is None:
        raise NotFound("not-found", "There is no such account.")
    return account
