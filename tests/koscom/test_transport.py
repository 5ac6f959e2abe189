"""What really goes over the wire: real sockets, real aiohttp. The verdict `written` decides whether an order may go out
again, so every case here is about that word, or about how often the request arrived."""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET

import httpx
import pytest

from service.core.clock import monotonic
from service.koscom.transport import Answer, HonestTransport, NoAnswer, Service, Timeouts
from tests.koscom.makers import byte_server, http

QUICK = Timeouts(connect=0.5, read=0.5, pool=0.5, call=1.0)


def service(url: str, *, fresh: bool = True, timeouts: Timeouts = QUICK, byte_limit: int = 1000, slots: int = 4) -> Service:
    transport = HonestTransport(connections=slots, fresh=fresh)
    return Service(url, transport=transport, headers={}, timeouts=timeouts, byte_limit=byte_limit, concurrency=slots)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(_number: int, _writer: asyncio.StreamWriter) -> bool:
    return False


async def hang_up_with_reset(_number: int, writer: asyncio.StreamWriter) -> bool:
    reset(writer)
    return False


async def say_nothing(_number: int, _writer: asyncio.StreamWriter) -> bool:
    await asyncio.Event().wait()
    return False


async def half_a_status_line(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 2")
    return False


async def half_a_body(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(http(b'{"a": 1}')[:-3])
    return False


async def no_http(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    return False


async def drip(_number: int, writer: asyncio.StreamWriter) -> bool:
    """Each byte in time, the whole never."""
    for byte in http(b" " * 500):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)
    return False


async def too_much(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(http(b"1" * 5000))
    return True


async def moved(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(http(b"", "307 Temporary Redirect", "Location: /elsewhere"))
    return True


async def fine(_number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(http(b"{}"))
    return True


LOST = [
    (hang_up, "reset"),
    (hang_up_with_reset, "reset"),
    (say_nothing, "timeout"),
    (half_a_status_line, "reset"),
    (half_a_body, "reset"),
    (no_http, "protocol"),
    (drip, "deadline"),
    (too_much, "too-large"),
]


@pytest.mark.parametrize(("answering", "reason"), LOST, ids=[case.__name__ for case, _ in LOST])
@pytest.mark.parametrize("fresh", [True, False])
async def test_p04_what_breaks_after_the_connection_may_have_been_written(
    answering: Callable[[int, asyncio.StreamWriter], Awaitable[bool]], reason: str, fresh: bool
) -> None:
    async with byte_server(answering) as server:
        called = service(server.url, fresh=fresh)
        answer = await called.post("/order", b'{"n": 1}')
        await called.close()
    assert isinstance(answer, NoAnswer)
    assert (answer.reason, answer.written) == (reason, True)
    assert len(server.requests) == 1


async def test_p04_a_refused_connection_wrote_nothing() -> None:
    async with byte_server(fine) as server:
        port = server.port
    called = service(f"http://127.0.0.1:{port}")
    assert await called.post("/order", b"{}") == NoAnswer("connect", written=False, detail="ConnectError")
    await called.close()


async def test_p04_a_name_that_does_not_resolve_wrote_nothing() -> None:
    called = service("http://no-such-host.invalid")
    answer = await called.post("/order", b"{}")
    await called.close()
    assert isinstance(answer, NoAnswer)
    assert not answer.written


async def test_p04_a_failed_tls_handshake_wrote_nothing_of_the_request() -> None:
    async def plain(_number: int, _writer: asyncio.StreamWriter) -> bool:
        return False

    async with byte_server(plain) as server:
        called = service(server.url.replace("http:", "https:"))
        answer = await called.post("/order", b'{"n": 1}')
        await called.close()
    assert isinstance(answer, NoAnswer)
    assert not answer.written
    assert server.requests == []


async def test_p04_a_handshake_that_never_ends_wrote_nothing() -> None:
    async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    listener = await asyncio.start_server(never, "127.0.0.1", 0)
    called = service(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    answer = await called.post("/order", b"{}")
    await called.close()
    listener.close()
    assert isinstance(answer, NoAnswer)
    assert (answer.reason, answer.written) == ("connect", False)


@pytest.mark.parametrize("broken", [hang_up, hang_up_with_reset])
async def test_p02_a_post_on_a_stale_connection_is_not_repeated(
    broken: Callable[[int, asyncio.StreamWriter], Awaitable[bool]],
) -> None:
    """aiohttp repeats idempotent methods on a kept connection that broke. A POST it must not."""

    async def once_then_break(number: int, writer: asyncio.StreamWriter) -> bool:
        return await (fine if number == 1 else broken)(number, writer)

    async with byte_server(once_then_break) as server:
        called = service(server.url, fresh=False)
        first = await called.post("/order", b'{"n": 1}')
        second = await called.post("/order", b'{"n": 2}')
        await called.close()
    assert isinstance(first, Answer)
    assert isinstance(second, NoAnswer)
    assert second.written
    assert server.connections == 1, "the second went out on the kept connection"
    assert [request.split(b"\r\n\r\n")[1] for request in server.requests] == [b'{"n": 1}', b'{"n": 2}']


async def test_an_order_never_travels_on_a_kept_connection() -> None:
    async with byte_server(fine) as server:
        called = service(server.url, fresh=True)
        for _ in range(3):
            assert isinstance(await called.post("/order", b"{}"), Answer)
        await called.close()
    assert server.connections == 3


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with byte_server(moved) as server:
        called = service(server.url)
        answer = await called.post("/order", b"{}")
        await called.close()
    assert isinstance(answer, Answer)
    assert answer.status == 307
    assert len(server.requests) == 1


async def test_p04_who_waited_for_a_free_slot_until_the_deadline_wrote_nothing() -> None:
    async with byte_server(say_nothing) as server:
        called = service(server.url, slots=1, timeouts=Timeouts(connect=1, read=5, pool=1, call=0.4))
        answers = await asyncio.gather(called.post("/order", b"1"), called.post("/order", b"2", seconds=0.1))
        await called.close()
    assert [(one.reason, one.written) for one in answers if isinstance(one, NoAnswer)] == [
        ("deadline", True),
        ("deadline", False),
    ]
    assert len(server.requests) == 1


async def test_a_deadline_already_past_writes_nothing() -> None:
    async with byte_server(fine) as server:
        called = service(server.url)
        assert await called.post("/order", b"{}", seconds=0) == NoAnswer("deadline", written=False)
        await called.close()
    assert server.connections == 0


async def test_cancelled_calls_do_not_wear_out_the_pool() -> None:
    """httpcore's pool dies of this; the aiohttp one must not."""

    async def slow_then_fine(number: int, writer: asyncio.StreamWriter) -> bool:
        return await (say_nothing if number <= 20 else fine)(number, writer)

    async with byte_server(slow_then_fine) as server:
        called = service(server.url, fresh=False, slots=5, timeouts=Timeouts(connect=1, read=5, pool=1, call=0.05))
        for _ in range(4):
            await asyncio.gather(*(called.post("/x", b"{}") for _ in range(5)))
        answers = [await called.post("/x", b"{}", seconds=1) for _ in range(5)]
        await called.close()
    assert all(isinstance(answer, Answer) for answer in answers)


async def test_cookies_of_the_platform_are_not_sent_back() -> None:
    async def with_cookie(_number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(http(b"{}", "200 OK", "Set-Cookie: a=1"))
        return True

    async with byte_server(with_cookie) as server:
        called = service(server.url, fresh=False)
        await called.post("/x", b"{}")
        await called.post("/x", b"{}")
        await called.close()
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("error", [ValueError("odd"), httpx.CookieConflict("odd"), ssl.SSLError("odd"), KeyError("odd")])
async def test_p04_an_error_of_any_class_is_a_value_and_may_have_been_written(error: Exception) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    called = Service("http://x", transport=httpx.MockTransport(fail), headers={}, timeouts=QUICK, byte_limit=10, concurrency=1)
    answer = await called.post("/", b"{}")
    assert isinstance(answer, NoAnswer)
    assert answer.written


async def test_p02_a_connection_that_is_there_too_late_is_not_written_to() -> None:
    """The permission to send lapses while the connection is made: nothing leaves, and the pool serves the next call."""
    arrived: list[int] = []

    async def count(number: int, writer: asyncio.StreamWriter) -> bool:
        arrived.append(number)
        return await fine(number, writer)

    async with byte_server(count) as server:
        one = service(server.url, slots=1)
        said = await one.post("/orders", b"{}", not_after=monotonic() - 0.001)
        assert (said, arrived) == (NoAnswer("deadline-passed", written=False), [])
        assert isinstance(await one.post("/orders", b"{}", not_after=monotonic() + 60), Answer)
        assert len(arrived) == 1
        await one.close()
