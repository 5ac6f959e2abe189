"""JSON answers of documents that are ready: nothing is validated or copied a second time."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from service.infra.idempotency import Answer


def document(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def page(items: Sequence[Any], next_cursor: str | None) -> Response:
    """A page of a list."""
    return document({"items": items, "next_cursor": next_cursor})


def given(answer: Answer) -> Response:
    """An answer as it is stored: the first time and every time after."""
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    return Response(answer.body, answer.status, headers=headers, media_type=answer.content_type)
