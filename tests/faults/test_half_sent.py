"""The place `send.half`: half of a body on the wire is no request to anybody, and no reason to send it again."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from service.infra import failpoints
from service.koscom.transport import Answer, HonestTransport, NoAnswer, Service, Timeouts

BODY = b'{"order": "' + bytes(range(65, 91)) * 20 + b'"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


async def posted(expected: int) -> tuple[Answer | NoAnswer, bytes]:
    """What a post of BODY came to, and what the platform had of the body when it had `expected` bytes or the line ended."""
    got, done = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {len(BODY)}".lower().encode() in head.lower()
        assert b"chunked" not in head.lower()
        while len(got) < expected and (more := await reader.read(10_000)):
            got.extend(more)
        done.set()
        with suppress(ConnectionError):
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = HonestTransport(connections=1, fresh=True)
    timeouts = Timeouts(connect=2, read=2, pool=2, call=4)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    called = Service(url, transport=transport, headers={}, timeouts=timeouts, byte_limit=1000, concurrency=1)
    try:
        answer = await called.post("/order", BODY)
        await asyncio.wait_for(done.wait(), 5)
    finally:
        await called.close()
        server.close()
    return answer, bytes(got)


async def test_p02_a_sender_that_fails_half_way_may_have_sent() -> None:
    def fail() -> None:
        raise failpoints.FailpointError("half")

    failpoints.arm("send.half", fail)
    answer, got = await posted(expected=len(BODY))
    assert isinstance(answer, NoAnswer)
    assert answer.written
    assert got == BODY[: len(BODY) // 2]


async def test_the_two_halves_are_one_body() -> None:
    failpoints.arm("send.half", lambda: None)
    answer, got = await posted(expected=len(BODY))
    assert (answer.status, got) == (200, BODY) if isinstance(answer, Answer) else answer
