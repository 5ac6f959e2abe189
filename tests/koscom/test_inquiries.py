"""Every habit of the wire that `koscom/README.md` lists, read from recorded shapes; and every failure by its name."""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from service.core.clock import KST
from service.core.secret import AccountNumber
from service.gateway import CallClass, Complete, Incomplete, Inquiry, Side
from service.koscom.budget import CallLimit, MemoryBudget, ServiceName
from service.koscom.gateway import KoscomGateway
from service.koscom.inquiries import of_day
from tests.koscom.makers import ACCOUNT, CYBER, DIAMOND, gateway, with_profile
from tests.koscom.shapes import answer, api_of, echo_of, pages, query_of, row

DAY = date(2026, 11, 24)
Change = Callable[[dict[str, Any]], None]


async def ask(platform: KoscomGateway, api: str, broker: str = CYBER) -> Inquiry[Any]:
    calls: dict[str, Callable[[], Any]] = {
        "orderdetail": lambda: platform.orders(broker, ACCOUNT, DAY, CallClass.ROUTINE),
        "balancelist": lambda: platform.balance(broker, ACCOUNT, CallClass.NIGHT),
        "settlelist": lambda: platform.settlements(broker, ACCOUNT, None, CallClass.NIGHT),
        "accountlist": lambda: platform.accounts(broker, CallClass.ROUTINE),
        "tradebook": lambda: platform.transactions(broker, ACCOUNT, DAY, DAY, CallClass.NIGHT),
    }
    result: Inquiry[Any] = await calls[api]()
    return result


APIS = ["orderdetail", "balancelist", "settlelist", "accountlist", "tradebook"]


async def read_one(api: str, **changes: Any) -> Inquiry[Any]:
    """One page with one row, changed."""
    return await ask(gateway(pages(([row(api, **changes)], None))), api)


async def read_changed(api: str, change: Change) -> Inquiry[Any]:
    """One page with one row, its envelope changed."""

    def handle(request: httpx.Request) -> httpx.Response:
        body = answer(api, [row(api)], echo=echo_of(request))
        change(body)
        return httpx.Response(200, json=body)

    return await ask(gateway(handle), api)


def complete(result: Inquiry[Any]) -> Any:
    assert isinstance(result, Complete), result
    return result.rows[0]


def reason(result: Inquiry[Any]) -> str:
    assert isinstance(result, Incomplete), result
    return result.reason


# --- what goes out


@pytest.mark.parametrize("api", APIS)
async def test_a_question_carries_identity_envelope_and_first_page(api: str) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer(api, [row(api)], echo=echo_of(request)))

    await ask(gateway(handle), api)
    request = seen[0]
    assert request.url.path == f"/v1/cyber/b2baccount/{api}/search"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"the-key:the-secret").decode()
    assert request.headers["comid"] == "F0001"
    body = json.loads(request.content)
    assert body["partner"] == {"comId": "F0001", "srvId": "ilim"}
    assert query_of(request)["page"] is None
    assert "count" in query_of(request)


async def test_todays_orders_are_asked_for_by_date_and_in_both_directions() -> None:
    seen: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((query_of(request), json.loads(request.content)))
        return httpx.Response(200, json=answer("orderdetail", [], echo=echo_of(request)))

    await ask(gateway(handle), "orderdetail")
    query, body = seen[0]
    assert query["qrOrderDate"] == "20261124"
    assert (query["qrSellBuyType"], query["qrAssetType"], query["qrAccNo"]) == ("0", "EQTY", "1234567890")
    assert (query["qrIsinCode"], query["qrOrderNo"]) == ("", "")
    assert "orderDetailListRequestBody" in body


async def test_p20_the_first_page_is_asked_for_as_the_broker_wants_it() -> None:
    seen: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(query_of(request)["page"])
        return httpx.Response(200, json=answer("orderdetail", [], echo=echo_of(request)))

    await ask(gateway(handle, **with_profile(DIAMOND, first_page="text-null")), "orderdetail", DIAMOND)
    assert seen == ["null"]


