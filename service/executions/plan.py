"""What a group of reports does to one order. Pure: everything known goes in, what is to be written comes out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.core.secret import AccountNumber
from service.executions.fills import Dated, net, new_fills, short
from service.executions.impossible import impossible
from service.executions.matching import Found
from service.executions.route import Message, Readable
from service.executions.store import Fill, Waiting
from service.executions.strangers import with_quantity
from service.gateway import BrokerProfile, ExecutionReport, Unreadable
from service.orders.advance import Cause, Step, step
from service.orders.model import BY_INQUIRY, Order
from service.orders.numbers import bare
from service.orders.reading import CHANGES
from service.orders.whole import Whole, place

NOTHING: Found[Fill] = Found((), ())
PER_ORDER = 150  # reports of one order in one transaction: their evidence has to fit a ledger entry


@dataclass(frozen=True)
class Plan:
    """One order's part of a batch."""

    known: Whole  # with the reports that are applied
    applied: tuple[tuple[Waiting, Readable], ...]
    refused: tuple[tuple[Waiting, str], ...]  # impossible, with the word why
    fills: tuple[Fill, ...]
    unresolved: bool = False  # a bust of an execution nobody can name yet
    unread: tuple[tuple[Waiting, str], ...] = ()  # of which only the order's name is legible, with what is wrong

    @property
    def new_numbers(self) -> set[str]:
        """Numbers of the broker, bare, that no report gave this order before."""
        told = _numbers(said for _, said in self.applied) - {bare(self.order.broker_order_number)}
        if told:
            new = {one.raw_id for one, _ in self.applied}
            told -= _numbers(said for raw_id, said in self.known.evidence if raw_id not in new)
        return {one for one in told if one is not None}

    @property
    def order(self) -> Order:
        """As it is stored."""
        return self.known.order


def _numbers(reports: Iterable[Readable]) -> set[str | None]:
    return {bare(one.order_id) for one in reports if isinstance(one, ExecutionReport)}


def plan(
    known: Whole, held: Sequence[Fill], group: Sequence[Message], number: AccountNumber | None, dated: Dated, now: datetime
) -> Plan:
    """`held` are all fills of the order, `number` its account's."""
    applied: list[tuple[Waiting, Readable]] = []
    refused: list[tuple[Waiting, str]] = []
    unread: list[tuple[Waiting, str]] = []
    for one, report in group[:PER_ORDER]:
        if isinstance(report, Unreadable):
            unread.append((one, report.reason))
            continue
        reason = impossible(known.order, number.reveal() if number else "", report)
        if reason is None:
            applied.append((one, report))
        else:
            refused.append((one, reason))
    after = known.with_reports([(place(one.seq_date, one.seq, one.arrived), one.raw_id, said) for one, said in applied])
    found = new_fills(after, held, dated, now) if applied else NOTHING
    return Plan(after, tuple(applied), tuple(refused), found.fills, bool(found.unresolved), tuple(unread))


def step_of(one: Plan, costs: int, aside: int, profile: BrokerProfile, now: datetime) -> Step | None:
    """The order's move; None when nothing about it changes. `aside` counts messages that speak of this order and
    stay there: while there is one, a person has to look."""
    review = _review(one, aside)
    if not one.applied and review == one.order.needs_review:
        return None
    order = with_quantity(one.order, [said for _, said in one.applied]) if one.order.external else one.order
    data: dict[str, object] = {
        "evidence": [str(each.raw_id) for each, _ in (*one.applied, *one.refused, *one.unread)],
        "fills": [short(each) for each in one.fills],
    }
    if one.refused:
        data["quarantined"] = [[str(each.raw_id), reason] for each, reason in one.refused]
    if one.unread:
        data["parked"] = [[str(each.raw_id), reason] for each, reason in one.unread]
    if one.unresolved:
        data["unresolved"] = True
    if one.order.needs_review and not review:
        data["reviewed"] = True
    cause = Cause("order.reported", data) if one.applied else Cause("order.needs_review", data)
    moved = replace(order, needs_review=review)
    return step(one.known, cause, profile=profile, now=now, traded=net(one.fills, costs), moved=moved)


def _review(one: Plan, aside: int) -> str | None:
    """Why a person must look at the order, or None when nobody need."""
    if one.refused:
        return one.refused[0][1]
    if one.unread:
        return "unreadable-report"
    if one.unresolved:
        return "bust-of-an-unknown-execution"
    explained = bool(one.fills) or any(isinstance(said, ExecutionReport) and said.exec_type in CHANGES for _, said in one.applied)
    standing = aside or not one.applied or (one.order.needs_review in BY_INQUIRY and not explained)
    return one.order.needs_review if standing else None


def report_row(order: Order, one: Waiting, document: dict[str, object]) -> dict[str, object]:
    """A row of the reports that are kept with an order."""
    return {
        "raw_id": one.raw_id, "order_id": order.id, "seq_date": one.seq_date, "seq": one.seq, "arrived": one.arrived,
        "document": document,
    }  # fmt: skip
