"""The figures we ship, read from the data files beside this module. The migration inserts them."""

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any


def _rows(name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(files("service.settlement").joinpath(name).read_text("utf-8").splitlines())


def tax_rates() -> list[dict[str, Any]]:
    return [
        {**row, "valid_from": date.fromisoformat(row["valid_from"]), "rate": Decimal(row["rate"])} for row in _rows("taxes.csv")
    ]


def settlement_cycles() -> list[dict[str, Any]]:
    return [{"valid_from": date.fromisoformat(row["valid_from"]), "days": int(row["days"])} for row in _rows("cycles.csv")]
