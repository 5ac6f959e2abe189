"""Around every request: its id, its size, its time, its log line, its security headers, and a last net for errors.

Plain ASGI: Starlette's BaseHTTPMiddleware runs the application in another task, which loses context variables and
swallows disconnects.
"""

import re
from collections import Counter
from collections.abc import MutableMapping
from email.message import Message as Head
from typing import Annotated, Any

import structlog
from fastapi import Header, HTTPException, Query, Request
from pydantic import StringConstraints
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core.clock import monotonic
from service.core.errors import BadRequest, Invalid, Violation
from service.core.ids import uuid7
from service.infra import paging, strict_json
from service.infra.db import is_away, is_full
from service.infra.logs import request_id
from service.infra.metrics import HTTP_IN_FLIGHT, HTTP_SECONDS
from service.infra.problems import database_away, database_full, internal_error, problem

log = structlog.get_logger()

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
TOO_LARGE = "The body has more than {limit} bytes."
DEFAULT_MAX_BODY_BYTES = 65536

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A page that needs more (the console) says so itself; JSON needs nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
QUIET = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds: a log line only when they fail


class Front:
    """The outermost middleware of ours."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES, https: bool = False) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._headers = dict(SECURITY_HEADERS)
        if https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = accepted_request_id(Headers(scope=scope).get("x-request-id"))
        token = request_id.set(identity)
        exchange = _Exchange(scope, send, identity, self._headers)
        HTTP_IN_FLIGHT.inc()
        try:
            await self._answer(scope, receive, exchange)
        finally:
            HTTP_IN_FLIGHT.dec()
            exchange.record()
            request_id.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        try:
            if _announced_bytes(scope) > self._max_body_bytes:
                detail = TOO_LARGE.format(limit=self._max_body_bytes)
                await problem("body-too-large", 413, detail)(scope, receive, exchange.send)
                return
            await self._app(scope, _limited(receive, self._max_body_bytes), exchange.send)
        except Exception as error:
            away = is_away(error)
            if away:
                log.error("http.database_away", method=scope["method"], route=exchange.route, reason=type(error).__name__)
            else:
                log.exception("http.failed", method=scope["method"], route=exchange.route)
            if exchange.status is not None:
                raise  # half an answer is out: the server must break the connection
            answer = database_full() if is_full(error) else database_away() if away else internal_error()
            await answer(scope, receive, exchange.send)


def accepted_request_id(given: str | None) -> str:
    """The caller's request id when it is short and plain, else a new one: it goes into logs and into the ledger."""
    return given if given is not None and REQUEST_ID.fullmatch(given) else str(uuid7())


def _announced_bytes(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _limited(receive: Receive, limit: int) -> Receive:
    """Count while reading: a chunked body announces nothing."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if seen > limit:
            # Of FastAPI's own kind: anything else raised while it reads a body becomes a 400.
            raise HTTPException(413, TOO_LARGE.format(limit=limit))
        return message

    return counted


class _Exchange:
    """One request's answer on its way out."""

    def __init__(self, scope: Scope, send: Send, identity: str, headers: dict[str, str]) -> None:
        self._scope = scope
        self._send = send
        self._identity = identity
        self._headers = headers
        self._began = monotonic()
        self.status: int | None = None

    @property
    def route(self) -> str:
        """The template, `/v1/orders/{id}`; the path itself may name a client."""
        return str(getattr(self._scope.get("route"), "path", "(none)"))

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._identity
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)

    def record(self) -> None:
        seconds = monotonic() - self._began
        status = self.status if self.status is not None else 499  # the caller left before an answer
        HTTP_SECONDS.labels(self._scope["method"], self.route, str(status)).observe(seconds)
        if self._scope["path"] not in QUIET or status >= 500:
            log.info(
                "http.answered",
                method=self._scope["method"], route=self.route, status=status, milliseconds=round(seconds * 1000, 1),
            )  # fmt: skip


# --- what every route asks of a request's form -------------------------------------------------------------------------

Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="rows in one answer")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the answer before")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="a new random key for every new intent")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


def listed(request: Request) -> str:
    """The list a request asks for, filters included: what a cursor is bound to."""
    return paging.mark(request.url.path, [one for one in request.query_params.multi_items() if one[0] not in ("cursor", "limit")])


async def strictly(request: Request) -> None:
    """A dependency of the whole application: nothing is read two ways, and nothing that was sent is passed over.

    A misspelt filter would answer with everybody's orders, a name that stands twice with another order.
    """
    _check_query(request)
    _check_key(request)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "The body is compressed; send it as it is.")
    body = await request.body()
    if body and is_json(request.headers.get("content-type", "")):
        try:
            strict_json.check(body)
        except strict_json.NotJson as error:
            raise BadRequest("malformed-json", str(error)) from None


def is_json(content_type: str) -> bool:
    """Whether FastAPI reads a body of this type as JSON, judged as FastAPI does: what it reads, `strict_json` has read before."""
    head = Head()
    head["content-type"] = content_type
    subtype = head.get_content_subtype()
    return head.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _check_query(request: Request) -> None:
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = tuple(Violation("unknown-field", name, "this parameter is not known here") for name in given if name not in known)
    if unknown:
        raise Invalid("unknown-field", "The address has parameters that this call does not know.", violations=unknown)
    twice = tuple(Violation("repeated", name, "this parameter is given more than once") for name in given if given[name] > 1)
    if twice:
        raise Invalid("validation-failed", "A parameter is given more than once.", violations=twice)


def _check_key(request: Request) -> None:
    """Of two keys neither is the intent's."""
    asked = {one.alias.lower() for one in request.scope["route"].dependant.header_params}
    if "idempotency-key" in asked and len(request.headers.getlist("idempotency-key")) > 1:
        violation = Violation("repeated", "Idempotency-Key", "header is given more than once")
        raise BadRequest(
            "idempotency-key-required", "The header Idempotency-Key is given more than once.", violations=(violation,)
        )
