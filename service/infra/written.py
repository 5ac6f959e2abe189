"""Days and instants as a caller writes them: text, in the one form that the documents name. And what a change may leave out.

pydantic by itself also reads numbers: `0` as 1970-01-01, `1795392000` as the day of that second, in a query as in a body.
A contract would begin and a list would be of a day that nobody wrote.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+")


def _day(given: Any) -> Any:
    if type(given) is date or (isinstance(given, str) and DAY.fullmatch(given)):
        return given
    raise ValueError("a day is written YYYY-MM-DD")


def _instant(given: Any) -> Any:
    if isinstance(given, datetime) or (isinstance(given, str) and INSTANT.fullmatch(given)):
        return given
    raise ValueError("an instant is written as RFC 3339 has it, with its offset: 2026-11-23T09:00:00+09:00")


def _in_utc(given: datetime) -> datetime:
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant lies in the years 1 to 9999 of UTC") from None


Day = Annotated[date, BeforeValidator(_day)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_instant)]


class Given:
    """A field of a change that may be left out, and then stays as it is. null is refused: who writes it means to take
    something away, and would be answered as if that had been done."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_not_null, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shown = handler(schema)
        kinds = [one for one in shown.get("anyOf", ()) if one != {"type": "null"}]
        return kinds[0] if len(kinds) == 1 else shown


def _not_null(given: Any) -> Any:
    if given is None:
        raise ValueError("null changes nothing here: leave the field out, or give what it shall be")
    return given
