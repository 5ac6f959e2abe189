"""What an account is, and the two balances we keep side by side: ours and the broker's."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from service.core.money import Won
from service.core.secret import AccountNumber

STATUSES = frozenset({"0", "1", "2"})  # in force, terminated, matured
FAULT = "fault"  # said of an account or a broker: not the answer but our reading of it broke, the log has the error


@dataclass(frozen=True)
class Account:
    """계좌: identity is the broker's company code and the trimmed number."""

    id: UUID
    broker: str
    number: AccountNumber
    name: str
    virtual_number: AccountNumber | None
    contract_status: str  # 0 in force, 1 terminated, 2 matured; only 0 may trade
    first_seen: datetime
    last_seen: datetime
    vanished_at: datetime | None


@dataclass(frozen=True)
class Holding:
    """보유종목 of one day: the opening, what was executed since, and what open sell orders hold back."""

    account_id: UUID
    isin: str
    opened_on: date
    opening: int
    bought: int
    sold: int
    reserved_sell: int
    opening_cost: Won
    bought_cost: Won

    @property
    def quantity(self) -> int:
        return self.opening + self.bought - self.sold

    @property
    def sellable(self) -> int:
        """매도가능수량. A client's own sale can push it below zero; then nothing can be sold."""
        return max(self.quantity - self.reserved_sell, 0)


@dataclass(frozen=True)
class Cash:
    """예수금 of one day. `opening` is what could be ordered with, the last rung of the broker's ladder."""

    account_id: UUID
    opened_on: date
    opening: Won
    deposit: Won
    deposit_next: Won
    bought: Won
    sold: Won
    costs: Won
    reserved: Won

    @property
    def after_settlement(self) -> Won:
        """D+2: the opening with today's trades settled, their costs paid."""
        return Won(self.opening - self.bought + self.sold - self.costs)

    @property
    def orderable(self) -> Won:
        """주문가능금액: sale proceeds may be used again at once (재매매)."""
        return Won(self.after_settlement - self.reserved)

    @property
    def withdrawable(self) -> Won:
        """What no rung of the ladder and no open order needs; sale proceeds count only once they have settled."""
        spent = self.bought + self.costs + self.reserved
        return Won(max(min(self.deposit, self.deposit_next, self.opening) - spent, 0))


@dataclass(frozen=True)
class Statement:
    """What the broker said, with its time. `document` holds the rows as read."""

    id: UUID
    account_id: UUID
    kind: str
    taken_at: datetime
    complete: bool
    document: dict[str, Any]
    raw_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class OpeningHolding:
    isin: str
    quantity: int
    cost: Won


@dataclass(frozen=True)
class Opening:
    """A broker's complete balance, read as the opening position of a day."""

    deposit: Won
    deposit_next: Won
    orderable: Won
    holdings: tuple[OpeningHolding, ...]
    unresolved: tuple[str, ...]  # rows whose instrument we cannot name: they cannot be sold, and are reported
