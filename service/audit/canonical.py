"""Canonical JSON: one document, one sequence of bytes (RFC 8785, restricted so that two encoders cannot disagree).

Keys are plain ASCII, values are text, bool, null, whole numbers within ±(2^53 - 1), lists and objects. No floats: money and
prices are decimal text, instants RFC 3339 text. Text is NFC. The bytes are what is hashed and kept; nobody re-encodes.
"""

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from service.core.money import plain
from service.core.secret import Masked

KEY = re.compile(r"[A-Za-z0-9_.\-]+")
LARGEST = 2**53 - 1
LARGEST_BODY = 60_000  # a tile entry carries a 16-bit length


def plain_value(value: Any) -> Any:  # noqa: PLR0911 - one return per kind of value reads best
    """A domain value as canonical JSON allows it. Raises TypeError or ValueError for what has no place in a ledger."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain_value(value.value)
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, (Decimal, datetime, date, UUID, Masked)):
        return _as_text(value)
    if isinstance(value, dict):
        return {_key(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def encode(document: dict[str, Any]) -> bytes:
    """The canonical bytes of a document. Raises ValueError when they would not fit a ledger entry."""
    body = orjson.dumps(plain_value(document), option=orjson.OPT_SORT_KEYS)
    if len(body) > LARGEST_BODY:
        raise ValueError(f"a ledger entry holds {LARGEST_BODY} bytes, this one has {len(body)}: attach large parts by hash")
    return body


def _whole(value: int) -> int:
    if abs(value) > LARGEST:
        raise ValueError(f"{value} is beyond ±(2^53 - 1): write it as text")
    return value


def _key(key: Any) -> str:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ValueError(f"not a canonical key: {key!r}")
    return key


def _as_text(value: Decimal | datetime | date | UUID | Masked) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a ledger knows no naive time")
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)  # a Masked renders as its mask
