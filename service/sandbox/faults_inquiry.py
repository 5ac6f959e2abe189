"""Faults of an inquiry's answer: behind, incomplete, somebody else's day, or written in another shape than yesterday."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from service.sandbox.faults import KINDS, Armed, Change, Kind
from service.sandbox.paging import Row


@dataclass(frozen=True, slots=True)
class Distortion:
    """All that strikes one answer."""

    struck: tuple[Armed, ...] = ()

    def lag(self) -> timedelta:
        """How much business time the inquiry is behind."""
        return timedelta(seconds=max((one.seconds(60) for one in self.struck if one.kind == "inquiry_lag"), default=0))

    def has(self, kind: str) -> bool:
        return any(one.kind == kind for one in self.struck)

    def rows(self, rows: list[Row]) -> list[Row]:
        for one in self.struck:
            change = KINDS[one.kind].rows
            rows = change(one, rows) if change else rows
        return rows

    def document(self, document: Row) -> Row:
        for one in self.struck:
            change = KINDS[one.kind].document
            document = change(one, document) if change else document
        return document


def _on(name: str, about: str, *, rows: Change | None = None, document: Change | None = None) -> None:
    KINDS[name] = Kind(name, "rows", about, rows=rows, document=document)


def _shrunk(_armed: Armed, rows: list[Row]) -> list[Row]:
    return [{**row, "orderQty": _left(row)} if row.get("execSumQty") and _left(row) else row for row in rows]


def _left(row: Row) -> int:
    return int(str(row["orderQty"])) - int(str(row["execSumQty"]))


def _without_newest(row: Row) -> Row:
    fills = row.get("execList")
    return {**row, "execList": fills[:-1]} if isinstance(fills, list) and fills else row


def _sums_short(_armed: Armed, rows: list[Row]) -> list[Row]:
    return [{**row, "execSumQty": sum(_quantities(_without_newest(row)))} if _quantities(row) else row for row in rows]


def _quantities(row: Row) -> list[int]:
    fills = row.get("execList")
    return [int(one["execQty"]) for one in fills] if isinstance(fills, list) else []


_on("inquiry_lag", "rows and executions younger than `seconds` of business time are missing")
_on("inquiry_yesterday", "the rows of the trading day before the one asked for")
_on("inquiry_empty", "no rows at all, and totals that agree", rows=lambda _armed, _rows: [])
_on("inquiry_page_missing", "the next key leads past a page; totalCnt counts it")
_on("inquiry_page_repeated", "the next key leads to the page just given; without end while armed")
_on("inquiry_rows_missing", "the later half of the page's rows is missing; totals count them")
_on("inquiry_shrunk", "orderQty of a part-filled order shows only what remains", rows=_shrunk)
_on("inquiry_totals_short", "execSumQty lacks the newest execution that execList shows", rows=_sums_short)
_on(
    "inquiry_fills_missing", "execList lacks the newest execution that execSumQty counts",
    rows=lambda _armed, rows: [_without_newest(row) for row in rows],
)  # fmt: skip


def _renamed(armed: Armed, document: Row) -> Row:
    old, new = armed.text("field", "orderNo"), armed.text("to", "orderNumber")
    return _walk(document, lambda pairs: ((new if name == old else name, value) for name, value in pairs))


def _missing(armed: Armed, document: Row) -> Row:
    gone = armed.text("field", "execSumQty")
    return _walk(document, lambda pairs: ((name, value) for name, value in pairs if name != gone))


def _retyped(armed: Armed, document: Row) -> Row:
    field, shape = armed.text("field", "orderQty"), armed.text("as", "object")
    shapes: dict[str, Callable[[Any], Any]] = {
        "object": lambda value: {"value": value}, "list": lambda value: [value], "words": lambda value: f"{value}주",
        "text": str, "boolean": bool,
    }  # fmt: skip
    change = shapes[shape]
    return _walk(document, lambda pairs: ((name, change(value) if name == field else value) for name, value in pairs))


def _page_habit(armed: Armed, document: Row) -> Row:
    """Where the last page used to show as nothing there is now a key that leads nowhere."""
    key = armed.text("key", "END")

    def put(name: str, value: Any) -> Any:
        following = value.get("page") if name == "queryResult" else None
        return value if name != "queryResult" or str(following).startswith("K") else {**value, "page": key}

    return _walk(document, lambda pairs: ((name, put(name, value)) for name, value in pairs))


def _side_code(armed: Armed, document: Row) -> Row:
    codes = armed.parameters.get("codes", {"1": "S", "2": "B"})
    return _walk(
        document,
        lambda pairs: ((name, codes.get(value, value) if name == "sellBuyType" else value) for name, value in pairs),
    )


_on("drift_renamed", "`field` (default orderNo) is called `to` (default orderNumber)", document=_renamed)
_on("drift_missing", "`field` (default execSumQty) is no longer there", document=_missing)
_on("drift_retyped", "`field` (default orderQty) is an object, or `as` list | words | text | boolean", document=_retyped)
_on("drift_page", "the last page no longer shows as nothing but as `key` (default END)", document=_page_habit)
_on("drift_side", "sellBuyType is written in other `codes` (default S and B)", document=_side_code)


Pairs = Iterable[tuple[str, Any]]


def _walk(document: Row, change: Callable[[Pairs], Pairs]) -> Row:
    """`change` at every level of the answer, but never to the echo of the question."""

    def within(value: Any) -> Any:
        if isinstance(value, list):
            return [within(one) for one in value]
        return _walk(value, change) if isinstance(value, dict) else value

    kept = {name: value if name == "queryParameter" else within(value) for name, value in document.items()}
    return dict(change(kept.items()))
