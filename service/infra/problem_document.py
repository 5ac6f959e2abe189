"""Problems in the OpenAPI document: the schema, what a route may answer with, and what any call may.

The words come from the catalogue, so that the document, the page of a problem and the answer say the same.
"""

from typing import Any

from service.infra.idempotency import KEY
from service.infra.problem_catalogue import CATALOGUE, ProblemType

MEDIA_TYPE = "application/problem+json"

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
EVERYWHERE = ("internal-error", "unavailable", "database-full")


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


def complete(document: dict[str, Any]) -> None:
    """Put the Problem schema into an OpenAPI document, in the place of FastAPI's own 422, and what any call may answer with."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document.get("paths", {}).values():
        for operation in path.values():
            _replace_default(operation)
            _complete(operation)


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
