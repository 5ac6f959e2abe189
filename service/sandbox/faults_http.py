"""Faults of a request and its answer: lost, torn, late, somebody else's, an error in any dress."""

import asyncio
import html
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.sandbox import encode, errors
from service.sandbox.faults import Act, Armed, Cut, Faults, Occasion, on_answer
from service.sandbox.transport import cut, poison


class Partial(Response):
    """An answer that promises all its bytes and gives `keep` of them, or all, `seconds` of real time apart."""

    def __init__(self, whole: Response, keep: int | None, seconds: float = 0) -> None:
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers
        self.keep, self.seconds = keep, seconds

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)[: self.keep]
        for piece in [body[n : n + 1] for n in range(len(body))] if self.seconds else [body]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(self.seconds)
        if self.keep is not None:
            await cut(scope)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@on_answer("request_reset", "reading", "the connection is reset with half of the request read; it never counts as received")
async def _request_reset(_faults: Faults, _armed: Armed, _occasion: Occasion) -> Response | None:
    raise Cut(reset=True)


@on_answer("answer_lost_before", "before", "the connection is cut, the request was never looked at")
async def _lost_before(_faults: Faults, _armed: Armed, _occasion: Occasion) -> Response | None:
    raise Cut


@on_answer("answer_lost_after", "after", "the connection is cut after the request took effect")
async def _lost_after(_faults: Faults, _armed: Armed, _occasion: Occasion) -> Response | None:
    raise Cut


@on_answer("answer_delayed", "after", "the answer comes `seconds` of real time later (default 1)")
async def _delayed(faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    faults.delayed += 1
    try:
        await asyncio.sleep(min(600, armed.seconds(1)))
    finally:
        faults.delayed -= 1
    return None


@on_answer("request_delayed", "before", "the request waits `seconds` of real time before it is looked at (default 1)")
async def _request_delayed(faults: Faults, armed: Armed, occasion: Occasion) -> Response | None:
    return await _delayed(faults, armed, occasion)


@on_answer("answer_torn", "after", "head and the first `bytes` of the answer (default half), then the connection is cut")
async def _torn(_faults: Faults, armed: Armed, occasion: Occasion) -> Response | None:
    whole = occasion.answer or Response()
    return Partial(whole, armed.number("bytes", len(whole.body) // 2))


@on_answer("answer_dripped", "after", "the answer comes byte by byte, `seconds` of real time apart (default 0.05)")
async def _dripped(_faults: Faults, armed: Armed, occasion: Occasion) -> Response | None:
    return Partial(occasion.answer or Response(), None, armed.seconds(0.05))


@on_answer("answer_foreign", "after", "the answer carries another request's `reqIdConsumer`")
async def _foreign(_faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    header = {"reqIdPlatform": "ORD00000000", "reqIdConsumer": armed.text("echo", "somebody-else")}
    return _json({"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}}, 200)


@on_answer("keepalive_closed", "after", "the answer is whole; the next request on this connection is reset unread")
async def _keepalive(_faults: Faults, _armed: Armed, occasion: Occasion) -> Response | None:
    poison(occasion.scope)
    return None


def on_both(name: str, about: str) -> Callable[[Act], Act]:
    """An answer in place of the true one: `name` before anything took effect, `name`_after when all has."""

    def register(act: Act) -> Act:
        on_answer(name, "before", f"{about}; nothing takes effect")(act)
        on_answer(f"{name}_after", "after", f"as `{name}`, but the request took effect")(act)
        return act

    return register


@on_both("error", "`code`, `http_status`, `message`, `style` old | message | error | inside")
async def _error(_faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    return error_answer(armed)


@on_both("unknown_code", "HTTP 500 with a `code` no list has (default 9876)")
async def _unknown_code(_faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    code = armed.number("code", 9876)
    return _json({"category": "op-exco", "code": code, "message": "내부 처리 오류", "description": "sandbox"}, 500)


@on_both("error_inside", "HTTP 200 with `respCode` `code` inside (default 3999)")
async def _inside(_faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    inside = Armed(armed.kind, {}, 0, {**armed.parameters, "style": "inside"})
    return error_answer(inside)


@on_both("html", "an HTML page with `http_status` (default 502), or 200")
async def _html(_faults: Faults, armed: Armed, _occasion: Occasion) -> Response | None:
    status = armed.number("http_status", 502)
    page = (
        f"<html><head><title>{status}</title></head><body><h1>{html.escape(armed.text('message', '점검중'))}</h1></body></html>"
    )
    return Response(page, status, media_type="text/html")


@on_both("redirect", "`http_status` (default 307) to `location` (default the same path)")
async def _redirect(_faults: Faults, armed: Armed, occasion: Occasion) -> Response | None:
    here = occasion.scope.get("path", "/")
    return Response("", armed.number("http_status", 307), {"location": armed.text("location", here)})


def error_answer(armed: Armed) -> Response:
    """An answer with any documented code in any documented shape."""
    code = armed.number("code", 3999)
    status, message = errors.CODES.get(code, (500, "알 수 없는 오류"))
    status, message = armed.number("http_status", status), armed.text("message", message)
    style = armed.text("style", "old")
    if style == "inside":
        return _json({"commonHeader": {}, "resp": {"respCode": str(code), "respMsg": message}}, 200)
    return _json(errors.body(style, code=code, message=message, category=errors.category(code)), status)


def _json(document: dict[str, object], status: int) -> Response:
    return Response(encode.dumps(document, "plain"), status, media_type="application/json")
