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
from service.infra.idempotency import KEY, Answer
from service.infra.logs import request_id
from service.infra.problem_catalogue import CATALOGUE, ProblemType, problem_type

MEDIA_TYPE = "application/problem+json"
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
        "The database cannot be reached at the moment. Whether a call with an Idempotency-Key took effect, its repetition says."
    )
    return problem("unavailable", 503, detail, headers={"Retry-After": "1"})


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
    many = f"{len(violations)} fields are" if len(violations) > 1 else "One field is"
    return problem(slug, 422, f"{many} not as they must be; see `violations`.", violations=violations)


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


# --- OpenAPI -----------------------------------------------------------------------------------------------------------

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details. Each type has a page that explains it.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "violations"],
    "additionalProperties": True,
    "properties": {
        "type": {"type": "string", "description": "/problems/{slug}: a page that explains it"},
        "title": {"type": "string", "description": "the problem in a few words, the same for every occurrence"},
        "status": {"type": "integer", "description": "the HTTP status"},
        "detail": {"type": "string", "description": "what happened this time"},
        "instance": {"type": "string", "description": "request id of this occurrence; it is in every log line"},
        "violations": {
            "type": "array",
            "description": "every failed check, not the first",
            "items": {
                "type": "object",
                "required": ["code", "field", "message"],
                "properties": {
                    "code": {"type": "string", "description": "which check"},
                    "field": {"type": "string", "description": "dotted path of the field; empty: the whole body"},
                    "message": {"type": "string", "description": "what a person reads"},
                    "limit": {"type": "string", "description": "the figure that was not kept"},
                    "actual": {"type": "string", "description": "the figure that came"},
                },
            },
        },
    },
}
EVERYWHERE = ("internal-error", "unavailable")


def problem_responses(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: these problems, and those any call may answer with, by status."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for slug in (*slugs, *EVERYWHERE):
        kind = CATALOGUE[slug]
        entry = by_status.setdefault(kind.status, {"description": "", "content": {MEDIA_TYPE: {"examples": {}}}})
        entry["description"] = "; ".join(filter(None, (entry["description"], kind.title)))
        entry["content"][MEDIA_TYPE]["schema"] = {"$ref": "#/components/schemas/Problem"}
        entry["content"][MEDIA_TYPE]["examples"][slug] = {"summary": kind.title, "value": _example(kind)}
    return by_status


def _example(kind: ProblemType) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": "019f1c2e-0000-7000-8000-000000000000",
        "violations": [],
    }


def _describe(app: FastAPI) -> None:
    """Put the Problem schema into the document, and in the place of FastAPI's own 422."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = PROBLEM_SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for path in document.get("paths", {}).values():
                for operation in path.values():
                    _replace_default(operation)
                    _complete(operation)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _replace_default(operation: dict[str, Any]) -> None:
    given = operation.get("responses", {}).get("422", {}).get("content", {})
    if "HTTPValidationError" in str(given.get("application/json", "")):
        given.pop("application/json")
        operation["responses"]["422"] = problem_responses("validation-failed")[422] if not given else {
            **operation["responses"]["422"], "content": given
        }  # fmt: skip


WITH_BODY = (
    "malformed-json",
    "body-too-large",
    "unsupported-media-type",
    "validation-failed",
    "unknown-field",
    "object-expected",
)


def _complete(operation: dict[str, Any]) -> None:
    """What any call may answer with by its form alone, so that no route need remember to say it."""
    slugs = ["unknown-field", "validation-failed", *EVERYWHERE]
    slugs += WITH_BODY if "requestBody" in operation else ()
    slugs += ["malformed-id"] if any(one["in"] == "path" for one in operation.get("parameters", ())) else []
    for parameter in operation.get("parameters", ()):
        _describe_parameter(operation, parameter)
    for status, answer in problem_responses(*slugs).items():
        said = operation["responses"].setdefault(str(status), answer)
        if said is not answer:
            examples = (
                said.setdefault("content", {}).setdefault(MEDIA_TYPE, answer["content"][MEDIA_TYPE]).setdefault("examples", {})
            )
            for slug, example in answer["content"][MEDIA_TYPE]["examples"].items():
                if slug not in examples:
                    examples[slug] = example
                    said["description"] += f"; {example['summary']}"


def _describe_parameter(operation: dict[str, Any], parameter: dict[str, Any]) -> None:
    if parameter["in"] == "path" and parameter["name"].endswith("_id"):
        parameter.setdefault("description", f"id of the {parameter['name'].removesuffix('_id')}")
    if parameter["name"] == "Idempotency-Key":  # optional to FastAPI only, so that its absence has a problem of its own
        parameter |= {"required": True, "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"}}
        replayed = {"description": "`true` when this is the stored first answer", "schema": {"type": "string"}}
        for status in ("201", "422", "409"):
            if status in operation["responses"]:
                operation["responses"][status].setdefault("headers", {})["Idempotent-Replayed"] = replayed


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