async def test_each_asset_type_of_the_profile_is_asked_for() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(query_of(request)["qrAssetType"])
        rows = [row("orderdetail", orderNo=seen[-1])]
        return httpx.Response(200, json=answer("orderdetail", rows, echo=echo_of(request)))

    result = await ask(gateway(handle, **with_profile(CYBER, asset_types=("EQTY", "FUND", "ETC"))), "orderdetail")
    assert seen == ["EQTY", "FUND", "ETC"]
    assert isinstance(result, Complete)
    assert [one.order_number for one in result.rows] == seen
    assert len(result.pages) == 3


async def test_an_asset_type_the_broker_does_not_serve_is_a_remark() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if query_of(request)["qrAssetType"] == "FUND":
            return httpx.Response(500, json={"category": "cyber", "code": 6001, "message": "unsupported"})
        return httpx.Response(200, json=answer("orderdetail", [row("orderdetail")], echo=echo_of(request)))

    both = await ask(gateway(handle, **with_profile(CYBER, asset_types=("EQTY", "FUND"))), "orderdetail")
    assert isinstance(both, Complete)
    assert "asset-type-unsupported" in both.remarks[-1]
    only = await ask(gateway(handle, **with_profile(CYBER, asset_types=("FUND",))), "orderdetail")
    assert reason(only) == "code-6001"


# --- what comes in, row by row


async def test_an_order_row_is_read_whole() -> None:
    order = complete(await read_one("orderdetail"))
    assert order.account == ACCOUNT
    assert (order.order_number, order.original_number) == ("0000012345", None)
    assert (order.side, order.quantity, order.executed_quantity) == (Side.BUY, 300, 200)
    assert order.price == Decimal("71500")
    assert order.order_time == datetime(2026, 11, 24, 9, 30, 0, 260000, tzinfo=KST)
    assert order.reject_reason is None
    assert (order.instrument.isin, order.instrument.short_code) == ("KR7005930003", "005930")
    assert [(fill.quantity, fill.price, fill.number) for fill in order.executions] == [
        (150, Decimal("71500"), "1"),
        (50, Decimal("71400"), "0"),
    ]
    assert order.executions[1].time == datetime(2026, 11, 24, 9, 30, 2, 123000, tzinfo=KST)


async def test_a_balance_is_read_whole() -> None:
    balance = complete(await read_one("balancelist"))
    assert balance.account == ACCOUNT
    assert [(cash.basis, cash.currency, cash.cash) for cash in balance.cash] == [
        (0, "KRW", Decimal("500000000")),
        (2, "KRW", Decimal("490000000")),
    ]
    assert balance.cash[1].withdrawable is None
    assert balance.cash[1].receivable == Decimal(-5)
    holding = balance.holdings[0]
    assert (holding.quantity, holding.market_value, holding.asset_type) == (300, Decimal("21500000"), "KSP")


async def test_a_settlement_an_account_and_a_transaction_are_read_whole() -> None:
    settlement = complete(await read_one("settlelist"))
    assert (settlement.side, settlement.settles_on, settlement.amount) == (Side.SELL, date(2026, 11, 26), Decimal(7150000))
    assert [(cost.name, cost.amount) for cost in settlement.costs] == [("수수료", 1070), ("거래세", 13929)]
    account = complete(await read_one("accountlist"))
    assert (account.virtual_number, account.contract_status) == (AccountNumber("V-001"), "0")
    transaction = complete(await read_one("tradebook"))
    assert (transaction.side, transaction.change_quantity, transaction.quantity_after) == (Side.BUY, 300, 600)
    assert transaction.summary is None


@pytest.mark.parametrize("nothing", ["missing", None, "null", "", " "], ids=repr)
async def test_five_kinds_of_absence_are_one(nothing: Any) -> None:
    changes = dict.fromkeys(("orderNo", "orderPrice", "orderTime", "orderRejectReason", "orderType"), nothing)
    whole = row("orderdetail", **changes)
    if nothing == "missing":
        whole = {name: value for name, value in whole.items() if name not in changes}
    order = complete(await ask(gateway(pages(([whole], None))), "orderdetail"))
    assert (order.order_number, order.price, order.order_time, order.reject_reason) == (None, None, None, None)


