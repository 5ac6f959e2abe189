"""A halt as the people of the house meet it: over HTTP, with the answer a caller can act on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from service.core.clock import stand_in
from service.core.principal import Role
from service.people.create_user import create_user
from tests.journeys.conftest import Api, key_of, nowhere

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def another(api: Api) -> str:
    """A second person of operations."""
    made = await create_user(transaction=api.wiring.transaction, name="ops-lee", roles=[Role.OPERATIONS])
    api.keys["another"] = await key_of(api, made.id)
    return "another"


async def press(api: Api, **changed: Any) -> Any:
    body = {"scope": "firm", "reason": "평가 오류 확인 중"} | changed
    return await api.call("operations", "POST", "/v1/halts", json=body, headers={"Idempotency-Key": str(uuid4())})


async def test_p15_a_halt_from_its_setting_to_its_release(api: Api, another: str) -> None:
    pressed = await press(api)
    assert (pressed.status_code, pressed.json()["under_way"]) == (201, [])
    path = f"/v1/halts/{pressed.json()['id']}"
    refused = await api.order()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/halted")
    standing = (await api.call("compliance", "GET", "/v1/halts", params={"standing": True})).json()["items"]
    assert [one["id"] for one in standing] == [pressed.json()["id"]]
    mine = await api.call("operations", "DELETE", path, params={"reason": "over"})
    assert (mine.status_code, mine.json()["type"]) == (409, "/problems/halt-own-release")
    done = await api.call(another, "DELETE", path, params={"reason": "checked"})
    assert (done.status_code, done.json()["release_reason"]) == (200, "checked")
    assert (await api.order()).status_code == 201


WRONG: dict[str, dict[str, Any]] = {
    "firm-with-target": {"target": "00991"},
    "broker-without-target": {"scope": "broker"},
    "unknown-scope": {"scope": "planet"},
    "blank-reason": {"reason": "  "},
    "control-character": {"reason": "a\x00b"},
    "unknown-field": {"until": "tomorrow"},
    "unknown-broker": {"scope": "broker", "target": "00000"},
    "unknown-account": {"scope": "account", "target": nowhere()},
    "no-id": {"scope": "manager", "target": "kim"},
}


@pytest.mark.parametrize("name", list(WRONG))
async def test_p15_a_halt_that_is_not_clear_halts_nothing(api: Api, name: str) -> None:
    before = await api.business()
    assert (await press(api, **WRONG[name])).status_code == 422
    assert await api.business() == before


async def test_p15_a_halt_nobody_set_is_not_there(api: Api, another: str) -> None:
    answer = await api.call(another, "DELETE", f"/v1/halts/{nowhere()}", params={"reason": "x"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/halt-not-found")


async def test_p18_while_the_stream_is_away_orders_are_taken_briefly_then_answered_with_when_to_come_back(api: Api) -> None:
    """Not stored: the same key makes its order once the stream is seen again."""
    kept = await api.order(quantity=7)
    await api.rows("update stream_gate set open = false, since = now()")
    assert (await api.order()).status_code == 201  # a reconnect takes no longer than this may wait
    await api.rows("update stream_gate set since = now() - interval '9 s'")
    transport: Any = api.client
    sent = {"Idempotency-Key": str(uuid4()), "Authorization": f"Bearer {api.keys['manager']}"}
    away = await transport.post("/v1/orders", json=api.good(), headers=sent)
    path = f"/v1/orders/{kept.json()['id']}"
    amend = await transport.post(f"{path}/amendments", json={"quantity": 3}, headers=sent | {"Idempotency-Key": str(uuid4())})
    for answer in (away, amend):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/stream-blind")
        assert int(answer.headers["Retry-After"]) > 0
    cancelled = await api.call("manager", "POST", f"{path}/cancellations", headers={"Idempotency-Key": str(uuid4())})
    assert cancelled.status_code == 201
    await api.rows("update stream_gate set open = true")
    assert (await transport.post("/v1/orders", json=api.good(), headers=sent)).status_code == 201


async def test_row_19_while_the_clocks_are_apart_an_order_is_answered_with_when_to_come_back(api: Api) -> None:
    transport: Any = api.client
    sent = {"Idempotency-Key": str(uuid4()), "Authorization": f"Bearer {api.keys['manager']}"}
    try:
        stand_in(wall=lambda: datetime.now(UTC) + timedelta(seconds=20))
        away = await transport.post("/v1/orders", json=api.good(), headers=sent)
        part = (await api.call("manager", "GET", "/v1/status")).json()["clock"]
    finally:
        stand_in()
    assert (away.status_code, away.json()["type"]) == (503, "/problems/clock-wrong")
    assert int(away.headers["Retry-After"]) > 0
    assert (part["ok"], part["ahead_ms"] // 10_000) == (False, 2)
    assert (await transport.post("/v1/orders", json=api.good(), headers=sent)).status_code == 201
    assert (await api.call("manager", "GET", "/v1/status")).json()["clock"]["ok"]


async def test_p20_a_locked_broker_is_on_the_status_page_until_a_person_releases_it(api: Api) -> None:
    await api.rows(
        "insert into broker_lock (id, broker, since, message, field, what)"
        " values (gen_random_uuid(), '00991', now(), 'report', 'CumQty', 'missing-field')"
    )
    shown = (await api.call("manager", "GET", "/v1/status")).json()["brokers"]
    assert (shown["ok"], shown["locked"][0]["field"]) == (False, "CumQty")
    refused = await api.order()
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/broker-drift")
    (lock,) = (await api.call("operations", "GET", "/v1/broker-locks", params={"standing": True})).json()["items"]
    done = await api.call("operations", "DELETE", f"/v1/broker-locks/{lock['id']}", params={"reason": "profile mended"})
    assert (done.status_code, done.json()["release_reason"]) == (200, "profile mended")
    assert (await api.call("manager", "GET", "/v1/status")).json()["brokers"]["ok"]
    missing = await api.call("operations", "DELETE", f"/v1/broker-locks/{nowhere()}", params={"reason": "x"})
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/lock-not-found")
    assert (await api.order()).status_code == 201


async def test_p15_a_halt_is_on_the_status_page_without_whom_it_names(api: Api, another: str) -> None:
    account = str(api.world.account)
    pressed = await press(api, scope="account", target=account)
    said = await api.call("stranger", "GET", "/v1/status")
    assert [one["scope"] for one in said.json()["halts"]["standing"]] == ["account"]
    assert account not in said.text
    await api.call(another, "DELETE", f"/v1/halts/{pressed.json()['id']}", params={"reason": "over"})
    assert (await api.call("manager", "GET", "/v1/status")).json()["halts"] == {"ok": True, "standing": []}
