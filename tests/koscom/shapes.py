"""Recorded shapes of the platform's answers, as plain JSON values; a test changes what it is about."""

import json
from typing import Any

import httpx

from tests.koscom.makers import said

ORDER_ROW: dict[str, Any] = {
    "accNo": "1234567890",
    "accName": "홍길동",
    "modifyType": "0",
    "cancelType": "0",
    "orderNo": "0000012345",
    "orgOrderNo": None,
    "sellBuyType": "2",
    "orderType": "지정가",
    "exchange": "",
    "crcyCode": "",
    "orderQty": 300.0,
    "orderPrice": 71500,
    "execSumQty": 200.0,
    "orderExecType": "접수",
    "cmsnType": "온라인",
    "settDays": 2,
    "buyQtyUnit": 1,
    "sellQtyUnit": 1,
    "orderTime": "2026112409300026",
    "orderRejectReason": "null",
    "isinInfo": [
        {"isinType": "표준코드", "isinCode": "KR7005930003", "isinName": "삼성전자"},
        {"isinType": "단축코드", "isinCode": "A005930", "isinName": "삼성전자"},
    ],
    "execList": [
        {"execQty": 150.0, "execPrice": 71500, "execNo": 1, "execTime": "20261124093001"},
        {"execQty": 50.0, "execPrice": 71400.0, "execNo": 0, "execTime": "20261124093002123"},
    ],
}
ISIN_INFO = ORDER_ROW["isinInfo"]
BALANCE_ROW: dict[str, Any] = {
    "accInfo": {"accNo": " 1234567890", "accName": "홍길동"},
    "cashBalInfo": [
        {"cashBalance": 5.0e8, "margin": 0, "receivable": 0, "totLoanAmt": 0, "crcyCode": "KRW-D0", "cashAvWithdraw": 1000},
        {"cashBalance": 4.9e8, "margin": 0, "receivable": -5, "totlLoanAmt": 0, "crcyCode": "KRW-D2", "cashAvWithdraw": None},
    ],
    "securitiesBalInfo": [
        {
            "assetType": "KSP",
            "crcyCode": "",
            "qty": 300.0,
            "valAtTrade": 21450000,
            "valAtCur": 2.15e7,
            "proLoss": -50000,
            "earningRate": 0.23,
            "lastBuyDate": "20261123",
            "isinInfo": ISIN_INFO,
        }
    ],
}
SETTLEMENT_ROW: dict[str, Any] = {
    "accNo": "1234567890",
    "accName": "홍길동",
    "sellBuyType": "1",
    "settQty": 100.0,
    "settAmt": 7150000,
    "settDate": "20261126",
    "costTotal": 14999,
    "isinInfo": ISIN_INFO,
    "costInfo": [{"costName": "수수료", "cost": 1070}, {"costName": "거래세", "cost": 13929}],
}
ACCOUNT_ROW: dict[str, Any] = {
    "accNo": "1234567890",
    "accName": "홍길동",
    "virtualAccNo": "V-001",
    "contractStatus": "0",
}
TRANSACTION_ROW: dict[str, Any] = {
    "accNo": "1234567890",
    "accName": "홍길동",
    "transDate": "20261123",
    "transType": "ASK",
    "changeAmt": -9000000,
    "changeQty": 300.0,
    "qty": 600.0,
    "amt": 4.5e8,
    "subject": "매수",
    "summary": "",
    "isinInfo": ISIN_INFO,
    "costInfo": [{"costName": "수수료", "cost": 1350}],
}

BLOCKS = {
    "orderdetail": ("orderDetailListResponseBody", "orderDetailList", "orderDetail", ORDER_ROW),
    "balancelist": ("balanceListResponseBody", "balanceList", "balance", BALANCE_ROW),
    "settlelist": ("settleListResponseBody", "settleList", "settleInfo", SETTLEMENT_ROW),
    "accountlist": ("accountListResponseBody", "accountList", "account", ACCOUNT_ROW),
    "tradebook": ("tradeBookListResponseBody", "tradeBookList", "tradeBook", TRANSACTION_ROW),
}


def copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def row(api: str, **changes: Any) -> dict[str, Any]:
    return dict(copy(BLOCKS[api][3]) | changes)


def answer(api: str, rows: list[Any], *, echo: str, page: Any = None, total: int = 0, count: int = 0) -> dict[str, Any]:
    """A whole answer of one page."""
    body, block, inner, _ = BLOCKS[api]
    return {
        "commonHeader": {"reqIdPlatform": "P-1", "reqIdConsumer": echo, "certDn": "", "ci": ""},
        "resp": {"respCode": "200", "respMsg": "OK"},
        body: {
            "queryParameter": {},
            "queryResult": {"totalCnt": total, "count": count, "page": page},
            block: {inner: rows},
        },
    }


def echo_of(request: httpx.Request) -> str:
    return str(said(request)["commonHeader"]["reqIdConsumer"])


def query_of(request: httpx.Request) -> Any:
    blocks = [value for name, value in said(request).items() if name.endswith("RequestBody")]
    return blocks[0]["queryParameter"]


def api_of(request: httpx.Request) -> str:
    return request.url.path.split("/")[-2]


def pages(*contents: tuple[list[Any], Any], total: int = 0) -> Any:
    """A handler that serves pages in turn: (rows, key of the next page)."""
    served = iter(contents)

    def handle(request: httpx.Request) -> httpx.Response:
        rows, page = next(served)
        return httpx.Response(200, json=answer(api_of(request), rows, echo=echo_of(request), page=page, total=total))

    return handle