@pytest.mark.parametrize("nothing", [None, "null", ""], ids=repr)
@pytest.mark.parametrize("name", ["orderQty", "execSumQty", "accNo", "isinInfo", "execList"])
async def test_p17_what_must_be_there_and_is_absent_is_a_named_failure(name: str, nothing: Any) -> None:
    assert reason(await read_one("orderdetail", **{name: nothing})) in {"missing-field", "missing-block"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("20261124", datetime(2026, 11, 24, tzinfo=KST)),
        ("202611240930", datetime(2026, 11, 24, 9, 30, tzinfo=KST)),
        ("20261124093015", datetime(2026, 11, 24, 9, 30, 15, tzinfo=KST)),
        ("2026112409301526", datetime(2026, 11, 24, 9, 30, 15, 260000, tzinfo=KST)),
        ("20261124093015263", datetime(2026, 11, 24, 9, 30, 15, 263000, tzinfo=KST)),
        (2026112409301526, datetime(2026, 11, 24, 9, 30, 15, 260000, tzinfo=KST)),
    ],
)
async def test_times_of_every_length_are_read(written: Any, read: datetime) -> None:
    assert complete(await read_one("orderdetail", orderTime=written)).order_time == read


@pytest.mark.parametrize("written", ["093015", "20261341", "２０２６１１２４", "20261124T09"])
async def test_a_time_that_is_none_is_reported_and_left_out(written: str) -> None:
    result = await read_one("orderdetail", orderTime=written)
    assert complete(result).order_time is None
    assert isinstance(result, Complete)
    assert "unreadable-time: orderTime" in result.remarks


@pytest.mark.parametrize(("short", "read"), [("A005930", "005930"), ("005930", "005930"), ("Q530031", "530031")])
async def test_short_codes_come_with_or_without_the_letter(short: str, read: str) -> None:
    info = [{"isinType": "단축코드", "isinCode": short, "isinName": "x"}]
    order = complete(await read_one("orderdetail", isinInfo=info))
    assert (order.instrument.isin, order.instrument.short_code) == (None, read)
    assert order.instrument.codes == (("단축코드", short),)


async def test_an_unknown_kind_of_code_is_kept_and_reported() -> None:
    info = [{"isinType": "축약영문", "isinCode": "SamsungElec", "isinName": "x"}]
    result = await read_one("orderdetail", isinInfo=info)
    assert complete(result).instrument.codes == (("축약영문", "SamsungElec"),)
    assert isinstance(result, Complete)
    assert "unknown-code" in result.remarks[0]


@pytest.mark.parametrize(("written", "read"), [(300, 300), ("300", 300), ("300.0", 300), (3.0e2, 300), ("5.0E8", 5 * 10**8)])
async def test_quantities_come_in_many_writings(written: Any, read: int) -> None:
    assert complete(await read_one("orderdetail", orderQty=written)).quantity == read


@pytest.mark.parametrize("written", [300.5, "many", True, [300], {"n": 300}, 1e30, "1e999999999", "NaN", "٣٠٠"])
async def test_p17_a_quantity_that_is_none_makes_the_reading_incomplete(written: Any) -> None:
    result = await ask(gateway(pages(([row("orderdetail"), row("orderdetail", orderQty=written)], None))), "orderdetail")
    assert reason(result) in {"unreadable-quantity", "unreadable-number"}
    assert isinstance(result, Incomplete)
    assert len(result.rows) == 1, "the readable row still counts as present"
    assert "row 2" in result.detail


