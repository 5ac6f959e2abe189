"""Clients and their discretionary contracts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from service.core.money import Won, parse_decimal, plain


class MandateStatus(StrEnum):
    DRAFT = "draft"
    IN_FORCE = "in_force"
    SUSPENDED = "suspended"  # the client's stop (법 §98②1), or ours
    TERMINATED = "terminated"


class Onboarding(StrEnum):
    NOT_MEMBER = "not_member"
    MEMBER_WITHOUT_ACCOUNT = "member_without_account"
    LINKED = "linked"
    CONSENT_EXPIRING = "consent_expiring"
    CONSENT_EXPIRED = "consent_expired"


@dataclass(frozen=True)
class Limits:
    """What the contract allows. None: the contract sets no such limit."""

    max_order_value: Won | None = None
    daily_turnover: Won | None = None
    price_deviation_percent: Decimal | None = None
    single_name_weight_percent: Decimal | None = None
    four_eyes_threshold: Won | None = None
    include: tuple[str, ...] = ()  # ISINs; empty: everything not excluded
    exclude: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As stored and as answered: money and percentages are decimal text."""
        return {
            "max_order_value": _text(self.max_order_value),
            "daily_turnover": _text(self.daily_turnover),
            "price_deviation_percent": _text(self.price_deviation_percent),
            "single_name_weight_percent": _text(self.single_name_weight_percent),
            "four_eyes_threshold": _text(self.four_eyes_threshold),
            "universe": {"include": list(self.include), "exclude": list(self.exclude)},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Limits":
        universe = stored.get("universe") or {}
        return cls(
            max_order_value=_won(stored.get("max_order_value")),
            daily_turnover=_won(stored.get("daily_turnover")),
            price_deviation_percent=_percent(stored.get("price_deviation_percent")),
            single_name_weight_percent=_percent(stored.get("single_name_weight_percent")),
            four_eyes_threshold=_won(stored.get("four_eyes_threshold")),
            include=tuple(universe.get("include") or ()),
            exclude=tuple(universe.get("exclude") or ()),
        )


@dataclass(frozen=True)
class Client:
    """고객. The ci is not here: it is written, sealed, and read by one verb only."""

    id: UUID
    name: str
    kind: str  # individual | corporate
    created_at: datetime


@dataclass(frozen=True)
class Linkage:
    """What the platform said about a client, and when."""

    client_id: UUID
    state: Onboarding
    member: bool
    terms_expire: date | None
    accounts: list[dict[str, Any]]
    checked_at: datetime


@dataclass(frozen=True)
class Mandate:
    """투자일임계약."""

    id: UUID
    client_id: UUID
    name: str
    status: MandateStatus
    starts_on: date
    ends_on: date | None
    limits: Limits
    fee_schedule: dict[str, Any] | None
    created_at: datetime
    version: int
    account_ids: tuple[UUID, ...] = field(default=())  # in it now
    manager_ids: tuple[UUID, ...] = field(default=())  # assigned now


def _text(value: int | Decimal | None) -> str | None:
    return None if value is None else plain(Decimal(value))


def _won(text: str | None) -> Won | None:
    return None if text is None else Won(int(text))


def _percent(text: str | None) -> Decimal | None:
    return None if text is None else parse_decimal(text)
