"""Clients of the platform, and the accounts they have linked."""

from dataclasses import dataclass
from datetime import date

from service.core.secret import AccountNumber


@dataclass(frozen=True)
class Membership:
    member: bool
    terms_expire: date | None


@dataclass(frozen=True)
class LinkedAccount:
    com_id: str
    virtual_number: AccountNumber
    alias: str | None
    terms_expire: date | None