@pytest.mark.parametrize("written", ["00010101", "00010101000000", "15120112", "18991231235959", "19700101090000"])
async def test_p03_a_time_long_before_the_platform_is_no_time(written: str) -> None:
    """A broker's "no value": no table takes it, and the execution that bore it was never booked."""
    (read,) = complete(await read_one("orderdetail", execList=[execution(written)], execSumQty=300)).executions
    assert (read.quantity, read.time) == (300, None)


def execution(time: str, **changes: Any) -> dict[str, Any]:
    return {"execQty": 300, "execPrice": 71500, "execNo": 1, "execTime": time} | changes


@pytest.mark.parametrize("others", [0, 1])
async def test_p03_an_execution_of_no_shares_is_none(others: int) -> None:
    """What stands in the list of an order without executions: booked it would be refused, and with it all the order's rows."""
    nothing = {"execQty": 0, "execPrice": 0, "execNo": 0, "execTime": ""}
    rows = [nothing, *[execution("20261124093000")] * others]
    read = complete(await read_one("orderdetail", execList=rows, execSumQty=300 * others))
    assert [one.quantity for one in read.executions] == [300] * others


async def test_p33_no_float_is_between_the_wire_and_the_row() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        body = json.dumps(answer("orderdetail", [row("orderdetail", orderPrice=-1)], echo=echo_of(request)))
        return httpx.Response(200, content=body.replace('"orderPrice": -1', '"orderPrice": 71500.100000000000000001'))

    assert complete(await ask(gateway(handle), "orderdetail")).price == Decimal("71500.100000000000000001")


@pytest.mark.parametrize("owner", [{"accNo": "1234567890"}, [{"accNo": "1234567890"}]], ids=["object", "array"])
async def test_acc_info_is_an_object_or_an_array(owner: Any) -> None:
    assert complete(await read_one("balancelist", accInfo=owner)).account == ACCOUNT


async def test_both_spellings_of_the_cash_block_are_read() -> None:
    whole = row("balancelist")
    whole["cachBalInfo"] = whole.pop("cashBalInfo")
    assert len(complete(await ask(gateway(pages(([whole], None))), "balancelist")).cash) == 2


async def test_both_spellings_of_the_answer_block_are_read() -> None:
    def respell(body: dict[str, Any]) -> None:
        body["orderDetailResponseBody"] = body.pop("orderDetailListResponseBody")

    assert complete(await read_changed("orderdetail", respell)).quantity == 300


async def test_the_list_may_stand_beside_the_response_body() -> None:
    def lift(body: dict[str, Any]) -> None:
        body["orderDetailList"] = body["orderDetailListResponseBody"].pop("orderDetailList")

    assert complete(await read_changed("orderdetail", lift)).quantity == 300


@pytest.mark.parametrize(
    ("code", "basis", "currency"), [("KRW-D1", 1, "KRW"), ("", None, "KRW"), ("KRW", None, "KRW"), ("USD", None, "USD")]
)
async def test_cash_rows_carry_their_basis(code: str, basis: int | None, currency: str) -> None:
    cash = complete(await read_one("balancelist", cashBalInfo=[{"cashBalance": 1, "crcyCode": code}])).cash[0]
    assert (cash.basis, cash.currency) == (basis, currency)


async def test_new_fields_are_no_reason_to_fail() -> None:
    assert complete(await read_one("orderdetail", brandNew={"a": [1]}, another=1)).quantity == 300


@pytest.mark.parametrize(
    ("hint", "amount", "quantity", "side", "reported"),
    [
        ("ASK", -9000000, 300, Side.BUY, False),
        ("BID", 9000000, -300, Side.SELL, False),
        ("BID", -9000000, 300, Side.BUY, True),  # the published example that contradicts itself
        ("BID", 9000000, 300, None, True),
        ("DEP", 9000000, 0, None, False),
        ("WID", -5, None, None, True),
    ],
)
async def test_the_signs_decide_the_side_of_a_transaction(
    hint: str, amount: int, quantity: int | None, side: Side | None, reported: bool
) -> None:
    result = await read_one("tradebook", transType=hint, changeAmt=amount, changeQty=quantity)
    if quantity is None:
        assert reason(result) == "missing-field"
        return
    assert complete(result).side is side
    assert isinstance(result, Complete)
    assert bool(result.remarks) is reported


