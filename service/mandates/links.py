"""Which accounts and managers a mandate has: checked, written and told to the ledger in the caller's transaction.

Refusals: Invalid `validation-failed` for an account or user that does not exist or is no manager; Conflict for an account
that another mandate holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit.append import record
from service.core.errors import Conflict, Invalid, Violation
from service.core.principal import Principal, Role
from service.mandates import store
from service.mandates.model import Mandate
from service.people.store import find_user


@dataclass(frozen=True)
class Author:
    """Who writes, for the ledger."""

    principal: Principal | None
    request_id: str | None


async def set_accounts(
    connection: AsyncConnection, mandate: Mandate, wanted: Sequence[UUID], at: datetime, author: Author
) -> None:
    """Make `wanted` the accounts of the mandate."""
    gone = [one for one in mandate.account_ids if one not in wanted]
    new = [one for one in dict.fromkeys(wanted) if one not in mandate.account_ids]
    await store.remove_accounts(connection, mandate.id, gone, at)
    try:
        await store.add_accounts(connection, mandate.id, new, at)
    except IntegrityError as error:
        _explain(error)
    await _tell(connection, mandate, {"mandate.account_removed": gone, "mandate.account_added": new}, "account", author)


async def set_managers(
    connection: AsyncConnection, mandate: Mandate, wanted: Sequence[UUID], at: datetime, author: Author
) -> None:
    """Make `wanted` the managers of the mandate. A revoked one sees and sends nothing from the next call on."""
    gone = [one for one in mandate.manager_ids if one not in wanted]
    new = [one for one in dict.fromkeys(wanted) if one not in mandate.manager_ids]
    await _check_managers(connection, new)
    await store.revoke_managers(connection, mandate.id, gone, at)
    await store.assign_managers(connection, mandate.id, new, at)
    await _tell(connection, mandate, {"mandate.manager_revoked": gone, "mandate.manager_assigned": new}, "user", author)


async def _check_managers(connection: AsyncConnection, users: Sequence[UUID]) -> None:
    found = []
    for user_id in users:
        user = await find_user(connection, user_id)
        if user is None or not user.active or Role.MANAGER not in user.roles:
            found.append(Violation("not-a-manager", "manager_ids", f"{user_id} is no active user with the role manager"))
    if found:
        raise Invalid("validation-failed", "Only active managers can be assigned.", violations=tuple(found))


async def _tell(
    connection: AsyncConnection, mandate: Mandate, happened: dict[str, list[UUID]], word: str, author: Author
) -> None:
    for kind, ids in happened.items():
        for one in ids:
            await record(
                connection,
                kind=kind,
                subject=("mandate", mandate.id),
                body={word: one},
                principal=author.principal,
                request_id=author.request_id,
            )


def _explain(error: IntegrityError) -> NoReturn:
    if "uq_mandate_account_present" in str(error):
        raise Conflict("conflict", "Another mandate holds one of these accounts.") from None
    if "fk_mandate_account_account_id" in str(error):
        unknown = Violation("account-unknown", "account_ids", "an account that does not exist")
        raise Invalid("validation-failed", "One of these accounts does not exist.", violations=(unknown,)) from None
    raise error
