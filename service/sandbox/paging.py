"""One page of an inquiry in a broker's habit (README.md, Paging). Pure."""

import re
from collections.abc import Sequence

from service.sandbox import encode
from service.sandbox.errors import Refused
from service.sandbox.profiles import Profile

Row = dict[str, object]
_KEY = re.compile(r"^K([0-9]{1,9})$")


def page(profile: Profile, rows: Sequence[Row], query: dict[str, object], *, jump: int = 1) -> tuple[list[Row], Row]:
    """The rows of the page asked for, and its `queryResult`; the next key leads `jump` pages on."""
    start = _start(profile, query.get("page"))
    if start and start >= len(rows):
        raise Refused(500, 6003, "페이지 키 없음", profile.name)
    size = _size(profile, query.get("count"))
    shown = list(rows[start : start + size])
    following = start + size * jump
    result: Row = {
        "totalCnt": 0 if profile.counts_are_zero else len(rows),
        "count": 0 if profile.counts_are_zero else len(shown),
        "page": f"K{following}" if following < len(rows) else _last(profile),
    }
    return shown, result


def _start(profile: Profile, key: object) -> int:
    """The first request says null, or the text "null", as this broker wants it; anything else must be a key we gave."""
    if key == profile.first_page:
        return 0
    match = _KEY.match(key) if isinstance(key, str) else None
    if match is None:
        raise Refused(500, 6003, "페이지 키 없음", profile.name)
    return int(match.group(1))


def _size(profile: Profile, count: object) -> int:
    text = str(count or 0).strip().removesuffix(".0")
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Refused(500, 7000, "잘못된 요청 [count]", profile.name)
    return min(int(text), profile.page_size) if int(text) else profile.page_size


def _last(profile: Profile) -> object:
    return {"null": None, "missing": encode.MISSING, "string": "null"}[profile.last_page]
