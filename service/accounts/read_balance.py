"""Ask a broker for the balance of one account (일임 계좌잔고) and keep the answer, whole or not, with its raw pages.

An incomplete answer is kept too, as what it is: it shows what was readable and proves no absence (P17). Nothing of ours
changes here.
"""

from collections.abc import Sequence

from service.accounts import store
from service.accounts.model import Account, Statement
from service.accounts.rules import document_of
from service.audit.append import record
from service.audit.evidence import Raw, Vault
from service.core.clock import Clock
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
    call_class: CallClass = CallClass.ROUTINE,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Statement:
    asked_at = clock.now()
    answer = await gateway.balance(account.broker, account.number, call_class)
    taken_at = answer.asked_at if isinstance(answer, Complete) else asked_at
    async with transaction(books=Books.ALL) as connection:
        raw_ids = await vault.keep(connection, [Raw("inquiry", page, taken_at) for page in answer.pages])
        reason = _trouble(account, answer)
        rows = [row for row in answer.rows if row.account == account.number]
        document = document_of(rows, _remarks(answer), reason)
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
