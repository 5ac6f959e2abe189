"""Reading what the platform writes: tolerant of its habits, strict about everything else.

"No value" comes in five ways (missing, missing block, null, "null", ""), numbers come as numbers or as text, times in
five lengths, identifiers with blanks. What is none of these raises `WireError`, which names the field; the layer above
turns it into an `Incomplete`, a `Failure`, an `Unknown` or an `Unreadable`. No number ever becomes a binary float.
"""

import json
import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from service.core.clock import KST

Json = dict[str, Any]

LARGEST = Decimal(10) ** 15  # beyond it a number is a mistake, and turning it into an integer could fill the memory
LONGEST = Decimal(10) ** 30  # a code or a time written as a number
FINEST = -30  # the last digit behind the point: 1E-999999999 is short, and a gigabyte when it is written out
CHARACTERS = 100  # of a number
FIRST_YEAR = 1980  # an earlier time is somebody's "no value" (year one, 1970), and no table takes the first of them
TIME_SHAPES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
STRING_NULL = "null"
ENDLESS = "blocks within blocks without end"
SAID = 80  # characters of a reason
DEEPEST = 60  # blocks within blocks; the platform needs six


class WireError(Exception):
    """Something that should be readable is not. `reason` is a stable word, `detail` names the place."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


# --- JSON -----------------------------------------------------------------------------------------------------------


def parse(raw: bytes) -> Any:
    """JSON with Decimals; NaN, Infinity, duplicate keys and bytes that are not UTF-8 are refused by name."""
    try:
        source = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WireError("not-utf8", f"byte {error.start}") from error
    try:
        value = json.loads(source, parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise WireError("not-json", f"{error.msg} at character {error.pos}") from error  # `msg` quotes nothing
    except RecursionError as error:
        raise WireError("not-json", ENDLESS) from error
    except ValueError as error:  # in our own words, or Python's of an integer without end
        raise WireError("not-json", str(error)[:SAID]) from error
    if not _depth_within(value, DEEPEST):  # what is that deep could not be written again either
        raise WireError("not-json", ENDLESS)
    return value


def parse_object(raw: bytes) -> Json:
    value = parse(raw)
    if not isinstance(value, dict):
        raise WireError("not-json", "no object")
    return value


def dump(value: Any) -> bytes:
    """JSON for the wire: compact, UTF-8. A page key may be a number we read as Decimal, so whole ones are allowed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_whole).encode()


def _depth_within(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_depth_within(one, levels - 1) for one in inner)


def _number(text: str) -> Decimal:
    if len(text) > CHARACTERS:
        raise ValueError("a number without end")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError("exponent out of range") from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _whole(value: object) -> int:
    if isinstance(value, Decimal) and abs(value) < LARGEST and value == int(value):
        return int(value)
    raise TypeError(type(value).__name__)


# --- presence -------------------------------------------------------------------------------------------------------


def absent(value: object) -> bool:
    """True for null, "null" and "" (a missing field or block is null to its reader)."""
    return value is None or (isinstance(value, str) and value.strip() in {"", STRING_NULL})


def get(block: Json, *names: str) -> Any:
    """The value under the first spelling that holds one. Two spellings that disagree are refused."""
    found = [block[name] for name in names if not absent(block.get(name))]
    if len(found) > 1 and any(value != found[0] for value in found):
        raise WireError("ambiguous-field", names[0])
    return found[0] if found else None


def block_of(parent: Json, *names: str) -> Json:
    """A block that should be there: missing or of another kind, it is an error."""
    value = get(parent, *names)
    if value is None:
        raise WireError("missing-block", names[0])
    if not isinstance(value, dict):
        raise WireError("unreadable-block", names[0])
    return value


def rows_of(parent: Json, *names: str) -> list[Json]:
    """The rows of a list block that should be there. One row written as an object instead of an array is accepted."""
    value = get(parent, *names)
    if value is None:
        raise WireError("missing-block", names[0])
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WireError("unreadable-block", names[0])
    return rows


# --- text and numbers -----------------------------------------------------------------------------------------------


def text(block: Json, *names: str) -> str | None:
    """Text without surrounding blanks. A number stands for its digits, as some brokers write codes."""
    value = get(block, *names)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise WireError("unreadable-text", names[0])
    written = value if isinstance(value, str) else digits(value, names[0])
    return clean(written, names[0])


def need_text(block: Json, *names: str) -> str:
    value = text(block, *names)
    if value is None:
        raise WireError("missing-field", names[0])
    return value


def clean(written: str, name: str) -> str:
    """Text that a database and a log can hold: no NUL, no half of a surrogate pair."""
    if "\x00" in written or any("\ud800" <= letter <= "\udfff" for letter in written):
        raise WireError("unreadable-text", name)
    return written.strip()


def digits(value: int | Decimal, name: str) -> str:
    if not _bounded(value, LONGEST):
        raise WireError("unreadable-text", name)
    if isinstance(value, Decimal) and value != value.to_integral_value():
        return format(value, "f")
    return str(int(value))


def _bounded(value: int | Decimal, limit: Decimal) -> bool:
    """Whether a number can be written out and worked with: neither too large nor with digits behind the point without end."""
    last_digit = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    return isinstance(last_digit, int) and last_digit >= FINEST and -limit < value < limit


NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def decimal(block: Json, *names: str) -> Decimal | None:
    """A bounded decimal, from a number or from text that is one."""
    value = get(block, *names)
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= CHARACTERS and NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise WireError("unreadable-number", names[0])
    if not _bounded(value, LARGEST):
        raise WireError("unreadable-number", names[0])
    return Decimal(value)


def need_decimal(block: Json, *names: str) -> Decimal:
    value = decimal(block, *names)
    if value is None:
        raise WireError("missing-field", names[0])
    return value


def whole(block: Json, *names: str) -> int | None:
    """A whole number (`300.0` is one, `300.5` is none)."""
    value = decimal(block, *names)
    if value is None:
        return None
    if value != value.to_integral_value():
        raise WireError("unreadable-quantity", names[0])
    return int(value)


def need_whole(block: Json, *names: str) -> int:
    value = whole(block, *names)
    if value is None:
        raise WireError("missing-field", names[0])
    return value


def flag(block: Json, name: str) -> bool:
    """Y or N, and nothing else: an unknown flag of an instrument is no permission to trade it."""
    value = need_text(block, name).upper()
    if value not in {"Y", "N"}:
        raise WireError("unknown-code", name)
    return value == "Y"


# --- time -----------------------------------------------------------------------------------------------------------


def day(block: Json, *names: str) -> date | None:
    """YYYYMMDD, or the date of a longer time."""
    moment = time(block, *names)
    return None if moment is None else moment.date()


def time(block: Json, *names: str) -> datetime | None:
    """KST time of 8, 12, 14, 16 (hundredths) or 17 (milliseconds) digits."""
    written = text(block, *names)
    return None if written is None else read_time(written, names[0])


def read_time(written: str, name: str) -> datetime:
    try:
        if not (written.isascii() and written.isdigit()) or int(written[:4]) < FIRST_YEAR:
            raise ValueError(written)
        if len(written) in TIME_SHAPES:
            return datetime.strptime(written, TIME_SHAPES[len(written)]).replace(tzinfo=KST)
        if len(written) not in {16, 17}:
            raise ValueError(written)
        whole_second = datetime.strptime(written[:14], TIME_SHAPES[14]).replace(tzinfo=KST)
        return whole_second.replace(microsecond=int(written[14:].ljust(6, "0")))
    except ValueError as error:
        raise WireError("unreadable-time", name) from error
