"""The five discretionary inquiries: questions, pages in a chain, rows; once per asset type where the platform asks it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar, cast

from service.core.clock import Clock, kst_date
from service.core.ids import RandomBits
from service.core.secret import AccountNumber
from service.gateway import (
    AccountRow,
    BalanceRow,
    BrokerProfile,
    CallClass,
    Complete,
    Incomplete,
    Inquiry,
    OrderRow,
    SettlementRow,
    TransactionRow,
)
from service.koscom import envelope, translate
from service.koscom.budget import ServiceName
from service.koscom.calls import TORN, Found, Lost, Purse, Retry, usable
from service.koscom.config import KoscomConfig
from service.koscom.envelope import Api, Page, PageKey
from service.koscom.paging import Fetched, NotFetched, Read, Shape, each_row, read_chain
from service.koscom.transport import Service
from service.koscom.wire import Json, WireError

Row = TypeVar("Row", OrderRow, BalanceRow, SettlementRow, AccountRow, TransactionRow)
UNSUPPORTED_ASSET = "code-6001"


@dataclass(frozen=True)
class Inquirer:
    """The inquiry service, with all that a chain of pages needs."""

    service: Service
    config: KoscomConfig
    purse: Purse
    retry: Retry
    clock: Clock
    random_bits: RandomBits

    async def orders(self, profile: BrokerProfile, account: AccountNumber, day: date, call_class: CallClass) -> Inquiry[OrderRow]:
        query = {"qrSellBuyType": "0", "qrAccNo": account.reveal(), "qrOrderDate": f"{day:%Y%m%d}", "qrIsinCode": ""}
        query |= {"qrOrderNo": ""}
        return of_day(await self._per_asset_type(ORDERS, profile, query, call_class, account), day)

    async def balance(self, profile: BrokerProfile, account: AccountNumber, call_class: CallClass) -> Inquiry[BalanceRow]:
        return await self._per_asset_type(BALANCE, profile, {"qrAccNo": account.reveal()}, call_class, account)

    async def settlements(
        self, profile: BrokerProfile, account: AccountNumber, day: date | None, call_class: CallClass
    ) -> Inquiry[SettlementRow]:
        asked = "" if day is None else f"{day:%Y%m%d}"
        query = {"qrSellBuyType": "0", "qrAccNo": account.reveal(), "qrOrderDate": asked, "qrIsinCode": ""}
        return await self._per_asset_type(SETTLEMENTS, profile, query, call_class, account)

    async def accounts(self, profile: BrokerProfile, call_class: CallClass) -> Inquiry[AccountRow]:
        asked_at = self.clock.now()
        return answer_of(ACCOUNTS, [await self._chain(ACCOUNTS, profile, {}, call_class)], None, asked_at)

    async def transactions(
        self, profile: BrokerProfile, account: AccountNumber, first: date, last: date, call_class: CallClass
    ) -> Inquiry[TransactionRow]:
        asked_at = self.clock.now()
        query = {"qrAccNo": account.reveal(), "qrFromDate": f"{first:%Y%m%d}", "qrToDate": f"{last:%Y%m%d}"}
        read = await self._chain(TRANSACTIONS, profile, cast(Json, query), call_class)
        return answer_of(TRANSACTIONS, [read], account, asked_at)

    async def _per_asset_type(
        self,
        kind: "Kind[Row]",
        profile: BrokerProfile,
        query: dict[str, str],
        call_class: CallClass,
        account: AccountNumber,
    ) -> Inquiry[Row]:
        asked_at = self.clock.now()
        reads = [
            await self._chain(kind, profile, {"qrAssetType": asset_type, **query}, call_class)
            for asset_type in profile.asset_types
        ]
        return answer_of(kind, reads, account, asked_at)

    async def _chain(self, kind: "Kind[Row]", profile: BrokerProfile, query: Json, call_class: CallClass) -> Read[Row]:
        async def fetch(key: PageKey) -> Fetched | NotFetched:
            asked = query | {"count": profile.count, "page": _first(profile) if key is None else key}
            return await self._page(kind.api, profile, asked, call_class)

        return await read_chain(fetch, kind.shape, count=profile.count, pages_max=self.config.pages_max)

    async def _page(self, api: Api, profile: BrokerProfile, query: Json, call_class: CallClass) -> Fetched | NotFetched:
        """One page, tried again where that could help. Raw answers of failed attempts are kept as well."""
        seen: list[bytes] = []
        opened: list[Page] = []

        async def attempt() -> Found | Lost:
            result = await self._ask(api, profile, query, call_class)
            if isinstance(result, Lost):
                seen.extend([result.raw] if result.raw else [])
                return result
            opened.append(result.page)
            return Found(result.raw)

        result = await self.retry(attempt)
        if isinstance(result, Found):
            return Fetched(result.raw, opened[-1])
        return NotFetched(result.reason, result.detail, tuple(seen))

    async def _ask(self, api: Api, profile: BrokerProfile, query: Json, call_class: CallClass) -> Fetched | Lost:
        refused = await self.purse.refuses(ServiceName.INQUIRIES, call_class)
        if refused is not None:
            return Lost(refused, str(call_class))
        req_id = envelope.request_id(self.random_bits)
        body = envelope.question(api, query, com_id=self.config.com_id, srv_id=self.config.srv_id, req_id=req_id)
        path = self.config.paths.inquiries.format(broker=profile.short_name, api=api.path)
        found = usable(await self.service.post(path, body))
        if isinstance(found, Lost):
            return found
        try:
            return Fetched(found.raw, envelope.open_page(api, found.raw, query=query, req_id=req_id))
        except WireError as error:
            return Lost(error.reason, error.detail, found.raw, again=error.reason in TORN)


def _first(profile: BrokerProfile) -> str | None:
    return "null" if profile.first_page == "text-null" else None


# --- from chains to an answer of the port ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind(Generic[Row]):
    """One inquiry: its blocks and how its rows are read, merged and owned."""

    api: Api
    shape: Shape[Row]
    merge: Callable[[list[Row]], list[Row]] = list


ORDERS: Kind[OrderRow] = Kind(
    envelope.ORDERS, Shape(each_row(translate.order_row), translate.distinct_of), translate.merge_orders
)  # fmt: skip
BALANCE: Kind[BalanceRow] = Kind(
    envelope.BALANCE, Shape(each_row(translate.balance_row), translate.entries_of), translate.merge_balances
)
SETTLEMENTS: Kind[SettlementRow] = Kind(envelope.SETTLEMENTS, Shape(each_row(translate.settlement_row), len))
ACCOUNTS: Kind[AccountRow] = Kind(  # an account shown twice stands where another one is missing
    envelope.ACCOUNTS, Shape(each_row(translate.account_row), lambda rows: len(set(rows)))
)
TRANSACTIONS: Kind[TransactionRow] = Kind(envelope.TRANSACTIONS, Shape(each_row(translate.transaction_row), len))


def answer_of(kind: Kind[Row], reads: list[Read[Row]], account: AccountNumber | None, asked_at: datetime) -> Inquiry[Row]:
    """All chains of one inquiry as one answer: complete only where each of them is."""
    rows, pages, remarks, failure = _together(reads)
    try:
        rows = kind.merge(rows)
    except WireError as error:
        failure = failure or (error.reason, error.detail)
    if account is not None and any(row.account != account for row in rows):
        failure = failure or ("account-mismatch", "a row of another account")
    if failure is not None:
        return Incomplete(failure[0], failure[1], tuple(rows), pages)
    return Complete(tuple(rows), pages, asked_at, tuple(dict.fromkeys(remarks)))


def of_day(answer: Inquiry[OrderRow], day: date) -> Inquiry[OrderRow]:
    """Order numbers begin anew every day: rows of another day would be taken for today's orders. An order may be written down
    the evening before, so it takes all rows that tell a time to tell another day."""
    told = {kst_date(row.order_time) for row in answer.rows if row.order_time is not None}
    if not told or day in told:
        return answer
    return Incomplete("another-day", f"rows of {min(told)}, not of {day}", (), answer.pages)


def _together(
    reads: list[Read[Row]],
) -> tuple[list[Row], tuple[bytes, ...], list[str], tuple[str, str] | None]:
    """A broker that says of one asset type that it is not supported has answered, as long as another type was read."""
    unsupported = [read for read in reads if read.failure and read.failure[0] == UNSUPPORTED_ASSET and not read.rows]
    excused = len(unsupported) < len(reads)
    failures = [read.failure for read in reads if read.failure and not (excused and read in unsupported)]
    remarks = [remark for read in reads for remark in read.remarks]
    remarks += ["asset-type-unsupported: the broker does not serve one of the asset types"] * bool(excused and unsupported)
    rows = [row for read in reads for row in read.rows]
    pages = tuple(page for read in reads for page in read.pages)
    return rows, pages, remarks, failures[0] if failures else None