async def test_a_movement_of_cash_names_no_instrument() -> None:
    movement = {"transType": "DEP", "changeAmt": 1000, "changeQty": None, "isinInfo": None, "costInfo": None}
    transaction = complete(await read_one("tradebook", **movement))
    assert (transaction.change_quantity, transaction.change_amount) == (0, Decimal(1000))


async def test_a_cancel_row_names_the_order_it_acts_on() -> None:
    order = complete(await read_one("orderdetail", cancelType=1, orgOrderNo="0000012000"))
    assert (order.is_cancel, order.is_amend, order.original_number) == (True, False, "0000012000")
    unflagged = await read_one("orderdetail", cancelType=None, orgOrderNo="0000012000")
    assert reason(unflagged) == "missing-field"


# --- blocks and envelopes


@pytest.mark.parametrize("api", APIS)
async def test_p17_zero_counts_beside_rows_decide_nothing(api: str) -> None:
    result = await ask(gateway(pages(([row(api)], None), total=0)), api)
    assert isinstance(result, Complete)
    assert len(result.rows) == 1


@pytest.mark.parametrize("api", APIS)
async def test_an_empty_list_that_is_there_is_a_complete_nothing(api: str) -> None:
    result = await ask(gateway(pages(([], None))), api)
    assert isinstance(result, Complete)
    assert result.rows == ()


def drop(*path: str) -> Change:
    def change(body: dict[str, Any]) -> None:
        *parents, last = [name if name != "*" else next(n for n in body if n.endswith("ResponseBody")) for name in path]
        for parent in parents:
            body = body[parent]
        if last == "list":
            last = next(name for name in body if name.endswith("List"))
        body.pop(last)

    return change


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("path", [("resp",), ("commonHeader",), ("*",), ("*", "queryResult"), ("*", "list")], ids="/".join)
async def test_p17_a_missing_block_is_an_error_and_never_empty(api: str, path: tuple[str, ...]) -> None:
    assert reason(await read_changed(api, drop(*path))) == "missing-block"


@pytest.mark.parametrize("name", ["accInfo", "cashBalInfo", "securitiesBalInfo"])
async def test_p17_a_balance_without_a_block_is_no_balance(name: str) -> None:
    whole = row("balancelist")
    del whole[name]
    assert reason(await ask(gateway(pages(([whole], None))), "balancelist")) == "missing-block"


@pytest.mark.parametrize("echo", ["SOMEBODY-ELSES", None, "null"])
async def test_an_answer_that_is_not_ours_is_refused(echo: str | None) -> None:
    def change(body: dict[str, Any]) -> None:
        body["commonHeader"]["reqIdConsumer"] = echo

    assert reason(await read_changed("orderdetail", change)) == "echo-mismatch"


async def test_an_answer_about_another_account_is_refused() -> None:
    def change(body: dict[str, Any]) -> None:
        body["orderDetailListResponseBody"]["queryParameter"] = {"qrAccNo": "999"}

    assert reason(await read_changed("orderdetail", change)) == "echo-mismatch"
    assert reason(await read_one("orderdetail", accNo="999")) == "account-mismatch"


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("orderdetail", {"qrSellBuyType": "1"}),
        ("orderdetail", {"qrIsinCode": "KR7000660001"}),
        ("orderdetail", {"qrOrderNo": "1001"}),
        ("settlelist", {"qrSellBuyType": 2}),
        ("settlelist", {"qrIsinCode": "KR7000660001"}),
    ],
    ids=str,
)
async def test_p17_an_answer_to_a_narrower_question_shows_no_absence(api: str, said: dict[str, Any]) -> None:
    """What it leaves out may be there: an order looked for would pass for one that never arrived."""

    def change(body: dict[str, Any]) -> None:
        next(block for name, block in body.items() if name.endswith("ResponseBody"))["queryParameter"] = said

    assert reason(await read_changed(api, change)) == "echo-mismatch"


