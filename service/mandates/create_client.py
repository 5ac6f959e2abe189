"""Create a client. The ci (연계정보) is sealed under the client's id before it reaches the database, and never read back
except to ask the platform."""

from service.audit.append import record
from service.audit.evidence import Vault
from service.core.clock import real_now
from service.core.ids import uuid7
from service.core.principal import Principal
from service.core.secret import Secret
from service.infra.db import Transaction
from service.mandates import store
from service.mandates.model import Client


async def create_client(
    *,
    transaction: Transaction,
    vault: Vault,
    name: str,
    kind: str,
    ci: Secret | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Client:
    client = Client(uuid7(), name, kind, real_now())
    sealed = vault.seal(ci.reveal().encode(), client.id) if ci is not None else None
    async with transaction() as connection:
        await store.add_client(connection, client, sealed)
        await record(
            connection,
            kind="client.created",
            subject=("client", client.id),
            body={"kind": kind, "has_ci": ci is not None},
            principal=principal,
            request_id=request_id,
        )
    return client
