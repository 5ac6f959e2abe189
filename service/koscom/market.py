"""Market data before an order goes out: lists, master of one issue, holidays. Answers come bare or wrapped."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, TypeVar
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
    whole,
)

Market = Literal["kospi", "kosdaq"]
Row = TypeVar("Row", ListedInstrument, date)
NAMES = ("isuKorAbbrv", "isuKorAbbr", "isuKorNm")
CODE_LENGTH = 40  # documented ones have nine and twelve


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
        return await self._inquiry(path, "isuLists", lambda row: listed(row, market))

    async def holidays(self) -> Inquiry[date]:
        return await self._inquiry(self.config.paths.holidays.format(nation=self.config.nation), "lists", closing_day)

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

    async def _inquiry(self, path: str, name: str, read: Callable[[Any], Row]) -> Inquiry[Row]:
        asked_at = self.clock.now()
        found = await self._get(path)
        if isinstance(found, Lost):
            return Incomplete(found.reason, found.detail, (), (found.raw,) if found.raw else ())
        try:
            rows, broken = each(unwrapped(found.raw), name, read)
        except WireError as error:
            return Incomplete(error.reason, error.detail, (), (found.raw,))
        if broken is not None:
            return Incomplete(broken.reason, broken.detail, rows, (found.raw,))
        return Complete(rows, (found.raw,), asked_at)

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


def each(body: Json, name: str, read: Callable[[Any], Row]) -> tuple[tuple[Row, ...], WireError | None]:
    """The rows of a list that can be read, and what is wrong with the first that cannot: it takes no other away."""
    values = get(body, name)
    if values is None:
        raise WireError("missing-block", name)
    if not isinstance(values, list | dict):
        raise WireError("unreadable-block", name)
    rows, broken = [], None
    for place, value in enumerate([values] if isinstance(values, dict) else values, start=1):
        try:
            rows.append(read(value))
        except WireError as error:
            broken = broken or WireError(error.reason, f"row {place}: {error.detail}")
    return tuple(rows), broken


def listed(row: Any, market: Market) -> ListedInstrument:
    if not isinstance(row, dict):
        raise WireError("unreadable-block", "isuLists")
    return ListedInstrument(
        isin=_code(row, "isuCd"), short_code=_short_code(row), name=need_text(row, *_present(row, NAMES)), market=market
    )


def instrument_master(body: Json, market: Market) -> InstrumentMaster:
    """Every field here can forbid an order, so none of them is guessed."""
    return InstrumentMaster(
        isin=_code(body, "isuCd"),
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


def closing_day(value: Any) -> date:
    return read_time(need_text({"lists": value}, "lists"), "lists").date()


def _short_code(row: Json) -> str:
    code = _code(row, "isuSrtCd")
    return short_code_of(code) or code


def _code(row: Json, name: str) -> str:
    code = need_text(row, name)
    if len(code) > CODE_LENGTH:  # tables and the ledger would refuse it, and with it whatever is written beside it
        raise WireError("unreadable-text", name)
    return code


def _present(row: Json, names: tuple[str, ...]) -> tuple[str, ...]:
    """Abbreviation and full name are different words for one issue; the first that is there counts."""
    return next(((name,) for name in names if not absent(row.get(name))), names)
