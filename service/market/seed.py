"""The dated rules we ship, read from the data files beside this module. The migration inserts them.

A file is never edited once released: a correction is a new file and a new migration, so that an old database and a new
one agree. Marked uncertain in our sources: the pre-close hours of a late opening, the after-market on a CSAT day, and
all of 2027, which is derived from the decree and may gain temporary holidays.
"""

import csv
import json
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any


def _text(name: str) -> str:
    return files("service.market").joinpath(name).read_text("utf-8")


def _rows(name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(_text(name).splitlines())


def trading_days() -> list[dict[str, Any]]:
    """One row for each calendar day that is known: what has no row is not guessed."""
    book = json.loads(_text("calendar.json"))
    first, last = date.fromisoformat(book["first_day"]), date.fromisoformat(book["last_day"])
    every = (first + timedelta(days=step) for step in range((last - first).days + 1))
    return [_trading_day(book, day) for day in every]


def _trading_day(book: dict[str, Any], day: date) -> dict[str, Any]:
    special = book["special"].get(day.isoformat(), {"kind": "normal", "reason": ""})
    closed = "weekend" if day.weekday() >= 5 else book["closed"].get(day.isoformat())
    hours = book["hours"][special["kind"]]
    return {
        "day": day,
        "open": closed is None,
        "day_kind": special["kind"],
        "regular_open": time.fromisoformat(hours["open"]) if closed is None else None,
        "regular_close": time.fromisoformat(hours["close"]) if closed is None else None,
        "reason": special["reason"] if closed is None else closed,
        "source": book["source"],
        "known_since": date.fromisoformat(book["known_since"]),
        "calendar_version": book["version"],
    }


def session_rules() -> list[dict[str, Any]]:
    return [
        {
            "session": row["session"],
            "day_kind": row["day_kind"],
            "valid_from": date.fromisoformat(row["valid_from"]),
            "valid_to": date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            "enters_at": time.fromisoformat(row["enters_at"]),
            "opens_at": time.fromisoformat(row["opens_at"]),
            "closes_at": time.fromisoformat(row["closes_at"]),
        }
        for row in _rows("sessions.csv")
    ]


def tick_bands() -> list[dict[str, Any]]:
    return [
        {
            "product": row["product"],
            "valid_from": date.fromisoformat(row["valid_from"]),
            "lower_price": Decimal(row["lower_price"]),
            "tick": Decimal(row["tick"]),
        }
        for row in _rows("ticks.csv")
    ]
