"""Cursors: an opaque place in a list that stays where it is while rows are added.

A list is ordered by a unique key and read one row beyond the page; the cursor names the last row given, so what is
inserted meanwhile neither repeats nor hides a row. It names the list too, with its filters: a place in one list is none in
another, and would silently leave out rows there.
"""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar
from uuid import UUID

from service.core.errors import BadRequest

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 500

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    items: tuple[Item, ...]
    next_cursor: str | None


def mark(path: str, filters: Iterable[tuple[str, str]]) -> str:
    """What tells one list from every other: its address and what it was filtered by, in whatever order that was written."""
    return sha256(json.dumps([path, sorted(filters)]).encode()).hexdigest()[:16]


def encode(listed: str, key: str) -> str:
    """The cursor for the key of a row in the list of that mark."""
    return base64.urlsafe_b64encode(json.dumps([listed, key], ensure_ascii=False).encode()).decode().rstrip("=")


def decode(listed: str, cursor: str) -> str:
    """The key a cursor names. Raises BadRequest for anything we did not make, or made for another list."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad() from None
    if not isinstance(key, list) or len(key) != 2 or not all(isinstance(part, str) for part in key):
        raise _bad()
    if any("\x00" in part or not _whole(part) for part in key):  # no text of ours holds these, and PostgreSQL refuses them
        raise _bad()
    if key[0] != listed:
        raise BadRequest("cursor-invalid", "The cursor belongs to another list, or to other filters. Start again without it.")
    return str(key[1])


def _whole(text: str) -> bool:
    """Whether it is text throughout: JSON can escape half a character, which nothing can store."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def after_text(listed: str, cursor: str | None) -> str | None:
    return None if cursor is None else decode(listed, cursor)


def after_uuid(listed: str, cursor: str | None) -> UUID | None:
    """The id after which the page begins. Raises BadRequest."""
    if cursor is None:
        return None
    try:
        return UUID(decode(listed, cursor))
    except ValueError:
        raise _bad() from None


def after_number(listed: str, cursor: str | None, largest: int = 10**18 - 1) -> int | None:
    """The number after which the page begins, `largest` being what its column can hold. Raises BadRequest."""
    if cursor is None:
        return None
    text = decode(listed, cursor)
    if not text.isdecimal() or len(text) > 18 or int(text) > largest:
        raise _bad()
    return int(text)


def cut(listed: str, rows: Sequence[Item], limit: int, key: Callable[[Item], str]) -> Page[Item]:
    """The page of rows that were read with `limit + 1`."""
    kept = tuple(rows[:limit])
    return Page(kept, encode(listed, key(kept[-1])) if len(rows) > limit else None)


def _bad() -> BadRequest:
    return BadRequest("cursor-invalid", "The cursor is not one this service gave. Start again without it.")
