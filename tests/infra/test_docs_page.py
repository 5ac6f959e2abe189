"""The documentation page stands on its own: no script, no other host, nothing unescaped."""

import base64
import hashlib
import re

from service.infra.docs_page import CONTENT_SECURITY_POLICY, render

DOCUMENT = {
    "info": {"title": "ilim", "description": "a <b>bold</b> claim"},
    "paths": {
        "/v1/orders/{order_id}": {
            "post": {
                "summary": "Amend",
                "description": "Amend one order.",
                "parameters": [
                    {"name": "order_id", "in": "path", "required": True, "schema": {}},
                    {"name": "Idempotency-Key", "in": "header", "description": "a new key", "schema": {}},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/In"}, "example": {"price": "1"}}}
                },
                "responses": {
                    "200": {"description": "the order"},
                    "409": {"content": {"application/problem+json": {"examples": {"request-in-flight": {}}}}},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "In": {
                "required": ["price"],
                "properties": {
                    "price": {"type": "string", "description": "in won"},
                    "side": {"anyOf": [{"$ref": "#/components/schemas/Side"}, {"type": "null"}]},
                    "legs": {"type": "array", "items": {"type": "integer"}},
                },
            },
            "Side": {"enum": ["buy", "sell"]},
        }
    },
}


def test_everything_a_caller_needs_is_there() -> None:
    page = render(DOCUMENT, "http://127.0.0.1:8000")
    for needed in (
        "Amend one order.",
        "string (required)",
        "in won",
        "Side or null",
        "list of integer",
        "/problems/request-in-flight",
    ):
        assert needed in page
    assert "http://127.0.0.1:8000/v1/orders/{order_id}" in page
    assert "Idempotency-Key: $(uuidgen)" in page


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    page = render(DOCUMENT, "http://127.0.0.1:8000")
    assert "<script" not in page
    assert not re.search(r"(src|href)=['\"]https?:", page)
    assert "&lt;b&gt;bold" in page


def test_the_policy_lets_in_this_style_only() -> None:
    style = re.search(r"<style>(.*)</style>", render(DOCUMENT, ""), re.S)
    assert style is not None
    wanted = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{wanted}'" in CONTENT_SECURITY_POLICY
