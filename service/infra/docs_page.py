"""The OpenAPI document as one page for a person, without scripts and without a byte from another host.

An engineer reads it, copies the curl line and has an answer; machines read /openapi.json.
"""

import base64
import hashlib
import html
import json
from typing import Any

Json = dict[str, Any]

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h2{margin-top:3rem;border-bottom:1px solid #ccc}h3{margin-top:2rem}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}code{padding:.1em .3em}
pre{padding:.8rem;overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e5e7eb}
.method{display:inline-block;min-width:4rem;font-weight:700}nav li{list-style:none}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}code,pre{background:#1f2937}a{color:#93c5fd}}
"""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def render(document: Json, base_url: str) -> str:
    """The page. `base_url` is the address its reader used, for the curl lines."""
    info = document["info"]
    operations = [
        (path, method, operation) for path, methods in document.get("paths", {}).items() for method, operation in methods.items()
    ]
    parts = [_operation(document, path, method, operation, base_url) for path, method, operation in operations]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(info['title'])}</title><style>{STYLE}</style><body><main>"
        f"<h1>{html.escape(info['title'])}</h1><p>{html.escape(info.get('description', ''))}</p>"
        f'<p>For machines: <a href="/openapi.json">/openapi.json</a>. What each error means: '
        f'<a href="/problems">/problems</a>. Every call needs <code>Authorization: Bearer …</code>.</p>'
        f"<nav><ul>{''.join(_link(*one) for one in operations)}</ul></nav>{''.join(parts)}</main></body></html>"
    )


def _anchor(path: str, method: str) -> str:
    return f"{method}-{path.strip('/')}".replace("/", "-").replace("{", "").replace("}", "")


def _link(path: str, method: str, operation: Json) -> str:
    return (
        f'<li><a href="#{_anchor(path, method)}"><span class="method">{method.upper()}</span> {html.escape(path)}</a> '
        f"{html.escape(operation.get('summary', ''))}</li>"
    )


def _operation(document: Json, path: str, method: str, operation: Json, base_url: str) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return (
        f'<h2 id="{_anchor(path, method)}"><span class="method">{method.upper()}</span> {html.escape(path)}</h2>'
        f"<p>{html.escape(str(operation.get('description', operation.get('summary', ''))))}</p>"
        f"{_table('Parameters', [_parameter(one) for one in operation.get('parameters', [])])}"
        f"{_table('Body', _fields(document, body.get('schema', {})))}"
        f"<pre>{html.escape(_curl(path, method, operation, body, base_url))}</pre>"
        f"{_answers(document, operation)}"
    )


def _parameter(parameter: Json) -> tuple[str, str, str]:
    required = " (required)" if parameter.get("required") else ""
    return parameter["name"], f"{parameter['in']}{required}", parameter.get("description", "")


def _fields(document: Json, schema: Json) -> list[tuple[str, str, str]]:
    resolved = _resolved(document, schema)
    required = set(resolved.get("required", ()))
    return [
        (name, _type(field) + (" (required)" if name in required else ""), _resolved(document, field).get("description", ""))
        for name, field in resolved.get("properties", {}).items()
    ]


def _resolved(document: Json, schema: Json) -> Json:
    """Follow one `$ref`; what stands beside it (a description) wins."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    return {**document["components"]["schemas"].get(name, {}), **{k: v for k, v in schema.items() if k != "$ref"}}


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def _curl(path: str, method: str, operation: Json, body: Json, base_url: str) -> str:
    words = [f"curl -X {method.upper()} '{base_url}{path}'", '-H "Authorization: Bearer $ILIM_KEY"']
    if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", [])):
        words.append('-H "Idempotency-Key: $(uuidgen)"')
    if body:
        example: Any = body.get("example") or next((one["value"] for one in body.get("examples", {}).values()), {})
        words += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(example, ensure_ascii=False)}'"]
    return " \\\n  ".join(words)


def _answers(document: Json, operation: Json) -> str:
    rows = []
    for status, answer in sorted(operation.get("responses", {}).items()):
        problems = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
        links = ", ".join(f'<a href="/problems/{slug}">{slug}</a>' for slug in problems)
        rows.append(f"<tr><td>{status}</td><td>{links or html.escape(answer.get('description', ''))}</td></tr>")
    content = operation.get("responses", {}).get("200", operation.get("responses", {}).get("201", {}))
    schema = content.get("content", {}).get("application/json", {}).get("schema", {})
    return (
        f"<details><summary>Answers</summary><table>{''.join(rows)}</table>"
        f"{_table('Fields of the answer', _fields(document, schema))}</details>"
    )


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(kind)}</td><td>{html.escape(said)}</td></tr>"
        for name, kind, said in rows
    )
    return f"<h3>{title}</h3><table>{cells}</table>"
