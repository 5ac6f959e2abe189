"""API keys, pure: how they look, how they are digested, and who a presented one is.

    ilim_<prefix: 12 characters, finds the row>_<secret: 256 bits, URL-safe>

What is stored is HMAC-SHA-256(pepper, whole token): a copy of the database opens no door without the pepper.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime

from service.core.principal import Principal
from service.core.secret import Secret
from service.people.model import KeyRecord

MARK = "ilim"
PREFIX_LENGTH = 12
SECRET_BYTES = 32
ALPHABET = "abcdefghjkmnpqrstvwxyz0123456789"  # no look-alikes: a prefix is read aloud to find a key
NO_DIGEST = bytes(32)


def pepper_from(data_key: bytes) -> bytes:
    """The pepper of a deployment, derived from its data key, so that there is one secret to keep and not two."""
    return hmac.digest(data_key, b"ilim api key pepper v1", "sha256")


def new_token(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> tuple[str, Secret]:
    """A fresh prefix and the whole token that carries it."""
    prefix = "".join(ALPHABET[byte % len(ALPHABET)] for byte in random_bytes(PREFIX_LENGTH))
    return prefix, Secret(f"{MARK}_{prefix}_{_urlsafe(random_bytes(SECRET_BYTES))}")


def _urlsafe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def prefix_of(token: str) -> str | None:
    """The prefix inside a token of our form; None for any other text."""
    mark, _, rest = token.partition("_")
    prefix, _, secret = rest.partition("_")
    well_formed = mark == MARK and len(prefix) == PREFIX_LENGTH and bool(secret) and token.isascii()
    return prefix if well_formed else None


def digest(token: str, pepper: bytes) -> bytes:
    return hmac.new(pepper, token.encode(), hashlib.sha256).digest()


def principal_of(record: KeyRecord | None, token: str, pepper: bytes, now: datetime) -> Principal | None:
    """Who presents the token. The same work is done for an unknown prefix, so that time tells nothing about prefixes."""
    expected = record.digest if record is not None else NO_DIGEST
    genuine = hmac.compare_digest(digest(token, pepper), expected)
    if record is None or not genuine or not _usable(record, now):
        return None
    return Principal(record.user_id, record.name, record.roles, record.key_id)


def _usable(record: KeyRecord, now: datetime) -> bool:
    expired = record.expires_at is not None and record.expires_at <= now
    return record.active and record.revoked_at is None and not expired
