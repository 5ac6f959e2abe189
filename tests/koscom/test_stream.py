"""The report stream: over a real WebSocket where the line matters, over a scripted one where the moment matters."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from service.core.clock import ManualClock
from service.gateway import RawReport
from service.koscom.config import StreamTimes
from service.koscom.holes import Holes
from service.koscom.reader import BATCH
from service.koscom.stomp import Frame, Parser, encode
from service.koscom.stream import KoscomStream, backoff
from tests.koscom.makers import MORNING, config

TODAY = date(2026, 11, 24)
TIMES = StreamTimes(open=2, heart_beat=5, silence=5, settle=0.02, settle_unanswered=0.3, resend=1, stalled=0.1, ask_again=60)


def message(seq: int | str, body: bytes | None = None, *, resent: bool = False, **headers: str) -> bytes:
    header = {"MsgType": "8"} | ({"PossDupFlag": "Y"} if resent else {})
    content = json.dumps({"Header": header, "Body": {"n": seq}}).encode() if body is None else body
    named = {"seq": str(seq), "seq-date": "20261124", "message-id": f"m{seq}", "ack": f"a{seq}"} | headers
    return encode(Frame("MESSAGE", named, content))


@dataclass
class Broker:
    """A STOMP server of one page: it shows every frame it got, and does what a test tells it on SUBSCRIBE and SEND."""

    on_subscribe: list[bytes] = field(default_factory=list)
    on_resend: Callable[[dict[str, Any]], list[bytes]] = lambda _asked: []
    frames: list[Frame] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    connections: int = 0
    heart_beat: str = "5000,5000"
    receipts: bool = True
    close_after_subscribe: int = 0  # so many connections end right after their subscription
    sockets: list[ServerConnection] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.sockets.append(socket)
        parser = Parser(10**6)
        async for data in socket:
            for frame in commands(data):
                await self.answer(socket, frame)
        assert not parser.pending()

    async def answer(self, socket: ServerConnection, frame: Frame) -> None:
        self.frames.append(frame)
        self.log.append(frame.command + (frame.headers.get("id", "") if frame.command == "ACK" else ""))
        if frame.command == "CONNECT":
            await socket.send(encode(Frame("CONNECTED", {"version": "1.2", "heart-beat": self.heart_beat})).decode())
        elif frame.command == "SUBSCRIBE":
            for one in self.on_subscribe:
                await socket.send(one)
            if self.connections <= self.close_after_subscribe:
                await socket.close()
        elif frame.command == "SEND":
            for one in self.on_resend(json.loads(frame.body)):
                await socket.send(one)
            if self.receipts:
                await socket.send(encode(Frame("RECEIPT", {"receipt-id": frame.headers["receipt"]})).decode())
        async with self.changed:
            self.changed.notify_all()

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(frame.body) for frame in self.frames if frame.command == "SEND"]


def commands(data: bytes | str) -> list[Frame]:
    """Client frames, read by the test's own few lines."""
    text = data if isinstance(data, str) else data.decode()
    frames = []
    for one in text.split("\x00"):
        head, _, body = one.lstrip("\n").partition("\n\n")
        if head:
            command, *headers = head.split("\n")
            frames.append(Frame(command, dict(line.split(":", 1) for line in headers), body.encode()))
    return frames


@dataclass
class Listener:
    """The three things a stream is given, and what they heard."""

    stored: list[RawReport] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    missing: list[list[tuple[int, int]]] = field(default_factory=lambda: [[(1, 0)]])
    days: list[date] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    failing: int = 0
    refused: set[int | None] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def store(self, raws: Sequence[RawReport]) -> list[bool]:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("no database")
        self.batches.append(len(raws))
        self.stored += raws
        self.log += [f"stored {raw.seq}" for raw in raws]
        self.changed.set()
        return [raw.seq not in self.refused for raw in raws]

    async def position(self, day: date) -> list[tuple[int, int]]:
        self.days.append(day)
        return self.missing.pop(0) if len(self.missing) > 1 else self.missing[0]

    async def on_state(self, state: str) -> None:
        self.states.append(state)
        self.log.append(state)
        self.changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    def numbers(self) -> list[int | None]:
        return [raw.seq for raw in self.stored]