@pytest.mark.parametrize("said", [{"qrIsinCode": ""}, {"qrIsinCode": " " * 12}, {"qrOrderNo": "0000000000"}, {"qrOrderNo": None}])
async def test_an_answer_that_says_in_its_own_way_that_nothing_was_narrowed_is_whole(said: dict[str, Any]) -> None:
    def change(body: dict[str, Any]) -> None:
        body["orderDetailListResponseBody"]["queryParameter"] = {"qrSellBuyType": 0} | said

    assert complete(await read_changed("orderdetail", change))


@pytest.mark.parametrize(
    ("response", "named"),
    [
        (httpx.Response(500, json={"category": "cyber", "code": 3012, "message": "no account"}), "code-3012"),
        (httpx.Response(200, json={"resp": {"respCode": "7000", "respMsg": "bad"}}), "code-7000"),
        (httpx.Response(429, json={"message": "API rate limit exceeded"}), "http-429"),
        (httpx.Response(502, content=b"<html>bad gateway</html>"), "http-502"),
        (httpx.Response(302, headers={"Location": "/"}), "http-302"),
        (httpx.Response(200, content=b""), "not-json"),
        (httpx.Response(200, content="계좌".encode("euc-kr")), "not-utf8"),
        (httpx.Response(200, content=b'{"a": NaN}'), "not-json"),
        (httpx.Response(200, content=b'{"a": 1, "a": 2}'), "not-json"),
        (httpx.Response(200, content=b"[" * 100_000), "not-json"),
        (httpx.Response(200, content=b"[]"), "not-json"),
        (httpx.Response(200, content=b'{"a": 1e99999999999999999999}'), "not-json"),
    ],
)
async def test_p17_a_failed_read_is_named_and_never_empty(response: httpx.Response, named: str) -> None:
    assert reason(await ask(gateway(lambda _request: response), "orderdetail")) == named


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x")])
async def test_p17_a_read_is_tried_again_and_each_attempt_has_its_own_identity(error: Exception) -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(echo_of(request))
        if len(seen) < 3:
            raise error
        return httpx.Response(200, json=answer(api_of(request), [row("orderdetail")], echo=seen[-1]))

    budget = MemoryBudget()
    assert isinstance(await ask(gateway(handle, budget=budget), "orderdetail"), Complete)
    assert len(set(seen)) == 3
    assert (await budget.spent(ServiceName.INQUIRIES, DAY))[CallClass.ROUTINE] == 3


async def test_p17_attempts_end() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503)

    assert reason(await ask(gateway(handle), "orderdetail")) == "http-503"
    assert len(seen) == 3


async def test_a_definite_refusal_is_not_asked_again() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(500, json={"code": "6006", "message": "31 days"})

    assert reason(await ask(gateway(handle), "tradebook")) == "code-6006"
    assert len(seen) == 1


async def test_p21_an_exhausted_budget_asks_nothing() -> None:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    limits = {name: CallLimit(0) for name in ServiceName}
    assert reason(await ask(gateway(handle, limits=limits), "balancelist")) == "budget-exhausted"


async def test_an_unknown_broker_is_a_named_failure() -> None:
    assert reason(await ask(gateway(pages()), "orderdetail", "77777")) == "unknown-broker"


# --- paging


async def test_p17_pages_are_followed_to_the_end_with_the_key_as_it_came() -> None:
    keys: list[Any] = []
    chain = {None: (["1", "2"], " key/2=="), " key/2==": (["3"], 17), 17: (["4"], "null")}

    def handle(request: httpx.Request) -> httpx.Response:
        keys.append(query_of(request)["page"])
        numbers, following = chain[keys[-1]]
        rows = [row("orderdetail", orderNo=number) for number in numbers]
        return httpx.Response(200, json=answer("orderdetail", rows, echo=echo_of(request), page=following, total=4))

    result = await ask(gateway(handle), "orderdetail")
    assert isinstance(result, Complete)
    assert [one.order_number for one in result.rows] == ["1", "2", "3", "4"]
    assert keys == [None, " key/2==", 17]
    assert len(result.pages) == 3


