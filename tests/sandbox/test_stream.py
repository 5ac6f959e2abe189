"""The report stream, read by handwritten frames over a plain WebSocket."""

import asyncio
import json
from typing import Any

import pytest
import websockets

from service.sandbox import stomp as codec


async def place(client: Any, name: str, **fields: Any) -> None:
    answer = await client.order("new", name, **fields)
    assert answer.status_code == 200, answer.text


async def listen(client: Any, stomp: Any, socket: Any) -> Any:
    one = stomp(socket)
    assert (await one.login())[0] == "CONNECTED"
    await one.subscribe()
    return one


async def test_login_and_reports_with_seq(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    async with client.stream() as socket:
        assert socket.subprotocol == "v12.stomp"
        one = stomp(socket)
        command, headers, _ = await one.login()
        assert (command, headers["version"], headers["heart-beat"]) == ("CONNECTED", "1.2", "10000,10000")
        await one.subscribe()
        await place(client, "20261123A1", Price="60000")
        first, report = await one.report()
        second, _ = await one.report()
        assert (first["seq"], second["seq"], first["seq-date"]) == ("1", "2", "20261123")
        assert first["ack"] != first["message-id"]
        assert first["destination"] == "/user/queue/reports"
        assert report["Body"]["ClOrdID"] == "20261123A1"
        assert report["Header"]["MsgType"] == "8"


async def test_reports_before_a_subscription_are_only_kept_for_resend(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await place(client, "20261123A1", Price="60000")
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A2", Price="60000")
        headers, _ = await one.report()
        assert headers["seq"] == "3"
        await one.report()
        wish = json.dumps({"date": "20261123", "beginSeqNo": 1, "endSeqNo": 2})
        await one.send("SEND", wish, destination="/app/resend")
        again = [await one.report() for _ in range(2)]
        assert [headers["seq"] for headers, _ in again] == ["1", "2"]
        assert {report["Header"]["PossDupFlag"] for _, report in again} == {"Y"}
        await one.send("SEND", json.dumps({"date": "20261123", "beginSeqNo": 3, "endSeqNo": 0}), destination="/app/resend")
        newest = [(await one.report())[0] for _ in range(2)]
        assert [headers["seq"] for headers in newest] == ["3", "4"]
        assert newest[0]["message-id"] != headers["message-id"]


async def test_a_message_waits_for_its_ack_without_holding_up_the_next(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A1", Price="60000")
        messages = [await one.receive() for _ in range(2)]
        idle = await client.control("idle")
        assert (idle["idle"], idle["unacked_reports"]) == (False, 2)
        for _, headers, _ in reversed(messages):
            await one.send("ACK", id=headers["ack"], receipt=headers["seq"])
            assert (await one.receive())[0] == "RECEIPT"
        assert (await client.control("idle"))["idle"] is True


@pytest.mark.parametrize("wrong", [
    {"passcode": "wrong"}, {"comId": "F9999"}, {"accept_version": "1.1"}, {"heart_beat": "soon"},
])  # fmt: skip
async def test_a_bad_login_gets_an_error_and_the_end(client: Any, stomp: Any, wrong: dict[str, str]) -> None:
    async with client.stream() as socket:
        assert (await stomp(socket).login(**wrong))[0] == "ERROR"
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)


@pytest.mark.parametrize("frame", [
    "NONSENSE\n\n\x00", "ACK\n\n\x00", "SEND\ndestination:/app/resend\n\nnot json\x00", "SEND\ndestination:/else\n\n{}\x00",
    "SUBSCRIBE\nid:1\ndestination:/user/queue/reports\n\n\x00", "ACK\nid:\\t\n\n\x00", "SEND\ncontent-length:2\n\nlonger\x00",
    "ACK\nno colon\n\n\x00", "SEND\ndestination:/app/resend\n\n{\"date\":1,\"beginSeqNo\":[],\"endSeqNo\":0}\x00",
])  # fmt: skip
async def test_a_bad_frame_gets_an_error_and_the_end(client: Any, stomp: Any, frame: str) -> None:
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await socket.send(frame)
        assert (await one.receive())[0] == "ERROR"
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)
    assert (await client.control("clock"))["version"] >= 1


async def test_frames_may_come_in_pieces_and_together(client: Any, stomp: Any) -> None:
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await socket.send("\n\nACK\nid:none\nrece")
        await socket.send("ipt:a\n\n\x00\nACK\r\nid:none\r\nreceipt:b\r\n\r\n\x00")
        assert [(await one.receive())[1]["receipt-id"] for _ in range(2)] == ["a", "b"]


async def test_the_subprotocol_is_required(client: Any) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(client.url.replace("http", "ws") + "/v1/order/stream"):
            pass


async def test_stream_drop_cuts_and_the_report_is_there_for_resend(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "stream_drop"})
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A1", Price="60000")
        with pytest.raises(websockets.ConnectionClosedError):
            await one.receive()
    reports = await client.control("reports")
    assert [one["seq"] for one in reports["20261123"]] == [1, 2]


async def test_stream_duplicate_repeats_a_seq(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "stream_duplicate"})
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A1", Price="60000")
        got = [await one.report() for _ in range(3)]
        assert [headers["seq"] for headers, _ in got] == ["1", "1", "2"]
        assert "PossDupFlag" not in got[1][1]["Header"]


@pytest.mark.parametrize(("n", "order"), [(2, ["2", "1", "3", "4"]), (3, ["3", "2", "1", "4"])])
async def test_stream_reorder_turns_n_reports_round(client: Any, stomp: Any, n: int, order: list[str]) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "stream_reorder", "n": n})
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A1", Price="60000")
        await place(client, "20261123A2", Price="60000")
        assert [(await one.report())[0]["seq"] for _ in range(4)] == order


async def test_a_held_report_comes_even_if_no_second_follows(client: Any, stomp: Any) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "stream_reorder", "n": 9})
    async with client.stream() as socket:
        one = await listen(client, stomp, socket)
        await place(client, "20261123A1", Price="60000")
        assert {(await one.report())[0]["seq"] for _ in range(2)} == {"1", "2"}


def test_codec_escapes_headers_and_counts_bytes() -> None:
    frame = codec.encode(codec.Frame("MESSAGE", {"a:b": "c\nd\\"}, "가".encode()))
    assert frame == b"MESSAGE\na\\cb:c\\nd\\\\\ncontent-length:3\n\n\xea\xb0\x80\x00"
    assert codec.Parser().feed(b"SEND\nx:1\nx:2\na\\cb:c\\nd\n\n\x00") == [
        codec.Frame("SEND", {"x": "1", "a:b": "c\nd"}, b"")
    ]  # fmt: skip
    assert codec.Parser().feed(b"CONNECT\nlogin:a\\c\n\n\x00")[0].headers["login"] == "a\\c"


def test_content_length_lets_a_body_hold_nul() -> None:
    assert codec.Parser().feed(b"SEND\ncontent-length:3\n\na\x00b\x00")[0].body == b"a\x00b"
