"""Issue an API key. The token is returned once and kept nowhere. Refusals: NotFound, Conflict for an inactive user, Invalid
for one that would never let anybody in."""

from datetime import datetime
from uuid import UUID

from service.audit.append import record
from service.core.clock import real_now
from service.core.errors import Conflict, Invalid, NotFound, Violation
from service.core.ids import uuid7
from service.core.principal import Principal
from service.core.secret import Secret
from service.infra.db import Transaction
from service.people import rules, store
from service.people.model import ApiKey


async def issue_key(
    *,
    transaction: Transaction,
    pepper: bytes,
    user_id: UUID,
    expires_at: datetime | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
    by: str = "",
) -> tuple[ApiKey, Secret]:
    """`by`: whoever sits at the service's machine, where no user of the service asks."""
    prefix, token = rules.new_token()
    key = ApiKey(uuid7(), user_id, prefix, real_now(), expires_at, None)
    if expires_at is not None and expires_at <= key.created_at:
        said = "A key expires after it was issued."
        raise Invalid("validation-failed", said, violations=(Violation("not-in-the-future", "expires_at", said),))
    async with transaction() as connection:
        user = await store.find_user(connection, user_id)
        if user is None:
            raise NotFound("not-found", "There is no such user.")
        if not user.active:
            raise Conflict("conflict", "The user is not active.")
        await store.add_key(connection, key, rules.digest(token.reveal(), pepper))
        await record(
            connection,
            kind="api_key.issued",
            subject=("api_key", key.id),
            body={"user_id": user_id, "prefix": prefix, "expires_at": expires_at, "by": by or None},
            principal=principal,
            request_id=request_id,
        )
    return key, token
