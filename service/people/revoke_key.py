"""Revoke an API key: the next call with it is refused. Doing it twice is harmless. Refusals: NotFound."""

from uuid import UUID

from service.audit.append import record
from service.core.clock import real_now
from service.core.errors import NotFound
from service.core.principal import Principal
from service.infra.db import Transaction
from service.people import store
from service.people.model import ApiKey


async def revoke_key(
    *, transaction: Transaction, key_id: UUID, principal: Principal | None = None, request_id: str | None = None
) -> ApiKey:
    async with transaction() as connection:
        if await store.revoke(connection, key_id, real_now()):
            await record(
                connection,
                kind="api_key.revoked",
                subject=("api_key", key_id),
                body={},
                principal=principal,
                request_id=request_id,
            )
        key = await store.find_key(connection, key_id)
    if key is None:
        raise NotFound("not-found", "There is no such key.")
    return key
