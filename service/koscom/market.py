"""Market data before an order goes out: lists, master of one issue, holidays. Answers come bare or wrapped."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeVar
from urllib.parse import quote

from service.core.clock import Clock
from service.gateway import CallClass, Complete, Failure, Incomplete, Inquiry, InstrumentMaster, ListedInstrument
from service.koscom.budget import ServiceName
from service.koscom.calls import Found, Lost, Purse, Retry, usable
from service.koscom.config import KoscomConfig
from service.koscom.dialect import short_code_of
from service.koscom.transport import Service
from service.koscom.wire import (
    Json,
    WireError,
    absent,
    block_of,
    decimal,
    flag,
    get,
    need_decimal,
    need_text,
    need_whole,
    parse_object,
    read_time,
    rows_of,
    whole,
)

Market = Literal["kospi", "kosdaq"]
Row = TypeVar("Row", ListedInstrument, date)
NAMES = ("isuKorAbbrv", "isuKorAbbr", "isuKorNm")


@dataclass(frozen=True)
class MarketData:
    """The market-data service. Its calls are routine ones."""

    service: Service
    config: KoscomConfig
    purse: Purse
    retry: Retry
    clock: Clock

    async def instruments(self, market: Market) -> Inquiry[ListedInstrument]:
        path = self.config.paths.instruments.format(market=market)
        return await self._inquiry(path, lambda body: listed(body, market))

    async def holidays(self) -> Inquiry[date]:
        return await self._inquiry(self.config.paths.holidays.format(nation=self.config.nation), closing_days)

    async def master(self, market: Market, short_code: str) -> InstrumentMaster | Failure:
        found = await self._get(self.config.paths.master.format(market=market, code=quote(short_code, safe="")))
        if isinstance(found, Lost):
            return Failure(found.reason, found.detail)
        try:
            master = instrument_master(unwrapped(found.raw), market)
        except WireError as error:
            return Failure(error.reason, error.detail)
        if short_code_of(short_code) not in {master.short_code, master.isin}:
            return Failure("echo-mismatch", "another issue's master")
        return master

    async def _inquiry(self, path: str, read: Callable[[Json], list[Row]]) -> Inquiry[Row]:
        asked_at = self.clock.now()
        found = await self._get(path)
        if isinstance(found, Lost):
            return Incomplete(found.reason, found.detail, (), (found.raw,) if found.raw else ())
        try:
            return Complete(tuple(read(unwrapped(found.raw))), (found.raw,), asked_at)
        except WireError as error:
            return Incomplete(error.reason, error.detail, (), (found.raw,))

    async def _get(self, path: str) -> Found | Lost:
        async def attempt() -> Found | Lost:
            refused = await self.purse.refuses(ServiceName.MARKET, CallClass.ROUTINE)
            return Lost(refused, path) if refused is not None else usable(await self.service.get(path))

        return await self.retry(attempt)


# --- pure reading ---------------------------------------------------------------------------------------------------


def unwrapped(raw: bytes) -> Json:
    """The answer itself, out of `{"jsonrpc", "result"}` where it is wrapped."""
    answer = parse_object(raw)
    if "jsonrpc" not in answer:
        return answer
    if not absent(answer.get("error")):
        raise WireError("jsonrpc-error", "error")
    return block_of(answer, "result")


def listed(body: Json, market: Market) -> list[ListedInstrument]:
    return [
        ListedInstrument(
            isin=need_text(row, "isuCd"),
            short_code=_short_code(row),
            name=need_text(row, *_present(row, NAMES)),
            market=market,
        )
        for row in rows_of(body, "isuLists")
    ]


def instrument_master(body: Json, market: Market) -> InstrumentMaster:
    """Every field here can forbid an order, so none of them is guessed."""
    return InstrumentMaster(
        isin=need_text(body, "isuCd"),
        short_code=_short_code(body),
        name=need_text(body, *_present(body, NAMES)),
        market=market,
        group=need_text(body, "secugrpId"),
        base_price=need_decimal(body, "basPrc"),
        upper_limit=decimal(body, "uplmtprc"),
        lower_limit=decimal(body, "lwlmtprc"),
        halted=flag(body, "haltYn"),
        liquidation=flag(body, "arrantrdYn"),
        administrative=flag(body, "admisuYn"),
        warning=need_text(body, "mktWarnTpCd"),
        attention=flag(body, "invstcautnRemndIsuYn"),
        overheated=need_text(body, "srttrmOverheatIsuTpCd"),
        trading_unit=need_whole(body, "regulssQtyUnit"),
        listed_shares=whole(body, "listShrs"),
    )


def closing_days(body: Json) -> list[date]:
    days = get(body, "lists")
    if days is None:
        raise WireError("missing-block", "lists")
    if not isinstance(days, list):
        raise WireError("unreadable-block", "lists")
    return [read_time(need_text({"lists": one}, "lists"), "lists").date() for one in days]


def _short_code(row: Json) -> str:
    code = need_text(row, "isuSrtCd")
    return short_code_of(code) or code


def _present(row: Json, names: tuple[str, ...]) -> tuple[str, ...]:
    """Abbreviation and full name are different words for one issue; the first that is there counts."""
    return next(((name,) for name in names if not absent(row.get(name))), names)
