"""What is not an order is refused by name and changes nothing (P14, P33), whatever was sent."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.infra import paging
from service.infra.problem_catalogue import CATALOGUE
from tests.journeys.conftest import Api, nowhere
from tests.makers import HALTED_CODE, ISIN

pytestmark = pytest.mark.asyncio(loop_scope="module")

ABSENT = ...


async def post(api: Api, content: bytes, **headers: str) -> httpx.Response:
    given = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"} | headers
    return await api.call("manager", "POST", "/v1/orders", content=content, headers=given)


def refusal(answer: httpx.Response, status: int, slug: str, field: str | None) -> None:
    said = answer.json()
    assert (answer.status_code, said["type"]) == (status, f"/problems/{slug}"), answer.text
    assert CATALOGUE[slug].status == status
    assert said["title"] == CATALOGUE[slug].title
    if field is not None:
        assert field in [one["field"] for one in said["violations"]]
        assert all(one["code"] and one["message"] for one in said["violations"])


FIELDS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"account_id": "x"}, "validation-failed", "account_id"),
    ({"account_id": 7}, "validation-failed", "account_id"),
    ({"account_id": None}, "validation-failed", "account_id"),
    ({"account_id": [nowhere()]}, "validation-failed", "account_id"),
    ({"account_id": ABSENT}, "validation-failed", "account_id"),
    ({"symbol": 900010}, "validation-failed", "symbol"),
    ({"symbol": "90001"}, "validation-failed", "symbol"),
    ({"symbol": "900010\n"}, "validation-failed", "symbol"),
    ({"symbol": "A900010'; drop table orders;--"}, "validation-failed", "symbol"),
    ({"symbol": ABSENT}, "instrument-required", "isin"),
    ({"isin": ISIN}, "instrument-required", "isin"),
    ({"symbol": ABSENT, "isin": "KR790001000"}, "validation-failed", "isin"),
    ({"symbol": ABSENT, "isin": "kr7900010003"}, "validation-failed", "isin"),
    ({"symbol": "999999"}, "instrument-unknown", "isin"),
    ({"symbol": HALTED_CODE}, "instrument-halted", "isin"),
    ({"side": "BUY"}, "validation-failed", "side"),
    ({"side": "1"}, "validation-failed", "side"),
    ({"side": {"is": "buy"}}, "validation-failed", "side"),
    ({"side": ABSENT}, "validation-failed", "side"),
    ({"order_type": "stop"}, "validation-failed", "order_type"),
    ({"order_type": "market"}, "price-not-allowed", "price"),
    ({"quantity": 0}, "quantity-not-positive", "quantity"),
    ({"quantity": -1}, "quantity-not-positive", "quantity"),
    ({"quantity": -(10**30)}, "quantity-not-positive", "quantity"),
    ({"quantity": 10**9 + 1}, "quantity-too-large", "quantity"),
    ({"quantity": 2**63}, "quantity-too-large", "quantity"),
    ({"quantity": 10**40}, "quantity-too-large", "quantity"),
    ({"quantity": True}, "validation-failed", "quantity"),
    ({"quantity": "1"}, "validation-failed", "quantity"),
    ({"quantity": 1.0}, "validation-failed", "quantity"),
    ({"quantity": 1.5}, "validation-failed", "quantity"),
    ({"quantity": 1e300}, "validation-failed", "quantity"),
    ({"quantity": None}, "validation-failed", "quantity"),
    ({"quantity": ABSENT}, "validation-failed", "quantity"),
    ({"quantity": 10**9}, "insufficient-cash", "quantity"),
    ({"side": "sell", "quantity": 100_001}, "insufficient-holding", "quantity"),
    ({"price": 70000}, "validation-failed", "price"),
    ({"price": 70000.5}, "validation-failed", "price"),
    ({"price": True}, "validation-failed", "price"),
    ({"price": "7e4"}, "validation-failed", "price"),
    ({"price": "NaN"}, "validation-failed", "price"),
    ({"price": "Infinity"}, "validation-failed", "price"),
    ({"price": "-70000"}, "validation-failed", "price"),
    ({"price": "+70000"}, "validation-failed", "price"),
    ({"price": " 70000"}, "validation-failed", "price"),
    ({"price": "70000\n"}, "validation-failed", "price"),
    ({"price": "70,000"}, "validation-failed", "price"),
    ({"price": "70_000"}, "validation-failed", "price"),
    ({"price": "７００００"}, "validation-failed", "price"),
    ({"price": "1" * 400}, "validation-failed", "price"),
    ({"price": ""}, "validation-failed", "price"),
    ({"price": "0"}, "price-not-positive", "price"),
    ({"price": "0.0000"}, "price-not-positive", "price"),
    ({"price": None}, "price-required", "price"),
    ({"price": ABSENT}, "price-required", "price"),
    ({"price": "70050"}, "price-off-tick", "price"),
    ({"price": "70000.1"}, "price-off-tick", "price"),
    ({"price": "91100"}, "price-above-limit", "price"),
    ({"price": "48900"}, "price-below-limit", "price"),
    ({"time_in_force": "gtc"}, "validation-failed", "time_in_force"),
    ({"time_in_force": None}, "validation-failed", "time_in_force"),
    ({"session": "night"}, "validation-failed", "session"),
    ({"client_order_id": ""}, "validation-failed", "client_order_id"),
    ({"client_order_id": "a b"}, "validation-failed", "client_order_id"),
    ({"client_order_id": "x" * 65}, "validation-failed", "client_order_id"),
    ({"client_order_id": "주문"}, "validation-failed", "client_order_id"),
    ({"client_order_id": "a\x00"}, "validation-failed", "client_order_id"),
    ({"rationale": "a\x00b"}, "validation-failed", "rationale"),
    ({"rationale": "a\x1b[2Jb"}, "validation-failed", "rationale"),
    ({"rationale": "x" * 2001}, "validation-failed", "rationale"),
    ({"rationale": "\ud800"}, "validation-failed", "rationale"),
    ({"rationale": {"why": "because"}}, "validation-failed", "rationale"),
    ({"status": "filled"}, "unknown-field", "status"),
    ({"manager_id": nowhere()}, "unknown-field", "manager_id"),
    ({"approved_by": nowhere()}, "unknown-field", "approved_by"),
    ({"broker_order_number": "1"}, "unknown-field", "broker_order_number"),
    ({"id": nowhere()}, "unknown-field", "id"),
    ({"__proto__": {}}, "unknown-field", "__proto__"),
    ({"Quantity": 1}, "unknown-field", "Quantity"),
    ({"a\x00b": 1}, "unknown-field", None),
    ({"\ud800": 1}, "malformed-json", None),
    ({"account_id": nowhere()}, "account-not-found", None),
]


def named(case: Any) -> str:
    return json.dumps(case, default=lambda _: "absent")[:60] if isinstance(case, dict) else str(case)


@pytest.mark.parametrize(("change", "slug", "field"), FIELDS, ids=named)
async def test_a_field_that_is_not_as_it_must_be(api: Api, change: dict[str, Any], slug: str, field: str | None) -> None:
    before = await api.business()
    content = json.dumps(api.good(**change)).encode()  # escapes, so that surrogates can be sent
    refusal(await post(api, content), CATALOGUE[slug].status, slug, field)
    assert await api.business() == before


QUANTITY = '"quantity": 1'
BODIES: list[tuple[str, Any, int, str]] = [
    ("nothing", b"", 422, "validation-failed"),
    ("half an object", b"{", 400, "malformed-json"),
    ("null", b"null", 422, "object-expected"),
    ("a number", b"1", 422, "object-expected"),
    ("text", b'"x"', 422, "object-expected"),
    ("an empty array", b"[]", 422, "list-orders-not-supported"),
    ("an array of nothing", b"[null]", 422, "list-orders-not-supported"),
    ("an empty object", b"{}", 422, "validation-failed"),
    ("a name twice", (QUANTITY, '"quantity": 1, "quantity": 2'), 400, "malformed-json"),
    ("a name twice, once escaped", (QUANTITY, '"quantity": 1, "quan\\u0074ity": 2'), 400, "malformed-json"),
    ("a name twice deep inside", (QUANTITY, '"quantity": [{"a": 1, "a": 1}]'), 400, "malformed-json"),
    ("NaN", (QUANTITY, '"quantity": NaN'), 400, "malformed-json"),
    ("Infinity", (QUANTITY, '"quantity": Infinity'), 400, "malformed-json"),
    ("-Infinity", (QUANTITY, '"quantity": -Infinity'), 400, "malformed-json"),
    ("beyond every double", (QUANTITY, '"quantity": 1e400'), 422, "validation-failed"),
    ("five thousand digits", (QUANTITY, '"quantity": ' + "9" * 5000), 400, "malformed-json"),
    ("a comma too many", (QUANTITY, '"quantity": 1,'), 400, "malformed-json"),
    ("a comment", (QUANTITY, '"quantity": 1 /* one */'), 400, "malformed-json"),
    ("two documents", ("}", "}{}"), 400, "malformed-json"),
    ("a raw line feed in text", ("}", ', "rationale": "a\nb"}'), 400, "malformed-json"),
    ("a raw NUL", ("}", ', "rationale": "a\0b"}'), 400, "malformed-json"),
    ("Latin-1", b'{"rationale": "\xe4"}', 400, "malformed-json"),
    ("UTF-16", "{}".encode("utf-16"), 400, "malformed-json"),
    ("a byte order mark", b"\xef\xbb\xbf{}", 400, "malformed-json"),
    ("a surrogate as bytes", b'{"rationale": "\xed\xa0\x80"}', 400, "malformed-json"),
    ("sixty thousand brackets", b"[" * 60_000, 400, "malformed-json"),
    ("objects without bottom", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "malformed-json"),
    ("an array in a field, 500 deep", ("}", ', "rationale": ' + "[" * 500 + "]" * 500 + "}"), 422, "validation-failed"),
    ("one byte too many", b" " * 65_537, 413, "body-too-large"),
    ("a megabyte", b"x" * 1_048_576, 413, "body-too-large"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "status", "slug"), BODIES, ids=[one[0] for one in BODIES])
async def test_a_body_that_is_not_an_order(api: Api, what: str, body: Any, status: int, slug: str) -> None:
    before = await api.business()
    content = body if isinstance(body, bytes) else json.dumps(api.good()).replace(*body).encode()
    refusal(await post(api, content), status, slug, None)
    assert await api.business() == before


@pytest.mark.parametrize(
    "kind", ["application/json;", "APPLICATION/JSON", "application/vnd.api+json", "application/merge-patch+json"]
)
async def test_a_name_twice_is_refused_under_every_type_that_is_read_as_json(api: Api, kind: str) -> None:
    before = await api.business()
    content = json.dumps(api.good()).replace(QUANTITY, '"quantity": 1, "quantity": 2').encode()
    refusal(await post(api, content, **{"Content-Type": kind}), 400, "malformed-json", None)
    assert await api.business() == before


async def test_p14_an_array_of_one_good_order_is_no_order(api: Api) -> None:
    before = await api.business()
    for path in ("/v1/orders", "/v1/orders/checks"):
        answer = await api.call("manager", "POST", path, json=[api.good()], headers={"Idempotency-Key": "array"})
        refusal(answer, 422, "list-orders-not-supported", "")
    assert await api.business() == before


@pytest.mark.parametrize(
    "what",
    ["amendments", "cancellations", "resolutions", f"resolutions/{nowhere()}/decisions"],
    ids=lambda one: one.split("/")[-1],
)
async def test_p14_an_array_of_one_change_is_no_change(api: Api, what: str) -> None:
    """`call` looks the refusal up in the document."""
    who, headers = "operations" if what.endswith("decisions") else "manager", {"Idempotency-Key": str(uuid4())}
    answer = await api.call(who, "POST", f"/v1/orders/{nowhere()}/{what}", json=[{}], headers=headers)
    refusal(answer, 422, "list-orders-not-supported", "")


@pytest.mark.parametrize("end", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 0, "2030-01-01T00:00:00"])
async def test_a_key_ends_at_an_instant(api: Api, end: Any) -> None:
    body = {"user_id": nowhere(), "expires_at": end}
    refusal(await api.call("administrator", "POST", "/v1/api-keys", json=body), 422, "validation-failed", "expires_at")


async def test_a_body_whose_length_is_not_announced_is_counted_while_it_is_read(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    headers = {"Idempotency-Key": "chunked", "Content-Type": "application/json"}
    refusal(await api.call("manager", "POST", "/v1/orders", content=chunks(), headers=headers), 413, "body-too-large", None)


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": ""}, {"Content-Type": "application/x-www-form-urlencoded"},
     {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Encoding": "gzip"}],
)  # fmt: skip
async def test_a_body_of_another_kind_is_not_guessed_at(api: Api, headers: dict[str, str]) -> None:
    before = await api.business()
    refusal(await post(api, json.dumps(api.good()).encode(), **headers), 415, "unsupported-media-type", None)
    assert await api.business() == before


@pytest.mark.parametrize("key", [None, "", "x" * 129, "a b", "열쇠", "a\tb"])
async def test_an_intent_needs_a_key(api: Api, key: str | None) -> None:
    before = await api.business()
    headers = {} if key is None else {"Idempotency-Key": key.encode()}
    answer = await api.call("manager", "POST", "/v1/orders", json=api.good(), headers=headers)
    refusal(answer, 400, "idempotency-key-required", "Idempotency-Key")
    assert await api.business() == before


async def test_p01_a_key_with_another_body_is_refused(api: Api) -> None:
    assert (await api.order(key="one-intent", quantity=3)).status_code == 201
    before = await api.business()
    refusal(await api.order(key="one-intent", quantity=4), 422, "idempotency-key-reused", "Idempotency-Key")
    assert await api.business() == before


@pytest.mark.parametrize(
    "change",
    [{"symbol": ABSENT}, {"price": ABSENT}, {"order_type": "market"}, {"price": "0"}, {"quantity": 0}, {"quantity": 10**10}],
    ids=named,
)
async def test_a_check_refuses_a_shape_as_the_order_would_and_its_document_says_so(api: Api, change: dict[str, Any]) -> None:
    """`call` looks each refusal up in the document."""
    answer = await api.call("manager", "POST", "/v1/orders/checks", json=api.good(**change))
    assert answer.json()["type"] == (await api.order(**change)).json()["type"]


@pytest.mark.parametrize("scope", ["broker", "account", "instrument", "manager"])
async def test_a_halt_that_names_no_target_is_told_so(api: Api, scope: str) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    answer = await api.call("operations", "POST", "/v1/halts", json={"scope": scope, "reason": "시험"}, headers=headers)
    refusal(answer, 422, "validation-failed", "target")
    firm = {"scope": "firm", "target": "00991", "reason": "시험"}
    refusal(await api.call("operations", "POST", "/v1/halts", json=firm, headers=headers), 422, "validation-failed", "target")


@pytest.mark.parametrize("day", [0, 86400.0, 1795392000, "1795392000", "2026-11-01T00:00:00Z", "20261101"])
async def test_a_day_is_written_as_a_day(api: Api, day: Any) -> None:
    before = await api.business()
    body = {"client_id": nowhere(), "name": "시험", "starts_on": day}
    refusal(await api.call("operations", "POST", "/v1/mandates", json=body), 422, "validation-failed", "starts_on")
    assert await api.business() == before


@pytest.mark.parametrize(
    "since", ["0", "-1", "1795392000", "2026-11-23", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"]
)
async def test_an_instant_is_written_as_an_instant_that_utc_has(api: Api, since: str) -> None:
    refusal(await api.call("compliance", "GET", f"/v1/audit/entries?since={since}"), 422, "validation-failed", "since")


async def test_a_place_beyond_every_timeline_is_no_cursor(api: Api) -> None:
    order = (await api.order()).json()["id"]
    for number, status in ((2**31 - 1, 200), (2**31, 400)):
        cursor = paging.encode(paging.mark(f"/v1/orders/{order}/timeline", ()), str(number))
        assert (await api.call("manager", "GET", f"/v1/orders/{order}/timeline?cursor={cursor}")).status_code == status


async def test_every_failed_check_is_listed_not_the_first(api: Api) -> None:
    answer = await api.order(symbol=HALTED_CODE, price="91150", quantity=10**8)
    codes = {one["code"] for one in answer.json()["violations"]}
    assert codes >= {"instrument-halted", "price-off-tick", "price-above-limit", "insufficient-cash"}
    shapes = await api.order(side="up", quantity="many", price=1, colour="red")
    assert {one["field"] for one in shapes.json()["violations"]} == {"side", "quantity", "price", "colour"}


async def test_another_managers_account_looks_like_an_id_of_nothing(api: Api) -> None:
    before = await api.business()
    answers = [await api.order(account_id=one) for one in (str(api.world.other_account), nowhere())]
    shapes = [{**one.json(), "instance": ""} for one in answers]
    assert shapes[0] == shapes[1]
    assert {one.status_code for one in answers} == {404}
    assert sorted(answers[0].headers) == sorted(answers[1].headers)
    assert await api.business() == before


def _escaped(path: str, key: str) -> str:
    """A cursor of this list for a key no row can have."""
    return urlsafe_b64encode(json.dumps([paging.mark(path, ()), key]).encode()).decode().rstrip("=")


ADDRESSES = [
    ("/v1/orders/xyz", 422, "malformed-id"),
    ("/v1/orders/%00", 422, "malformed-id"),
    ("/v1/orders/..%2f..%2fetc%2fpasswd", 404, "not-found"),
    ("/v1/orders?limit=0", 422, "validation-failed"),
    ("/v1/orders?limit=501", 422, "validation-failed"),
    ("/v1/orders?limit=1e2", 422, "validation-failed"),
    ("/v1/orders?limit=1&limit=2", 422, "validation-failed"),
    ("/v1/orders?acount_id=x", 422, "unknown-field"),
    ("/v1/orders?account_id=x", 422, "validation-failed"),
    ("/v1/orders?isin=%00", 422, "validation-failed"),
    ("/v1/orders?status=", 422, "validation-failed"),
    ("/v1/orders?client_order_id=%ED%A0%80", 422, "validation-failed"),
    ("/v1/orders?business_date=2026-02-30", 422, "validation-failed"),
    ("/v1/orders?cursor=x", 400, "cursor-invalid"),
    ("/v1/orders?cursor=WyJ4Il0", 400, "cursor-invalid"),
    ("/v1/orders?cursor=" + "A" * 5000, 400, "cursor-invalid"),
    ("/v1/executions?cursor=%00", 400, "cursor-invalid"),
    ("/v1/instruments?cursor=" + _escaped("/v1/instruments", "\ud800"), 400, "cursor-invalid"),  # half a surrogate pair
    ("/v1/instruments?cursor=" + _escaped("/v1/instruments", "\x00"), 400, "cursor-invalid"),
    ("/v1/orders/", 404, "not-found"),
    ("/v1/orders?business_date=0", 422, "validation-failed"),
    ("/v1/orders?business_date=1795392000", 422, "validation-failed"),
    ("/v1/executions?business_date=2026-11-23T00:00:00", 422, "validation-failed"),
    ("/v1/accounts?broker=cyber", 422, "validation-failed"),
    ("/v1/instruments?name=%00", 422, "validation-failed"),
    ("/v1/instruments/%ff", 404, "not-found"),
    ("/v1/nothing", 404, "not-found"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status", "slug"), ADDRESSES, ids=[one[0][:50] for one in ADDRESSES])
async def test_an_address_that_is_not_one_of_ours(api: Api, path: str, status: int, slug: str) -> None:
    refusal(await api.call("manager", "GET", path), status, slug, None)


async def test_the_market_is_closed(api: Api) -> None:
    """Last in this file: the market does not go back."""
    await api.to("20:30")
    before = await api.business()
    refusal(await api.order(), 422, "session-closed", "session")
    refusal(await api.order(session="regular"), 422, "session-closed", "session")
    assert await api.business() == before
