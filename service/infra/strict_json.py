"""JSON as RFC 8259 has it, read without guessing: what two readers could read differently is refused.

Python's reader takes the last of two equal names, NaN, and UTF-16. An order whose quantity stands there twice would be
another order to a checker in between than to us.
"""

import json
from typing import Any, NoReturn


class NotJson(ValueError):
    """Not JSON, or JSON that readers disagree about. The message says which, without quoting the text."""


def check(body: bytes) -> None:
    """Raises NotJson."""
    try:
        json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except NotJson:
        raise
    except UnicodeError:
        raise NotJson("The body is not UTF-8, or escapes half a character in a name.") from None
    except (ValueError, RecursionError):
        raise NotJson("The body is not JSON that can be read.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    for name in read:
        name.encode()  # half a surrogate pair is no character: no answer could name the field
    if len(read) != len(pairs):
        raise NotJson("A name stands twice in one object; which of the two is meant cannot be told.")
    return read


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON number.")
