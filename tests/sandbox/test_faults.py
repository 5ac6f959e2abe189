"""Every fault of the catalogue, once, as it is seen on the wire."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from service.sandbox import poison
from service.sandbox.faults import KINDS

ELECTRONICS = "KR7930010004"
ONE, TWO = "20261123A1", "20261123A2"


async def arm(client: Any, fault: str, **more: Any) -> None:
    await client.control("faults", {"fault": fault, **more})


async def sends(client: Any, name: str = ONE) -> tuple[int, int]:
    """(received, accepted)."""
    found = (await client.control("sends")).get(name, {"received": 0, "accepted": 0})
    return found["received"], found["accepted"]


async def listed(client: Any, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answer = (await client.orders(**query))["orderDetailListResponseBody"]
    return answer["orderDetailList"]["orderDetail"], answer["queryResult"]


@asynccontextmanager
async def listening(client: Any, stomp: Any) -> AsyncIterator[Any]:
    async with client.stream() as socket_:
        one = stomp(socket_)
        await one.login()
        await one.subscribe()
        yield one


# --- requests and answers


@pytest.mark.parametrize("before", ["error", "unknown_code", "error_inside", "html", "redirect"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_answer_in_another_dress(client: Any, before: str, after: bool) -> None:
    await client.step("09:30:00")
    await arm(client, before + "_after" * after)
    answer = await client.order("new", ONE, Price="60000")
    status = {"error": 500, "unknown_code": 500, "error_inside": 200, "html": 502, "redirect": 307}[before]
    assert answer.status_code == status
    said = {
        "error": '"code":3999', "unknown_code": '"code":9876', "error_inside": '"respCode":"3999"', "html": "<html>",
        "redirect": "",
    }[before]  # fmt: skip
    assert said in answer.text
    assert answer.headers.get("location") == ("/v1/order/new" if before == "redirect" else None)
    assert await sends(client) == (1, int(after))


async def test_an_html_page_may_say_200(client: Any) -> None:
    await arm(client, "html", http_status=200)
    answer = await client.order("new", ONE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_following_a_redirect_is_sending_twice(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "redirect_after")
    client.http.follow_redirects = True
    assert (await client.order("new", ONE, Price="60000")).status_code == 200
    assert await sends(client) == (2, 2)


async def raw(client: Any, data: bytes) -> socket.socket:
    host, _, port = client.url.removeprefix("http://").partition(":")
    wire = socket.create_connection((host, int(port)), 5)
    await asyncio.to_thread(wire.sendall, data)
    return wire


def request(client: Any, name: str) -> bytes:
    body = json.dumps(client.body("D", name, Price="60000")).encode()
    head = (
        "POST /v1/order/new HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2FuZGJveC1rZXk6c2FuZGJveC1zZWNyZXQ=\r\n"
        f"comId: F0001\r\nContent-Type: application/json\r\nreqIdConsumer: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def everything(wire: socket.socket) -> bytes:
    """Until the other side ends it; raises ConnectionResetError."""
    data = b""
    while piece := await asyncio.to_thread(wire.recv, 65_536):
        data += piece
    return data


async def test_a_reset_request_never_counts(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "request_reset", match={"cl_ord_id": ONE})
    with await raw(client, request(client, ONE)) as wire, pytest.raises(ConnectionResetError):
        await everything(wire)
    assert await sends(client) == (0, 0)


async def test_half_a_request_never_counts(client: Any) -> None:
    await client.step("09:30:00")
    whole = request(client, ONE)
    with await raw(client, whole[:-20]) as wire:
        wire.shutdown(socket.SHUT_WR)
        await everything(wire)
    assert await sends(client) == (0, 0)
    head, _, body = whole.replace(b"Content-Length: ", b"X-Once: ").partition(b"\r\n\r\n")
    with await raw(client, head + b"\r\nContent-Length: 90\r\n\r\n" + body[:90]) as wire:
        wire.shutdown(socket.SHUT_WR)
        assert b"3011" in await everything(wire)
    assert await sends(client) == (0, 0)


async def test_the_same_post_twice_is_counted_twice(client: Any) -> None:
    await client.step("09:30:00")
    for _ in range(2):
        assert (await client.order("new", ONE, Price="60000")).status_code == 200
    assert await sends(client) == (2, 2)
    reports = (await client.control("reports"))["20261123"]
    assert [one["message"]["Body"]["ExecType"] for one in reports] == ["A", "0", "8"]


async def test_a_torn_answer_promises_more_than_it_gives(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "answer_torn", bytes=20)
    with await raw(client, request(client, ONE)) as wire:
        head, _, body = (await everything(wire)).partition(b"\r\n\r\n")
    assert len(body) == 20
    assert int(re.findall(rb"content-length: (\d+)", head.lower())[0]) > 20
    assert await sends(client) == (1, 1)


async def test_a_dripped_answer_comes_byte_by_byte(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "answer_dripped", seconds=0.001)
    async with client.http.stream(
        "POST", "/v1/order/new", json=client.body("D", ONE, Price="60000"), headers={
            "Authorization": "Basic c2FuZGJveC1rZXk6c2FuZGJveC1zZWNyZXQ=", "comId": "F0001", "reqIdConsumer": ONE,
        },
    ) as answer:  # fmt: skip
        pieces = [piece async for piece in answer.aiter_raw()]
    assert len(pieces) > 20
    assert json.loads(b"".join(pieces))["commonHeader"]["reqIdConsumer"] == ONE


async def test_a_foreign_answer_is_not_ours(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "answer_foreign")
    assert (await client.order("new", ONE, Price="60000")).json()["commonHeader"]["reqIdConsumer"] == "somebody-else"
    assert await sends(client) == (1, 1)


async def test_a_kept_connection_is_reset_under_the_next_request(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "keepalive_closed", match={"cl_ord_id": ONE})
    with await raw(client, request(client, ONE)) as wire:
        assert b"200 OK" in await asyncio.to_thread(wire.recv, 65_536)
        await asyncio.to_thread(wire.sendall, request(client, TWO))
        with pytest.raises(ConnectionResetError):
            await everything(wire)
    assert (await sends(client), await sends(client, TWO)) == ((1, 1), (0, 0))


@pytest.mark.parametrize(("fault", "before"), [("answer_lost_before", 0), ("answer_lost_after", 1)])
async def test_a_lost_answer(client: Any, fault: str, before: int) -> None:
    await client.step("09:30:00")
    await arm(client, fault)
    with pytest.raises(httpx.HTTPError):
        await client.order("new", ONE, Price="60000")
    assert await sends(client) == (1, before)


@pytest.mark.parametrize("fault", ["answer_delayed", "request_delayed"])
async def test_a_delay_is_real_time(client: Any, fault: str) -> None:
    await client.step("09:30:00")
    await arm(client, fault, seconds=0.2)
    sending = asyncio.create_task(client.order("new", ONE, Price="60000"))
    while not (await client.control("idle"))["delayed"]:
        assert not sending.done()
    assert await sends(client) == (1, int(fault == "answer_delayed"))
    assert (await sending).status_code == 200


# --- reports


async def test_a_lost_report_leaves_no_gap_and_only_the_inquiry_shows_it(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await client.control("quote", {"isin": ELECTRONICS, "bid": 60000, "ask": 80000, "bid_quantity": 1, "ask_quantity": 1})
    await arm(client, "report_lost", match={"cl_ord_id": ONE, "exec_type": "F"})
    async with listening(client, stomp) as one:
        await client.order("new", ONE, Price="71000")
        await client.control("trade-through", {"isin": ELECTRONICS, "price": 71000, "quantity": 10})
        await client.order("new", TWO, Price="70000")
        seen = [await one.report() for _ in range(4)]
        await one.send("SEND", json.dumps({"date": "20261123", "beginSeqNo": 1, "endSeqNo": 0}), destination="/app/resend")
        again = [await one.report() for _ in range(4)]
    for reports in (seen, again):
        assert [headers["seq"] for headers, _ in reports] == ["1", "2", "3", "4"]
        assert "F" not in {report["Body"]["ExecType"] for _, report in reports}
    assert [row["execSumQty"] for row in (await listed(client))[0]] == [10, 0]
    assert [one["Body"]["ExecType"] for one in (await client.control("lost"))["lost"]] == ["F"]


async def test_a_lost_answer_whose_reports_come_a_minute_of_market_time_later(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "answer_lost_after", match={"cl_ord_id": ONE})
    await arm(client, "report_held", match={"cl_ord_id": ONE}, seconds=60, count=-1)
    async with listening(client, stomp) as one:
        with pytest.raises(httpx.HTTPError):
            await client.order("new", ONE, Price="60000")
        await client.order("new", TWO, Price="60000")
        assert [(await one.report())[1]["Body"]["ClOrdID"] for _ in range(2)] == [TWO, TWO]
        await client.step("09:30:59")
        assert len((await client.control("lost"))["held"]) == 2
        assert (await client.control("idle"))["idle"], "business time may go on while they are held"
        await client.step("09:31:00")
        late = [await one.report() for _ in range(2)]
    assert [(headers["seq"], report["Body"]["ClOrdID"]) for headers, report in late] == [("3", ONE), ("4", ONE)]


async def test_a_drifted_report_has_another_name_in_it(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "drift_report", match={"broker": "cyber"}, count=-1)
    await client.order("new", ONE, Price="60000")
    body = (await client.control("reports"))["20261123"][0]["message"]["Body"]
    assert ("CumQty" in body, body["CumQuantity"]) == (False, "0")


async def test_a_half_open_stream_is_silent_and_stays(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "stream_half_open")
    async with listening(client, stomp) as one:
        await client.order("new", ONE, Price="60000")
        await one.send("SEND", json.dumps({"date": "20261123", "beginSeqNo": 1, "endSeqNo": 0}), destination="/app/resend")
        async with listening(client, stomp) as other:
            await client.order("new", TWO, Price="60000")
            assert [(await other.report())[0]["seq"] for _ in range(2)] == ["3", "4"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.socket.recv(), 0.1)
        assert one.socket.state is websockets.State.OPEN
    assert (await client.control("idle"))["idle"]


@pytest.mark.parametrize(("fault", "given"), [("stream_gap", ["1", "2"]), ("stream_gap_lost", ["2"])])
async def test_a_gap_and_what_the_resend_has(client: Any, stomp: Any, fault: str, given: list[str]) -> None:
    await client.step("09:30:00")
    await arm(client, fault)
    async with listening(client, stomp) as one:
        await client.order("new", ONE, Price="60000")
        assert (await one.report())[0]["seq"] == "2"
        await one.send("SEND", json.dumps({"date": "20261123", "beginSeqNo": 1, "endSeqNo": 0}), destination="/app/resend")
        assert [(await one.report())[0]["seq"] for _ in given] == given


async def test_dropped_doubled_and_turned_round(client: Any, stomp: Any) -> None:
    """Each has tests of its own in `test_stream.py`."""
    await client.step("09:30:00")
    for fault in ("stream_duplicate", "stream_reorder"):
        await arm(client, fault)
    async with listening(client, stomp) as one:
        await client.order("new", ONE, Price="60000")
        await client.order("new", TWO, Price="60000")
        assert [(await one.report())[0]["seq"] for _ in range(5)] == ["1", "1", "3", "2", "4"]
    await arm(client, "stream_drop")
    wire = await client.stream()
    one = stomp(wire)
    await one.login()
    await one.subscribe()
    await client.order("cancel", "20261123A3", OrigClOrdID=ONE, OrdType=None, Price=None)
    with pytest.raises(websockets.ConnectionClosedError):
        await one.report()


@pytest.mark.parametrize("what", list(poison.KINDS))
async def test_a_poison_frame_and_a_good_one_behind_it(client: Any, what: str) -> None:
    await client.step("09:30:00")
    await arm(client, "stream_poison", what=what)
    async with websockets.connect(
        client.url.replace("http", "ws") + "/v1/order/stream",
        subprotocols=["v12.stomp"],
        max_size=None,  # type: ignore[list-item]
    ) as wire:
        await wire.send("CONNECT\naccept-version:1.2\nlogin:sandbox-key\npasscode:sandbox-secret\ncomId:F0001\n\n\x00")
        await wire.recv()
        await wire.send("SUBSCRIBE\nid:0\ndestination:/user/queue/reports\nack:client-individual\n\n\x00")
        await client.order("new", ONE, Price="60000")
        spoilt, good = await wire.recv(), await wire.recv()
        assert isinstance(spoilt, bytes)
        assert isinstance(good, str)
        await wire.send('SEND\ndestination:/app/resend\n\n{"date":"20261123","beginSeqNo":1,"endSeqNo":1}\x00')
        again = await wire.recv()
    assert not sound(spoilt)
    assert sound(good.encode())
    assert isinstance(again, str), "a resend gives it whole"
    assert sound(again.encode())


def sound(data: bytes) -> bool:
    """A strict reading: STOMP head, length, one JSON object without doubles, plain values that make sense."""
    head, _, rest = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if lines[0] != b"MESSAGE" or any(b":" not in line or b"\\t" in line for line in lines[1:]):
        return False
    headers = dict(line.split(b":", 1) for line in lines[1:])
    if {b"seq", b"ack"} - headers.keys() or rest[-1:] != b"\x00" or len(rest) - 1 != int(headers.get(b"content-length", b"0")):
        return False
    if rest == b"\x00":
        return False
    try:
        pairs = json.loads(rest[:-1], object_pairs_hook=lambda pairs: pairs, parse_constant=lambda _: pytest.fail("NaN")).copy()
    except (ValueError, RecursionError, pytest.fail.Exception):
        return False
    body = next((value for name, value in pairs if name == "Body"), None) if isinstance(pairs[0], tuple) else None
    if body is None or len({name for name, _ in body}) != len(body) or len(rest) > 100_000:
        return False
    values = dict(body)
    return values.get("ExecType") != "Z" and str(values.get("CumQty")).isdigit() and "OrderID" in values


async def test_lasting_poison_is_in_the_resend_too_and_can_be_had_at_once(client: Any) -> None:
    await client.step("09:30:00")
    await arm(client, "stream_poison", what="not_an_object", lasting=True)
    async with client.stream() as wire:
        await wire.send("CONNECT\naccept-version:1.2\nlogin:sandbox-key\npasscode:sandbox-secret\ncomId:F0001\n\n\x00")
        await wire.recv()
        await wire.send("SUBSCRIBE\nid:0\ndestination:/user/queue/reports\nack:client-individual\n\n\x00")
        await client.order("new", ONE, Price="60000")
        await client.control("stream", {"do": "poison", "what": "euc_kr"})
        got = [await wire.recv() for _ in range(3)]
        await wire.send('SEND\ndestination:/app/resend\n\n{"date":"20261123","beginSeqNo":1,"endSeqNo":0}\x00')
        got += [await wire.recv() for _ in range(3)]
    assert [isinstance(one, bytes) for one in got] == [True, False, True] * 2


@pytest.mark.parametrize("do", ["drop", "mute"])
async def test_the_stream_can_be_hit_at_once(client: Any, stomp: Any, do: str) -> None:
    async with listening(client, stomp) as one:
        await client.control("stream", {"do": do})
        with pytest.raises(websockets.ConnectionClosedError if do == "drop" else TimeoutError):
            await asyncio.wait_for(one.socket.recv(), 0.2)


# --- inquiries


async def several(client: Any, count: int = 3) -> None:
    await client.step("09:30:00")
    for n in range(count):
        await client.order("new", f"20261123A{n}", Price="60000")


async def test_an_inquiry_behind_and_one_of_yesterday(client: Any) -> None:
    await several(client)
    await arm(client, "inquiry_lag", seconds=30)
    assert (await listed(client))[0] == []
    await arm(client, "inquiry_yesterday")
    assert (await listed(client))[0] == []
    assert [len((await listed(client, qrOrderDate=day))[0]) for day in ("20261123", "20261124")] == [3, 0]
    await arm(client, "inquiry_yesterday")
    assert len((await listed(client, qrOrderDate="20261124"))[0]) == 3


async def test_an_empty_inquiry_agrees_with_itself(client: Any) -> None:
    await several(client)
    await arm(client, "inquiry_empty", match={"broker": "cyber", "account": "99100010001"})
    rows, result = await listed(client)
    assert (rows, result["totalCnt"], result["page"]) == ([], 0, None)


@pytest.mark.parametrize(("fault", "numbers"), [
    ("inquiry_page_missing", [1, 3]), ("inquiry_page_repeated", [1, 1]), ("inquiry_rows_missing", []),
])  # fmt: skip
async def test_pages_that_do_not_follow(client: Any, fault: str, numbers: list[int]) -> None:
    await several(client)
    await arm(client, fault)
    rows, result = await listed(client, count=1)
    if rows:
        rows += (await listed(client, count=1, page=result["page"]))[0]
    assert [int(row["orderNo"]) for row in rows] == numbers
    assert result["totalCnt"] == 3


@pytest.mark.parametrize(("fault", "seen"), [
    ("inquiry_shrunk", (6, 4, [4])), ("inquiry_totals_short", (10, 0, [4])), ("inquiry_fills_missing", (10, 4, [])),
])  # fmt: skip
async def test_a_part_filled_order_shown_wrongly(client: Any, fault: str, seen: tuple[int, int, list[int]]) -> None:
    await client.step("09:30:00")
    await client.control("quote", {"isin": ELECTRONICS, "bid": 60000, "ask": 80000, "bid_quantity": 1, "ask_quantity": 1})
    await client.order("new", ONE, Price="71000")
    await client.control("trade-through", {"isin": ELECTRONICS, "price": 71000, "quantity": 4})
    await arm(client, fault)
    shown = [
        (row["orderQty"], row["execSumQty"], [one["execQty"] for one in row["execList"]])
        for rows in [(await listed(client))[0], (await listed(client))[0]]
        for row in rows
    ]
    assert shown == [seen, (10, 4, [4])]


@pytest.mark.parametrize(("fault", "gone", "come"), [
    ("drift_renamed", '"orderNo"', '"orderNumber"'), ("drift_missing", '"execSumQty"', ""),
    ("drift_retyped", '"orderQty":10', '"orderQty":{"value":10'), ("drift_page", '"page":null', '"page":"END"'),
    ("drift_side", '"sellBuyType":"2"', '"sellBuyType":"B"'),
])  # fmt: skip
async def test_p20_a_broker_drifts_and_comes_back(client: Any, fault: str, gone: str, come: str) -> None:
    await several(client, 1)
    block = {"qrAssetType": "EQTY", "qrSellBuyType": "0", "qrAccNo": "99100010001", "qrOrderDate": "", "count": 0, "page": None}

    async def text() -> str:
        answer = await client.ask("cyber", "orderdetail", "orderDetailListRequestBody", **block)
        return str(answer.text).partition('"queryResult"')[2]

    assert gone in await text()
    await arm(client, fault, match={"broker": "cyber"}, count=-1)
    for _ in range(2):
        drifted = await text()
        assert gone not in drifted
        assert come in drifted
    assert (await client.control(f"faults?fault={fault}", method="DELETE"))["armed"] == []
    assert gone in await text()


# --- the catalogue


async def test_a_schedule_may_aim_and_carry_parameters(client: Any) -> None:
    await client.step("09:30:00")
    rates = {"html": {"rate": "1", "http_status": 200, "match": {"path": "order/new"}}, "inquiry_empty": "0.5"}
    said = await client.control("faults", {"schedule": {"seed": 1, "rates": rates}})
    assert said["schedule"]["rates"]["html"] == {"rate": "1", "match": {"path": "order/new"}, "http_status": 200}
    assert (await client.order("new", ONE)).text.startswith("<html>")
    assert (await client.order("cancel", TWO, OrigClOrdID=ONE)).status_code == 200


@pytest.mark.parametrize("body", [
    {"schedule": {"rates": {"html": "2"}}}, {"schedule": {"rates": {"nonsense": "0"}}}, {"schedule": {"rates": {"html": {}}}},
    {"fault": "stream_poison", "what": "arsenic"}, {"fault": "html", "match": {"mood": "bad"}},
])  # fmt: skip
async def test_a_wrong_wish_is_refused(client: Any, body: dict[str, Any]) -> None:
    assert (await client.http.post("/_sandbox/faults", json=body)).status_code == 400


def test_every_fault_has_its_test() -> None:
    here = Path(__file__).parent
    said = "".join(path.read_text() for path in here.glob("test_*.py"))
    assert {name for name in KINDS if f'"{name.removesuffix("_after")}' not in said} == set()
