"""Ask a broker for the balance of one account (일임 계좌잔고), and for what is unsettled where it names no ladder. Keep the
answer, whole or not, with its raw pages.

An incomplete answer is kept too, as what it is: it shows what was readable and proves no absence (P17). Nothing of ours
changes here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from service.accounts import store
from service.accounts.model import Account, Statement
from service.accounts.rules import WON_CURRENCIES, document_of, unsettled_of
from service.audit.append import record
from service.audit.evidence import Raw, Vault
from service.core.clock import Clock, kst_date
from service.core.ids import uuid7
from service.core.principal import Principal
from service.gateway import BalanceRow, CallClass, Complete, Gateway, Inquiry
from service.infra.db import Books, Transaction


async def read_balance(
    *,
    transaction: Transaction,
    clock: Clock,
    gateway: Gateway,
    vault: Vault,
    account: Account,
    trade_days: Sequence[date] = (),
    call_class: CallClass = CallClass.ROUTINE,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Statement:
    asked_at = clock.now()
    answer = await gateway.balance(account.broker, account.number, call_class)
    taken_at = answer.asked_at if isinstance(answer, Complete) else asked_at
    unsettled = await _unsettled(gateway, account, answer, trade_days, kst_date(taken_at), call_class)
    async with transaction(books=Books.ALL) as connection:
        pages = [*answer.pages, *unsettled.pages]
        raw_ids = await vault.keep(connection, [Raw("inquiry", page, taken_at) for page in pages])
        reason = _trouble(account, answer) or unsettled.trouble
        rows = [row for row in answer.rows if row.account == account.number]
        document = document_of(rows, _remarks(answer), reason, unsettled.coming)
        statement = Statement(uuid7(), account.id, "balance", taken_at, reason is None, document, tuple(raw_ids))
        await store.add_statement(connection, statement)
        await record(
            connection,
            kind="statement.taken",
            subject=("account", account.id),
            body={"statement_id": statement.id, "complete": statement.complete, "reason": reason, "raw_ids": raw_ids},
            principal=principal,
            request_id=request_id,
        )
    return statement


@dataclass(frozen=True)
class _Unsettled:
    coming: Sequence[tuple[date, int]] = ()
    pages: tuple[bytes, ...] = ()
    trouble: str | None = None


async def _unsettled(
    gateway: Gateway,
    account: Account,
    answer: Inquiry[BalanceRow],
    trade_days: Sequence[date],
    today: date,
    call_class: CallClass,
) -> _Unsettled:
    """What trades of `trade_days` will still bring. Asked only of a broker whose won of today has no rung above it."""
    won = [one for row in answer.rows for one in row.cash if one.currency in WON_CURRENCIES and one.cash is not None]
    laddered = any(one.basis for one in won)
    if laddered or not isinstance(answer, Complete):
        return _Unsettled()
    coming: list[tuple[date, int]] = []
    pages: tuple[bytes, ...] = ()
    for day in trade_days:
        said = await gateway.settlements(account.broker, account.number, day, call_class)
        found = unsettled_of(said.rows, today) if isinstance(said, Complete) else None
        pages += said.pages
        if found is None:
            return _Unsettled((), pages, "settlements-unreadable" if isinstance(said, Complete) else said.reason)
        coming += found
    return _Unsettled(coming, pages)


def _remarks(answer: Inquiry[BalanceRow]) -> Sequence[str]:
    return answer.remarks if isinstance(answer, Complete) else (answer.detail,)


def _trouble(account: Account, answer: Inquiry[BalanceRow]) -> str | None:
    """Why the answer is no whole balance of this account; None when it is. A whole answer that holds no row of the account
    is a fault of the wire, never an empty account."""
    if not isinstance(answer, Complete):
        return answer.reason
    numbers = {row.account for row in answer.rows}
    if numbers != {account.number}:
        return "missing-block" if account.number not in numbers else "wrong-account"
    return None if any(row.cash for row in answer.rows) else "missing-block"
