"""Create a user. Refusals: Conflict `conflict` when the name is taken, Invalid `validation-failed` without a role."""

from collections.abc import Iterable

from sqlalchemy.exc import IntegrityError

from service.audit.append import record
from service.core.clock import real_now
from service.core.errors import Conflict, Invalid, Violation
from service.core.ids import uuid7
from service.core.principal import Principal, Role
from service.infra.db import Transaction
from service.people import store
from service.people.model import User


async def create_user(
    *,
    transaction: Transaction,
    name: str,
    roles: Iterable[Role],
    principal: Principal | None = None,
    request_id: str | None = None,
    by: str = "",
) -> User:
    """`by`: whoever sits at the service's machine, where no user of the service asks."""
    user = User(uuid7(), name.strip(), frozenset(roles), True, real_now())
    _check(user)
    try:
        async with transaction() as connection:
            await store.add_user(connection, user)
            body = {"name": user.name, "roles": sorted(user.roles), "by": by or None}
            await record(
                connection,
                kind="user.created",
                subject=("user", user.id),
                body=body,
                principal=principal,
                request_id=request_id,
            )
    except IntegrityError as error:
        if "uq_app_user_name" in str(error):
            raise Conflict("conflict", f"There is a user named {user.name} already.") from None
        raise
    return user


def _check(user: User) -> None:
    found = []
    if not user.name:
        found.append(Violation("required", "name", "a user has a name"))
    if not user.roles:
        found.append(Violation("required", "roles", "a user has at least one role"))
    if found:
        raise Invalid("validation-failed", "The user is not as it must be; see `violations`.", violations=tuple(found))
