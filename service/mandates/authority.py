"""Whether a manager may give this order for this account: the mandate, the manager's place in it, and its limits.

Sources: 자본시장법 시행령 §99④2 (no management in breach of the contract), 법 §98①3 (registered manager), §98②1 (client's stop).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from service.core.errors import Violation
from service.core.money import Won, plain
from service.mandates.rules import mandate_allows

FIELD = "account_id"


@dataclass(frozen=True)
class Authority:
    """A mandate as one order sees it. `turnover` is what the day's orders have claimed, in won."""

    status: str
    starts_on: date
    ends_on: date | None
    limits: Mapping[str, Any]
    assigned: bool
    turnover: Won

    @property
    def turnover_limit(self) -> Won | None:
        limit = self.limits.get("daily_turnover")
        return None if limit is None else Won(int(limit))


def authority_violations(
    authority: Authority | None, *, on: date, isin: str | None, value: Won, price: Decimal | None, reference: Decimal | None
) -> list[Violation]:
    """Every way in which the mandate forbids the order."""
    if authority is None:
        return [Violation("mandate-missing", FIELD, "The account belongs to no mandate, so nobody may trade for it.")]
    found = _standing(authority, on)
    found += _universe(authority.limits.get("universe") or {}, isin)
    found += _value(authority, value)
    return found + deviation(authority.limits.get("price_deviation_percent"), price, reference)


def still_within(limits: Mapping[str, Any], *, isin: str, value: Won, turnover: Won) -> str | None:
    """Which limit of the mandate, as it is now, forbids an order that was taken before; None when all allow it. `turnover`
    includes the order. The deviation from a reference price was a matter of the moment it was given."""
    found = _universe(limits.get("universe") or {}, isin)
    found += _value(Authority("in_force", date.min, None, limits, True, Won(max(turnover - value, 0))), value)
    return found[0].code if found else None


def _standing(authority: Authority, on: date) -> list[Violation]:
    found = mandate_allows(authority, on)
    if not authority.assigned:
        found.append(Violation("manager-not-assigned", FIELD, "You do not manage this mandate."))
    return found


def _universe(universe: Mapping[str, Any], isin: str | None) -> list[Violation]:
    if isin is None:
        return []
    include, exclude = universe.get("include") or [], universe.get("exclude") or []
    if isin in exclude or (include and isin not in include):
        return [Violation("instrument-not-in-mandate", "isin", "The mandate does not allow this instrument.", actual=isin)]
    return []


def _value(authority: Authority, value: Won) -> list[Violation]:
    found: list[Violation] = []
    largest = authority.limits.get("max_order_value")
    if largest is not None and value > int(largest):
        found.append(
            Violation("order-value-exceeded", "quantity", "Above the mandate's largest order.", str(largest), str(value))
        )
    threshold = authority.limits.get("four_eyes_threshold")
    if threshold is not None and value >= int(threshold):
        message = "From this value on a second person must approve, and approvals are not offered yet. Order less."
        found.append(Violation("four-eyes-required", "quantity", message, str(threshold), str(value)))
    limit = authority.turnover_limit
    if limit is not None and authority.turnover + value > limit:
        found.append(turnover_exceeded("quantity", limit, Won(authority.turnover + value)))
    return found


def turnover_exceeded(field: str, limit: Won, value: Won) -> Violation:
    """`value` would pass the mandate's limit of the day, both in won; `field` is what the caller can change about it."""
    return Violation("turnover-exceeded", field, "Above the mandate's turnover of the day.", str(limit), str(value))


def deviation(percent: Any, price: Decimal | None, reference: Decimal | None) -> list[Violation]:
    """Further from the reference price than the mandate allows, in percent of it; a limit of its `price_deviation_percent`."""
    if percent is None or price is None or reference is None:
        return []
    allowed = Decimal(str(percent))
    if abs(price - reference) * 100 <= reference * allowed:
        return []
    return [
        Violation(
            "price-deviation", "price", f"More than {plain(allowed)} % from the reference price.", plain(reference), plain(price)
        )
    ]
