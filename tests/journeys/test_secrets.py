"""P32: secrets pushed through every route and thrown back by a hostile platform never show, in any of their spellings."""

import asyncio
import base64
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.infra import failpoints
from service.infra.postgres import EmbeddedPostgres
from service.wiring import assemble
from service.worker import Worker
from tests.journeys.conftest import DATA_KEY, Api, fresh_database, nowhere, open_house, platform
from tests.makers import make_world
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CI = base64.b64encode(bytes(range(100, 164))).decode()
API_KEY, API_SECRET = "canary-api-key-5f2e", "canary-secret-9a7c~x&y"
BASIC = base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()
NUMBER = "1234567890"


def evil() -> Starlette:
    """A platform that fails and throws back all it was sent: headers, body and address, in each of its error formats."""
    count = 0

    async def throw_back(request: Request) -> Response:
        nonlocal count
        count += 1
        echo = f"{dict(request.headers)} {request.url} {(await request.body()).decode()}"
        bodies: list[tuple[int, str, str]] = [
            (500, "application/json", json.dumps({"category": "op-apim", "code": 3999, "message": echo})),
            (401, "application/json", json.dumps({"message": echo})),
            (200, "application/json", json.dumps({"respCode": "500", "respMsg": echo})),
            (200, "text/html", f"<html>{echo}</html>"),
            (302, "text/plain", echo),
            (500, "application/json", json.dumps({"error": {"code": 2001, "message": echo}})),
        ]
        status, kind, body = bodies[count % len(bodies)]
        return Response(body, status, media_type=kind, headers={"Location": f"http://127.0.0.1:1/{quote(echo[:500])}"})

    return Starlette(routes=[Route("/{path:path}", throw_back, methods=["GET", "POST"])])


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[Api]:
    """A house whose platform is hostile; its clock is the sandbox's."""
    async with fresh_database(postgres, template) as urls, platform() as sandbox, serving(evil()) as hostile:
        world = await make_world(urls.superuser)
        settings = {
            "ILIM_KOSCOM_BASE_URL": hostile,
            "ILIM_KOSCOM_ORDER_URL": hostile,
            "ILIM_KOSCOM_STREAM_URL": hostile.replace("http", "ws") + "/v1/order/stream",
            "ILIM_KOSCOM_API_KEY": API_KEY,
            "ILIM_KOSCOM_SECRET": API_SECRET,
        }
        async with open_house(urls, sandbox, world, **settings) as house:
            yield house


def canaries(api: Api) -> dict[str, str]:
    password = urlsplit(api.urls.app).password
    worker_password = urlsplit(api.urls.worker).password
    assert password
    assert worker_password
    return {
        "the caller's key": api.keys["manager"],
        "another caller's key": api.keys["operations"],
        "ci": CI,
        "the platform's key": API_KEY,
        "the platform's secret": API_SECRET,
        "the Basic header": BASIC,
        "account number": NUMBER,
        "data key": base64.b64encode(DATA_KEY).decode(),
        "data key, raw": DATA_KEY.hex(),
        "password of the database": password,
        "password of the worker": worker_password,
    }


def spellings(secret: str) -> set[str]:
    """Plain, quoted for an address, escaped for JSON, as hexadecimal, and as base64 at each of its three alignments."""
    raw = secret.encode()
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1], raw.hex()}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        middle = whole[4 if shift else 0 : -4]  # what surrounds it changes only the ends
        forms |= {middle, middle.replace("+", "-").replace("/", "_")}
    return {one for one in forms if len(one) >= 8}


def shown(text: str, api: Api) -> list[str]:
    return [what for what, secret in canaries(api).items() if any(form in text for form in spellings(secret))]


async def test_the_spellings_find_what_is_hidden() -> None:
    """The net itself, tested: a secret inside something that was encoded as a whole is found."""
    for before in ("", "a", "ab", "abc"):
        hidden = base64.b64encode(f"{before}{API_SECRET} and more".encode()).decode()
        assert any(form in hidden for form in spellings(API_SECRET))


PLACES = ("account_id", "symbol", "side", "price", "client_order_id", "quantity", "no_such_field")


