"""The port itself, as the slices see it."""

from datetime import date
from typing import Literal, Protocol

from service.core.clock import MonotonicSeconds
from service.core.secret import AccountNumber, Secret
from service.gateway.inquiries import AccountRow, BalanceRow, CallClass, Failure, Inquiry, OrderRow, SettlementRow, TransactionRow
from service.gateway.linkage import LinkedAccount, Membership
from service.gateway.market import InstrumentMaster, ListedInstrument
from service.gateway.orders import OrderMessage, SendOutcome
from service.gateway.profile import BrokerProfile
from service.gateway.reports import RawReport, Report


class Gateway(Protocol):
    """What the slices may ask. One instance per process; safe to share between tasks."""

    def profile(self, broker: str) -> BrokerProfile: ...

    async def send(self, message: OrderMessage, not_after: MonotonicSeconds) -> SendOutcome:
        """One POST to the order endpoint. Called by the dispatcher and by nobody else. `not_after`: monotonic seconds after
        which no first byte may leave any more; then the outcome is NotSent."""
        ...

    async def orders(self, broker: str, account: AccountNumber, day: date, call_class: CallClass) -> Inquiry[OrderRow]: ...

    async def balance(self, broker: str, account: AccountNumber, call_class: CallClass) -> Inquiry[BalanceRow]: ...

    async def settlements(
        self, broker: str, account: AccountNumber, day: date | None, call_class: CallClass
    ) -> Inquiry[SettlementRow]: ...

    async def accounts(self, broker: str, call_class: CallClass) -> Inquiry[AccountRow]: ...

    async def transactions(
        self, broker: str, account: AccountNumber, first: date, last: date, call_class: CallClass
    ) -> Inquiry[TransactionRow]: ...

    async def instruments(self, market: Literal["kospi", "kosdaq"]) -> Inquiry[ListedInstrument]: ...

    async def master(self, market: Literal["kospi", "kosdaq"], short_code: str) -> InstrumentMaster | Failure: ...

    async def holidays(self) -> Inquiry[date]: ...

    async def membership(self, ci: Secret, korean_name: str) -> Membership | Failure: ...

    async def linked_accounts(self, ci: Secret, korean_name: str) -> Inquiry[LinkedAccount]: ...

    def read_report(self, raw: RawReport) -> Report:
        """Pure: the same bytes give the same value."""
        ...
