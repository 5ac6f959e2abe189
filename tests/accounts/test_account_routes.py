"""Over HTTP: what each caller sees of accounts, clients, mandates, users and instruments."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from service.accounts import store
from service.accounts.model import Statement
from service.accounts.routes import router as accounts
from service.accounts.rules import document_of
from service.audit.evidence import Vault
from service.core.clock import ManualClock
from service.core.errors import Unauthenticated
from service.core.ids import uuid7
from service.core.principal import Principal, Role
from service.infra import problems
from service.infra.db import Books, Database
from service.mandates.routes import router as mandates
from service.market.routes import router as market
from service.people.routes import router as people
from tests.accounts.books import SAMSUNG, SEEN, Book, make_account
from tests.accounts.platform import Platform, balance, cash_row, holding_row

NOBODY = "01a1fc87-0000-7000-8000-000000000000"  # fixed: test processes must name their cases alike

CI = "A" * 86 + "=="


@dataclass
class House:
    """The routes of these slices and a caller who may change hats."""

    client: httpx.AsyncClient
    callers: dict[str, Principal]
    platform: Platform
    licensed: list[bool] = field(default_factory=lambda: [True])

    async def call(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path, headers={"Authorization": f"Bearer {who}"}, **more)


@pytest.fixture
async def house(database: Database, clock: ManualClock, book: Book) -> AsyncIterator[House]:
    callers = {role.value: Principal(uuid7(), role.value, frozenset({role})) for role in Role}
    callers["manager"] = Principal(book.manager_id, "manager", frozenset({Role.MANAGER}))
    callers["stranger"] = Principal(book.stranger_id, "stranger", frozenset({Role.MANAGER}))
    platform, licensed = Platform(), [True]
    app = FastAPI()
    for router in (accounts, mandates, market, people):
        app.include_router(router)
    problems.install(app)

    async def authenticate(token: str) -> Principal:
        if token not in callers:
            raise Unauthenticated("authentication-required", "unknown")
        return callers[token]

    app.state.authenticate = authenticate
    app.state.wiring = SimpleNamespace(
        transaction=database.transaction,
        clock=clock,
        gateway=platform,
        vault=Vault(b"k" * 32),
        pepper=b"p" * 32,
        brokers=("00991",),
        settings=SimpleNamespace(licence_valid=lambda _day: licensed[0]),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ilim") as client:
        yield House(client, callers, platform, licensed)


@pytest.mark.parametrize(
    "path", ["/v1/accounts/{account}", "/v1/accounts/{account}/balance", "/v1/mandates/{mandate}", "/v1/clients/{client}"]
)
async def test_another_managers_book_looks_like_nothing(house: House, book: Book, path: str) -> None:
    """BOLA: the same answer as for an id that does not exist."""
    real = path.format(account=book.account.id, mandate=book.mandate_id, client=book.client_id)
    nowhere = path.format(account=uuid7(), mandate=uuid7(), client=uuid7())
    assert (await house.call("manager", "GET", real)).status_code == 200
    assert (await house.call("compliance", "GET", real)).status_code == 200
    foreign, absent = await house.call("stranger", "GET", real), await house.call("stranger", "GET", nowhere)
    assert (foreign.status_code, foreign.json()) == (404, absent.json())


@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/mandates", "/v1/clients"])
async def test_lists_hold_only_what_the_caller_may_see(house: House, path: str) -> None:
    found = {who: len((await house.call(who, "GET", path)).json()["items"]) for who in ("manager", "stranger", "compliance")}
    assert found == {"manager": 1, "stranger": 0, "compliance": 1}


async def test_p32_numbers_are_masked_unless_the_role_may_see_them(house: House, book: Book) -> None:
    number = book.account.number.reveal()
    for who, clear in (("manager", False), ("approver", False), ("compliance", True), ("operations", True)):
        answer = await house.call(who, "GET", f"/v1/accounts/{book.account.id}")
        assert (number in answer.text) is clear
        assert answer.json()["mandate_id"] == str(book.mandate_id)


async def test_p28_every_look_up_is_in_the_ledger(house: House, book: Book, database: Database) -> None:
    await house.call("manager", "GET", f"/v1/accounts/{book.account.id}/balance")
    await house.call("compliance", "GET", f"/v1/clients/{book.client_id}")
    await house.call("stranger", "GET", "/v1/accounts")
    await house.call("manager", "GET", "/v1/mandates")
    await house.call("compliance", "GET", f"/v1/mandates/{book.mandate_id}")
    async with database.transaction() as connection:
        kinds = (await connection.execute(text("select kind from audit.record order by arrived"))).scalars().all()
    assert kinds == ["balance.viewed", "client.viewed", "account.listed", "mandate.listed", "mandate.viewed"]


async def test_p22_both_sides_and_the_difference(house: House, book: Book, database: Database) -> None:
    document = document_of([balance("1", (cash_row(9_000_000),), holding_row(90, SAMSUNG, cost=6_300_000))], [], None)
    statement = Statement(uuid7(), book.account.id, "balance", SEEN, True, document, ())
    async with database.transaction(books=Books.ALL) as connection:
        await store.add_statement(connection, statement)
    body = (await house.call("manager", "GET", f"/v1/accounts/{book.account.id}/balance")).json()
    assert body["ours"]["holdings"][0] == {
        "isin": SAMSUNG, "quantity": 100, "sellable": 100, "settled": None, "average_cost": "70000",
    }  # fmt: skip
    assert body["ours"]["cash"]["orderable"] == "10000000"
    assert body["ours"]["ladder_dates"] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert body["brokers"]["taken_at"] is not None
    differing = {one["item"]: one["difference"] for one in body["differences"]}
    assert differing == {SAMSUNG: "10", "cash_today": "1000000", "cash_after_settlement": "1000000"}


async def test_pages_are_stable_while_accounts_are_added(house: House, book: Book, database: Database) -> None:
    async def add(number: int) -> UUID:
        account = make_account(f"9{number}")
        async with database.transaction(books=Books.ALL) as connection:
            await store.add_account(connection, account)
        return account.id

    wanted = [book.account.id, *[await add(number) for number in range(4)]]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await house.call("operations", "GET", "/v1/accounts", params=query)).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if len(seen) == 2:
            wanted.append(await add(99))
    assert seen == [str(one) for one in sorted(wanted)]


@pytest.mark.parametrize("cursor", ["x", "eyJhIjoxfQ", "WyJ4Il0", "한글", "WzFd", "W10"])
@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/clients", "/v1/mandates"])
async def test_a_foreign_cursor_is_refused(house: House, path: str, cursor: str) -> None:
    assert (await house.call("operations", "GET", path, params={"cursor": cursor})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/accounts/synchronizations", {"operations"}),
        ("POST", "/v1/instruments/synchronizations", {"operations"}),
        ("POST", "/v1/clients", {"operations", "administrator"}),
        ("POST", "/v1/mandates", {"operations", "administrator"}),
        ("PATCH", f"/v1/mandates/{NOBODY}", {"operations", "administrator"}),
        ("POST", f"/v1/clients/{NOBODY}/linkage", {"operations", "administrator"}),
        ("POST", "/v1/users", {"administrator"}),
        ("GET", "/v1/users", {"administrator"}),
        ("PATCH", f"/v1/users/{NOBODY}", {"administrator"}),
        ("POST", "/v1/api-keys", {"administrator"}),
        ("GET", "/v1/api-keys", {"administrator"}),
        ("DELETE", f"/v1/api-keys/{NOBODY}", {"administrator"}),
    ],
)
async def test_the_role_matrix(house: House, method: str, path: str, allowed: set[str]) -> None:
    house.licensed[0] = False  # far enough: what is allowed must not reach the platform here
    let_in = set()
    for role in Role:
        if role.value in allowed and path.startswith("/v1/instruments"):
            let_in.add(role.value)  # would ask the platform: covered elsewhere
            continue
        answer = await house.call(role.value, method, path)
        if answer.status_code != 403 or answer.json()["type"] == "/problems/licence-required":
            let_in.add(role.value)
    assert let_in == allowed
    assert (await house.client.request(method, path)).status_code == 401


async def test_a_client_and_a_mandate_from_nothing(house: House, book: Book) -> None:
    body = {"name": "김철수", "kind": "individual", "ci": CI}
    client = await house.call("operations", "POST", "/v1/clients", json=body)
    assert client.status_code == 201
    assert CI not in client.text
    limits = {"max_order_value": "100000000", "price_deviation_percent": "7.5", "universe": {"exclude": [SAMSUNG]}}
    wish = {"client_id": client.json()["id"], "name": "1호", "starts_on": "2026-01-01", "status": "in_force", "limits": limits}
    fees = {"management_fee_percent": "0.5"}
    wish |= {"fee_schedule": fees, "manager_ids": [str(book.stranger_id)]}
    mandate = await house.call("operations", "POST", "/v1/mandates", json=wish)
    assert mandate.status_code == 201, mandate.text
    made = mandate.json()
    assert (made["limits"]["max_order_value"], made["limits"]["universe"]["exclude"]) == ("100000000", [SAMSUNG])
    assert (await house.call("stranger", "GET", f"/v1/mandates/{made['id']}")).json() == made
    changed = await house.call("operations", "PATCH", f"/v1/mandates/{made['id']}", json={"status": "suspended", "version": 1})
    assert (changed.json()["status"], changed.json()["version"], changed.json()["limits"]) == ("suspended", 2, made["limits"])
    assert (await house.call("operations", "PATCH", f"/v1/mandates/{made['id']}", json={"version": 1})).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"ci": "short"}, {"ci": CI + "A"}, {"created_at": "2026-01-01"}, {"id": NOBODY}, {"kind": "bank"},
        {"name": "a\x00b"},
    ],
)  # fmt: skip
async def test_bodies_are_strict_and_a_wrong_ci_is_not_repeated(house: House, change: dict[str, Any]) -> None:
    answer = await house.call("operations", "POST", "/v1/clients", json={"name": "김철수", "ci": CI} | change)
    assert answer.status_code == 422
    assert CI not in answer.text


MANDATE_FIELDS = ("name", "status", "ends_on", "limits", "fee_schedule", "account_ids", "manager_ids", "version")


@pytest.mark.parametrize("field", MANDATE_FIELDS)
async def test_null_in_a_change_of_a_mandate_is_refused_and_names_the_field(house: House, book: Book, field: str) -> None:
    """It looks as if something were taken away, and nothing would be."""
    path = f"/v1/mandates/{book.mandate_id}"
    before = (await house.call("operations", "GET", path)).json()
    answer = await house.call("operations", "PATCH", path, json={"status": "suspended", field: None})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["violations"]] == [field]
    assert (await house.call("operations", "GET", path)).json() == before


@pytest.mark.parametrize("field", ["roles", "active"])
async def test_null_in_a_change_of_a_user_is_refused_and_names_the_field(house: House, book: Book, field: str) -> None:
    change = {"active": False, "roles": ["approver"]} | {field: None}
    answer = await house.call("administrator", "PATCH", f"/v1/users/{book.stranger_id}", json=change)
    assert (answer.status_code, [one["field"] for one in answer.json()["violations"]]) == (422, [field])


async def test_a_change_of_nothing_is_refused_and_raises_no_version(house: House, book: Book) -> None:
    path = f"/v1/mandates/{book.mandate_id}"
    before = (await house.call("operations", "GET", path)).json()
    empty = [("operations", path, {}), ("operations", path, {"version": before["version"]})]
    for role, where, change in [*empty, ("administrator", f"/v1/users/{book.stranger_id}", {})]:
        answer = await house.call(role, "PATCH", where, json=change)
        assert (answer.status_code, answer.json()["violations"][0]["code"]) == (422, "nothing-to-change")
    assert (await house.call("operations", "GET", path)).json() == before


WRONG_LIMITS: list[dict[str, Any]] = [
    {"max_order_value": 100}, {"max_order_value": "1e9"}, {"price_deviation_percent": "101"}, {"daily_turnover": "-1"},
    {"unknown": "1"}, {"universe": {"include": ["005930"]}},
]  # fmt: skip


@pytest.mark.parametrize("limits", WRONG_LIMITS)
async def test_p33_limits_are_decimal_text(house: House, book: Book, limits: dict[str, Any]) -> None:
    answer = await house.call("operations", "PATCH", f"/v1/mandates/{book.mandate_id}", json={"limits": limits})
    assert answer.status_code == 422


async def test_a_key_is_shown_once(house: House) -> None:
    user = await house.call("administrator", "POST", "/v1/users", json={"name": "lee", "roles": ["manager"]})
    assert user.status_code == 201
    issued = await house.call("administrator", "POST", "/v1/api-keys", json={"user_id": user.json()["id"]})
    token = issued.json()["token"]
    assert token.startswith("ilim_")
    listed = await house.call("administrator", "GET", "/v1/api-keys")
    assert token not in listed.text
    revoked = await house.call("administrator", "DELETE", f"/v1/api-keys/{issued.json()['id']}")
    assert revoked.json()["revoked_at"] is not None
    assert (await house.call("administrator", "POST", "/v1/users", json={"name": "lee", "roles": ["manager"]})).status_code == 409


async def test_instruments(house: House, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text("insert into instrument values ('KR7005930003', '005930', '삼성전자', 'kospi', 'stock', now())")
        )
    listed = (await house.call("manager", "GET", "/v1/instruments", params={"symbol": "A005930"})).json()
    assert [(one["isin"], one["day"]) for one in listed["items"]] == [("KR7005930003", None)]
    assert (await house.call("manager", "GET", "/v1/instruments/KR7005930003")).json() == listed["items"][0]
    for isin in ("KR7000660001", "%00", "한글"):
        assert (await house.call("manager", "GET", f"/v1/instruments/{isin}")).status_code == 404


async def test_discretionary_inquiries_need_a_licence(house: House) -> None:
    house.licensed[0] = False
    answer = await house.call("operations", "POST", "/v1/accounts/synchronizations")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/licence-required")
