"""Run every pre-trade check of an order and send nothing (주문 전 점검)."""

from dataclasses import dataclass
from datetime import date

from service.audit import append
from service.core.clock import kst_date
from service.core.errors import Violation
from service.core.principal import Principal
from service.gateway import Session
from service.orders.decide import Asked, decide
from service.orders.desk import Desk, session_facts
from service.orders.submit import account_not_found, read_values
from service.orders.submit_store import NOTE, READ
from service.orders.weigh import weighed


@dataclass(frozen=True)
class Checked:
    violations: list[Violation]
    business_date: date
    session: Session | None
    value: int


async def check(desk: Desk, asked: Asked, *, principal: Principal, request_id: str) -> Checked:
    """Every failed check. Raises NotFound `account-not-found`."""
    rules = await desk.market.rules()
    async with desk.hot(books=principal.user_id) as connection:
        now = desk.clock.now()
        row = await READ.row(connection, **read_values(desk, asked, principal, None, kst_date(now)))
        if row is None or row["account_id"] is None:
            raise account_not_found()
        decision = decide(
            asked, row, rules, principal=principal, profile=desk.profile(row["broker"]),
            licensed=desk.licence_valid(kst_date(now)), now=now,
        )  # fmt: skip
        decision = await weighed(connection, asked, row, decision, kst_date(now))
        entry = append.entry(
            kind="order.checked",
            subject=("account", asked.account_id),
            body={"violations": [one.code for one in decision.violations]},
            principal=principal,
            request_id=request_id,
        )
        await NOTE.row(connection, **entry.values("audit_"))
    session, _ = session_facts(rules.calendar, now, asked.wish.session)
    return Checked(decision.violations, kst_date(now), session.session if session else None, decision.value)
