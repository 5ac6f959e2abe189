"""Each broker's habits, as they show on the wire. Raw text is compared where the spelling of a number matters."""

import json
from decimal import Decimal
from typing import Any

import pytest

from service.sandbox import encode

ELECTRONICS = "KR7930010004"
BALANCE, SETTLE, ACCOUNTS, TRADES = (
    "balanceListRequestBody", "settleListRequestBody", "accountListRequestBody", "tradeBookListRequestBody",
)  # fmt: skip
PRICE = {"cyber": 70_000, "diamond": 70_100, "star": 70_200}  # so that each broker's orders stand before the others'
WHO = {"cyber": "99100010001", "diamond": "2100-0001-01", "star": "0010203001"}
FIRST = {"cyber": None, "diamond": "null", "star": None}


async def trade(client: Any, broker: str, count: int = 1) -> None:
    """`count` resting orders, the first of them filled in two parts."""
    for n in range(count):
        body = client.body("D", f"20261123{broker}{n}", Account=WHO[broker], OrderQty="10", Price=str(PRICE[broker]))
        body["Header"]["TargetCompID"] = broker
        answer = await client.http.post("/v1/order/new", json=body, headers=AUTH)
        assert answer.status_code == 200, answer.text
    for _ in range(2):
        await client.control("trade-through", {"isin": ELECTRONICS, "price": PRICE[broker], "quantity": 3})


@pytest.fixture(autouse=True)
def _headers(client: Any) -> None:
    import base64

    AUTH.update({"Authorization": "Basic " + base64.b64encode(b"sandbox-key:sandbox-secret").decode(), "comId": "F0001"})


AUTH: dict[str, str] = {}


