"""From a presented token to who it is, asked on every call: a revoked key or a role taken away holds at once.

Refusal: Unauthenticated `authentication-required`, the same words whatever was wrong with the token.
"""

from service.core.clock import real_now
from service.core.errors import Unauthenticated
from service.core.principal import Principal
from service.infra.db import Database
from service.people import rules, store


async def authenticate(database: Database, pepper: bytes, token: str) -> Principal:
    # A text of another form is looked up all the same, under a prefix that no key has.
    prefix = rules.prefix_of(token) or ""
    async with database.raw() as connection:
        record = await store.key_by_prefix(connection, prefix)
    principal = rules.principal_of(record, token, pepper, real_now())
    if principal is None:
        raise Unauthenticated("authentication-required", "The API key is not known, has expired or was revoked.")
    return principal
