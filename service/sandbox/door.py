"""The platform's front door: identity, daily budgets, faults, error bodies. Every wire endpoint goes through it."""

import base64
import binascii
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.sandbox import encode, errors, requests
from service.sandbox.errors import Refused
from service.sandbox.faults import Call, Cut, Occasion
from service.sandbox.transport import cut
from service.sandbox.world import World

LIMITS = {"order": 20_000, "inquiry": 50_000, "linkage": 50_000, "market": 50_000}
_OLD_HEADERS = ("order", "inquiry")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as a handler sees it: the parsed document and the path's parts."""

    call: Call
    document: object
    path: dict[str, str]
    query: dict[str, str]
    echo: str


Handler = Callable[[Ask], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def answer(document: object, *, status: int = 200, numbers: str = "plain") -> Response:
    return Response(encode.dumps(document, numbers), status, media_type="application/json")


@dataclass(slots=True)
class Door:
    world: World
    limits: dict[str, int] = field(default_factory=lambda: dict(LIMITS))
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    open: int = 0

    def endpoint(self, service: str, name: str, handle: Handler) -> Endpoint:
        """An HTTP endpoint of `service` (order, inquiry, linkage, market); `name` is what faults aim at."""

        async def serve(request: Request) -> Response:
            self.open += 1
            try:
                return await self._serve(request, service, name, handle)
            except Cut as fault:
                await cut(request.scope, reset=fault.reset)
            except ClientDisconnect:
                pass  # half a request: nobody waits for an answer, and it never counts
            finally:
                self.open -= 1
            return Response()

        return serve

    async def _serve(self, request: Request, service: str, name: str, handle: Handler) -> Response:
        ask, broken = await _read(request, name)
        faults, occasion = self.world.faults, Occasion(ask.call, request.scope)
        await faults.strike("reading", occasion)
        if service == "order":
            self.world.received[ask.call.cl_ord_id] += 1
        early = await faults.strike("before", occasion)
        if early is not None:
            return early
        response = self._answer(request, ask, broken, service, handle)
        response.headers.update(self._budget_headers(service))
        late = await faults.strike("after", Occasion(ask.call, request.scope, response))
        return response if late is None else late

    def _answer(self, request: Request, ask: Ask, broken: bool, service: str, handle: Handler) -> Response:
        try:
            self._spend(service)
            self._identify(request, service)
            _require_json(request, broken)
            response = handle(ask)
            if service == "order" and response.status_code == 200:
                self.world.accepted[ask.call.cl_ord_id] += 1
            return response
        except Refused as refusal:
            return refused(refusal)

    def _spend(self, service: str) -> None:
        key = (service, self._budget_day())
        if self.used[key] >= self.limits[service]:
            raise Refused(429, 429, "API rate limit exceeded")
        self.used[key] += 1

    def _budget_day(self) -> str:
        """The platform's day turns at 00:00 UTC, which is 09:00 in Korea."""
        return self.world.now.astimezone(UTC).strftime("%Y%m%d")

    def _budget_headers(self, service: str) -> dict[str, str]:
        limit, used = self.limits[service], self.used[service, self._budget_day()]
        if service in _OLD_HEADERS:
            return {"x-rate-period": "day", "x-rate-limit": str(limit), "x-rate-value": str(used)}
        return {"X-RateLimit-Limit-Day": str(limit), "X-RateLimit-Remaining-Day": str(limit - used)}

    def _identify(self, request: Request, service: str) -> None:
        who = self.world.identity
        if service in ("linkage", "market"):
            key = request.headers.get("apikey") or request.query_params.get("apikey", "")
            if not _same(key, who.api_key):
                raise Refused(401, 401, "No API key found in request" if not key else "Invalid authentication credentials")
            return
        if not _same(_basic(request.headers.get("authorization", "")), f"{who.api_key}:{who.secret}"):
            raise Refused(401, 401, "Invalid authentication credentials")
        if not _same(request.headers.get("comid", "").strip(), who.com_id):
            raise Refused(401, 2001, "인증 실패 [comId]", "op-auth")


def refused(refusal: Refused) -> Response:
    """HTTP's own refusals come in the newer gateway's body, the platform's codes in the older one."""
    newer = refusal.code in (401, 403, 404, 405, 415, 429)
    style = "message" if newer else "old"
    document = errors.body(style, code=refusal.code, message=refusal.message, category=refusal.category)
    return answer(document, status=refusal.status)


async def _read(request: Request, name: str) -> tuple[Ask, bool]:
    raw = await request.body()
    document, broken = _parse(raw) if request.method == "POST" else (None, False)
    cl_ord_id, account, broker = requests.peek(document)
    path = {key: str(value) for key, value in request.path_params.items()}
    call = Call(name.format(**path), cl_ord_id, path.get("broker", broker), account or _inquiry_account(document))
    echo = request.headers.get("reqidconsumer", cl_ord_id)
    return Ask(call, document, path, dict(request.query_params), echo), broken


def _parse(raw: bytes) -> tuple[object, bool]:
    try:
        return orjson.loads(raw), False
    except orjson.JSONDecodeError:
        return None, True


def _require_json(request: Request, broken: bool) -> None:
    if request.method != "POST":
        return
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise Refused(415, 415, "Unsupported Media Type")
    if broken:
        raise Refused(500, 3011, "JSON 파싱 오류", "op-exco")


def _inquiry_account(document: object) -> str:
    if not isinstance(document, dict):
        return ""
    for block in document.values():
        query = block.get("queryParameter") if isinstance(block, dict) else None
        if isinstance(query, dict):
            return str(query.get("qrAccNo") or "").strip()
    return ""


def _basic(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
