"""Around a request: ids, sizes, security headers, problems, and the last net for errors."""

import re
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from service.core.errors import Busy, Conflict, Invalid, ServiceError, Unauthenticated, Unavailable, Violation
from service.core.principal import Principal, Role
from service.infra import problems
from service.infra.caller import Caller, require
from service.infra.http import SECURITY_HEADERS, Front
from service.infra.metrics import REGISTRY
from service.infra.problem_catalogue import CATALOGUE
from service.infra.problem_document import problem_responses
from service.infra.problems import STATUS

KIM = Principal(UUID(int=1), "kim", frozenset({Role.MANAGER}))


class Leg(BaseModel):
    model_config = ConfigDict(extra="forbid")
    isin: str
    quantity: int = Field(gt=0)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    account: str
    leg: Leg


router = APIRouter()
RAISES: dict[str, Exception] = {
    "conflict": Conflict("conflict", "not now", extra={"request": "r-1", "status": "hidden"}),
    "invalid": Invalid("validation-failed", "two rules", violations=(Violation("a", "x", "m", "1", "2"),)),
    "busy": Busy("too-many-requests", "later", extra={"retry_after_seconds": 7}),
    "unavailable": Unavailable("unavailable", "not there"),
    "http": HTTPException(415, "send JSON"),
    "bug": RuntimeError("postgresql://u:canary@db"),
}


@router.post("/v1/orders", responses=problem_responses("validation-failed", "list-orders-not-supported"))
async def take(order: Order) -> Order:
    return order


@router.get("/v1/orders")
async def find(limit: Annotated[int, Field(le=500)] = 50) -> int:
    return limit


@router.post("/v1/clients")
async def take_client(leg: Leg) -> Leg:
    return leg


@router.delete("/v1/orders/{one}")
async def withdraw(one: UUID) -> UUID:
    return one


@router.get("/raise/{name}")
async def fail(name: str) -> None:
    raise RAISES[name]


@router.get("/me")
async def me(caller: Caller) -> str:
    return caller.name


@router.get("/halts")
async def halts(caller: Annotated[Principal, require(Role.OPERATIONS, Role.COMPLIANCE)]) -> str:
    return caller.name


async def authenticate(token: str) -> Principal:
    if token == "key-of-kim":
        return KIM
    raise Unauthenticated("authentication-required", "This key is not known.")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.add_middleware(Front, max_body_bytes=1000)
    problems.install(app, array_slugs={"/v1/orders": "list-orders-not-supported"})
    app.include_router(router)
    app.state.authenticate = authenticate
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ilim") as made:
        yield made


def a_problem(answer: httpx.Response, slug: str, status: int) -> dict[str, object]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    said: dict[str, object] = answer.json()
    assert said["type"] == f"/problems/{slug}"
    assert (said["status"], said["instance"]) == (status, answer.headers["x-request-id"])
    assert said["title"] == CATALOGUE[slug].title
    return said


# --- request ids, headers, sizes -----------------------------------------------------------------------------------------


async def test_a_request_id_is_kept_when_plain_and_replaced_when_not(client: httpx.AsyncClient) -> None:
    kept = await client.get("/v1/orders", headers={"X-Request-Id": "desk-7:order.3"})
    assert kept.headers["x-request-id"] == "desk-7:order.3"
    for odd in ("a" * 65, "a b", "x\u00e9", '{"a":1}', ""):
        answer = await client.get("/v1/orders", headers=[(b"X-Request-Id", odd.encode("latin-1"))])
        assert UUID(answer.headers["x-request-id"]).version == 7


async def test_every_answer_has_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/v1/orders", "/raise/bug", "/nowhere", "/problems"):
        headers = (await client.get(path)).headers
        assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_a_body_that_says_it_is_too_long_is_not_read(client: httpx.AsyncClient) -> None:
    a_problem(await client.post("/v1/orders", content=b"x" * 1001), "body-too-large", 413)


