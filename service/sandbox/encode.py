"""JSON with each broker's habit of printing numbers. Exact: integers and Decimals only, never a binary float."""

import json
from decimal import Decimal

_SCIENTIFIC_FROM = 10_000_000
_MISSING = object()
MISSING = _MISSING
"""A value that leaves its field out altogether."""


def dumps(value: object, numbers: str) -> bytes:
    """`numbers`: plain 300; point 300.0 (E only for eight zeros or more); java 300.0, 1.2E7 from ten million on."""
    return _text(value, numbers).encode()


def number(value: int | Decimal, style: str) -> str:
    if style == "plain":
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    decimal = Decimal(value)
    scientific = abs(decimal) >= _SCIENTIFIC_FROM if style == "java" else _round(decimal)
    return _scientific(decimal) if scientific else _with_point(decimal)


def _round(decimal: Decimal) -> bool:
    return decimal != 0 and decimal % 100_000_000 == 0


def _with_point(decimal: Decimal) -> str:
    text = format(decimal, "f")
    return text if "." in text else text + ".0"


def _scientific(decimal: Decimal) -> str:
    sign, digits, exponent = decimal.as_tuple()
    text = "".join(map(str, digits))
    power = len(text) - 1 + int(exponent)
    return f"{'-' if sign else ''}{text[0]}.{text[1:].rstrip('0') or '0'}E{power}"


def _text(value: object, numbers: str) -> str:
    if isinstance(value, dict):
        pairs = (f"{_quoted(str(k))}:{_text(v, numbers)}" for k, v in value.items() if v is not MISSING)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(one, numbers) for one in value if one is not MISSING) + "]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return number(value, numbers) if isinstance(value, int | Decimal) else _quoted(str(value))


def _quoted(text: str) -> str:
    # A lone surrogate in bad input must come back escaped, not crash the encoder.
    return json.dumps(text, ensure_ascii=not text.isprintable())