async def test_p32_secrets_sent_to_the_wrong_place_are_not_repeated(api: Api) -> None:
    said: list[tuple[str, str]] = []
    for secret in canaries(api).values():
        quoted = quote(secret, safe="")
        for place in PLACES:
            answer = await api.order(**{place: secret + "\x00"})  # nowhere taken: what is taken is the caller's to see again
            assert answer.status_code == 422
            said.append((place, answer.text))
        for path in (f"/v1/orders/{quoted}", f"/v1/instruments/{quoted}", f"/v1/{quoted}"):
            said.append((path, (await api.call("manager", "GET", path)).text))
        for query in ("cursor", "isin", "limit", "status"):
            said.append((query, (await api.call("manager", "GET", "/v1/orders", params={query: secret})).text))
        for header in ("Idempotency-Key", "Prefer", "Content-Type", "Authorization"):
            who = None if header == "Authorization" else "manager"
            headers = {"Idempotency-Key": nowhere(), header: secret}
            said.append((header, (await api.call(who, "POST", "/v1/orders", content=b"{}", headers=headers)).text))
        for ci in (secret + "!", [secret]):
            said.append(("ci", (await api.call("operations", "POST", "/v1/clients", json={"name": "가상", "ci": ci})).text))
    assert [(where, found) for where, text in said if (found := shown(text, api))] == []
    log = api.log.getvalue().decode()
    assert log.count("http.answered") > 200
    assert shown(log, api) == []


async def test_p32_a_ci_goes_in_and_never_comes_out(api: Api) -> None:
    client = await api.call("operations", "POST", "/v1/clients", json={"name": "가상 홍길동", "ci": CI})
    assert client.status_code == 201
    path = f"/v1/clients/{client.json()['id']}"
    texts = [client.text, (await api.call("operations", "GET", path)).text]
    for _ in range(6):  # every format of the hostile platform
        answer = await api.client.post(f"{path}/linkage", headers={"Authorization": f"Bearer {api.keys['operations']}"})
        assert answer.status_code == 503
        texts.append(answer.text)
    texts.append((await api.call("compliance", "GET", "/v1/audit/entries", params={"limit": 500})).text)
    assert [found for text in texts if (found := shown(text, api))] == []
    assert shown(api.log.getvalue().decode(), api) == []
    stored = await api.rows("select ci from client where ci is not null")
    assert CI.encode() not in stored[0]["ci"]


async def test_p32_a_platform_that_throws_secrets_back_is_not_quoted(api: Api) -> None:
    answers = [
        await api.call("operations", "POST", "/v1/accounts/synchronizations", json={"openings": True}),
        await api.call("operations", "POST", "/v1/instruments/synchronizations"),
        await api.order(client_order_id="thrown-back"),
    ]
    assert [one.status_code for one in answers] == [200, 200, 201]

    async def deaf() -> bool:
        return "koscom.stream_lost" in api.log.getvalue().decode()

    settings = api.settings
    async with assemble(settings, url=settings.database_worker_url, process="worker") as wiring:
        worker = Worker(wiring)
        while await worker.sender.send_some():  # before the stream is found to be dead: after that nothing new goes out
            pass
        await worker.sender.finish()
        running = asyncio.create_task(worker.run())
        try:
            await until(deaf, 20)
        finally:
            worker.stopping.set()
            await running
    states = await api.rows("select state from order_request")
    assert {one["state"] for one in states} <= {"unknown", "refused"}, "the hostile platform was asked"
    for path in ("/v1/orders", "/v1/status", "/v1/executions", f"/v1/orders/{answers[2].json()['id']}"):
        answers.append(await api.call("operations", "GET", path))
    answers.append(await api.call("manager", "GET", "/v1/accounts"))
    answers.append(await api.call("compliance", "GET", "/v1/audit/entries", params={"limit": 500}))
    answers.append(await api.call(None, "GET", "/metrics"))
    answers.append(await api.call(None, "GET", "/readyz"))
    assert [(one.request.url.path, found) for one in answers if (found := shown(one.text, api))] == []
    log = api.log.getvalue().decode()
    assert shown(log, api) == []


async def test_p32_an_exception_that_carries_a_secret_says_nothing(api: Api) -> None:
    dsn = api.urls.app

    def fail() -> None:
        raise RuntimeError(f"cannot reach {dsn} with {base64.b64encode(DATA_KEY).decode()} as password={API_SECRET}")

    failpoints.arm("submit.before_commit", fail)
    try:
        answer = await api.client.post(
            "/v1/orders",
            json=api.good(quantity=7),
            headers={"Authorization": f"Bearer {api.keys['manager']}", "Idempotency-Key": nowhere()},
        )
    finally:
        failpoints.disarm()
    assert answer.status_code == 500, answer.text
    assert "RuntimeError" not in answer.text
    assert shown(answer.text, api) == []
    log = api.log.getvalue().decode()
    assert "RuntimeError" in log
    password = urlsplit(dsn).password
    assert password
    assert password not in log
    assert API_SECRET not in log


async def test_each_log_line_is_one_json_object_with_its_request_id(api: Api) -> None:
    given = "journey-7"
    await api.order(headers={"X-Request-Id": given}, quantity=8, rationale="line one\nline two\u2028\u202e end")
    lines = [json.loads(line) for line in api.log.getvalue().decode().splitlines()]
    assert given in [one.get("request_id") for one in lines]
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028\u202e]", api.log.getvalue().decode())