def numbered(*numbers: str) -> list[Any]:
    return [row("orderdetail", orderNo=number) for number in numbers]


@pytest.mark.parametrize(
    ("contents", "total", "named"),
    [
        ([(numbered("1"), "a"), (numbered("2"), "b"), (numbered("3"), "a")], 0, "page-repeated"),
        ([(numbered("1"), "a"), (numbered("2"), "a")], 0, "page-repeated"),
        ([(numbered("1"), "a"), (numbered("1"), None)], 0, "page-repeated"),
        ([(numbered("1"), "a"), (numbered("2"), None)], 3, "total-mismatch"),
        ([(numbered("1"), ["a"])], 0, "unreadable-page"),
        ([(numbered("1"), 1.5)], 0, "unreadable-page"),
    ],
    ids=["key in a circle", "key at once", "content", "total", "list as key", "fraction as key"],
)
async def test_p17_a_chain_that_does_not_prove_itself_is_incomplete(contents: Any, total: int, named: str) -> None:
    result = await ask(gateway(pages(*contents, total=total)), "orderdetail")
    assert reason(result) == named


MOVED = (numbered("3", "2"), "a")  # then 4 came in above: 2 is shown again, on the second page


@pytest.mark.parametrize(("total", "whole"), [(0, True), (3, True), (4, False)], ids=["no total", "total", "one is missing"])
async def test_p07_a_row_that_moved_to_the_next_page_is_one_row(total: int, whole: bool) -> None:
    """Its executions were counted twice, and a fill was booked that nobody made."""
    result = await ask(gateway(pages(MOVED, (numbered("2", "1"), None), total=total)), "orderdetail")
    assert isinstance(result, Complete) is whole
    assert whole is False or [one.order_number for one in result.rows] == ["3", "2", "1"]


@pytest.mark.parametrize(("total", "whole"), [(0, True), (3, True), (4, False)], ids=["no total", "total", "one is missing"])
async def test_p17_an_account_shown_twice_does_not_stand_for_one_left_out(total: int, whole: bool) -> None:
    """Absence in a complete list makes an account vanish, and ends its orders."""
    accounts = [row("accountlist", accNo=number) for number in ("1", "2", "3")]
    result = await ask(gateway(pages((accounts[:2], "a"), (accounts[1:], None), total=total)), "accountlist")
    assert isinstance(result, Complete) is whole


@pytest.mark.parametrize("acting", [{}, {"modifyType": "1", "orgOrderNo": "1"}], ids=["order", "amendment"])
async def test_p17_a_row_that_changed_between_its_two_pages_is_no_snapshot(acting: dict[str, Any]) -> None:
    def listed(executed: int) -> Any:
        return row(
            "orderdetail", orderNo="2", execSumQty=executed, execList=[{"execQty": executed, "execPrice": 71500}], **acting
        )

    result = await ask(gateway(pages(([listed(4)], "a"), ([listed(7)], None))), "orderdetail")
    assert reason(result) == "inconsistent"


async def test_rows_without_a_number_or_of_two_amendments_under_one_stay_apart() -> None:
    changed = [row("orderdetail", orderNo="2", orgOrderNo="2", modifyType="1", orderPrice=price) for price in (71_400, 71_300)]
    given = [row("orderdetail", orderNo=None), row("orderdetail", orderNo=None), row("orderdetail", orderNo="2"), *changed]
    result = await ask(gateway(pages((given, None), total=5)), "orderdetail")
    assert isinstance(result, Complete)
    assert len(result.rows) == 5


async def test_p07_an_order_listed_under_two_asset_types_is_one_row() -> None:
    platform = gateway(pages((numbered("1"), None), (numbered("1"), None)), **with_profile(CYBER, asset_types=("EQTY", "FUND")))
    result = await ask(platform, "orderdetail")
    assert isinstance(result, Complete)
    assert len(result.rows) == 1


