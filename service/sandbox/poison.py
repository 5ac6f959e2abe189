"""Frames no client should have to read, made of a good one. Pure.

`ackable` says whether a careful reader can still find the frame's `ack`; one that cannot owes no acknowledgement.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.types import Message

from service.sandbox import stomp
from service.sandbox.errors import Refused
from service.sandbox.stomp import Frame

HUGE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A WebSocket message as the server sends it."""

    message: Message
    ackable: bool = True


def spoil(what: str, frame: Frame) -> Spoilt:
    return KINDS[what](frame)


def known(what: str) -> str:
    if what not in KINDS:
        raise Refused(400, 400, f"unknown poison; known: {sorted(KINDS)}")
    return what


def _body(change: Callable[[bytes], bytes]) -> Callable[[Frame], Spoilt]:
    """A frame that is good STOMP around a spoilt body; in a binary message, because it may not be UTF-8."""
    return lambda frame: _binary(stomp.encode(replace(frame, body=change(frame.body))))


def _field(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Frame], Spoilt]:
    """A body that is good JSON and no report anybody could have meant."""

    def make(body: bytes) -> bytes:
        document = orjson.loads(body)
        return orjson.dumps({**document, "Body": change(document["Body"])})

    return _body(make)


def _raw(change: Callable[[bytes], bytes]) -> Callable[[Frame], Spoilt]:
    return lambda frame: replace(_binary(change(stomp.encode(frame))), ackable=False)


def _binary(data: bytes) -> Spoilt:
    return Spoilt({"type": "websocket.send", "bytes": data})


def _without(name: str) -> Callable[[Frame], Spoilt]:
    def make(frame: Frame) -> Spoilt:
        headers = {key: value for key, value in frame.headers.items() if key != name}
        return replace(_binary(stomp.encode(replace(frame, headers=headers))), ackable=name != "ack")

    return make


def _double(body: bytes) -> bytes:
    """The same names twice, with other values the second time."""
    return body.replace(b'"Body":{', b'"Body":{"CumQty":"999999999","OrdStatus":"2","Account":"0000000000",', 1)


KINDS: dict[str, Callable[[Frame], Spoilt]] = {
    "malformed_json": _body(lambda body: body[: len(body) // 2]),
    "empty": _body(lambda _body: b""),
    "not_an_object": _body(lambda body: b"[" + body + b"]"),
    "nul": _body(lambda body: body.replace(b'"Body"', b'"Bo\x00dy"')),
    "euc_kr": _body(lambda body: body.replace(b'"Body":{', '"Body":{"Text":"가상전자 체결",'.encode("euc-kr"))),
    "huge": _body(lambda body: body.replace(b'"Body":{', b'"Body":{"Text":"' + b"x" * HUGE_BYTES + b'",')),
    "duplicate_keys": _body(_double),
    "nan": _body(lambda body: body.replace(b'"Body":{', b'"Body":{"Price":NaN,')),
    "deep": _body(lambda body: body.replace(b'"Body":{', b'"Body":{"Text":' + b"[" * 5_000 + b"]" * 5_000 + b",")),
    "wrong_types": _field(lambda body: {**body, "CumQty": ["3"], "LeavesQty": {"qty": 1}, "OrdStatus": None, "OrderID": True}),
    "numbers_as_strings": _field(lambda body: {**body, "CumQty": "three", "LeavesQty": "1,000", "AvgPx": "71.000,00"}),
    "unknown_enumeration": _field(lambda body: {**body, "ExecType": "Z", "OrdStatus": "?", "Side": "9"}),
    "impossible_quantity": _field(lambda body: {**body, "CumQty": "-5", "LeavesQty": "999999999999", "LastQty": "0.5"}),
    "no_ids": _field(lambda body: {name: value for name, value in body.items() if name not in ("ClOrdID", "OrderID", "ExecID")}),
    "malformed_stomp": _raw(lambda data: data.replace(b"MESSAGE\n", b"MESSAGE\nno colon\n", 1)),
    "bad_escape": _raw(lambda data: data.replace(b"MESSAGE\n", b"MESSAGE\nx:\\t\n", 1)),
    "wrong_length": _raw(lambda data: data.replace(b"content-length:", b"content-length:9", 1)),
    "unknown_command": _raw(lambda data: data.replace(b"MESSAGE\n", b"MASSAGE\n", 1)),
    "torn_frame": _raw(lambda data: data[: len(data) // 2]),
    "no_seq": _without("seq"),
    "no_ack": _without("ack"),
}
