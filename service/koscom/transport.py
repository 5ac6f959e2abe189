"""One HTTP service of the platform: its own client and pool, no redirect, no retry, a deadline over the whole call.

A call ends as a value: `Answer`, or `NoAnswer` that says whether a byte of the request may have been written. That word
decides between "may go out again" and "unknown", so it is not left to exception classes: httpx-aiohttp reports a server
that hung up *after* reading the request as `ConnectTimeout`. aiohttp's own tracing says when a connection was obtained;
before that nothing was written, after it everything may have been.

aiohttp's pool survives cancellation (httpcore's does not), so the deadline may simply cancel.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from service.core.clock import MonotonicSeconds, monotonic
from service.infra import failpoints
from service.infra.failpoints import fp
from service.infra.tls import verifying

NOT_WRITTEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


@dataclass(frozen=True)
class NoAnswer:
    """No whole answer. `written` is False only where provably no byte of the request left."""

    reason: str  # connect, pool, timeout, deadline, reset, too-large, protocol
    written: bool
    detail: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. None has a value of its own: whoever calls decides all four."""

    connect: float
    read: float  # of silence; the same for writing
    pool: float  # waiting for a free connection and connecting together
    call: float  # the deadline over all of it


@dataclass
class _Progress:
    may_have_written: bool = True  # a transport that does not report is believed to write at once
    not_after: MonotonicSeconds = math.inf  # monotonic seconds: a connection that is there later is not written to


_progress: ContextVar[_Progress] = ContextVar("koscom_call_progress")


class HonestTransport(AiohttpTransport):
    """AiohttpTransport whose httpx errors mean what they say, without cookies, proxies or answers kept alive."""

    def __init__(self, *, connections: int, fresh: bool, verify: ssl.SSLContext | bool = True) -> None:
        context = verifying() if verify is True else httpx.create_ssl_context(verify=verify, trust_env=False)
        super().__init__(verify=context, trust_env=False, client=lambda: _session(connections, fresh, context))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        progress = _progress.get(_Progress())
        progress.may_have_written = False
        try:
            return await super().handle_async_request(request)
        except Exception as error:
            raise _honest(error, progress) from error


def _session(connections: int, fresh: bool, context: ssl.SSLContext) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_connected)
    trace.on_connection_reuseconn.append(_connected)
    connector = aiohttp.TCPConnector(limit=connections, force_close=fresh, ssl=context)
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


async def _connected(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: Any) -> None:
    progress = _progress.get(_Progress())
    if monotonic() > progress.not_after:
        raise TooLateError("the connection was there too late")
    progress.may_have_written = True


class TooLateError(httpx.ConnectTimeout):
    """Nothing was written, because the time for a first byte had passed."""


def _honest(error: Exception, progress: _Progress) -> Exception:
    if isinstance(error, TooLateError):
        return error
    if not progress.may_have_written:
        timed_out = isinstance(error.__cause__ or error, TimeoutError)  # httpx-aiohttp calls a refusal a time-out too
        return (httpx.ConnectTimeout if timed_out else httpx.ConnectError)(str(error))
    if isinstance(error, httpx.ReadTimeout):
        return error
    if any(isinstance(one, aiohttp.ClientResponseError) for one in (error, error.__cause__)):
        return httpx.RemoteProtocolError(str(error))
    return httpx.ReadError(str(error))


class Service:
    """One upstream service. `call` never raises but for cancellation from outside."""

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.AsyncBaseTransport,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        byte_limit: int,
        concurrency: int,
        auth: httpx.Auth | None = None,
    ) -> None:
        fixed = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ilim", **headers}
        self._client = httpx.AsyncClient(
            base_url=base_url,
            transport=transport,
            headers=fixed,
            auth=auth,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.pool),
        )
        self._deadline = timeouts.call
        self._byte_limit = byte_limit
        self._slots = asyncio.Semaphore(concurrency)

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Answer | NoAnswer:
        return await self._call("GET", path, params=params)

    async def post(
        self,
        path: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        not_after: MonotonicSeconds = math.inf,
    ) -> Answer | NoAnswer:
        """One POST, once. `seconds` is what is left of the caller's deadline, where it has one of its own; `not_after` the
        monotonic second after which no first byte may leave."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if failpoints.armed("send.half"):
            body, sent["Content-Length"] = _in_halves(content), str(len(content))
            return await self._call("POST", path, content=body, headers=sent, seconds=seconds, not_after=not_after)
        return await self._call("POST", path, content=content, headers=sent, seconds=seconds, not_after=not_after)

    async def _call(
        self, method: str, path: str, *, seconds: float | None = None, not_after: MonotonicSeconds = math.inf, **arguments: Any
    ) -> Answer | NoAnswer:
        left = self._deadline if seconds is None else seconds
        if left <= 0:
            return NoAnswer("deadline", written=False)
        progress = _Progress(may_have_written=False, not_after=not_after)
        token = _progress.set(progress)
        try:
            async with asyncio.timeout(left), self._slots:
                progress.may_have_written = True
                return await self._exchange(method, path, arguments)
        except TimeoutError:
            return NoAnswer("deadline", written=progress.may_have_written)
        except TooLateError:
            return NoAnswer("deadline-passed", written=False)
        except NOT_WRITTEN as error:
            return NoAnswer("connect", written=False, detail=_describe(error))
        except Exception as error:
            return _torn(error, progress)
        finally:
            _progress.reset(token)

    async def _exchange(self, method: str, path: str, arguments: dict[str, Any]) -> Answer | NoAnswer:
        async with self._client.stream(method, path, **arguments) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._byte_limit:
                    return NoAnswer("too-large", written=True, body=bytes(body[: self._byte_limit]))
            return Answer(response.status_code, bytes(body))


async def _in_halves(content: bytes) -> AsyncIterator[bytes]:
    middle = len(content) // 2
    yield content[:middle]
    fp("send.half")
    yield content[middle:]


def _torn(error: Exception, progress: _Progress) -> NoAnswer:
    """Anything else, whatever its class: what is not understood may have been written."""
    reasons: dict[type[Exception], str] = {
        httpx.TimeoutException: "timeout",
        httpx.NetworkError: "reset",
        httpx.ProtocolError: "protocol",
        httpx.DecodingError: "protocol",
    }
    reason = next((word for kind, word in reasons.items() if isinstance(error, kind)), "failed")
    return NoAnswer(reason, written=progress.may_have_written, detail=_describe(error))


def _describe(error: Exception) -> str:
    """The class only: the words of an error may quote a URL or a body."""
    return type(error).__name__