async def test_p17_a_later_page_that_fails_keeps_the_rows_but_not_the_claim() -> None:
    calls: list[int] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        if len(calls) > 1:
            return httpx.Response(500, json={"code": 6003, "message": "no such page"})
        return httpx.Response(200, json=answer("orderdetail", numbered("1"), echo=echo_of(request), page="a"))

    result = await ask(gateway(handle), "orderdetail")
    assert isinstance(result, Incomplete)
    assert result.reason == "code-6003"
    assert [one.order_number for one in result.rows] == ["1"]
    assert len(result.pages) == 2, "the refusal is evidence as well"


async def test_p17_a_chain_without_end_is_bounded() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        here = int(query_of(request)["page"] or 0)
        body = answer("orderdetail", numbered(str(here)), echo=echo_of(request), page=str(here + 1))
        return httpx.Response(200, json=body)

    assert reason(await ask(gateway(handle, pages_max=5), "orderdetail")) == "too-many-pages"


async def test_a_page_above_its_size_is_a_remark() -> None:
    platform = gateway(pages((numbered("1", "2", "3"), None)), **with_profile(CYBER, count=2))
    result = await ask(platform, "orderdetail")
    assert isinstance(result, Complete)
    assert "page-oversized" in result.remarks[0]


async def test_pages_of_one_account_are_one_balance() -> None:
    second = row("balancelist")
    second["securitiesBalInfo"][0]["qty"] = 7
    result = await ask(gateway(pages(([row("balancelist")], "2"), ([second], None))), "balancelist")
    assert isinstance(result, Complete)
    assert len(result.rows) == 1
    assert [holding.quantity for holding in result.rows[0].holdings] == [300, 7]
    assert len(result.rows[0].cash) == 2


async def test_a_holding_shown_by_two_asset_types_is_held_once() -> None:
    """Shares counted twice would be sold twice."""
    whole = ([row("balancelist")], None)
    platform = gateway(pages(whole, whole), **with_profile(CYBER, asset_types=("EQTY", "FUND")))
    result = await ask(platform, "balancelist")
    assert isinstance(result, Complete)
    assert [holding.quantity for holding in result.rows[0].holdings] == [300]


async def test_p17_cash_that_changes_between_pages_is_no_snapshot() -> None:
    second = row("balancelist")
    second["cashBalInfo"][0]["cashBalance"] = 1
    result = await ask(gateway(pages(([row("balancelist")], "2"), ([second], None))), "balancelist")
    assert reason(result) == "inconsistent"


async def test_raw_pages_are_kept_byte_for_byte() -> None:
    sent: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.dumps(answer("accountlist", [row("accountlist")], echo=echo_of(request)), indent=3).encode())
        return httpx.Response(200, content=sent[-1])

    result = await ask(gateway(handle), "accountlist")
    assert result.pages == tuple(sent)


def _row_of(order_time: datetime | None) -> Any:
    return SimpleNamespace(order_time=order_time)


@pytest.mark.parametrize(
    ("days", "whole"),
    [((), True), ((None,), True), ((23,), True), ((22, 23), True), ((22,), False), ((22, None), False)],
    ids=["nothing", "no-times", "today", "one-from-the-evening-before", "yesterday", "yesterday-and-no-time"],
)
def test_p17_rows_that_are_all_of_another_day_are_no_answer(days: tuple[int | None, ...], whole: bool) -> None:
    rows = tuple(_row_of(None if day is None else datetime(2026, 11, day, 10, tzinfo=KST)) for day in days)
    answer: Any = of_day(Complete(rows, (b"page",), datetime(2026, 11, 23, 11, tzinfo=KST)), date(2026, 11, 23))
    assert isinstance(answer, Complete) is whole
    assert whole or (answer.reason, answer.rows, answer.pages) == ("another-day", (), (b"page",))
