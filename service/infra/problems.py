"""Errors as RFC 9457 problems. The domain raises kinds; the numbers and the JSON are here, and nowhere else.

What we did not foresee becomes a 500 that says little outside and everything in the log, under the same request id.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service.core.errors import (
    BadRequest,
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ServiceError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Violation,
)
from service.infra.idempotency import Answer
from service.infra.logs import request_id
from service.infra.problem_catalogue import CATALOGUE, problem_type
from service.infra.problem_document import MEDIA_TYPE, complete

STATUS: dict[type[ServiceError], int] = {
    BadRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Invalid: 422,
    Busy: 429,
    Unavailable: 503,
}
HTTP_SLUGS = {
    400: "malformed-json", 401: "authentication-required", 403: "role-required", 404: "not-found",
    405: "method-not-allowed", 406: "not-acceptable", 409: "conflict", 413: "body-too-large",
    415: "unsupported-media-type", 422: "validation-failed", 429: "too-many-requests", 503: "unavailable",
}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def problem(
    slug: str,
    status: int,
    detail: str,
    *,
    violations: Sequence[Violation] = (),
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response of one problem. Extra members never hide the standard ones."""
    kind = problem_type(slug, status)
    body = {
        **(extra or {}),
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        "instance": request_id.get() or "",
        "violations": [violation.as_dict() for violation in violations],
    }
    content = orjson.dumps(body, default=str)
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def of_service_error(error: ServiceError) -> Response:
    status = next(number for kind, number in STATUS.items() if isinstance(error, kind))
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(error.extra.get("retry_after_seconds", 1))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.slug, status, error.detail, violations=error.violations, extra=error.extra, headers=headers)


def as_answer(error: ServiceError) -> Answer:
    """The same, as a first answer to be stored under an idempotency key."""
    response = of_service_error(error)
    return Answer(response.status_code, bytes(response.body), content_type=MEDIA_TYPE)


def internal_error() -> Response:
    return problem("internal-error", 500, "Something of ours failed. Give us the request id in `instance`.")


def database_away() -> Response:
    detail = (
        "The database cannot be reached at the moment, or is too busy. Whether a call with an Idempotency-Key took effect, its "
        "repetition says."
    )
    return problem("unavailable", 503, detail, headers={"Retry-After": "1"})


def database_full() -> Response:
    return problem("database-full", 503, CATALOGUE["database-full"].meaning, headers={"Retry-After": "30"})


def install(app: FastAPI, *, array_slugs: Mapping[str, str] | None = None) -> None:
    """Handlers, pages and OpenAPI. `array_slugs` names the problem for an array sent to paths with that beginning."""
    refusals = dict(array_slugs or {})

    async def service_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)  # noqa: S101 - registered for this type
        return of_service_error(error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return _of_validation(request.url.path, error.errors(), refusals)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        return _of_http(request, error)

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.include_router(pages)
    _describe(app)


def _describe(app: FastAPI) -> None:
    """The document of this application names every problem, whatever its routes say."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            complete(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _of_http(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    slug = HTTP_SLUGS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal-error")
    detail = CATALOGUE[slug].meaning if error.status_code in (400, 404, 405) else str(error.detail)
    return problem(slug, error.status_code, detail, headers=headers)


def allowed_methods(request: Request) -> list[str]:
    """Every method this path knows: each route is asked, since one path may be several routes."""
    return [method for method in METHODS if _matches(request, method)]


def _matches(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)


def _of_validation(path: str, errors: Sequence[Any], refusals: Mapping[str, str]) -> Response:
    if any(error["type"] == "json_invalid" for error in errors):
        return problem("malformed-json", 400, "The body is not JSON that can be read.")
    whole = [error.get("input") for error in errors if tuple(error["loc"]) == ("body",) and error["type"] != "missing"]
    if any(isinstance(one, bytes) for one in whole):  # FastAPI leaves a body as it is whose type is not JSON
        return problem("unsupported-media-type", 415, CATALOGUE["unsupported-media-type"].meaning)
    if whole:
        is_list = isinstance(whole[0], list)
        slug = next((slug for start, slug in refusals.items() if is_list and path.startswith(start)), "object-expected")
        said = "is an array" if is_list else "is not an object"
        return problem(slug, 422, CATALOGUE[slug].meaning, violations=[Violation(slug, "", said)])
    violations = [_violation(error) for error in errors]
    slug = _shape_slug(errors)
    some = f"{len(violations)} fields are not as they" if len(violations) > 1 else "One field is not as it"
    return problem(slug, 422, f"{some} must be; see `violations`.", violations=violations)


def _shape_slug(errors: Sequence[Any]) -> str:
    """A problem of its own for what callers get wrong most."""
    if all(error["type"] == "extra_forbidden" for error in errors):
        return "unknown-field"
    if all(error["loc"][0] == "path" for error in errors):
        return "malformed-id"
    return "validation-failed"


def _violation(error: Mapping[str, Any]) -> Violation:
    """Never with the input: it may be a secret sent to the wrong field."""
    place, *path = error["loc"]
    field = ".".join(str(part) for part in (path if path or place == "body" else [place]))
    if error["type"] == "extra_forbidden":
        return Violation("unknown-field", field, "this field is not known here")
    code = {"missing": "required"}.get(error["type"], error["type"])
    return Violation(code.replace("_", "-"), field, str(error["msg"]).removeprefix("Value error, "))


# --- pages -------------------------------------------------------------------------------------------------------------

pages = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><body><main>{body}</main></body></html>"""


@pages.get("/problems")
async def problem_list() -> HTMLResponse:
    """Every problem type."""
    lines = [
        f'<li><a href="/problems/{kind.slug}">{html.escape(kind.slug)}</a> ({kind.status}): {html.escape(kind.title)}</li>'
        for kind in CATALOGUE.values()
    ]
    return HTMLResponse(_PAGE.format(title="Problems", body=f"<h1>Problems</h1><ul>{''.join(lines)}</ul>"))


@pages.get("/problems/{slug}")
async def problem_page(slug: str) -> HTMLResponse:
    """What one problem means, and what to do now."""
    kind = CATALOGUE.get(slug)
    if kind is None:
        raise NotFound("not-found", "There is no problem of that name; /problems lists them all.")
    body = (
        f"<h1>{html.escape(kind.title)}</h1><p><code>{html.escape(kind.slug)}</code>, HTTP {kind.status}</p>"
        f"<h2>What it means</h2><p>{html.escape(kind.meaning)}</p>"
        f"<h2>What to do now</h2><p>{html.escape(kind.what_now)}</p><p><a href='/problems'>All problems</a></p>"
    )
    return HTMLResponse(_PAGE.format(title=html.escape(kind.title), body=body))
