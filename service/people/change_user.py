"""Change the roles of a user or switch the user off. It holds from the next call on: nothing is cached. Nor does a claim of
a send that has looked at the user commit afterwards: a trigger of the table waits for it, as a halt does (P16).

Refusals: NotFound; Invalid when nothing is to change; Conflict when administrators would take their own role away and lock
everybody out.
"""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from service.audit.append import record
from service.core.errors import Conflict, NotFound, nothing_to_change
from service.core.principal import Principal, Role
from service.infra.db import Transaction
from service.infra.gate import gated
from service.people import store
from service.people.model import User


async def change_user(
    *,
    transaction: Transaction,
    user_id: UUID,
    roles: Iterable[Role] | None = None,
    active: bool | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> User:
    if roles is None and active is None:
        raise nothing_to_change()
    async with gated(transaction, "the user is NOT changed") as connection:
        before = await store.find_user(connection, user_id, lock=True)
        if before is None:
            raise NotFound("not-found", "There is no such user.")
        after = replace(
            before,
            roles=before.roles if roles is None else frozenset(roles),
            active=before.active if active is None else active,
        )
        if principal is not None and principal.user_id == user_id and not _still_administrator(after):
            raise Conflict("conflict", "Another administrator has to take this role from you.")
        await store.update_user(connection, after)
        body = {"before": _facts(before), "after": _facts(after)}
        await record(
            connection, kind="user.changed", subject=("user", user_id), body=body, principal=principal, request_id=request_id
        )
    return after


def _still_administrator(user: User) -> bool:
    return user.active and Role.ADMINISTRATOR in user.roles


def _facts(user: User) -> dict[str, object]:
    return {"roles": sorted(user.roles), "active": user.active}
