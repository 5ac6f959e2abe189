"""The outcome of every answer an order request can get (P4)."""

import json
from typing import Any

import pytest

from service.gateway import Accepted, Refused, SendOutcome, Unknown
from service.koscom.errors import CODES, outcome_of

ECHO = "20261124000000000001"

# What an answer means for an order just sent, written out.
REFUSED_CODES = "400 401 403 404 405 406 415 429 3002 3003 3011 2001 2002 2003 2100 3006 3007 3008 3009 3010 3012 3013 "
REFUSED_CODES += "4000 4001 4002 4003 4004 4005 4006 6007 6008 7000"
UNKNOWN_CODES = "408 500 502 503 504 505 3001 3004 3005 3600 3999 5004 5005 5006 5007 6001 6002 6003 6004 6005 6006"
REFUSED, UNKNOWN = REFUSED_CODES.split(), UNKNOWN_CODES.split()


def fine(**changes: Any) -> dict[str, Any]:
    header = {"reqIdPlatform": "P-9", "reqIdConsumer": ECHO}
    return {"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}} | changes


def outcome(status: int, body: Any) -> SendOutcome:
    return outcome_of(status, body if isinstance(body, bytes) else json.dumps(body).encode(), ECHO)


def test_p04_every_documented_code_is_in_the_table_and_no_other() -> None:
    assert set(CODES) == set(REFUSED) | set(UNKNOWN)
    assert not set(REFUSED) & set(UNKNOWN)


@pytest.mark.parametrize("code", REFUSED)
@pytest.mark.parametrize("shape", ["old number", "old text", "resp"])
def test_p04_a_refusal_by_code_is_refused_also_under_http_500(code: str, shape: str) -> None:
    bodies: dict[str, Any] = {
        "old number": {"category": "cyber", "code": int(code), "message": "why"},
        "old text": {"category": "op-apim", "code": code, "message": "why", "description": "more"},
        "resp": {"resp": {"respCode": code, "respMsg": "why"}},
    }
    result = outcome(200 if shape == "resp" else 500, bodies[shape])
    assert isinstance(result, Refused)
    assert (result.code, result.reason) == (code, "why")


@pytest.mark.parametrize("code", UNKNOWN)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_p04_an_uncertain_code_is_unknown_under_any_status(code: str, status: int) -> None:
    assert isinstance(outcome(status, {"code": code, "message": "m"}), Unknown)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 415, 429])
@pytest.mark.parametrize("body", [{"message": "API rate limit exceeded"}, {"error": "no"}, {}])
def test_p04_the_newer_gateway_refuses_by_status_alone(status: int, body: dict[str, str]) -> None:
    result = outcome(status, body)
    assert isinstance(result, Refused)
    assert result.code == str(status)


@pytest.mark.parametrize(
    "status", [201, 202, 204, 300, 301, 302, 307, 304, 402, 408, 409, 410, 418, 500, 501, 502, 503, 504, 505]
)
def test_p04_other_statuses_are_unknown(status: int) -> None:
    assert isinstance(outcome(status, {"message": "m"}), Unknown)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_p04_a_code_that_is_not_in_the_table_is_unknown(status: int) -> None:
    others = [str(number) for number in range(10_000) if str(number) not in CODES]
    assert [code for code in others if not isinstance(outcome(status, {"code": code}), Unknown)] == []


@pytest.mark.parametrize("status", [408, 502, 503, 504, 505, 302, 418])
def test_p04_a_refusal_under_an_uncertain_status_proves_nothing(status: int) -> None:
    assert isinstance(outcome(status, {"code": "7000", "message": "m"}), Unknown)


def test_p04_only_200_with_200_and_our_echo_is_accepted() -> None:
    result = outcome(200, fine())
    assert isinstance(result, Accepted)
    assert result.platform_request_id == "P-9"
    assert result.raw


@pytest.mark.parametrize(
    "body",
    [
        fine(commonHeader={"reqIdConsumer": "20261124000000000002"}),
        fine(commonHeader={"reqIdConsumer": None}),
        fine(commonHeader={"reqIdConsumer": ""}),
        fine(commonHeader={}),
        fine(commonHeader=[]),
        {"resp": {"respCode": "200"}},
        {"commonHeader": {"reqIdConsumer": ECHO}},
        fine(resp={}),
        fine(resp=None),
        fine(resp={"respCode": True}),
        fine(code="7000"),
        fine(commonHeader={"reqIdConsumer": "another"}, resp={"respCode": "7000"}),
        b"",
        b"OK",
        b"[]",
        b"null",
        b'{"resp": {"respCode": "200"',
        b"\xff\xfe\x00",
        "거부".encode("euc-kr"),
    ],
)
def test_p04_anything_else_under_http_200_is_unknown(body: Any) -> None:
    assert isinstance(outcome(200, body), Unknown)


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_p04_a_refusal_of_another_request_refuses_nothing_of_ours(status: int) -> None:
    body = fine(commonHeader={"reqIdConsumer": "20261124000000000002"}, resp={"respCode": "7000", "respMsg": "why"})
    assert isinstance(outcome(status, body), Unknown)
    assert isinstance(outcome(status, body | {"commonHeader": {"reqIdConsumer": ECHO}}), Refused)


@pytest.mark.parametrize("status", [201, 400, 403, 500, 503])
def test_p04_code_200_under_another_status_is_unknown(status: int) -> None:
    assert isinstance(outcome(status, fine()), Unknown)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"no"'])
def test_p04_an_unreadable_body_is_unknown(status: int, body: bytes) -> None:
    assert isinstance(outcome(status, body), Unknown)


def test_the_raw_answer_goes_with_every_outcome() -> None:
    for status, body in ((200, fine()), (500, {"code": 7000}), (500, {"code": 1})):
        result = outcome(status, body)
        assert getattr(result, "raw", b"") == json.dumps(body).encode()


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("codes", [("9" * 70_000, None), ("7000", "9" * 70_000)], ids=["alone", "contradicting"])
def test_p19_a_code_without_end_is_told_in_few_words(status: int, codes: tuple[str, str | None]) -> None:
    """The reason stands in the ledger beside the answer: one that did not fit would take the answer's bytes with it."""
    said = outcome(status, {"code": codes[0], "resp": {"respCode": codes[1]}, "commonHeader": {"reqIdConsumer": ECHO}})
    assert isinstance(said, Unknown)
    assert len(said.reason) < 300
    assert said.raw
