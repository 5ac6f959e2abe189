"""An order without a database: what applying a report comes to when everything but its arithmetic is taken away.

The report joins the set, what is missing among the fills is recorded (`matching.missing`), and the machine says where that
puts the order; the very functions that carry real orders. Scenario files and tests of orderings are played with it.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from service.executions.matching import Maker, missing
from service.executions.told import Reversal, Trade, pushed
from service.gateway import ExecutionReport
from service.orders.machine import Facts, View, view
from service.orders.model import Request, RequestState
from service.orders.reading import Known

ROWS = 1000  # executions that one piece of evidence may show here


@dataclass(frozen=True)
class PlainFill:
    """A fill without its day, account and money. Shares and won."""

    id: UUID
    quantity: int
    price: Decimal
    exec_id: str | None
    evidence: UUID
    reverses: UUID | None = None


@dataclass(frozen=True)
class Told:
    """A report, its evidence, and its place in the canonical order."""

    place: int
    evidence: UUID
    report: Known


@dataclass(frozen=True)
class Life:
    """An order as it would be stored: its requests, the reports known about it, its fills."""

    quantity: int
    requests: tuple[Request, ...] = ()
    told: tuple[Told, ...] = ()  # in canonical order
    fills: tuple[PlainFill, ...] = ()
    unresolved: tuple[Reversal, ...] = ()

    @property
    def filled(self) -> int:
        return sum(one.quantity for one in self.fills)

    def view(self) -> View:
        return view(Facts(self.quantity, None, self.requests), [one.report for one in self.told], self.filled)


def _recorded(trade: Trade, _number: int) -> PlainFill:
    # Its id is its evidence's and its row's there: fills of one life need only differ among themselves, and a life must not
    # depend on chance.
    return PlainFill(UUID(int=_place(trade.evidence, trade.row)), trade.quantity, trade.price, trade.exec_id, trade.evidence)


def _place(evidence: UUID, row: int) -> int:
    return (evidence.int * ROWS + row) * 2


def _reversed(target: PlainFill, reversal: Reversal, _number: int) -> PlainFill:
    said = reversal.evidence
    return PlainFill(UUID(int=_place(said, 0) + 1), -target.quantity, target.price, None, said, target.id)


MAKER = Maker(_recorded, _reversed)


def tell(life: Life, *news: Told) -> Life:
    """Apply reports. Telling the same evidence again changes nothing."""
    known = {one.evidence for one in life.told}
    told = sorted([*life.told, *(one for one in news if one.evidence not in known)], key=lambda one: one.place)
    said = pushed((one.evidence, one.report) for one in told if isinstance(one.report, ExecutionReport))
    found = missing(life.fills, said, MAKER)
    life = replace(life, told=tuple(told), fills=(*life.fills, *found.fills), unresolved=found.unresolved)
    return settled(life)


def settled(life: Life) -> Life:
    """With its requests where everything known puts them."""
    states = life.view().requests
    return replace(life, requests=tuple(_moved(one, *states[one.cl_ord_id]) for one in life.requests))


def _moved(one: Request, state: RequestState, reason: str | None) -> Request:
    return one if (one.state, one.reason) == (state, reason) else replace(one, state=state, reason=reason)
