"""Reports by meaning, from tolerant JSON; FIX 4.2 and 4.4 say the same thing (P7, P12, P19)."""

import json
import random
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from service.core.clock import KST
from service.core.secret import AccountNumber
from service.gateway import CancelReject, ExecType, ExecutionReport, RawReport, Report, RequestKind, Side, Unreadable
from service.koscom.dialect import read_report
from tests.koscom.makers import MORNING

BODY: dict[str, Any] = {
    "OrderID": "0000012345",
    "ClOrdID": "20261124000000000001",
    "ExecID": "E-7",
    "ExecType": "F",
    "OrdStatus": "1",
    "Account": "1234567890",
    "SecurityID": "KR7005930003",
    "SecurityIDSource": "4",
    "Symbol": "A005930",
    "Side": "1",
    "OrderQty": "300",
    "Price": "71500",
    "LastQty": "100",
    "LastPx": "71400",
    "LeavesQty": "200",
    "CumQty": "100",
    "AvgPx": "71400",
    "TransactTime": "20261124-00:30:00.250",
    "Text": "체결",
}
REJECT = {"OrderID": "NONE", "ClOrdID": "Y", "OrigClOrdID": "X", "OrdStatus": "8", "CxlRejResponseTo": "1", "CxlRejReason": "1"}


def raw(body: bytes) -> RawReport:
    return RawReport("F0001", date(2026, 11, 24), 1, body)


def report(body: Any, header: Any = "usual") -> Report:
    usual = {"BeginString": "FIX.4.4", "MsgType": "8", "SenderCompID": "cyber"}
    message = {"Header": usual if header == "usual" else header, "Body": body, "Trailer": {}}
    return read_report(raw(json.dumps({name: block for name, block in message.items() if block != "missing"}).encode()))


def execution(**changes: Any) -> ExecutionReport:
    without = [name for name, value in changes.items() if value == "missing"]
    result = report({name: value for name, value in (BODY | changes).items() if name not in without})
    assert isinstance(result, ExecutionReport), result
    return result


def test_a_fill_is_read_whole() -> None:
    read = execution()
    assert (read.exec_type, read.ord_status, read.exec_id) == (ExecType.TRADE, "1", "E-7")
    assert (read.side, read.order_quantity, read.last_quantity, read.leaves_quantity) == (Side.BUY, 300, 100, 200)
    assert (read.price, read.last_price, read.cumulative_quantity) == (Decimal(71500), Decimal(71400), 100)
    assert read.account == AccountNumber("1234567890")
    assert (read.isin, read.short_code, read.sender) == ("KR7005930003", "005930", "cyber")
    assert read.transact_time == MORNING.replace(microsecond=250000)
    assert read.transact_time.tzinfo is KST
    assert not read.possible_duplicate


@pytest.mark.parametrize("header", ["missing", None, {}, {"MsgType": 8}])
def test_p19_a_header_may_be_missing_or_odd(header: Any) -> None:
    result = report(BODY, header)
    assert isinstance(result, ExecutionReport)
    assert result.last_quantity == 100


def test_p19_numbers_for_strings_and_new_fields() -> None:
    read = execution(OrderQty=300, LastQty=100.0, LastPx=71400.5, OrdStatus=1, ExecID=7, Side=2, BrandNew=[1, {"x": 2}])
    assert (read.order_quantity, read.last_quantity, read.last_price) == (300, 100, Decimal("71400.5"))
    assert (read.exec_id, read.side) == ("7", Side.SELL)


def test_names_of_fix_42_are_read() -> None:
    body = {name: value for name, value in BODY.items() if name not in {"LastQty", "SecurityIDSource"}}
    result = report(body | {"LastShares": "100", "IDSource": "4", "ExecTransType": "0", "ExecType": "1"})
    assert result == execution()


@pytest.mark.parametrize(
    ("transaction", "exec_type", "meaning"),
    [
        ("missing", "F", ExecType.TRADE),
        ("0", "1", ExecType.TRADE),
        ("0", "2", ExecType.TRADE),
        ("missing", "2", ExecType.TRADE),
        ("1", "1", ExecType.TRADE_CANCEL),
        ("1", "2", ExecType.TRADE_CANCEL),
        ("1", "F", ExecType.TRADE_CANCEL),
        (1, "2", ExecType.TRADE_CANCEL),
        ("2", "1", ExecType.TRADE_CORRECT),
        ("3", "0", ExecType.ORDER_STATUS),
        ("missing", "H", ExecType.TRADE_CANCEL),
        ("missing", "G", ExecType.TRADE_CORRECT),
        ("0", "5", ExecType.REPLACED),
        ("0", "6", ExecType.PENDING_CANCEL),
        ("missing", "D", ExecType.RESTATED),
    ],
)
def test_p12_a_bust_is_no_fill_in_either_version(transaction: Any, exec_type: str, meaning: ExecType) -> None:
    assert execution(ExecTransType=transaction, ExecType=exec_type).exec_type is meaning


@pytest.mark.parametrize("name", ["OrderID", "Account", "Side", "LastQty", "LastPx", "Price", "TransactTime", "Symbol", "Text"])
@pytest.mark.parametrize("nothing", ["missing", None, "null", ""])
def test_optional_fields_may_be_absent(name: str, nothing: Any) -> None:
    execution(**{name: nothing})