@asynccontextmanager
async def reading(
    broker: Broker, listener: Listener, frame_limit: int = 16_000_000, **times: float
) -> AsyncIterator[KoscomStream]:
    async with serve(broker.serve, "127.0.0.1", 0, subprotocols=[Subprotocol("v12.stomp")]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        settings = config(stream_url=f"ws://127.0.0.1:{port}", stream_times=replace(TIMES, **times), frame_limit=frame_limit)
        stream = KoscomStream(settings, ManualClock(MORNING), lambda _bits: 3, sleep=lambda _s: asyncio.sleep(0))
        task = asyncio.create_task(stream.run(store=listener.store, position=listener.position, on_state=listener.on_state))
        try:
            yield stream
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def heard(broker: Broker, true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5), broker.changed:
        await broker.changed.wait_for(true)


async def test_p18_connect_subscribe_resend_live() -> None:
    broker = Broker(on_resend=lambda _asked: [message(1, resent=True), message(2, resent=True)])
    listener = Listener()
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
        request = broker.sockets[0].request
    assert listener.states == ["connected", "resending", "live"]
    assert listener.numbers() == [1, 2]
    assert all(raw.possible_duplicate and raw.seq_date == TODAY and raw.com_id == "F0001" for raw in listener.stored)
    assert broker.asked() == [{"date": "20261124", "beginSeqNo": 1, "endSeqNo": 0}]
    assert [frame.command for frame in broker.frames][:3] == ["CONNECT", "SUBSCRIBE", "SEND"]
    connect, subscribe, send = broker.frames[:3]
    assert (connect.headers["login"], connect.headers["passcode"]) == ("the-key", "the-secret")
    assert (connect.headers["comId"], connect.headers["accept-version"]) == ("F0001", "1.2")
    assert subscribe.headers == {"id": "0", "destination": "/user/queue/reports", "ack": "client-individual"}
    assert send.headers["destination"] == "/app/resend"
    assert request is not None
    assert request.path == "/v1/order/stream"


async def test_p19_stored_first_then_acknowledged_in_order() -> None:
    broker = Broker(on_subscribe=[message(number) for number in range(1, 6)])
    listener = Listener(log=broker.log)
    async with reading(broker, listener):
        await heard(broker, lambda: broker.log.count("stored 5") == 1 and "ACKa5" in broker.log)
    assert listener.numbers() == [1, 2, 3, 4, 5]
    for number in range(1, 6):
        assert broker.log.index(f"stored {number}") < broker.log.index(f"ACKa{number}")
    assert [entry for entry in broker.log if entry.startswith("ACK")] == [f"ACKa{number}" for number in range(1, 6)]


async def test_p19_what_could_not_be_stored_is_not_acknowledged_and_comes_again() -> None:
    broker = Broker(on_subscribe=[message(1)])
    listener = Listener(failing=1)
    async with reading(broker, listener):
        await listener.until(lambda: listener.numbers() == [1])
        await heard(broker, lambda: "ACKa1" in broker.log)
    assert broker.connections == 2
    assert broker.log.count("ACKa1") == 1
    assert "lost" in listener.states


async def test_p19_what_has_arrived_is_stored_together_and_acknowledged_after_that() -> None:
    broker = Broker(on_subscribe=[b"".join(message(number) for number in range(1, 6))])
    listener = Listener(log=broker.log)
    async with reading(broker, listener):
        await heard(broker, lambda: "ACKa5" in broker.log)
    assert listener.batches == [5]
    numbers = range(1, 6)
    told = [entry for entry in broker.log if entry.startswith(("stored", "ACK"))]
    assert told == [f"stored {number}" for number in numbers] + [f"ACKa{number}" for number in numbers]


async def test_p19_a_heap_of_frames_is_stored_in_parts() -> None:
    count = 2 * BATCH + 1
    broker, listener = Broker(on_subscribe=[b"".join(message(number) for number in range(1, count + 1))]), Listener()
    async with reading(broker, listener):
        await heard(broker, lambda: f"ACKa{count}" in broker.log)
    assert listener.numbers() == list(range(1, count + 1))
    assert listener.batches == [BATCH, BATCH, 1]


async def test_p19_one_that_cannot_be_stored_is_not_acknowledged_and_holds_nobody_up() -> None:
    broker = Broker(on_subscribe=[b"".join(message(number) for number in (1, 2, 3))])
    listener = Listener(refused={2})
    async with reading(broker, listener, resend=0.1):
        await heard(broker, lambda: "ACKa3" in broker.log)
        await listener.until(lambda: "live" in listener.states)
    assert [entry for entry in broker.log if entry.startswith("ACK")] == ["ACKa1", "ACKa3"]
    assert broker.connections == 1
    assert {"date": "20261124", "beginSeqNo": 2, "endSeqNo": 2} in broker.asked()


async def test_p19_what_came_before_the_line_went_down_is_stored() -> None:
    class Line:
        """Everything is there at once, and behind it the end."""

        def __init__(self) -> None:
            self.coming = [encode(Frame("CONNECTED", {"version": "1.2"})), message(1), message(2)]

        async def send(self, _message: bytes | str) -> None: ...

        async def recv(self) -> bytes | str:
            if not self.coming:
                raise ConnectionError("down")
            return self.coming.pop(0)

    listener = Listener()
    connect = lambda: contextlib.nullcontext(Line())  # noqa: E731
    stream = KoscomStream(config(), ManualClock(MORNING), lambda _bits: 3, connect, lambda _s: asyncio.Event().wait())
    task = asyncio.create_task(stream.run(store=listener.store, position=listener.position, on_state=listener.on_state))
    await listener.until(lambda: "lost" in listener.states)
    task.cancel()
    assert listener.numbers() == [1, 2]


async def test_p18_a_gap_while_live_is_asked_for_at_once() -> None:
    broker = Broker(on_resend=lambda asked: [message(n, resent=True) for n in (2, 3)] if asked["endSeqNo"] == 3 else [])
    listener = Listener(missing=[[(2, 0)]])
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
        await broker.sockets[0].send(message(4))
        await listener.until(lambda: sorted(number or 0 for number in listener.numbers()) == [2, 3, 4])
        await listener.until(lambda: listener.states[-1] == "live")
    assert broker.asked()[1] == {"date": "20261124", "beginSeqNo": 2, "endSeqNo": 3}
    told = listener.log[listener.log.index("live") + 1 :]
    assert told == ["stored 4", "resending", "stored 2", "stored 3", "live"]  # behind until the gap is filled


async def test_p03_whoever_misses_a_report_has_the_resend_asked_for() -> None:
    broker = Broker(on_resend=lambda asked: [message(3, resent=True)] if len(broker.asked()) == 2 else [])
    listener = Listener(missing=[[(3, 0)]])
    async with reading(broker, listener) as stream:
        await listener.until(lambda: "live" in listener.states)
        assert len(broker.asked()) == 1
        stream.ask_soon()
        await listener.until(lambda: listener.numbers() == [3])
    assert broker.asked()[1:] == [{"date": "20261124", "beginSeqNo": 3, "endSeqNo": 0}]


async def test_p18_not_live_before_the_holes_are_filled() -> None:
    broker = Broker(on_resend=lambda asked: [message(n, resent=True) for n in (3, 4)] if asked["endSeqNo"] else [])
    listener = Listener(missing=[[(3, 4), (7, 0)]])
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
    assert listener.log[-3:] == ["stored 3", "stored 4", "live"]
    assert broker.asked() == [
        {"date": "20261124", "beginSeqNo": 3, "endSeqNo": 4},
        {"date": "20261124", "beginSeqNo": 7, "endSeqNo": 0},
    ]


async def test_p18_a_resend_that_never_comes_does_not_hold_up_the_rest_for_ever() -> None:
    listener = Listener(missing=[[(3, 4)]])
    async with reading(Broker(), listener, resend=0.1):
        await listener.until(lambda: "live" in listener.states)


async def test_a_server_without_receipts_is_believed_after_a_longer_quiet() -> None:
    listener = Listener()
    async with reading(Broker(receipts=False), listener, settle_unanswered=0.05, resend=60):
        await listener.until(lambda: "live" in listener.states)


async def test_p18_after_a_loss_it_reconnects_and_asks_again() -> None:
    broker = Broker(close_after_subscribe=2)
    listener = Listener(missing=[[(1, 0)], [(5, 0)]])
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
    assert broker.connections == 3
    assert listener.states[-1] in {"live", "lost"}
    assert listener.states.count("lost") >= 2
    assert broker.asked()[-1]["beginSeqNo"] == 5


async def test_an_error_frame_ends_in_a_reconnect() -> None:
    broker, listener = Broker(), Listener()
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
        await broker.sockets[0].send(encode(Frame("ERROR", {"message": "no"})))
        await listener.until(lambda: listener.states.count("live") == 2)
    assert broker.connections == 2


POISON = [
    b"MESSAGE\nseq:2\nack:a2\nbad\\q:1\n\n{}\x00",
    b"MESSAGE\nack:a2\ncontent-length:1\n\n{}\x00",
    b"MESSAGE\nack:a2\ncontent-length:5000\n\n{}\x00",
    message("two", ack="a2"),
    message(2, b"\xff\xfe not json \x00", ack="a2"),
    message("99999999999999999999", ack="a2"),
]


async def test_p19_a_message_too_large_to_read_is_set_aside_by_its_number_and_stops_nothing() -> None:
    """It comes again with every resend: refused by the line itself it would end every connection before it is live."""
    missing = [message(1, resent=True), message(2, b"x" * 15_000, resent=True), message(3, resent=True)]
    broker = Broker(on_resend=lambda asked: missing[asked["beginSeqNo"] - 1 :])
    listener = Listener()
    async with reading(broker, listener, frame_limit=5_000):
        await listener.until(lambda: "live" in listener.states)
    assert (listener.numbers()[0], listener.numbers()[-1]) == (1, 3)
    assert {len(raw.body) > 15_000 for raw in listener.stored if raw.seq in {2, None}} == {True}
    assert "lost" not in listener.states


@pytest.mark.parametrize("poison", POISON, ids=range(len(POISON)))
async def test_p19_poison_is_stored_acknowledged_and_passed(poison: bytes) -> None:
    broker = Broker(on_subscribe=[message(1), poison, message(3)])
    listener = Listener()
    async with reading(broker, listener):
        await listener.until(lambda: 3 in listener.numbers() and len(listener.stored) >= 3)
        await heard(broker, lambda: "ACKa3" in broker.log)
    assert broker.connections == 1
    assert "ACKa2" in broker.log
    assert len(listener.stored) == 3


async def test_p19_a_message_broken_every_time_takes_its_number_in_the_end() -> None:
    broken = b"MESSAGE\nseq:1\nseq-date:20261124\nack:a\nbad\\q:1\n\n{}\x00"
    listener = Listener()
    async with reading(Broker(on_subscribe=[broken] * 3), listener):
        await listener.until(lambda: len(listener.stored) == 3)
    assert listener.numbers() == [None, None, 1]


async def test_a_half_open_line_is_noticed_by_its_silence() -> None:
    broker, listener = Broker(heart_beat="10,0"), Listener()
    async with reading(broker, listener, heart_beat=0.05):
        await listener.until(lambda: "lost" in listener.states)
        await listener.until(lambda: listener.states.count("connected") >= 2)
    assert broker.connections >= 2


async def test_p18_a_server_that_beats_and_never_says_connected_is_left() -> None:
    """A proxy whose back end hangs keeps the line from being silent."""
    connections = 0

    async def beat(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send("\n")
                await asyncio.sleep(0.01)

    broker, listener = Broker(), Listener()
    broker.serve = beat  # type: ignore[method-assign]
    async with reading(broker, listener, open=0.1):
        await listener.until(lambda: listener.states.count("lost") >= 2)
    assert connections >= 2


async def test_heart_beats_go_out_as_agreed() -> None:
    beats: list[Any] = []

    async def listen(socket: ServerConnection) -> None:
        async for data in socket:
            if data == "\n":
                beats.append(data)
                await socket.close()
            elif "CONNECT" in str(data):
                await socket.send(encode(Frame("CONNECTED", {"version": "1.2", "heart-beat": "0,20"})).decode())

    listener = Listener()
    broker = Broker()
    broker.serve = listen  # type: ignore[method-assign]
    async with reading(broker, listener, heart_beat=0.02, silence=5):
        await listener.until(lambda: "lost" in listener.states)
    assert beats


@pytest.mark.parametrize("header", ["", ",", "a,b", "1", "1,2,3", "-5,-5", "9" * 400 + ",0", "0," + "9" * 5000], ids=range(8))
async def test_p19_a_heart_beat_that_is_no_pair_of_numbers_keeps_nobody_from_reading(header: str) -> None:
    broker, listener = Broker(on_subscribe=[message(1)], heart_beat=header), Listener()
    async with reading(broker, listener):
        await listener.until(lambda: "live" in listener.states)
    assert (broker.connections, listener.numbers()) == (1, [1])


async def test_time_in_the_store_is_not_silence_of_the_server() -> None:
    release = asyncio.Event()

    class Slow(Listener):
        async def store(self, raws: Sequence[RawReport]) -> list[bool]:
            if not self.stored:
                asyncio.get_running_loop().call_later(0.3, release.set)
                await release.wait()
            return await super().store(raws)

    broker, listener = Broker(on_subscribe=[message(1), message(2)], heart_beat="10,0"), Slow()
    async with reading(broker, listener, heart_beat=0.05):
        await listener.until(lambda: listener.numbers()[:2] == [1, 2])
    assert listener.log.index("stored 2") < [*listener.log, "lost"].index("lost")


async def test_nothing_but_cancellation_ends_it_and_waits_are_random() -> None:
    waits: list[float] = []
    enough = asyncio.Event()

    async def note(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            enough.set()
        await asyncio.sleep(0)

    async def deaf(_state: str) -> None:
        raise OSError("nobody listens")

    listener = Listener()
    stream = KoscomStream(config(stream_url="ws://127.0.0.1:1"), ManualClock(MORNING), lambda bits: 2**bits - 1, sleep=note)
    task = asyncio.create_task(stream.run(store=listener.store, position=listener.position, on_state=deaf))
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waits == sorted(waits)
    assert waits[0] < 1.1
    assert max(backoff(TIMES, failures, lambda _bits: 0) for failures in range(100)) == 15.0


# --- holes


def test_p18_holes_by_example() -> None:
    holes = Holes()
    holes.expect(TODAY, [(2, 4), (9, 0)])
    assert holes
    assert [holes.seen(TODAY, number) for number in (3, 9, 12)] == [None, None, (10, 11)]
    assert [holes.seen(TODAY, number) for number in (2, 4)] == [None, None]
    assert not holes


def test_p18_a_new_day_begins_at_one_and_an_unknown_position_anywhere() -> None:
    holes = Holes()
    holes.expect(TODAY, [])
    assert holes.seen(TODAY, 500) is None
    assert holes.seen(TODAY, 502) == (501, 501)
    assert holes.seen(date(2026, 11, 25), 3) == (1, 2)


def test_a_garbled_number_costs_no_memory() -> None:
    holes = Holes()
    holes.expect(TODAY, [(1, 0)])
    gap = holes.seen(TODAY, 999_999_999)
    assert gap == (1, 999_999_998)
    holes.expect(TODAY, [gap])
    holes.seen(TODAY, 5)
    assert holes
