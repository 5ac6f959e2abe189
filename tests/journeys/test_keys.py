"""Who is let in: a key that is no key any more, or never was one, is refused like any other text."""

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from service.core.clock import real_now
from service.core.principal import Role
from service.people.create_user import create_user
from tests.journeys.conftest import Api, key_of
from tests.makers import fetch

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def someone(api: Api, name: str) -> UUID:
    made = await create_user(transaction=api.wiring.transaction, name=name, roles=[Role.COMPLIANCE])
    return made.id


async def entry(api: Api, token: str) -> tuple[int, dict[str, Any], str | None, list[str]]:
    """What a token meets, without what differs by nature."""
    answer = await api.call(None, "GET", "/v1/orders", headers={"Authorization": f"Bearer {token}".encode()})
    said = answer.json() | {"instance": ""} if answer.status_code != 200 else {}
    return answer.status_code, said, answer.headers.get("WWW-Authenticate"), sorted(answer.headers)


def segment(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def forged(real: str) -> dict[str, str]:
    """Texts that are no key, most of them close to one."""
    mark, prefix, secret = real.split("_", 2)
    claims = {"iss": "ilim", "sub": "administrator", "roles": ["administrator"], "exp": 4102444800}
    return {
        "garbage": "garbage",
        "one character": "x",
        "last character changed": real[:-1] + ("A" if real[-1] != "A" else "B"),
        "first character of the secret changed": f"{mark}_{prefix}_{'A' if secret[0] != 'A' else 'B'}{secret[1:]}",
        "one character short": real[:-1],
        "one character more": real + "A",
        "padding": real + "=",
        "upper case": real.upper(),
        "another mark": real.replace("ilim_", "ILIM_"),
        "no secret": f"{mark}_{prefix}_",
        "no prefix": f"{mark}__{secret}",
        "prefix and secret swapped": f"{mark}_{secret}_{prefix}",
        "prefix only": prefix,
        "secret only": secret,
        "unknown prefix": f"{mark}_{prefix[::-1]}_{secret}",
        "a wildcard": f"{mark}_{'%' * 12}_{secret}",
        "an injection": f"{mark}_' or ''='' --_{secret}",
        "twice": real + real,
        "twice with a comma": f"{real},{real}",
        "as JSON": json.dumps(real),
        "as base64": base64.b64encode(real.encode()).decode(),
        "not ASCII": f"{mark}_{prefix}_" + "é" * 43,
        "full width": real.replace("ilim", "ｉｌｉｍ"),
        "a JWT without signature": f"{segment({'alg': 'none'})}.{segment(claims)}.",
        "a JWT signed by nobody we know": f"{segment({'alg': 'HS256'})}.{segment(claims)}.{'A' * 43}",
        "a JWT that brings its own key": f"{segment({'alg': 'RS256', 'jku': 'http://127.0.0.1/'})}.{segment(claims)}.{'A' * 43}",
        "long": "ilim_" + "a" * 8000,
        "null": "null",
        "the id of a user": "00000000-0000-0000-0000-000000000000",
    }


async def test_revoked_expired_inactive_and_forged_are_refused_alike(api: Api) -> None:
    administrator = "administrator"
    revoked_of, expired_of, inactive_of = [await someone(api, name) for name in ("revoked", "expired", "inactive")]
    issued = await api.call(administrator, "POST", "/v1/api-keys", json={"user_id": str(revoked_of)})
    revoked = issued.json()["token"]
    expired = await key_of(api, expired_of)
    past = real_now() - timedelta(seconds=1)
    await fetch(api.urls.superuser, "update api_key set expires_at = $1 where user_id = $2", past, expired_of)
    inactive = await key_of(api, inactive_of)
    assert (await entry(api, revoked))[0] == 200
    assert (await entry(api, inactive))[0] == 200
    assert (await api.call(administrator, "DELETE", f"/v1/api-keys/{issued.json()['id']}")).status_code == 200
    assert (await api.call(administrator, "PATCH", f"/v1/users/{inactive_of}", json={"active": False})).status_code == 200
    before = await api.business()
    texts = {"revoked": revoked, "expired": expired, "inactive": inactive, **forged(api.keys["compliance"])}
    assert len(texts) > 25
    met = {what: await entry(api, token) for what, token in texts.items()}
    assert {status for status, *_ in met.values()} == {401}
    different = [what for what, said in met.items() if said != met["revoked"]]
    assert different == []
    assert met["revoked"][2] == "Bearer"
    assert await api.business() == before


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dTpw", "bearer", "Token x", "Bearer\t", "Bearer " + "a" * 9000]
)
async def test_no_key_at_all(api: Api, header: str) -> None:
    answer = await api.call(None, "GET", "/v1/orders", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/authentication-required")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_role_taken_away_holds_on_the_next_call_under_the_same_key(api: Api) -> None:
    user = await someone(api, "demoted")
    api.keys["demoted"] = await key_of(api, user)
    assert (await api.call("demoted", "GET", "/v1/audit/entries")).status_code == 200
    changed = await api.call("administrator", "PATCH", f"/v1/users/{user}", json={"roles": ["approver"]})
    assert changed.status_code == 200
    assert (await api.call("demoted", "GET", "/v1/audit/entries")).status_code == 403


async def test_a_key_is_not_taken_from_the_address_or_a_cookie(api: Api) -> None:
    key = api.keys["compliance"]
    assert (await api.call(None, "GET", "/v1/orders", headers={"Cookie": f"Authorization={key}"})).status_code == 401
    in_address = await api.call(None, "GET", "/v1/orders", params={"access_token": key})
    assert in_address.status_code == 422
    assert key not in in_address.text
