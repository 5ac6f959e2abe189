"""Ask every broker for its discretionary accounts (일임 설정계좌) and take over what changed.

Presence counts always: new and changed accounts are written even from a list that broke off. Absence counts only in a
complete list: an `Incomplete` never makes an account vanish (P17). Each change has its own entry in the ledger. Each broker
stands alone: what fails for one fails for no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts import store
from service.accounts.model import FAULT, STATUSES, Account
from service.audit.append import record
from service.audit.evidence import Raw, Vault
from service.controls.store import shut_gate
from service.core.clock import Clock
from service.core.errors import Unavailable
from service.core.ids import uuid7
from service.core.principal import Principal
from service.gateway import AccountRow, CallClass, Gateway, Incomplete, Inquiry
from service.infra.db import Books, Transaction, passes
from service.infra.gate import gated

log = structlog.get_logger()


@dataclass
class AccountsDiff:
    """What a synchronisation found. `incomplete` names brokers whose list broke off, with the reason."""

    new: list[UUID] = field(default_factory=list)
    changed: list[UUID] = field(default_factory=list)
    vanished: list[UUID] = field(default_factory=list)
    incomplete: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)  # masked numbers of rows with an undocumented contract status

    def add(self, other: "AccountsDiff") -> None:
        self.new += other.new
        self.changed += other.changed
        self.vanished += other.vanished
        self.incomplete |= other.incomplete
        self.unreadable += other.unreadable


async def synchronise_accounts(
    *,
    transaction: Transaction,
    clock: Clock,
    gateway: Gateway,
    vault: Vault,
    brokers: Sequence[str],
    principal: Principal | None = None,
    request_id: str | None = None,
) -> AccountsDiff:
    """`brokers` are company codes. Raises, after every broker had its turn, what the database says while it is away or busy, and
    Unavailable `gate-busy`: then it is worth repeating."""
    diff, passing = AccountsDiff(), None
    for broker in brokers:
        try:
            answer = await gateway.accounts(broker, CallClass.ROUTINE)
            now = clock.now()
            async with gated(transaction, f"the accounts of broker {broker} are NOT taken over", books=Books.ALL) as connection:
                raw_ids = await vault.keep(connection, [Raw("inquiry", page, now) for page in answer.pages])
                found, changes = await _take_over(connection, broker, answer, now)
                body = {"rows": len(answer.rows), "incomplete": found.incomplete.get(broker), "raw_ids": raw_ids}
                for kind, subject, facts in [*changes, ("accounts.synchronised", ("broker", broker), body)]:
                    await record(connection, kind=kind, subject=subject, body=facts, principal=principal, request_id=request_id)
        except Exception as error:
            log.exception("accounts.failed", broker=broker)
            diff.incomplete[broker] = FAULT
            passing = passing or (error if isinstance(error, Unavailable) or passes(error) else None)
        else:
            diff.add(found)
    if passing is not None:
        raise passing
    return diff


Change = tuple[str, tuple[str, UUID | str], dict[str, Any]]


def _takes_away(kind: str, facts: Mapping[str, Any]) -> bool:
    """Whether a change may end the right to trade for an account."""
    return kind == "account.vanished" or (kind == "account.changed" and "contract_status" in facts["fields"])


async def _take_over(
    connection: AsyncConnection, broker: str, answer: Inquiry[AccountRow], now: datetime
) -> tuple[AccountsDiff, list[Change]]:
    """What was found of this broker alone: if it is rolled back, it was not found."""
    diff = AccountsDiff()
    changes = await _changes(connection, broker, answer, now, diff)
    if any(_takes_away(kind, facts) for kind, _, facts in changes):
        await shut_gate(connection)  # no claim that has looked before commits after this
    return diff, changes


async def _changes(
    connection: AsyncConnection, broker: str, answer: Inquiry[AccountRow], now: datetime, diff: AccountsDiff
) -> list[Change]:
    known = {account.number: account for account in await store.accounts_of(connection, broker, lock=True)}
    changes: list[Change] = []
    for row in answer.rows:
        if row.contract_status not in STATUSES:
            diff.unreadable.append(str(row.account))
            continue
        before = known.get(row.account)
        after = _seen(before, broker, row, now)
        known[row.account] = after
        changes += await _write(connection, before, after, diff)
    if isinstance(answer, Incomplete):
        diff.incomplete[broker] = answer.reason
        return changes
    listed = {row.account for row in answer.rows}
    missing = [one for number, one in known.items() if number not in listed and one.vanished_at is None]
    return changes + [await _vanish(connection, one, now, diff) for one in missing]


def _seen(before: Account | None, broker: str, row: AccountRow, now: datetime) -> Account:
    name, status = row.account_name or "", row.contract_status
    if before is None:
        return Account(uuid7(), broker, row.account, name, row.virtual_number, status, now, now, None)
    return replace(
        before,
        name=name or before.name,
        virtual_number=row.virtual_number or before.virtual_number,
        contract_status=status,
        last_seen=now,
        vanished_at=None,
    )


async def _write(connection: AsyncConnection, before: Account | None, after: Account, diff: AccountsDiff) -> list[Change]:
    if before is None:
        await store.add_account(connection, after)
        diff.new.append(after.id)
        body = {"broker": after.broker, "number": after.number, "contract_status": after.contract_status}
        return [("account.appeared", ("account", after.id), body)]
    await store.update_account(connection, after)
    changed = [name for name in ("name", "virtual_number", "contract_status") if getattr(before, name) != getattr(after, name)]
    if before.vanished_at is not None:
        changed.append("vanished_at")
    if not changed:
        return []
    diff.changed.append(after.id)
    body = {"fields": changed, "contract_status": after.contract_status, "before": before.contract_status}
    return [("account.changed", ("account", after.id), body)]


async def _vanish(connection: AsyncConnection, account: Account, now: datetime, diff: AccountsDiff) -> Change:
    await store.update_account(connection, replace(account, vanished_at=now))
    diff.vanished.append(account.id)
    return ("account.vanished", ("account", account.id), {"last_seen": account.last_seen})