async def test_a_body_that_says_nothing_is_counted(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    a_problem(await client.post("/v1/orders", content=endless()), "body-too-large", 413)


async def test_requests_are_measured_by_route_not_by_path(client: httpx.AsyncClient) -> None:
    one = uuid4()
    await client.delete(f"/v1/orders/{one}")
    labels = {"method": "DELETE", "route": "/v1/orders/{one}", "status": "200"}
    assert (REGISTRY.get_sample_value("ilim_http_request_seconds_count", labels) or 0) >= 1
    assert REGISTRY.get_sample_value("ilim_http_requests_in_flight") == 0


# --- problems ------------------------------------------------------------------------------------------------------------


async def test_a_refusal_brings_its_members_and_never_hides_the_standard_ones(client: httpx.AsyncClient) -> None:
    said = a_problem(await client.get("/raise/conflict"), "conflict", 409)
    assert (said["detail"], said["request"], said["status"]) == ("not now", "r-1", 409)


async def test_violations_carry_their_figures(client: httpx.AsyncClient) -> None:
    said = a_problem(await client.get("/raise/invalid"), "validation-failed", 422)
    assert said["violations"] == [{"code": "a", "field": "x", "message": "m", "limit": "1", "actual": "2"}]


@pytest.mark.parametrize(("name", "slug", "status", "seconds"), [
    ("busy", "too-many-requests", 429, "7"), ("unavailable", "unavailable", 503, "1"),
])  # fmt: skip
async def test_a_limit_says_when_to_come_again(
    client: httpx.AsyncClient, name: str, slug: str, status: int, seconds: str
) -> None:
    answer = await client.get(f"/raise/{name}")
    a_problem(answer, slug, status)
    assert answer.headers["retry-after"] == seconds


async def test_a_bug_says_little_outside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/raise/bug")
    a_problem(answer, "internal-error", 500)
    assert not re.search("canary|postgres|Traceback|RuntimeError", answer.text)


async def test_every_violation_is_listed_by_its_path_and_without_the_value(client: httpx.AsyncClient) -> None:
    body = {"leg": {"isin": 5, "quantity": 0, "ci": "canary"}, "colour": "red"}
    answer = await client.post("/v1/orders", json=body)
    said = a_problem(answer, "validation-failed", 422)
    listed = {(each["code"], each["field"]) for each in said["violations"]}  # type: ignore[attr-defined]
    assert listed == {
        ("required", "account"), ("string-type", "leg.isin"), ("greater-than", "leg.quantity"),
        ("unknown-field", "leg.ci"), ("unknown-field", "colour"),
    }  # fmt: skip
    assert "canary" not in answer.text


async def test_parameters_are_named_too(client: httpx.AsyncClient) -> None:
    said = a_problem(await client.get("/v1/orders?limit=501"), "validation-failed", 422)
    assert said["violations"][0]["field"] == "limit"  # type: ignore[index]


async def test_an_array_where_an_object_is_due(client: httpx.AsyncClient) -> None:
    a_problem(await client.post("/v1/orders", json=[{}]), "list-orders-not-supported", 422)
    a_problem(await client.post("/v1/clients", json=[{}]), "object-expected", 422)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"nonsense"])
async def test_what_is_no_json(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_hears_of_every_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/orders")
    a_problem(answer, "method-not-allowed", 405)
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}
    assert "DELETE" not in answer.headers["allow"]


async def test_nowhere_is_a_problem_as_well(client: httpx.AsyncClient) -> None:
    a_problem(await client.get("/nowhere"), "not-found", 404)
    a_problem(await client.get("/raise/http"), "unsupported-media-type", 415)


@pytest.mark.parametrize("slug", CATALOGUE)
async def test_every_problem_has_a_page(client: httpx.AsyncClient, slug: str) -> None:
    page = await client.get(f"/problems/{slug}")
    assert page.status_code == 200
    assert CATALOGUE[slug].title.split("'")[0] in page.text
    assert f"/problems/{slug}" in (await client.get("/problems")).text


async def test_a_page_of_no_problem_is_not_found_and_echoes_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problems/<script>")
    a_problem(answer, "not-found", 404)
    assert "script" not in answer.text


def test_every_kind_of_refusal_has_a_number() -> None:
    assert set(ServiceError.__subclasses__()) == set(STATUS)


async def test_openapi_describes_problems_and_nothing_of_fastapis_own(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in str(document)
    answers = document["paths"]["/v1/orders"]["post"]["responses"]
    assert set(answers["422"]["content"]["application/problem+json"]["examples"]) >= {"list-orders-not-supported"}
    assert {"500", "503"} <= set(answers)
    assert "422" in document["paths"]["/v1/orders"]["get"]["responses"]


# --- callers ---------------------------------------------------------------------------------------------------------------


async def test_a_known_bearer_is_somebody(client: httpx.AsyncClient) -> None:
    assert (await client.get("/me", headers={"Authorization": "Bearer key-of-kim"})).json() == "kim"


@pytest.mark.parametrize("header", [None, "Basic a2V5", "Bearer", "Bearer ", "Bearer " + "x" * 8193, "Bearer other"])
async def test_anything_else_is_asked_who_it_is(client: httpx.AsyncClient, header: str | None) -> None:
    answer = await client.get("/me", headers={} if header is None else {"Authorization": header})
    a_problem(answer, "authentication-required", 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_role_that_is_missing_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/halts", headers={"Authorization": "Bearer key-of-kim"})
    assert a_problem(answer, "role-required", 403)["detail"] == "This call needs the role compliance or operations."
