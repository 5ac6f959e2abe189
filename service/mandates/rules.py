"""Rules of contracts and of onboarding, pure. What one order may do is in `authority.py`.

Sources: the platform's manual (service linkage); 자본시장법 §98②1 (client's stop), 시행령 §99④ (when trading may begin).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from service.core.errors import Violation
from service.core.money import Won
from service.gateway import LinkedAccount, Membership
from service.mandates.model import Limits, MandateStatus, Onboarding

RENEWAL_OPENS = timedelta(days=31)  # a consent may be renewed from one month before it ends

S = MandateStatus
NEXT: dict[MandateStatus, frozenset[MandateStatus]] = {
    S.DRAFT: frozenset({S.IN_FORCE, S.TERMINATED}),
    S.IN_FORCE: frozenset({S.SUSPENDED, S.TERMINATED}),
    S.SUSPENDED: frozenset({S.IN_FORCE, S.TERMINATED}),
    S.TERMINATED: frozenset(),  # a contract that ended is not revived: a new one is made
}

NEXT_STEP = {
    Onboarding.NOT_MEMBER: "Join the investment fintech portal and accept its terms.",
    Onboarding.MEMBER_WITHOUT_ACCOUNT: "Issue a virtual account on the portal and link it to this service.",
    Onboarding.LINKED: "Nothing.",
    Onboarding.CONSENT_EXPIRING: "Renew the consent on the portal before it ends.",
    Onboarding.CONSENT_EXPIRED: "Renew the consent on the portal; until then this client is not served.",
}


@dataclass(frozen=True)
class OnboardingView:
    state: Onboarding
    expires: date | None

    @property
    def next_step(self) -> str:
        return NEXT_STEP[self.state]


def onboarding(membership: Membership, accounts: Sequence[LinkedAccount], today: date) -> OnboardingView:
    """Where a client stands. The earliest expiry of any consent decides; it holds through its last day."""
    if not membership.member:
        return OnboardingView(Onboarding.NOT_MEMBER, None)
    if not accounts:
        return OnboardingView(Onboarding.MEMBER_WITHOUT_ACCOUNT, membership.terms_expire)
    dates = [membership.terms_expire, *(account.terms_expire for account in accounts)]
    expires = min((day for day in dates if day is not None), default=None)
    return OnboardingView(_consent(expires, today), expires)


def _consent(expires: date | None, today: date) -> Onboarding:
    if expires is None or expires > today + RENEWAL_OPENS:
        return Onboarding.LINKED
    return Onboarding.CONSENT_EXPIRED if expires < today else Onboarding.CONSENT_EXPIRING


def may_become(before: MandateStatus, after: MandateStatus) -> bool:
    return before is after or after in NEXT[before]


class Term(Protocol):
    """What decides whether a contract allows trading at all; a mandate has it, and what one order sees of a mandate."""

    @property
    def status(self) -> str: ...
    @property
    def starts_on(self) -> date: ...
    @property
    def ends_on(self) -> date | None: ...


def mandate_allows(mandate: Term, on_date: date) -> list[Violation]:
    """Whether trading under the contract is allowed on a day at all."""
    found: list[Violation] = []
    if mandate.status != S.IN_FORCE:
        found.append(Violation("mandate-not-in-force", "account_id", f"The mandate is {mandate.status}."))
    if on_date < mandate.starts_on:
        found.append(_term("mandate-not-begun", "The mandate has not begun.", mandate.starts_on, on_date))
    if mandate.ends_on is not None and on_date > mandate.ends_on:
        found.append(_term("mandate-ended", "The mandate has ended.", mandate.ends_on, on_date))
    return found


def _term(code: str, message: str, limit: date, actual: date) -> Violation:
    return Violation(code, "account_id", message, limit.isoformat(), actual.isoformat())


def weight_violation(limits: Limits, *, position_value: Won, order_value: Won, total_value: Won) -> Violation | None:
    """단일종목 비중: the weight of one name after a buy, against the contract's limit, without dividing."""
    allowed = limits.single_name_weight_percent
    after = position_value + order_value
    if allowed is None or after * 100 <= total_value * allowed:
        return None
    message = f"One name would weigh more than {allowed} % of the account."
    return Violation("single-name-weight-exceeded", "quantity", message, str(total_value * allowed // 100), str(after))
