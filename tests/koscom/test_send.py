"""Sending an order: once, in the chosen dialect, and answered with exactly one outcome."""

import ast
import asyncio
import json
from datetime import date
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

import service.koscom
from service.core.clock import ManualClock
from service.core.errors import Unavailable
from service.gateway import Accepted, CallClass, NotSent, OrderType, Refused, RequestKind, Session, Side, TimeInForce, Unknown
from service.koscom.budget import CallLimit, MemoryBudget, ServiceName
from service.koscom.gateway import KoscomGateway
from tests.koscom.makers import CYBER, MORNING, byte_server, config, gateway, http, order, said, with_profile

DAY = date(2026, 11, 24)


def accept(request: httpx.Request) -> httpx.Response:
    header = {"reqIdPlatform": "P-1", "reqIdConsumer": request.headers["reqIdConsumer"]}
    return httpx.Response(200, json={"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}})


def test_p02_send_is_the_one_function_that_posts_to_the_order_endpoint() -> None:
    """`ServiceName.ORDERS` picks the order service; whoever uses it to post is found here."""
    posting = []
    for path in Path(service.koscom.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                text = ast.unparse(function)
                if "ServiceName.ORDERS].post" in text or "paths.orders" in text:
                    posting.append(function.name)
    assert posting == ["send"]


async def test_a_new_order_speaks_the_dialect() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return accept(request)

    assert isinstance(await gateway(handle).send(order(), inf), Accepted)
    request = seen[0]
    assert (request.method, request.url.path) == ("POST", "/v1/order/new")
    assert request.headers["comid"] == "F0001"
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["reqidconsumer"] == "20261124000000000001"
    assert said(request) == {
        "Header": {"BeginString": "FIX.4.4", "MsgType": "D", "SenderCompID": "ILIM01", "TargetCompID": "cyber"},
        "Body": {
            "ClOrdID": "20261124000000000001",
            "Account": "1234567890",
            "SecurityID": "KR7005930003",
            "SecurityIDSource": "4",
            "Symbol": "005930",
            "SecurityExchange": "XKRX",
            "Side": "1",
            "OrderQty": "300",
            "TradingSessionID": "2",
            "TransactTime": "20261124-00:30:00.000",
            "OrdType": "2",
            "Price": "71500",
            "TimeInForce": "0",
        },
        "Trailer": {},
    }


async def sent_body(**changes: object) -> tuple[str, dict[str, str], str]:
    """(path, Body, MsgType) of one request."""
    seen: list[httpx.Request] = []
    profiles = changes.pop("profiles", {})

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return accept(request)

    assert isinstance(profiles, dict)
    await gateway(handle, **profiles).send(order(**changes), inf)
    return seen[0].url.path, said(seen[0])["Body"], said(seen[0])["Header"]["MsgType"]


async def test_a_cancellation_names_the_chain_and_no_terms() -> None:
    kind = {"kind": RequestKind.CANCELLATION, "orig_cl_ord_id": "20261124000000000000", "broker_order_number": "0012"}
    path, body, message = await sent_body(**kind)
    assert (path, message) == ("/v1/order/cancel", "F")
    assert (body["OrigClOrdID"], body["OrderID"]) == ("20261124000000000000", "0012")
    assert not {"OrdType", "Price", "TimeInForce"} & set(body)


@pytest.mark.parametrize(("meaning", "quantity"), [("total", "300"), ("remaining", "180")])
async def test_p09_the_profile_says_what_order_qty_means_in_an_amendment(meaning: str, quantity: str) -> None:
    amendment = {"kind": RequestKind.AMENDMENT, "orig_cl_ord_id": "20261124000000000000", "executed_quantity": 120}
    path, body, message = await sent_body(profiles=with_profile(CYBER, order_qty=meaning), **amendment)
    assert (path, message, body["OrderQty"]) == ("/v1/order/replace", "G", quantity)
    assert body["Price"] == "71500"


async def test_codes_of_side_type_time_and_session() -> None:
    _, body, _ = await sent_body(side=Side.SELL, order_type=OrderType.MARKET, price=None, time_in_force=TimeInForce.IOC)
    assert (body["Side"], body["OrdType"], body["TimeInForce"], "Price" in body) == ("2", "1", "3", False)
    sessions = [(await sent_body(session=session))[1]["TradingSessionID"] for session in Session]
    assert dict(zip(Session, sessions, strict=True)) == {
        Session.PRE_CLOSE: "1",
        Session.REGULAR: "2",
        Session.AFTER_MARKET: "3",
        Session.POST_CLOSE: "4",
    }
    _, body, _ = await sent_body(profiles=with_profile(CYBER, order_type_codes={"limit": "P"}))
    assert body["OrdType"] == "P"


async def test_p33_a_price_is_written_without_exponent() -> None:
    assert (await sent_body(price=Decimal("7.15E+4")))[1]["Price"] == "71500"


async def test_p04_a_refusal_masks_the_account_it_quotes() -> None:
    body = {"category": "cyber", "code": 3012, "message": "account 1234567890 unknown"}
    result = await gateway(lambda _request: httpx.Response(500, json=body)).send(order(), inf)
    assert isinstance(result, Refused)
    assert (result.code, result.reason) == ("3012", "account *******890 unknown")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectError("x"), NotSent),
        (httpx.ConnectTimeout("x"), NotSent),
        (httpx.PoolTimeout("x"), NotSent),
        (httpx.ReadTimeout("x"), Unknown),
        (httpx.WriteTimeout("x"), Unknown),
        (httpx.ReadError("x"), Unknown),
        (httpx.WriteError("x"), Unknown),
        (httpx.RemoteProtocolError("x"), Unknown),
        (RuntimeError("x"), Unknown),
    ],
)
async def test_p02_an_order_is_sent_once_whatever_happens(error: Exception, outcome: type) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise error

    assert isinstance(await gateway(handle).send(order(), inf), outcome)
    assert len(seen) == 1


