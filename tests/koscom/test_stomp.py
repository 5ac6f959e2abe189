"""The STOMP codec against the sharp edges of the standard."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.koscom.stomp import Event, Frame, HeartBeat, Malformed, Parser, encode


def parse(*parts: bytes, frame_max: int = 10_000) -> list[Event]:
    parser = Parser(frame_max)
    return [event for part in parts for event in parser.feed(part)]


MESSAGE = b'MESSAGE\nseq:1\nack:a-1\ncontent-length:8\n\n{"a": 1}\x00'
FRAME = Frame("MESSAGE", {"seq": "1", "ack": "a-1", "content-length": "8"}, b'{"a": 1}')


def test_a_frame_in_one_piece_in_heaps_and_byte_by_byte() -> None:
    assert parse(MESSAGE) == [FRAME]
    assert parse(MESSAGE * 3) == [FRAME] * 3
    assert parse(*(MESSAGE[place : place + 1] for place in range(len(MESSAGE)))) == [FRAME]


def test_ends_of_line_between_frames_are_heart_beats() -> None:
    assert parse(b"\n", b"\r\n", MESSAGE, b"\n\n", MESSAGE) == [HeartBeat()] * 2 + [FRAME] + [HeartBeat()] * 2 + [FRAME]


def test_carriage_returns_are_ends_of_line_too() -> None:
    assert parse(b"MESSAGE\r\nseq:1\r\n\r\nbody\x00") == [Frame("MESSAGE", {"seq": "1"}, b"body")]


def test_the_four_escapes_and_the_first_of_repeated_headers() -> None:
    read = parse(b"MESSAGE\na\\cb:x\\r\\n\\\\y\nseq:1\nseq:2\n\n\x00")
    assert read == [Frame("MESSAGE", {"a:b": "x\r\n\\y", "seq": "1"})]


def test_connected_is_not_escaped() -> None:
    assert parse(b"CONNECTED\nserver:a\\tb\\\nsession:x:y\n\n\x00") == [
        Frame("CONNECTED", {"server": "a\\tb\\", "session": "x:y"})
    ]
    assert encode(Frame("CONNECT", {"passcode": "a\\b:c"})) == b"CONNECT\npasscode:a\\b:c\n\n\x00"
    assert encode(Frame("SEND", {"x": "a\\b:c\n"})) == b"SEND\nx:a\\\\b\\cc\\n\n\n\x00"


def test_content_length_counts_bytes_and_lets_nul_through() -> None:
    body = "체결\x00끝".encode()
    assert parse(b"MESSAGE\ncontent-length:%d\n\n%s\x00" % (len(body), body))[0] == Frame(
        "MESSAGE", {"content-length": str(len(body))}, body
    )
    assert b"content-length:6\n" in encode(Frame("SEND", {}, "체결".encode()))


@pytest.mark.parametrize(
    "broken",
    [
        b"MESSAGE\nseq:1\nack:a-1\nbad\\theader:1\n\n{}\x00",
        b"MESSAGE\nack:a-1\nno colon\n\n{}\x00",
        b"MESSAGE\nack:a-1\n\xff\xfe:1\n\n{}\x00",
        b"MESSAGE\nack:a-1\ncontent-length:1\n\n{}\x00",
        b"MESSAGE\nack:a-1\x00",
        b"SURPRISE\nack:a-1\n\n\x00",
        b"MESSAGE\nack:a-1\n:empty\n\n\x00",
    ],
)
def test_p19_a_broken_frame_is_kept_whole_and_its_neighbours_live(broken: bytes) -> None:
    before, bad, after = parse(MESSAGE + broken + MESSAGE)
    assert before == after == FRAME
    assert isinstance(bad, Malformed)
    assert bad.raw == broken
    assert bad.headers["ack"] == "a-1", "so that it can be acknowledged"


def test_a_content_length_that_is_too_long_is_given_up_on_demand() -> None:
    parser = Parser(10_000)
    broken = b"MESSAGE\nack:a-1\ncontent-length:500\n\n{}\x00"
    assert list(parser.feed(broken + MESSAGE)) == []
    assert parser.pending()
    assert [type(event) for event in parser.give_up()] == [Malformed, Frame]
    assert not parser.pending()


@pytest.mark.parametrize("huge", [b"MESSAGE\ncontent-length:999999\n\nx", b"MESSAGE\n\n" + b"x" * 20_000, b"M" * 70_000])
def test_a_frame_beyond_the_limit_is_cut_off(huge: bytes) -> None:
    assert [type(event) for event in parse(huge)] == [Malformed]


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name != "content-length"), st.text()), st.binary())
def test_what_is_written_is_read_again(headers: dict[str, str], body: bytes) -> None:
    clean = {name.replace("\x00", ""): value.replace("\x00", "") for name, value in headers.items()}
    clean = {name: value for name, value in clean.items() if name}
    expected = clean | ({"content-length": str(len(body))} if body else {})
    assert parse(encode(Frame("MESSAGE", clean, body))) == [Frame("MESSAGE", expected, body)]


def chopped(data: bytes, chance: random.Random) -> Iterable[bytes]:
    while data:
        width = chance.randrange(1, 40)
        yield data[:width]
        data = data[width:]


def test_p19_random_bytes_raise_nothing_and_nothing_is_lost() -> None:
    chance = random.Random("stomp")
    for _ in range(2000):
        noisy = bytearray(MESSAGE * 5)
        for _ in range(chance.randrange(6)):
            noisy[chance.randrange(len(noisy))] = chance.choice(b"\x00\n\r:\\aM\xff")
        events = parse(*chopped(bytes(noisy), chance))
        again = parse(bytes(noisy))
        assert events == again, "how the bytes are cut makes no difference"
