"""Create a mandate with its accounts and managers.

Refusals: NotFound (the client), Invalid (term, accounts, managers), Conflict (an account is held by another mandate).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.append import record
from service.core.clock import real_now
from service.core.errors import Invalid, NotFound, Violation
from service.core.ids import uuid7
from service.core.principal import Principal
from service.infra.db import Transaction
from service.mandates import store
from service.mandates.links import Author, set_accounts, set_managers
from service.mandates.model import Limits, Mandate, MandateStatus


async def create_mandate(
    *,
    transaction: Transaction,
    client_id: UUID,
    name: str,
    starts_on: date,
    ends_on: date | None = None,
    status: MandateStatus = MandateStatus.DRAFT,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    fee_schedule: Mapping[str, Any] | None = None,
    account_ids: Sequence[UUID] = (),
    manager_ids: Sequence[UUID] = (),
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Mandate:
    now = real_now()
    fees = dict(fee_schedule) if fee_schedule is not None else None
    mandate = Mandate(uuid7(), client_id, name, status, starts_on, ends_on, limits, fees, now, 1)
    check_term(mandate)
    author = Author(principal, request_id)
    async with transaction() as connection:
        if await store.find_client(connection, client_id, seen_by=None) is None:
            raise NotFound("not-found", "There is no such client.")
        await store.add_mandate(connection, mandate)
        body = contract_facts(mandate) | {"client_id": client_id}
        await record(
            connection,
            kind="mandate.created",
            subject=("mandate", mandate.id),
            body=body,
            principal=principal,
            request_id=request_id,
        )
        await record_universe(connection, Limits(), mandate, author)
        await set_accounts(connection, mandate, account_ids, now, author)
        await set_managers(connection, mandate, manager_ids, now, author)
        made = await store.find_mandate(connection, mandate.id)
    assert made is not None  # noqa: S101 - written in this transaction
    return made


def check_term(mandate: Mandate) -> None:
    if mandate.ends_on is not None and mandate.ends_on < mandate.starts_on:
        wrong = Violation("term", "ends_on", "a mandate ends after it starts", str(mandate.starts_on), str(mandate.ends_on))
        raise Invalid("validation-failed", "The term is not possible.", violations=(wrong,))


def contract_facts(mandate: Mandate) -> dict[str, Any]:
    """What of a contract the ledger keeps with every change. Of its universe only the numbers of names: thousands would not fit
    one entry, and stand in entries of their own."""
    limits = mandate.limits
    counted = limits.as_json() | {"universe": {"include": len(limits.include), "exclude": len(limits.exclude)}}
    return {
        "name": mandate.name,
        "status": mandate.status,
        "starts_on": mandate.starts_on,
        "ends_on": mandate.ends_on,
        "limits": counted,
        "fee_schedule": mandate.fee_schedule,
        "version": mandate.version,
    }


async def record_universe(connection: AsyncConnection, before: Limits, after: Mandate, author: Author) -> None:
    """An entry for each list of names that is another one now."""
    lists = {"include": (before.include, after.limits.include), "exclude": (before.exclude, after.limits.exclude)}
    for name, (was, now) in lists.items():
        if was != now:
            await record(
                connection,
                kind="mandate.universe_set",
                subject=("mandate", after.id),
                body={"list": name, "isins": now, "version": after.version},
                principal=author.principal,
                request_id=author.request_id,
            )
