"""GET /v3/market/…: instrument lists, master, prices, closing days.

KOSPI answers bare and with whole numbers, KOSDAQ wrapped as JSON-RPC, with 300.0 and the other spelling of the name:
both are documented, so both must be read.
"""

from collections.abc import Callable
from datetime import time

from starlette.responses import Response

from service.sandbox import calendar
from service.sandbox.door import Ask, answer
from service.sandbox.errors import Refused
from service.sandbox.exchange import Listing
from service.sandbox.world import World

_OPENS = time(6, 30)
Handler = Callable[[Ask], Response]


def lists(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        market = _market(ask)
        _check_hours(world)
        rows = [_listed(one, market) for one in _listings(world, market)]
        return _wrap(market, {"trdDd": f"{world.now:%Y%m%d}", "mktEndTm": "153000", "isuLists": rows})

    return handle


def master(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        market = _market(ask)
        _check_hours(world)
        return _wrap(market, _master(_find(world, market, ask.path["issuecode"]), market))

    return handle


def prices(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        market = _market(ask)
        codes = [code for code in ask.query.get("isuCd", "").split(",") if code.strip()]
        return _wrap(market, {"isuLists": [_price(_find(world, market, code)) for code in codes]})

    return handle


def holiday(world: World) -> Handler:
    def handle(ask: Ask) -> Response:
        if ask.path["nationcode"].upper() not in ("KR", "KOR"):
            raise Refused(404, 404, "Not Found")
        days = [f"{day:%Y%m%d}" for day in calendar.closing_days(world.now.date())]
        return answer({"marketCd": "KR", "lists": days})

    return handle


def _market(ask: Ask) -> str:
    if ask.path["market"] not in ("kospi", "kosdaq"):
        raise Refused(404, 404, "Not Found")
    return ask.path["market"]


def _check_hours(world: World) -> None:
    if world.now.time() < _OPENS:
        raise Refused(503, 3600, "서비스 이용 불가 [06:30부터]")


def _listings(world: World, market: str) -> list[Listing]:
    return [one for one in world.exchange.listings.values() if one.instrument.market == market]


def _find(world: World, market: str, code: str) -> Listing:
    for one in _listings(world, market):
        if code.strip() in (one.instrument.isin, one.instrument.code, one.instrument.short_code):
            return one
    raise Refused(500, 6007, "알 수 없는 종목코드")


def _listed(one: Listing, market: str) -> dict[str, object]:
    return {
        "isuSrtCd": one.instrument.short_code, "isuCd": one.instrument.isin, "isuKorNm": f"{one.instrument.name} 보통",
        _name_field(market): one.instrument.name,
    }  # fmt: skip


def _master(one: Listing, market: str) -> dict[str, object]:
    instrument = one.instrument
    return {
        "isuCd": instrument.isin, "isuSrtCd": instrument.short_code, _name_field(market): instrument.name,
        "secugrpId": instrument.group, "basPrc": one.base, "uplmtprc": one.upper, "lwlmtprc": one.lower,
        "haltYn": _yes(one.halted), "arrantrdYn": "N", "admisuYn": _yes(instrument.administrative),
        "mktWarnTpCd": "00", "invstcautnRemndIsuYn": "N", "srttrmOverheatIsuTpCd": "0", "regulssQtyUnit": 1,
        "listShrs": instrument.shares,
    }  # fmt: skip


def _price(one: Listing) -> dict[str, object]:
    return {
        "isuSrtCd": one.instrument.short_code, "isuCd": one.instrument.isin, "trdPrc": one.last, "basPrc": one.base,
    }  # fmt: skip


def _wrap(market: str, result: dict[str, object]) -> Response:
    if market == "kospi":
        return answer(result)
    return answer({"jsonrpc": "2.0", "result": result}, numbers="java")


def _name_field(market: str) -> str:
    return "isuKorAbbrv" if market == "kospi" else "isuKorAbbr"


def _yes(flag: bool) -> str:
    return "Y" if flag else "N"
