"""Instruments over HTTP."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.core.clock import kst_date
from service.core.errors import NotFound
from service.core.money import plain
from service.core.principal import Principal, Role
from service.infra import paging
from service.infra.caller import Caller, require
from service.infra.http import Cursor, Limit, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.market import store
from service.market.model import Instrument, InstrumentDay
from service.market.synchronise_instruments import InstrumentsDiff, synchronise_instruments

router = APIRouter(prefix="/v1/instruments", tags=["market"])

Operations = Annotated[Principal, require(Role.OPERATIONS)]
Word = Annotated[str | None, Query(max_length=60, pattern=r"^[^\x00]*$")]
REFUSED = ("authentication-required", "validation-failed")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DayOut(Strict):
    business_date: date = Field(description="the day these hold for; older than today when its master was not read")
    base_price: str = Field(description="기준가격, won")
    upper_limit: str | None = Field(description="상한가, won; null: no limit")
    lower_limit: str | None = Field(description="하한가, won; null: no limit")
    halted: bool = Field(description="거래정지")
    liquidation: bool = Field(description="정리매매")
    administrative: bool = Field(description="관리종목")
    warning: str = Field(description="00 none, 01 caution, 02 warning, 03 risk")
    attention: bool = Field(description="투자주의환기종목")
    overheated: str = Field(description="0 none, 1 to 3 단기과열")
    trading_unit: int = Field(description="shares of one lot")
    listed_shares: int | None = Field(description="상장주식수")
    after_market_eligible: bool = Field(description="tradable in the after-market")
    fetched_at: datetime = Field(description="business time at which the master was read")

    @classmethod
    def of(cls, day: InstrumentDay) -> "DayOut":
        values = {name: value for name, value in vars(day).items() if name != "isin"}
        return cls(**{name: plain(value) if isinstance(value, Decimal) else value for name, value in values.items()})


class InstrumentOut(Strict):
    isin: str = Field(description="표준코드", examples=["KR7005930003"])
    short_code: str = Field(description="단축코드 without the leading letter A", examples=["005930"])
    name: str = Field(description="종목명")
    market: Literal["kospi", "kosdaq"] = Field(description="where it is listed")
    product: Literal["stock", "etf", "etn", "elw", "other"] = Field(description="decides tick table and tax")
    updated_at: datetime = Field(description="business time of the last synchronisation that named it")
    day: DayOut | None = Field(description="its newest known day; null when none was read")

    @classmethod
    def of(cls, instrument: Instrument, day: InstrumentDay | None) -> "InstrumentOut":
        return cls(**vars(instrument), day=DayOut.of(day) if day is not None else None)


class InstrumentPage(Strict):
    items: list[InstrumentOut] = Field(description="instruments in the order of their ISINs")
    next_cursor: str | None = Field(description="null on the last page")


class InstrumentSynchronization(Strict):
    business_date: date = Field(description="the trading day that is open or opens next; masters are kept once it has come")
    listed: int = Field(description="instruments the platform lists")
    refreshed: int = Field(description="instruments whose master was read")
    failed: dict[str, str] = Field(description="ISIN → why its master could not be read")
    incomplete: dict[str, str] = Field(description="list (kospi, kosdaq, holidays) → why it broke off")
    closed: list[date] = Field(description="days taken over as closed from the platform")
    disputed: list[date] = Field(description="days we hold closed and the platform does not name: look at them")

    @classmethod
    def of(cls, diff: InstrumentsDiff) -> "InstrumentSynchronization":
        return cls(**vars(diff))


@router.get("", responses=problem_responses(*REFUSED, "cursor-invalid"))
async def get_instruments(
    request: Request,
    _caller: Caller,
    market: Annotated[Literal["kospi", "kosdaq"] | None, Query(description="only this market")] = None,
    symbol: Annotated[Word, Query(description="단축코드, with or without the leading A")] = None,
    name: Annotated[Word, Query(description="part of the name")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> InstrumentPage:
    """List instruments."""
    wiring, after = request.app.state.wiring, paging.after_text(listed(request), cursor)
    today = kst_date(wiring.clock.now())
    async with wiring.transaction() as connection:
        rows = await store.instruments_page(connection, after=after, limit=limit, market=market, symbol=symbol, name=name)
        page = paging.cut(listed(request), rows, limit, lambda one: one.isin)
        days = await store.instrument_days(connection, [one.isin for one in page.items], today)
    items = [InstrumentOut.of(one, days.get(one.isin)) for one in page.items]
    return InstrumentPage(items=items, next_cursor=page.next_cursor)


@router.get("/{isin}", responses=problem_responses(*REFUSED, "not-found"))
async def get_instrument(request: Request, isin: Annotated[str, Path(description="표준코드")], _caller: Caller) -> InstrumentOut:
    """One instrument with its newest known day."""
    wiring = request.app.state.wiring
    async with wiring.transaction() as connection:
        found = await store.find_instrument(connection, isin) if isin.isascii() and isin.isalnum() else None
        if found is None:
            raise NotFound("not-found", "There is no such instrument in the master.")
        days = await store.instrument_days(connection, [isin], kst_date(wiring.clock.now()))
    return InstrumentOut.of(found, days.get(isin))


@router.post("/synchronizations", responses=problem_responses(*REFUSED, "role-required"))
async def post_synchronization(request: Request, principal: Operations) -> InstrumentSynchronization:
    """Read the lists and masters of both markets and the closing days, now."""
    wiring = request.app.state.wiring
    diff = await synchronise_instruments(
        transaction=wiring.transaction,
        clock=wiring.clock,
        gateway=wiring.gateway,
        principal=principal,
        request_id=request_id.get(),
    )
    return InstrumentSynchronization.of(diff)
