"""From the row of the hot read to a decision: either every violation, or the order to be written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from service.controls.model import Gate, Subject
from service.core.clock import kst_date
from service.core.errors import Conflict, Forbidden, Invalid, ServiceError, Violation
from service.core.ids import uuid7
from service.core.money import Won
from service.core.principal import Principal
from service.gateway import BrokerProfile, OrderType, RequestKind, Session, Side
from service.mandates.authority import Authority, authority_violations
from service.market.book import MarketRules
from service.market.model import Product
from service.market.rules import check_limits
from service.orders.checks import CONFLICTS, AccountFacts, Facts, InstrumentFacts, Wish, order_value, violations, worst_price
from service.orders.desk import send_by, session_facts, stopped
from service.orders.model import Order, Request, RequestState, Status
from service.orders.rules import Reserve, reserve


@dataclass(frozen=True)
class Decision:
    """`order` is what would be written; with violations it is not."""

    violations: list[Violation]
    order: Order | None
    value: Won
    turnover_limit: Won | None

    def refusal(self) -> ServiceError | None:
        """The problem, named after the first violation in order of precedence; all of them are listed."""
        if not self.violations:
            return None
        first = self.violations[0]
        kind = Forbidden if first.code == "licence-required" else Conflict if first.code in CONFLICTS else Invalid
        return kind(first.code, first.message, violations=tuple(self.violations))


@dataclass(frozen=True)
class Asked:
    """The order as the caller asked for it."""

    account_id: UUID
    wish: Wish
    client_order_id: str | None
    rationale: str | None


def decide(
    asked: Asked,
    row: Mapping[str, Any],
    rules: MarketRules,
    *,
    principal: Principal,
    profile: BrokerProfile,
    licensed: bool,
    now: datetime,
) -> Decision:
    """Pure: the same row, rules and moment give the same decision."""
    instrument = _instrument(row)
    session, refusal = session_facts(rules.calendar, now, asked.wish.session)
    price = worst_price(asked.wish, instrument) if instrument else Decimal(0)
    held = reserve(asked.wish.side, asked.wish.quantity, price, profile.commission_rate)
    value = order_value(asked.wish, instrument) if instrument else Won(0)
    authority = _authority(row)
    facts = Facts(
        now=now,
        licensed=licensed,
        session=session,
        session_refusal=refusal,
        instrument=instrument,
        account=_account(row, asked, instrument, authority, value, now),
        tick=_tick(asked.wish, instrument, rules, now),
        reserve_cash=held.cash,
        twin_in_doubt=row["twin_in_doubt"],
        limits_doubt=limits_doubt(instrument, rules, kst_date(now)),
    )
    subject = Subject(row["broker"], asked.account_id, instrument.isin if instrument else "", principal.user_id)
    found = stopped(Gate.of(row), subject) + violations(asked.wish, facts) + _reused(row)
    order = None
    if not found and instrument and session:
        order = _order(asked, row, instrument, session.session, session.ends, held, price, principal, now)
    return Decision(found, order, value, authority.turnover_limit if authority else None)


def _instrument(row: Mapping[str, Any]) -> InstrumentFacts | None:
    if row["isin"] is None:
        return None
    return InstrumentFacts(
        isin=row["isin"],
        short_code=row["short_code"],
        product=row["product"],
        base_price=row["base_price"],
        upper_limit=row["upper_limit"],
        lower_limit=row["lower_limit"],
        halted=row["halted"],
        liquidation=row["liquidation"],
        trading_unit=row["trading_unit"],
        after_market_eligible=row["after_market_eligible"],
    )


def _authority(row: Mapping[str, Any]) -> Authority | None:
    if row["mandate_id"] is None:
        return None
    return Authority(
        status=row["status"],
        starts_on=row["starts_on"],
        ends_on=row["ends_on"],
        limits=orjson.loads(row["limits"]),
        assigned=row["assigned"],
        turnover=Won(row["turnover"]),
    )


def _account(
    row: Mapping[str, Any],
    asked: Asked,
    instrument: InstrumentFacts | None,
    authority: Authority | None,
    value: Won,
    now: datetime,
) -> AccountFacts:
    found = authority_violations(
        authority,
        on=kst_date(now),
        isin=instrument.isin if instrument else None,
        value=value,
        price=asked.wish.price,
        reference=instrument.base_price if instrument else None,
    )
    current = row["holding_opened_on"] == row["opened_on"]
    return AccountFacts(
        contract_status=row["contract_status"],
        vanished=row["vanished"],
        mandate_violations=tuple(found),
        opened_on=row["opened_on"],
        orderable=Won(row["orderable"] or 0),
        sellable=row["sellable"] if current and row["sellable"] else 0,
    )


def _tick(wish: Wish, instrument: InstrumentFacts | None, rules: MarketRules, now: datetime) -> Decimal | None:
    if wish.price is None or instrument is None:
        return None
    return rules.ticks.tick(Product(instrument.product), wish.price, kst_date(now))


def limits_doubt(instrument: InstrumentFacts | None, rules: MarketRules, on: date) -> Violation | None:
    """Limits that do not follow from the base price would let a slip of the finger through: then nothing goes out."""
    if instrument is None or instrument.base_price is None:
        return None
    checked = check_limits(
        rules.ticks, product=Product(instrument.product), base=instrument.base_price, upper=instrument.upper_limit,
        lower=instrument.lower_limit, on=on, liquidation=instrument.liquidation,
    )  # fmt: skip
    return checked.violation


def _reused(row: Mapping[str, Any]) -> list[Violation]:
    if not row["client_order_id_used"]:
        return []
    return [Violation("client-order-id-used", "client_order_id", "You gave this client_order_id to an earlier order.")]


def _order(
    asked: Asked,
    row: Mapping[str, Any],
    instrument: InstrumentFacts,
    session: Session,
    ends: datetime,
    held: Reserve,
    limit_price: Decimal,
    principal: Principal,
    now: datetime,
) -> Order:
    order_id, wish = uuid7(), asked.wish
    return Order(
        id=order_id,
        business_date=kst_date(now),
        account_id=asked.account_id,
        broker=row["broker"],
        mandate_id=row["mandate_id"],
        manager_id=principal.user_id,
        isin=instrument.isin,
        short_code=instrument.short_code,
        side=Side(wish.side),
        order_type=OrderType(wish.order_type),
        time_in_force=wish.time_in_force,
        session=session,
        quantity=wish.quantity,
        price=wish.price,
        limit_price=limit_price,
        status=Status.PENDING_NEW,
        filled_quantity=0,
        filled_amount=Decimal(0),
        reported_quantity=0,
        remaining_quantity=wish.quantity,
        closed=False,
        reserved_cash=held.cash,
        reserved_quantity=held.quantity,
        broker_order_number=None,
        client_order_id=asked.client_order_id,
        rationale=asked.rationale,
        session_ends=ends,
        audit_seq=1,
        version=1,
        created_at=now,
        updated_at=now,
        requests=(_request(order_id, asked, row["cl_ord_id"], ends, principal, now),),
    )


def _request(order_id: UUID, asked: Asked, cl_ord_id: str, ends: datetime, principal: Principal, now: datetime) -> Request:
    return Request(
        id=uuid7(),
        order_id=order_id,
        kind=RequestKind.NEW,
        number=1,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        quantity=asked.wish.quantity,
        price=asked.wish.price,
        state=RequestState.QUEUED,
        reason=None,
        user_id=principal.user_id,
        send_by=send_by(now, ends),
        queued_at=now,
    )