def lines(document: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["orderDetailListResponseBody"]["orderDetailList"]["orderDetail"]
    return found


async def test_executions_by_broker(client: Any) -> None:
    await client.step("09:30:00")
    seen = {}
    for broker, account in WHO.items():
        await trade(client, broker)
        (line,) = lines(await client.orders(broker, account, FIRST[broker]))
        assert (line["execSumQty"], line["orderQty"], line["sellBuyType"]) == (6, 10, "2")
        seen[broker] = line
    assert [one["execNo"] for one in seen["cyber"]["execList"]] == [1, 2]
    assert [one["execNo"] for one in seen["diamond"]["execList"]] == [0, 0]
    assert all("execNo" not in one for one in seen["star"]["execList"])
    assert [seen[broker]["orderNo"] for broker in WHO] == ["0000000001", "1", "000001"]
    assert [len(seen[broker]["orderTime"]) for broker in WHO] == [16, 14, 12]
    assert [len(seen[broker]["execList"][0]["execTime"]) for broker in WHO] == [17, 14, 8]
    assert [seen[broker]["orgOrderNo"] for broker in WHO] == [None, "", "null"]
    codes = {broker: {one["isinType"]: one["isinCode"] for one in seen[broker]["isinInfo"]} for broker in WHO}
    assert [codes[broker]["단축코드"] for broker in WHO] == ["A930010", "930010", "A930010"]
    assert {codes[broker]["표준코드"] for broker in WHO} == {ELECTRONICS}


async def test_a_fills_exec_id_ends_in_its_exec_no(client: Any) -> None:
    await client.step("09:30:00")
    await trade(client, "cyber")
    fills = [
        one["message"]["Body"]["ExecID"]
        for one in (await client.control("reports"))["20261123"]
        if one["message"]["Body"].get("ExecType") == "F"
    ]
    numbers = [str(int(one["execNo"])) for one in lines(await client.orders())[0]["execList"]]
    assert [one.endswith(number) for one, number in zip(fills, numbers, strict=True)] == [True, True]


async def test_no_executions_in_three_kinds_of_absence(client: Any) -> None:
    await client.step("09:30:00")
    shown = []
    for broker, account in WHO.items():
        await trade(client, broker, count=2)
        unfilled = lines(await client.orders(broker, account, FIRST[broker]))[1]
        shown.append(unfilled.get("execList", "missing"))
    assert shown == [None, "missing", []]


@pytest.mark.parametrize(("broker", "size", "last"), [("cyber", 20, None), ("diamond", 7, "missing"), ("star", 50, "null")])
async def test_paging(client: Any, broker: str, size: int, last: object) -> None:
    await client.step("09:30:00")
    await trade(client, broker, count=size + 2)
    pages, key = [], FIRST[broker]
    for _ in range(2):
        document = await client.orders(broker, WHO[broker], key)
        pages.append(document)
        key = document["orderDetailListResponseBody"]["queryResult"].get("page", "missing")
    assert [len(lines(one)) for one in pages] == [size, 2]
    assert key == last
    numbers = [one["orderNo"] for page in pages for one in lines(page)]
    assert len(set(numbers)) == size + 2
    result = pages[0]["orderDetailListResponseBody"]["queryResult"]
    assert (result["count"] == 0, result["totalCnt"] == 0) == ((True, True) if broker == "star" else (False, False))


@pytest.mark.parametrize(
    ("broker", "wrong"), [("cyber", "null"), ("diamond", None), ("star", "null"), ("cyber", "K999"), ("cyber", 3)]
)
async def test_a_page_key_that_is_not_ours(client: Any, broker: str, wrong: object) -> None:
    document = await client.orders(broker, WHO[broker], wrong)
    code = document["resp"]["respCode"] if broker == "star" else str(document["code"])
    assert code == "6003"


async def test_count_limits_a_page(client: Any) -> None:
    await client.step("09:30:00")
    await trade(client, "cyber", count=5)
    assert len(lines(await client.orders(count=2))) == 2
    assert len(lines(await client.orders(count="3"))) == 3


async def test_numbers_are_spelt_as_each_broker_does(client: Any) -> None:
    texts = {}
    for broker, account in WHO.items():
        answer = await client.ask(
            broker, "balancelist", BALANCE, qrAccNo=account, qrAssetType="EQTY", count=0, page=FIRST[broker]
        )
        texts[broker] = answer.text
        assert answer.status_code == 200
    cash = {broker: texts[broker].split('"cashBalance":')[1].split(",")[0] for broker in WHO}
    assert "E8" in cash["cyber"]
    assert cash["diamond"].isdigit()
    assert cash["star"].endswith(".0")
    cash_rows = json.loads(texts["star"])["balanceListResponseBody"]["balanceList"]["balance"][0]["cashBalInfo"]
    assert [row["crcyCode"] for row in cash_rows] == ["KRW-D0", "KRW-D1", "KRW-D2"]


@pytest.mark.parametrize(
    ("value", "java", "plain", "point"),
    [(300, "300.0", "300", "300.0"), (500_000_000, "5.0E8", "500000000", "5.0E8"), (0, "0.0", "0", "0.0"),
     (123_456_789, "1.23456789E8", "123456789", "123456789.0"), (-12_000_000, "-1.2E7", "-12000000", "-12000000.0"),
     (Decimal("3.09"), "3.09", "3.09", "3.09"), (9_999_999, "9999999.0", "9999999", "9999999.0")],
)  # fmt: skip
def test_numbers(value: int | Decimal, java: str, plain: str, point: str) -> None:
    assert [encode.number(value, style) for style in ("java", "plain", "point")] == [java, plain, point]
    assert {Decimal(java), Decimal(plain), Decimal(point)} == {Decimal(value)}


async def test_balance_blocks_are_spelt_differently(client: Any) -> None:
    spelling = {
        "cyber": ("cashBalInfo", "totLoanAmt", dict),
        "diamond": ("cachBalInfo", "totlLoanAmt", dict),
        "star": ("cashBalInfo", "totLoanAmt", list),
    }
    for broker, (block, loan, holder) in spelling.items():
        answer = await client.ask(
            broker, "balancelist", BALANCE, qrAccNo=WHO[broker], qrAssetType="EQTY", count=0, page=FIRST[broker]
        )
        (balance,) = answer.json()["balanceListResponseBody"]["balanceList"]["balance"]
        assert loan in balance[block][0]
        assert isinstance(balance["accInfo"], holder)


async def test_windows(client: Any) -> None:
    async def status(api: str, block: str, broker: str = "cyber") -> str:
        answer = await client.ask(
            broker, api, block, qrAccNo=WHO[broker], qrAssetType="EQTY", qrSellBuyType="0", count=0, page=FIRST[broker]
        )
        return str(answer.json().get("resp", {}).get("respCode") or answer.json()["code"])

    for moment, code in (("08:29:59", "200"), ("08:30:00", "7000"), ("15:59:59", "7000"), ("16:00:00", "200")):
        await client.step(moment)
        assert [await status("balancelist", BALANCE), await status("settlelist", SETTLE)] == [code, code]
        assert await status("balancelist", BALANCE, "star") == code
        assert await status("orderdetail", "orderDetailRequestBody") == "200"


async def test_settlelist_of_the_first_morning(client: Any) -> None:
    for broker, account in WHO.items():
        answer = await client.ask(
            broker, "settlelist", SETTLE, qrAccNo=account, qrAssetType="EQTY", qrSellBuyType="0", qrOrderDate="",
            count=0, page=FIRST[broker],
        )  # fmt: skip
        rows = answer.json()["settleListResponseBody"]["settleList"]["settleInfo"]
        assert rows
        assert {row["settDate"] for row in rows} == {"20261124"}
        assert all(row["costTotal"] == sum(one["cost"] for one in row["costInfo"]) for row in rows)


async def test_accounts_and_asset_types(client: Any) -> None:
    for broker in WHO:
        answer = await client.ask(broker, "accountlist", ACCOUNTS, count=0, page=FIRST[broker])
        rows = answer.json()["accountListResponseBody"]["accountList"]["account"]
        assert len(rows) == 5
        assert sum(row["contractStatus"] == "0" for row in rows) == 4
    fund = await client.orders("diamond", WHO["diamond"], "null", qrAssetType="FUND")
    assert fund["code"] == 6001
    assert lines(await client.orders(qrAssetType="FUND")) == []


async def test_tradebook_words_contradict_and_the_signs_do_not(client: Any) -> None:
    for broker, sale in (("cyber", "BID"), ("star", "ASK")):
        answer = await client.ask(
            broker, "tradebook", TRADES, qrAccNo=WHO[broker], qrFromDate="20261101", qrToDate="20261123", count=0, page=None
        )
        rows = answer.json()["tradeBookListResponseBody"]["tradeBook" + "List"]["tradeBook"]
        sold = [row for row in rows if row["changeQty"] < 0]
        assert sold
        assert all(row["changeAmt"] > 0 and row["transType"] == sale for row in sold)


async def test_a_range_too_long_names_the_maximum(client: Any) -> None:
    answer = await client.ask(
        "cyber", "tradebook", TRADES, qrAccNo=WHO["cyber"], qrFromDate="20260901", qrToDate="20261123", count=0, page=None
    )
    assert answer.json()["code"] == 6006
    assert "31" in answer.json()["message"]


@pytest.mark.parametrize(("more", "code"), [
    ({"qrAccNo": ""}, 3003), ({"qrAccNo": "x"}, 3012), ({"qrSellBuyType": "9"}, 6008), ({"qrIsinCode": "KR7"}, 6007),
    ({"qrAssetType": "GOLD"}, 6001), ({"qrOrderDate": "yesterday"}, 7000), ({"count": "many"}, 7000), ({"count": []}, 200),
    ({"qrOrderDate": {"a": 1}}, 200), ({"qrAccNo": ["x"]}, 3003),
])  # fmt: skip
async def test_bad_questions(client: Any, more: dict[str, Any], code: int) -> None:
    query = {"qrAssetType": "EQTY", "qrSellBuyType": "0", "qrAccNo": WHO["cyber"], "count": 0, "page": None, **more}
    document = (await client.ask("cyber", "orderdetail", "orderDetailListRequestBody", **query)).json()
    assert int(document.get("code") or document["resp"]["respCode"]) == code


async def test_the_echo_and_the_envelope(client: Any) -> None:
    document = await client.orders()
    assert document["commonHeader"]["reqIdConsumer"] == "asked-1"
    assert document["orderDetailListResponseBody"]["queryParameter"]["qrAccNo"] == WHO["cyber"]
    wrong = await client.http.post(
        "/v1/cyber/b2baccount/orderdetail/search", headers=AUTH,
        json={"partner": {"comId": "F0001", "srvId": "OTHER"}, "commonHeader": {"reqIdConsumer": "1"}},
    )  # fmt: skip
    assert wrong.json()["code"] == 2100


async def test_amend_and_cancel_rows(client: Any) -> None:
    await client.step("09:30:00")
    await trade(client, "cyber")
    await client.order("replace", "20261123R1", OrigClOrdID="20261123cyber0", OrderQty="10", Price="69900")
    await client.order("cancel", "20261123C1", OrigClOrdID="20261123R1")
    rows = lines(await client.orders())
    assert [(one["orderNo"][-1], one["orgOrderNo"], one["modifyType"], one["cancelType"]) for one in rows] == [
        ("1", None, "0", "0"), ("2", "0000000001", "1", "0"), ("3", "0000000002", "0", "1"),
    ]  # fmt: skip
    assert [one["orderQty"] for one in rows] == [10, 4, 4]
    assert [one["execSumQty"] for one in rows] == [6, 0, 0]
    assert [one["orderExecType"] for one in rows] == ["정정확인", "취소확인", "취소확인"]


async def test_a_rejected_order_shows_with_its_reason(client: Any) -> None:
    await client.step("09:30:00")
    await client.order("new", "20261123A1", Price="71050")
    (line,) = lines(await client.orders())
    assert (line["orderExecType"], line["orderRejectReason"], line["execSumQty"]) == ("거부", "호가단위 오류", 0)
