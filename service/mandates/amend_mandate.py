"""Amend a mandate: status, term, limits, fees, accounts, managers. What holds from the commit on holds for every claim of a
send: the change passes the same gate as a halt, so no claim that looked before it commits after it (P16).

Refusals: NotFound; Conflict (a status that cannot follow, a version that is not the present one, an account another
mandate holds); Invalid (nothing to change, term, accounts, managers); Unavailable (gate-busy).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from service.audit.append import record
from service.controls.store import shut_gate
from service.core.clock import real_now
from service.core.errors import Conflict, NotFound, nothing_to_change
from service.core.principal import Principal
from service.infra.db import Transaction
from service.infra.gate import gated
from service.mandates import store
from service.mandates.create_mandate import check_term, contract_facts, record_universe
from service.mandates.links import Author, set_accounts, set_managers
from service.mandates.model import Limits, Mandate, MandateStatus
from service.mandates.rules import may_become


@dataclass(frozen=True)
class Changes:
    """What is to change; None leaves it. `version`, when given, must be the present one."""

    name: str | None = None
    status: MandateStatus | None = None
    ends_on: date | None = None
    limits: Limits | None = None
    fee_schedule: Mapping[str, Any] | None = None
    account_ids: Sequence[UUID] | None = None
    manager_ids: Sequence[UUID] | None = None
    version: int | None = None


async def amend_mandate(
    *,
    transaction: Transaction,
    mandate_id: UUID,
    changes: Changes,
    seen_by: UUID | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Mandate:
    """`seen_by`: the manager whose mandates alone may be changed; None changes any."""
    now, author = real_now(), Author(principal, request_id)
    async with gated(transaction, "the mandate is NOT changed") as connection:
        await shut_gate(connection)
        before = await store.find_mandate(connection, mandate_id, seen_by=seen_by, lock=True)
        if before is None:
            raise NotFound("not-found", "There is no such mandate.")
        after = _apply(before, changes)
        await store.update_mandate(connection, after)
        body = {"before": contract_facts(before), "after": contract_facts(after)}
        await record(
            connection,
            kind="mandate.amended",
            subject=("mandate", mandate_id),
            body=body,
            principal=principal,
            request_id=request_id,
        )
        await record_universe(connection, before.limits, after, author)
        if changes.account_ids is not None:
            await set_accounts(connection, before, changes.account_ids, now, author)
        if changes.manager_ids is not None:
            await set_managers(connection, before, changes.manager_ids, now, author)
        made = await store.find_mandate(connection, mandate_id)
    assert made is not None  # noqa: S101 - locked in this transaction
    return made


def _apply(before: Mandate, changes: Changes) -> Mandate:
    if changes.version is not None and changes.version != before.version:
        raise Conflict("conflict", f"The mandate is at version {before.version}: read it again.")
    if changes == Changes(version=changes.version):
        raise nothing_to_change()
    status = changes.status or before.status
    if not may_become(before.status, status):
        raise Conflict("conflict", f"A mandate that is {before.status} cannot become {status}.")
    after = replace(
        before,
        name=changes.name or before.name,
        status=status,
        ends_on=changes.ends_on or before.ends_on,
        limits=changes.limits or before.limits,
        fee_schedule=dict(changes.fee_schedule) if changes.fee_schedule is not None else before.fee_schedule,
        version=before.version + 1,
    )
    check_term(after)
    return after
