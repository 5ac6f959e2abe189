"""The envelope of a discretionary call: what goes around a question, and what must stand around an answer."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from service.core.ids import BASE32, RandomBits
from service.koscom.errors import SUCCESS, read_verdict
from service.koscom.wire import Json, WireError, absent, block_of, clean, dump, get, need_text, parse_object, rows_of, whole

REQUEST_ID_LENGTH = 20  # linkage allows 20, inquiries 50


@dataclass(frozen=True)
class Api:
    """One inquiry: its path word and its blocks, each in the manual's spelling first and the published classes' second."""

    path: str
    bodies: tuple[str, ...]  # request and response block, without "RequestBody" / "ResponseBody"
    lists: tuple[str, ...]
    row: tuple[str, ...]


ORDERS = Api("orderdetail", ("orderDetailList", "orderDetail"), ("orderDetailList",), ("orderDetail",))
BALANCE = Api("balancelist", ("balanceList", "balance"), ("balanceList",), ("balance",))
SETTLEMENTS = Api("settlelist", ("settleList", "settle"), ("settleList",), ("settleInfo",))
ACCOUNTS = Api("accountlist", ("accountList", "account"), ("accountList",), ("account",))
TRANSACTIONS = Api("tradebook", ("tradeBookList", "tradeBook"), ("tradeBookList",), ("tradeBook",))

PageKey = str | int | None


@dataclass(frozen=True)
class Page:
    """One answered page: its rows as JSON, the key of the next page, and what it says of the whole."""

    rows: tuple[Json, ...]
    next_page: PageKey  # None: the last one
    total: int | None
    count: int | None


def request_id(random_bits: RandomBits) -> str:
    """reqIdConsumer: ours, unique per call and per attempt."""
    bits = random_bits(5 * REQUEST_ID_LENGTH)
    return "".join(BASE32[bits >> 5 * place & 31] for place in range(REQUEST_ID_LENGTH))


def question(api: Api, query: Json, *, com_id: str, srv_id: str, req_id: str) -> bytes:
    return dump(
        {
            "partner": {"comId": com_id, "srvId": srv_id},
            "commonHeader": {"reqIdConsumer": req_id},
            f"{api.bodies[0]}RequestBody": {"queryParameter": query},
        }
    )


def open_page(api: Api, raw: bytes, *, query: Json, req_id: str) -> Page:
    """Take an answer out of its envelope. Raises WireError for everything that is not a whole answer to our question."""
    answer = parse_object(raw)
    _check_verdict(answer, req_id)
    body = block_of(answer, *(f"{name}ResponseBody" for name in api.bodies))
    _check_query(body, query)
    result = block_of(body, "queryResult")
    return Page(
        rows=tuple(_rows(api, answer, body)),
        next_page=_page_key(result),
        total=whole(result, "totalCnt"),
        count=whole(result, "count"),
    )


def _check_verdict(answer: Json, req_id: str) -> None:
    """respCode first: a refusal often comes without the other blocks."""
    verdict = read_verdict(answer)
    refusals = verdict.codes - {SUCCESS}
    if refusals:
        raise WireError(f"code-{min(refusals)}", verdict.message)
    need_text(block_of(answer, "resp"), "respCode")
    block_of(answer, "commonHeader")
    if verdict.echo != req_id:
        raise WireError("echo-mismatch", "reqIdConsumer")


def _check_query(body: Json, query: Json) -> None:
    """The answer repeats the question; another account's answer in our envelope is not ours."""
    echo = get(body, "queryParameter")
    if echo is None:
        return
    if not isinstance(echo, dict):
        raise WireError("unreadable-block", "queryParameter")
    for name in ("qrAccNo", "qrOrderDate", "qrAssetType", "qrSellBuyType", "qrFromDate", "qrToDate"):
        said, asked = echo.get(name), query.get(name)
        if not absent(said) and not absent(asked) and str(said).strip() != str(asked).strip():
            raise WireError("echo-mismatch", name)
    for name in ("qrIsinCode", "qrOrderNo"):  # never asked for: a list narrowed to one of them leaves the others out
        said = echo.get(name)
        if not absent(said) and str(said).strip(" 0"):
            raise WireError("echo-mismatch", name)


def _rows(api: Api, answer: Json, body: Json) -> list[Json]:
    """The list stands beside queryResult, or beside the response body: the manual's drawings show both."""
    places = [place for place in (body, answer) if not absent(get(place, *api.lists))]
    if not places:
        raise WireError("missing-block", api.lists[0])
    if len(places) > 1:
        raise WireError("ambiguous-field", api.lists[0])
    block = get(places[0], *api.lists)
    if isinstance(block, list):
        return rows_of(places[0], *api.lists)
    return rows_of(block_of(places[0], *api.lists), *api.row)


def _page_key(result: Json) -> PageKey:
    """The key as it came: it is the platform's text and goes back unchanged."""
    key: Any = get(result, "page")
    if key is None:
        return None
    if isinstance(key, str):
        clean(key, "page")
        return key
    if isinstance(key, Decimal) and abs(key) < 10**15 and key == key.to_integral_value():
        key = int(key)
    if isinstance(key, bool) or not isinstance(key, int) or abs(key) >= 10**15:
        raise WireError("unreadable-page", "page")
    return key
