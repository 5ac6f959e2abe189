"""Market data (bare and wrapped) and service linkage (both editions)."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from service.core.secret import Secret
from service.gateway import Complete, Failure, Incomplete, InstrumentMaster, Membership
from tests.koscom.makers import gateway, said

CI = Secret("A" * 86 + "==")
MASTER: dict[str, Any] = {
    "isuCd": "KR7005930003",
    "isuSrtCd": "A005930",
    "isuKorAbbrv": "삼성전자",
    "secugrpId": "ST",
    "basPrc": 71500,
    "uplmtprc": "92900",
    "lwlmtprc": 50100.0,
    "haltYn": "N",
    "arrantrdYn": "N",
    "admisuYn": "Y",
    "mktWarnTpCd": "00",
    "invstcautnRemndIsuYn": "N",
    "srttrmOverheatIsuTpCd": "0",
    "regulssQtyUnit": 1,
    "listShrs": 5.9e9,
}
LISTS = {"trdDd": "20261124", "isuLists": [{"isuSrtCd": "A005930", "isuCd": "KR7005930003", "isuKorAbbr": "삼성전자"}]}


def bare(body: Any) -> Any:
    return body


def wrapped(body: Any) -> Any:
    return {"jsonrpc": "2.0", "result": body}


BOTH = pytest.mark.parametrize("dress", [bare, wrapped])


@BOTH
async def test_a_list_of_instruments(dress: Any) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=dress(LISTS))

    result = await gateway(handle).instruments("kospi")
    assert isinstance(result, Complete)
    assert [(one.isin, one.short_code, one.name, one.market) for one in result.rows] == [
        ("KR7005930003", "005930", "삼성전자", "kospi")
    ]
    assert (seen[0].method, seen[0].url.path) == ("GET", "/v3/market/closed/kospi/lists")
    assert seen[0].headers["apikey"] == "the-key"
    assert "authorization" not in seen[0].headers


@BOTH
async def test_a_master_is_read_whole(dress: Any) -> None:
    result = await gateway(lambda _request: httpx.Response(200, json=dress(MASTER))).master("kosdaq", "005930")
    assert isinstance(result, InstrumentMaster)
    assert (result.base_price, result.upper_limit, result.lower_limit) == (Decimal(71500), Decimal(92900), Decimal(50100))
    assert (result.halted, result.administrative, result.warning, result.listed_shares) == (False, True, "00", 5_900_000_000)
    assert (result.short_code, result.market, result.trading_unit) == ("005930", "kosdaq", 1)


@pytest.mark.parametrize("name", [name for name in MASTER if name not in {"uplmtprc", "lwlmtprc", "listShrs"}])
@pytest.mark.parametrize("junk", [None, "null", [1]])
async def test_p17_what_could_forbid_an_order_is_never_guessed(name: str, junk: Any) -> None:
    body = MASTER | {name: junk}
    result = await gateway(lambda _request: httpx.Response(200, json=body)).master("kospi", "005930")
    assert isinstance(result, Failure)


@pytest.mark.parametrize("changes", [{"haltYn": "?"}, {"isuSrtCd": "A000660"}, {"basPrc": "n/a"}])
async def test_an_odd_master_is_a_failure(changes: dict[str, Any]) -> None:
    result = await gateway(lambda _request: httpx.Response(200, json=MASTER | changes)).master("kospi", "005930")
    assert isinstance(result, Failure)


@BOTH
async def test_holidays(dress: Any) -> None:
    body = dress({"marketCd": "KR", "lists": ["20261225", "20261231"]})
    result = await gateway(lambda _request: httpx.Response(200, json=body)).holidays()
    assert isinstance(result, Complete)
    assert result.rows == (date(2026, 12, 25), date(2026, 12, 31))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, json={"lists": "20261225"}),
        httpx.Response(200, json={"lists": ["soon"]}),
        httpx.Response(200, json={"lists": None}),
        httpx.Response(200, json={"jsonrpc": "2.0", "error": {"code": 1}}),
        httpx.Response(200, json={"jsonrpc": "2.0"}),
        httpx.Response(404, json={"message": "no"}),
        httpx.Response(200, content=b"<html>"),
    ],
)
async def test_p17_failed_market_reads_are_named(response: httpx.Response) -> None:
    platform = gateway(lambda _request: response)
    holidays, instruments = await platform.holidays(), await platform.instruments("kospi")
    assert isinstance(holidays, Incomplete)
    assert isinstance(instruments, Incomplete)
    assert holidays.reason
    assert isinstance(await platform.master("kospi", "005930"), Failure)


@pytest.mark.parametrize(
    "bad", [{"isuCd": None}, {"isuSrtCd": [1]}, {"isuKorAbbr": ""}, {"isuCd": "K" * 9999}, None, "text"], ids=range(6)
)
async def test_p23_one_row_that_cannot_be_read_takes_no_other_instrument_away(bad: Any) -> None:
    """An instrument of a list that is left out gets no master of the day: its orders would all be refused."""
    good = LISTS["isuLists"][0]
    rows = [good, good | bad if isinstance(bad, dict) else bad, good | {"isuCd": "KR7000660001", "isuSrtCd": "A000660"}]
    result = await gateway(lambda _request: httpx.Response(200, json=LISTS | {"isuLists": rows})).instruments("kospi")
    assert isinstance(result, Incomplete)
    assert ([one.short_code for one in result.rows], result.detail[:4]) == (["005930", "000660"], "row ")


async def test_p16_one_closing_day_that_cannot_be_read_hides_no_other() -> None:
    body = {"lists": ["20261225", "soon", None, "20261231"]}
    result = await gateway(lambda _request: httpx.Response(200, json=body)).holidays()
    assert isinstance(result, Incomplete)
    assert (result.rows, result.reason) == ((date(2026, 12, 25), date(2026, 12, 31)), "unreadable-time")


@pytest.mark.parametrize(
    ("body", "membership"),
    [
        ({"result": "member"}, Membership(True, None)),
        ({"result": "nonMember"}, Membership(False, None)),
        ({"result": "member", "commonTermsExpireDate": "20270131"}, Membership(True, date(2027, 1, 31))),
        ({"body": {"result": "member"}, "commonHeader": {"reqIdConsumer": ""}}, Membership(True, None)),
    ],
)
async def test_membership_in_both_editions(body: dict[str, Any], membership: Membership) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=body)

    assert await gateway(handle).membership(CI, "홍길동") == membership
    request = seen[0]
    assert (request.method, request.url.path) == ("POST", "/v1/common/member/register/search")
    assert request.headers["apikey"] == "the-key"
    sent = said(request)
    assert sent["partner"] == {"comId": "F0001", "srvId": "ilim"}
    assert (sent["commonHeader"]["ci"], sent["commonHeader"]["reqIdPlatform"]) == (CI.reveal(), "")
    assert len(sent["commonHeader"]["reqIdConsumer"]) == 20
    assert sent["body"] == {"korName": "홍길동"}


async def test_linked_accounts_with_and_without_an_end_of_consent() -> None:
    rows = [{"comId": " 00991", "vtAccNo": "V-1", "vtAccAlias": None, "endpoint": "x"}, {"comId": "00992", "vtAccNo": "V-2"}]
    body = {"vtAccList": rows, "serviceTermsExpireDate": "20270131"}
    result = await gateway(lambda _request: httpx.Response(200, json=body)).linked_accounts(CI, "홍길동")
    assert isinstance(result, Complete)
    assert [(one.com_id, one.virtual_number.reveal(), one.terms_expire) for one in result.rows] == [
        ("00991", "V-1", date(2027, 1, 31)),
        ("00992", "V-2", date(2027, 1, 31)),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": "perhaps", "vtAccList": None},
        {"result": "member", "vtAccList": [{"comId": "1"}], "commonHeader": {"reqIdConsumer": "NOT-OURS"}},
        {"resp": {"respCode": "4006", "respMsg": "consent missing"}},
        [],
    ],
)
async def test_p17_failed_linkage_is_named_and_tells_no_ci(body: Any) -> None:
    platform = gateway(lambda _request: httpx.Response(200, json=body))
    membership, linked = await platform.membership(CI, "홍길동"), await platform.linked_accounts(CI, "홍길동")
    assert isinstance(membership, Failure)
    assert isinstance(linked, Incomplete)
    assert CI.reveal() not in json.dumps([membership.reason, membership.detail, linked.reason, linked.detail])