async def test_p21_who_may_spend_the_last_calls() -> None:
    limits = {name: CallLimit(3, {CallClass.CANCEL: 1}) for name in ServiceName}
    budget = MemoryBudget()
    platform = gateway(accept, budget=budget, limits=limits)
    assert isinstance(await platform.send(order(), inf), Accepted)
    assert isinstance(await platform.send(order(kind=RequestKind.AMENDMENT), inf), Accepted)
    assert await platform.send(order(), inf) == NotSent("budget-exhausted")
    assert await platform.calls_left(ServiceName.ORDERS, CallClass.CANCEL) == 1
    assert isinstance(await platform.send(order(kind=RequestKind.CANCELLATION), inf), Accepted)
    assert await platform.send(order(kind=RequestKind.CANCELLATION), inf) == NotSent("budget-exhausted")
    assert await budget.spent(ServiceName.ORDERS, DAY) == dict.fromkeys(CallClass, 0) | {
        CallClass.ORDER: 2,
        CallClass.CANCEL: 1,
    }


class Unreachable(MemoryBudget):
    async def take(self, service: ServiceName, day: date, call_class: CallClass, ceiling: int) -> bool:
        raise Unavailable("budget-unavailable", "no database")


async def test_without_a_budget_nothing_is_sent() -> None:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("sent")

    assert await gateway(handle, budget=Unreachable()).send(order(), inf) == NotSent("budget-unavailable")
    assert await gateway(handle).send(order(broker="77777"), inf) == NotSent("unknown-broker")


async def test_p32_no_secret_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        await gateway(lambda _request: httpx.Response(500, json={"code": 7000, "message": "no"})).send(order(), inf)
    text = json.dumps(logs, default=str)
    assert logs
    assert not [secret for secret in ("the-key", "the-secret", "1234567890", "dGhlLWtleQ") if secret in text]


def real_gateway(url: str) -> KoscomGateway:
    """On the production transport."""
    return KoscomGateway(config(url), MemoryBudget(), ManualClock(MORNING), lambda _bits: 5)


async def test_p02_over_a_real_socket_an_order_that_was_read_and_not_answered_is_unknown() -> None:
    async def hang_up(_number: int, _writer: asyncio.StreamWriter) -> bool:
        return False

    async with byte_server(hang_up) as server:
        platform = real_gateway(server.url)
        result = await platform.send(order(), inf)
        await platform.close()
    assert isinstance(result, Unknown)
    assert len(server.requests) == 1


async def test_over_a_real_socket_every_order_has_a_connection_of_its_own() -> None:
    header = {"reqIdConsumer": "20261124000000000001"}
    body = json.dumps({"commonHeader": header, "resp": {"respCode": "200"}}).encode()

    async def answer(_number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(http(body))
        return True

    async with byte_server(answer) as server:
        platform = real_gateway(server.url)
        results = [await platform.send(order(), inf) for _ in range(3)]
        await platform.close()
        nobody = await real_gateway("http://127.0.0.1:1").send(order(), inf)
    assert [type(result) for result in results] == [Accepted] * 3
    assert (len(server.requests), server.connections) == (3, 3)
    assert isinstance(nobody, NotSent)


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("category", "outcome"),
    [("cyber", Refused), (" CYBER", Refused), ("op-exco", Refused), (None, Refused), (7, Refused), ("diamond", Unknown)],
    ids=["ours", "ours in capitals", "the platform", "nobody", "a number", "another"],
)
async def test_p04_a_refusal_that_names_another_broker_refuses_nothing_of_ours(status: int, category: Any, outcome: type) -> None:
    """The older answers have no echo: who refused is all that ties one to an order."""
    body = {"category": category, "code": 7000, "message": "bad request"}
    assert isinstance(await gateway(lambda _request: httpx.Response(status, json=body)).send(order(), inf), outcome)