@pytest.mark.parametrize(
    "changes",
    [
        {"ExecType": "L"},
        {"ExecType": "?"},
        {"ExecType": None},
        {"ExecTransType": "9"},
        {"OrdStatus": "Z"},
        {"OrdStatus": None},
        {"Side": "5"},
        {"LastQty": "many"},
        {"LastQty": "1.5"},
        {"CumQty": "1e99"},
        {"LastPx": "NaN"},
        {"LastPx": [1]},
        {"LastQty": "1", "LastShares": "2"},
        {"TransactTime": "yesterday"},
        {"TransactTime": "20261124-00:30:00.x"},
        {"Text": "\x00"},
        {"Text": {"a": 1}},
    ],
    ids=repr,
)
def test_p19_what_cannot_be_read_is_parked_with_a_reason(changes: dict[str, Any]) -> None:
    result = report(BODY | changes)
    assert isinstance(result, Unreadable)
    assert result.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"8"',
        b"\xff\xfe",
        "체결".encode("euc-kr"),
        b'{"Header": {"MsgType": "8"}}',
        b'{"Header": {"MsgType": "8"}, "Body": []}',
        b'{"Header": [], "Body": {}}',
        b'{"Header": {"MsgType": "B"}, "Body": {}}',
        b'{"Body": {"LastQty": NaN}}',
        b'{"Body": {}, "Body": {}}',
        b"[" * 200_000,
        b'{"Body":' * 5000 + b"1" + b"}" * 5000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(16),
)
def test_p19_poison_is_a_value_and_not_an_exception(body: bytes) -> None:
    assert isinstance(read_report(raw(body)), Unreadable)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Body": {', "not-json: Expecting property name enclosed in double quotes at character 10"),
        (b'{"Body": {"LastQty": NaN}}', "not-json: NaN is not a number"),
        (b'{"Body": {}, "Body": {}}', "not-json: a key stands twice in one object"),
        (b"[" * 200_000, "not-json: blocks within blocks without end"),
        (b'{"a": ' + b"9" * 200 + b".5}", "not-json: a number without end"),
    ],
    ids=["cut", "nan", "twice", "deep", "long"],
)
def test_p19_the_reason_is_said_in_words_a_person_understands(body: bytes, words: str) -> None:
    assert read_report(raw(body)) == Unreadable(words)


def test_p19_what_cannot_be_read_says_whom_it_is_about_where_that_can_be_read() -> None:
    strange = report(BODY | {"ExecType": "Z"})
    assert isinstance(strange, Unreadable)
    assert strange.cl_ord_id == BODY["ClOrdID"]
    for nameless in ({"ClOrdID": ["a"]}, {"ClOrdID": ""}, {"ClOrdID": "\x00"}):
        assert report(BODY | {"ExecType": "Z"} | nameless) == Unreadable(strange.reason, strange.sender)


@pytest.mark.parametrize("name", ["OrderID", "ClOrdID", "LastPx", "Price", "CumQty", "Text"])
@pytest.mark.parametrize("number", ["1e-40000000", "0e-40000000", "70000." + "0" * 5000 + "1"], ids=["fine", "naught", "long"])
def test_p19_a_number_without_end_is_never_written_out(name: str, number: str) -> None:
    """Twelve characters that would be forty megabytes of noughts; with two more digits they held a worker up for a minute."""
    body = json.dumps({"Header": {"MsgType": "8"}, "Body": BODY | {name: "@"}}).replace('"@"', number)
    result = read_report(raw(body.encode()))
    assert isinstance(result, Unreadable) or len(repr(result)) < 2000


def test_a_refused_cancel_of_an_unknown_order() -> None:
    result = report(REJECT, {"MsgType": "9"})
    assert isinstance(result, CancelReject)
    assert (result.order_id, result.response_to, result.reason) == (None, RequestKind.CANCELLATION, "1")
    assert report(REJECT, "missing") == report(REJECT, {}) == result
    assert isinstance(report(REJECT | {"CxlRejResponseTo": "3"}, {"MsgType": "9"}), Unreadable)


def test_a_duplicate_says_so_in_its_header() -> None:
    result = report(BODY, {"MsgType": "8", "PossDupFlag": "Y"})
    assert isinstance(result, ExecutionReport)
    assert result.possible_duplicate


def test_a_symbol_that_is_the_security_id() -> None:
    read = execution(SecurityIDSource="8", SecurityID="A005930", Symbol="missing")
    assert (read.isin, read.short_code) == (None, "005930")


@pytest.mark.parametrize("fraction", ["", ".2", ".25", ".250", ".250000", ".250000001"])
def test_times_of_any_precision(fraction: str) -> None:
    read = execution(TransactTime="20261124-00:30:00" + fraction)
    assert isinstance(read.transact_time, datetime)
    assert read.transact_time.replace(microsecond=0) == MORNING


def test_p19_ten_thousand_broken_reports_raise_nothing_and_mean_the_same_twice() -> None:
    chance = random.Random("broken reports")
    whole = json.dumps({"Header": {"MsgType": "8"}, "Body": BODY, "Trailer": {}}).encode()
    for _ in range(10_000):
        broken = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        first = read_report(raw(bytes(broken)))
        assert first == read_report(raw(bytes(broken)))
        assert isinstance(first, ExecutionReport | Unreadable)
