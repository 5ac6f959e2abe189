"""Users and the keys they prove themselves with."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.core.principal import Role


@dataclass(frozen=True)
class User:
    id: UUID
    name: str
    roles: frozenset[Role]
    active: bool
    created_at: datetime


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret: that is shown once and kept nowhere."""

    id: UUID
    user_id: UUID
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class KeyRecord:
    """What a presented token is checked against."""

    key_id: UUID
    user_id: UUID
    name: str
    roles: frozenset[Role]
    active: bool
    digest: bytes
    expires_at: datetime | None
    revoked_at: datetime | None
