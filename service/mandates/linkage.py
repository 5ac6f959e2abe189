"""Ask the platform whether a client is a member and which virtual accounts are linked (서비스연동).

The look-up is in the ledger before the question goes out, for it discloses client data; then the answer is. No connection
waits on the network. Refusals: NotFound; Conflict without a ci; Unavailable when the platform gave no whole answer: the
state stored before stays.
"""

import asyncio
from uuid import UUID

from service.audit.append import record
from service.audit.evidence import Vault
from service.core.clock import Clock, kst_date
from service.core.errors import Conflict, NotFound, Unavailable
from service.core.principal import Principal
from service.core.secret import Secret
from service.gateway import Failure, Gateway, Incomplete, Inquiry, LinkedAccount, Membership
from service.infra.db import Transaction
from service.mandates import rules, store
from service.mandates.model import Client, Linkage


async def link(
    *,
    transaction: Transaction,
    clock: Clock,
    gateway: Gateway,
    vault: Vault,
    client_id: UUID,
    seen_by: UUID | None = None,
    principal: Principal | None = None,
    request_id: str | None = None,
) -> Linkage:
    about = {"subject": ("client", client_id), "principal": principal, "request_id": request_id}
    async with transaction() as connection:
        client = await store.find_client(connection, client_id, seen_by=seen_by)
        if client is None:
            raise NotFound("not-found", "There is no such client.")
        sealed = await store.sealed_ci(connection, client_id)
        if sealed is None:
            raise Conflict("conflict", "The client has no ci; the platform cannot be asked without it.")
        await record(connection, kind="client.linkage_asked", body={}, **about)
    member, accounts = await _ask(gateway, client, Secret(vault.open(sealed, client_id).decode()))
    trouble = _trouble(member, accounts)
    async with transaction() as connection:
        if trouble is None and isinstance(member, Membership):
            linkage = _read(client, member, accounts.rows, clock)
            await store.save_linkage(connection, linkage)
            facts = {"state": linkage.state, "terms_expire": linkage.terms_expire, "accounts": len(linkage.accounts)}
            await record(connection, kind="client.linkage_answered", body=facts, **about)
            return linkage
        await record(connection, kind="client.linkage_failed", body={"reason": trouble}, **about)
    raise Unavailable("unavailable", f"The platform gave no whole answer ({trouble}); the stored state is unchanged.")


async def _ask(gateway: Gateway, client: Client, ci: Secret) -> tuple[Membership | Failure, Inquiry[LinkedAccount]]:
    async with asyncio.TaskGroup() as group:
        member = group.create_task(gateway.membership(ci, client.name))
        accounts = group.create_task(gateway.linked_accounts(ci, client.name))
    return member.result(), accounts.result()


def _trouble(member: Membership | Failure, accounts: Inquiry[LinkedAccount]) -> str | None:
    """A client who is no member has no accounts to list, whatever the second answer is."""
    if isinstance(member, Failure):
        return member.reason
    return accounts.reason if member.member and isinstance(accounts, Incomplete) else None


def _read(client: Client, member: Membership, found: tuple[LinkedAccount, ...], clock: Clock) -> Linkage:
    now = clock.now()
    view = rules.onboarding(member, found if member.member else (), kst_date(now))
    accounts = [
        {
            "com_id": one.com_id,
            "virtual_number": one.virtual_number.reveal(),
            "alias": one.alias,
            "terms_expire": one.terms_expire.isoformat() if one.terms_expire else None,
        }
        for one in found
    ]
    return Linkage(client.id, view.state, member.member, view.expires, accounts, now)
