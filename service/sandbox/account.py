"""Accounts of the imaginary brokers: cash by settlement, holdings by trade day, obligations. Whole won.

Kept true here: settled cash moves only on a settlement day; a holding moves with its trade; what a sale or purchase will
bring or cost is worked out from its fills on the broker's own base (per day, order or fill).
"""

from dataclasses import dataclass, field, replace
from datetime import date

from service.sandbox import calendar, rules
from service.sandbox.instruments import BY_ISIN
from service.sandbox.profiles import Profile


@dataclass(slots=True)
class Holding:
    """Shares by trade day and what they cost, in won."""

    quantity: int
    cost: int
    last_buy: date

    @property
    def average_cost(self) -> int:
        return self.cost // self.quantity if self.quantity else 0


@dataclass(frozen=True, slots=True)
class Piece:
    """One execution as settlement sees it; `cost` is what a sale took from the holding's cost."""

    order: str
    quantity: int
    price: int
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Costs:
    commission: int = 0
    transaction: int = 0
    rural: int = 0

    @property
    def total(self) -> int:
        return self.commission + self.transaction + self.rural

    def __add__(self, more: "Costs") -> "Costs":
        return Costs(self.commission + more.commission, self.transaction + more.transaction, self.rural + more.rural)

    def __mul__(self, times: int) -> "Costs":
        return Costs(self.commission * times, self.transaction * times, self.rural * times)


@dataclass(slots=True)
class Settlement:
    """What one issue, side and trade day will bring (sell) or cost (buy) on the settlement day."""

    business_date: date
    isin: str
    side: str
    settle_date: date
    quantity: int = 0
    amount: int = 0
    costs: Costs = field(default_factory=Costs)
    pieces: list[Piece] = field(default_factory=list)
    bases: dict[str, int] = field(default_factory=dict)
    settled: bool = False

    def change(self, profile: Profile, piece: Piece, sign: int) -> None:
        """Take an execution in (1) or back out (-1); costs follow on the broker's base, without counting the rest again."""
        amount = piece.quantity * piece.price
        self.quantity += sign * piece.quantity
        self.amount += sign * amount
        if profile.cost_base == "fill":
            self.costs += self._cost(profile, amount) * sign
            return
        base = "" if profile.cost_base == "day" else piece.order
        before = self.bases.get(base, 0)
        self.bases[base] = before + sign * amount
        self.costs += self._cost(profile, self.bases[base]) + self._cost(profile, before) * -1

    def _cost(self, profile: Profile, amount: int) -> "Costs":
        return cost_of(profile, self.isin, self.side, amount, self.settle_date)

    @property
    def cash(self) -> int:
        """The movement of cash, negative for a purchase."""
        return (self.amount if self.side == "sell" else -self.amount) - self.costs.total


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of the transaction book; `quantity_after` and `cash_after` stand beside it."""

    day: date
    kind: str
    isin: str
    cash: int
    quantity: int


@dataclass(slots=True)
class Account:
    """One client's account at one broker."""

    number: str
    name: str
    virtual: str
    contract: str
    opened: date
    deposit: int
    holdings: dict[str, Holding] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    deposits: list[Movement] = field(default_factory=list)

    def book(self, profile: Profile, day: date, isin: str, side: str, piece: Piece) -> None:
        """Record one execution: holdings at once, cash on the settlement day."""
        cost = self._hold(day, isin, side, piece)
        settlement = self._settlement(day, isin, side)
        settlement.pieces.append(replace(piece, cost=cost))
        settlement.change(profile, piece, 1)

    def unbook(self, profile: Profile, day: date, isin: str, side: str, piece: Piece) -> bool:
        """Take one execution back; False (and nothing happens) when it has settled or its shares are gone."""
        settlement = self._settlement(day, isin, side)
        found = next((one for one in settlement.pieces if replace(one, cost=0) == piece), None)
        if found is None or settlement.settled or (side == "buy" and self.quantity(isin) < piece.quantity):
            return False
        settlement.pieces.remove(found)
        settlement.change(profile, found, -1)
        self._unhold(day, isin, side, found)
        return True

    def settle(self, day: date) -> None:
        """The night's work: what is due on `day` reaches the settled cash."""
        for settlement in self.settlements:
            if not settlement.settled and settlement.settle_date <= day:
                self.deposit += settlement.cash
                settlement.settled = True

    def ladder(self, day: date) -> tuple[int, int, int]:
        """Cash on `day` and after the next two settlement days (예수금, D+1, D+2)."""
        d1 = calendar.next_trading_day(day)
        d2 = calendar.next_trading_day(d1)
        due = [one for one in self.settlements if not one.settled]
        first = self.deposit + sum(one.cash for one in due if one.settle_date <= d1)
        return self.deposit, first, first + sum(one.cash for one in due if d1 < one.settle_date <= d2)

    def expected_cash(self) -> int:
        """Settled cash and everything under way: what may be spent again at this broker."""
        return self.deposit + sum(one.cash for one in self.settlements if not one.settled)

    def quantity(self, isin: str) -> int:
        return self.holdings[isin].quantity if isin in self.holdings else 0

    def _hold(self, day: date, isin: str, side: str, piece: Piece) -> int:
        """The cost that leaves with a sale."""
        holding = self.holdings.setdefault(isin, Holding(0, 0, day))
        if side == "buy":
            holding.quantity += piece.quantity
            holding.cost += piece.quantity * piece.price
            holding.last_buy = day
            return 0
        cost = holding.cost * piece.quantity // holding.quantity
        self._take(isin, holding, piece.quantity, cost)
        return cost

    def _unhold(self, day: date, isin: str, side: str, piece: Piece) -> None:
        holding = self.holdings.setdefault(isin, Holding(0, 0, day))
        if side == "buy":
            self._take(isin, holding, piece.quantity, piece.quantity * piece.price)
            return
        holding.quantity += piece.quantity
        holding.cost += piece.cost

    def _take(self, isin: str, holding: Holding, quantity: int, cost: int) -> None:
        holding.quantity -= quantity
        holding.cost = max(0, holding.cost - cost)
        if not holding.quantity:
            del self.holdings[isin]

    def _settlement(self, day: date, isin: str, side: str) -> Settlement:
        for one in reversed(self.settlements):
            if (one.business_date, one.isin, one.side) == (day, isin, side):
                return one
        self.settlements.append(Settlement(day, isin, side, calendar.settlement_day(day)))
        return self.settlements[-1]


def cost_of(profile: Profile, isin: str, side: str, amount: int, settles: date) -> Costs:
    fee = rules.commission(amount, rate=profile.commission_rate, unit=profile.commission_unit)
    if side == "buy":
        return Costs(fee)
    instrument = BY_ISIN[isin]
    rate = rules.tax_rate(instrument.market, settles, fund=instrument.fund)
    return Costs(fee, rules.tax(amount, rate.transaction), rules.tax(amount, rate.rural))
