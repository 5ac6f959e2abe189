"""Who may call what: a file says it, every route is held to it, and a book stays shut to other managers by two walls."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.app import ROUTERS, create_app
from tests.journeys.conftest import Api, nowhere
from tests.makers import ISIN, MORNING, TODAY

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = Path(__file__).with_name("roles.csv")
CALLERS = ("nobody", "manager", "approver", "operations", "compliance", "administrator")
OPEN_HOUSE = "in"  # what a caller may do is said by "in"; what stops it by its status


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Every method and path the application answers, whatever router brought it."""
    return {(method, path) for routes in (app.routes,) for method, path in _walk(routes, "") if method != "HEAD"}


def _walk(routes: Iterable[Any], prefix: str) -> Iterable[tuple[str, str]]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _walk(inner.routes, prefix)
            continue
        for method in route.methods:
            yield method, prefix + route.path


def matrix() -> dict[tuple[str, str], dict[str, str]]:
    return {(row["method"], row["path"]): row for row in csv.DictReader(io.StringIO(FILE.read_text()))}


def bare() -> FastAPI:
    def never() -> Any:
        raise AssertionError("nothing is opened here")

    return create_app(never, ROUTERS)


async def test_the_file_has_a_row_for_every_route_and_no_other() -> None:
    assert set(matrix()) == routes_of(bare())


async def test_every_operation_of_the_document_is_a_route_of_the_file() -> None:
    """Should routes ever be brought in a way that the walk does not see, the document still knows them."""
    documented = {(method.upper(), path) for path, methods in bare().openapi()["paths"].items() for method in methods}
    assert documented <= set(matrix())


ENDLESS = {"/v1/events": {"wait": "false"}}  # would go on for ever otherwise
PLAIN = {"isin": "KR7999999999", "index": "1", "slug": "not-found"}  # parameters that name nobody's book


@pytest.mark.parametrize(("method", "path"), sorted(matrix()), ids=lambda one: one)
async def test_each_route_lets_in_whom_the_file_says(api: Api, method: str, path: str) -> None:
    address = re.sub(r"\{(\w+)\}", lambda found: PLAIN.get(found.group(1), nowhere()), path)
    # A field that no body knows: who is let in gets 422, 404 or an empty list, and nothing is done.
    more: dict[str, Any] = {"json": {"no-such-field": 1}} if method in ("POST", "PATCH", "PUT") else {}
    more["headers"] = {"Idempotency-Key": nowhere()}
    said = {}
    for who in CALLERS:
        answer = await api.call(None if who == "nobody" else who, method, address, params=ENDLESS.get(path), **more)
        refused = answer.status_code in (401, 403) and answer.json()["type"] in (
            "/problems/authentication-required",
            "/problems/role-required",
        )
        said[who] = str(answer.status_code) if refused else OPEN_HOUSE
    assert said == {who: matrix()[method, path][who] for who in CALLERS}


# --- another manager's book ----------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ids(api: Api) -> AsyncIterator[dict[str, str]]:
    """Ids of what is the manager's and not the stranger's, by the name of the path parameter."""
    order = await api.order(client_order_id="mine")
    assert order.status_code == 201
    mine = await api.rows("select client_id from mandate where id = $1", api.world.mandate)
    yield {
        "order_id": order.json()["id"],
        "account_id": str(api.world.account),
        "mandate_id": str(api.world.mandate),
        "client_id": str(mine[0]["client_id"]),
    }


BODIES = {
    "amendments": {"price": "69900"},
    "resolutions": {"request_id": "00000000-0000-7000-8000-000000000001", "conclusion": "not_sent", "reason": "none there"},
}
OF_USERS = {
    "user_id",
    "key_id",
    "halt_id",
    "lock_id",
    "resolution_id",
    "message_id",
}  # for administrators, approvers and operations; nobody's book
WITH_ID = sorted((method, path) for method, path in matrix() if set(re.findall(r"\{(\w+)\}", path)) - set(PLAIN))


async def test_every_id_in_an_address_is_one_the_tests_know() -> None:
    names = {name for _, path in matrix() for name in re.findall(r"\{(\w+)\}", path)}
    assert names == set(PLAIN) | OF_USERS | {"order_id", "account_id", "mandate_id", "client_id"}


def shape(answer: httpx.Response) -> tuple[int, dict[str, Any], list[str]]:
    return answer.status_code, {**answer.json(), "instance": ""}, sorted(answer.headers)


@pytest.mark.parametrize(("method", "path"), WITH_ID, ids=lambda one: one)
async def test_another_managers_id_looks_like_an_id_of_nothing(api: Api, ids: dict[str, str], method: str, path: str) -> None:
    before = await api.business()
    body = next((one for end, one in BODIES.items() if path.endswith(end)), {})
    more: dict[str, Any] = {"json": body} if method in ("POST", "PATCH") else {}

    async def ask(address: str) -> httpx.Response:
        return await api.call("stranger", method, address, headers={"Idempotency-Key": nowhere()}, **more)

    foreign = await ask(re.sub(r"\{(\w+)\}", lambda found: ids.get(found.group(1), nowhere()), path))
    absent = await ask(re.sub(r"\{\w+\}", lambda _: nowhere(), path))
    assert shape(foreign) == shape(absent)
    assert foreign.status_code == (403 if matrix()[method, path]["manager"] == "403" else 404)
    assert await api.business() == before


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/executions"])
async def test_a_filter_opens_no_other_book(api: Api, ids: dict[str, str], path: str) -> None:
    manager = str(api.world.manager.user_id)
    for query in ({}, {"account_id": ids["account_id"]}, {"manager_id": manager}, {"client_order_id": "mine"}):
        answer = await api.call("stranger", "GET", path, params=query)
        assert answer.json()["items"] == [], query


async def test_lists_of_the_stranger_name_nothing_of_the_manager(api: Api, ids: dict[str, str]) -> None:
    for path in ("/v1/accounts", "/v1/clients", "/v1/mandates", "/v1/orders"):
        answer = await api.call("stranger", "GET", path)
        assert not [one for one in ids.values() if one in answer.text], path


async def test_a_manager_taken_off_a_mandate_is_shut_out_at_once(api: Api, ids: dict[str, str]) -> None:
    """Last of those that need the manager's book: the right is gone with the next call, under the same key."""
    mandate = f"/v1/mandates/{ids['mandate_id']}"
    assert (await api.call("manager", "GET", f"/v1/orders/{ids['order_id']}")).status_code == 200
    changed = await api.call("operations", "PATCH", mandate, json={"manager_ids": [str(api.world.other_manager.user_id)]})
    assert changed.status_code == 200
    for path in (f"/v1/orders/{ids['order_id']}", f"/v1/accounts/{ids['account_id']}/balance", mandate):
        assert (await api.call("manager", "GET", path)).status_code == 404
    assert (await api.order()).status_code == 404
    back = await api.call("operations", "PATCH", mandate, json={"manager_ids": [str(api.world.manager.user_id)]})
    assert back.status_code == 200
    assert (await api.call("manager", "GET", f"/v1/orders/{ids['order_id']}")).status_code == 200


# --- the second wall: the database, with the application unaware -----------------------------------------------------------

OWNS: dict[str, str] = {
    "account": "id",
    "cash": "account_id",
    "holding": "account_id",
    "broker_statement": "account_id",
    "orders": "account_id",
    "order_request": "order_id",
    "fill": "account_id",
    "trade_cost": "account_id",
    "event": "account_id",
    "order_report": "order_id",
    "order_sighting": "order_id",
    "doubt_step": "order_id",
    "doubt_decision": "order_id",
    "external_order": "account_id",
    "restatement": "account_id",
}
# Tables with an account or an order in them that ilim_app may read without a wall, each with its reason.
UNWALLED = {
    "mandate_account": "the wall itself reads it; a link names two ids and nothing of a book",
    "inbox": "for operations: a message's number, its state and an order's id; what it says no login of the api may read",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(api: Api, ids: dict[str, str]) -> AsyncIterator[dict[str, set[UUID]]]:
    """A row of both managers in every table of a book. The owners of what is the manager's: account and orders."""
    theirs = await api.order("stranger", account_id=str(api.world.other_account))
    assert theirs.status_code == 201
    connection = await asyncpg.connect(api.urls.superuser)
    try:
        await connection.execute("set session_replication_role = replica")  # rows without their evidence: only the wall is asked
        for account, order in ((api.world.account, ids["order_id"]), (api.world.other_account, theirs.json()["id"])):
            await connection.execute(
                "insert into fill (id, order_id, number, account_id, business_date, isin, side, quantity, price, amount,"
                " traded_at, settles_on, source, evidence)"
                " values ($1, $2, 1, $3, $4, $5, 'buy', 1, 70000, 70000, $6, $4, 'stream', $1)",
                UUID(nowhere()), UUID(order), account, TODAY, ISIN, MORNING,
            )  # fmt: skip
            request, raw = UUID(nowhere()), UUID(nowhere())
            await connection.execute(
                "insert into order_report (raw_id, order_id, arrived, document) values ($1, $2, 1, '{}')", raw, UUID(order)
            )
            await connection.execute(
                "insert into order_sighting (raw_id, row, order_id, seen_at, executed_quantity, document)"
                " values ($1, 1, $2, $3, 0, '{}')", raw, UUID(order), MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into doubt_step (request_id, n, order_id, kind, began_at, at, detail, next_at)"
                " values ($1, 1, $2, 'push', $3, $3, '', $3)", request, UUID(order), MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into doubt_decision (id, order_id, request_id, conclusion, reason, proposed_by, proposed_at)"
                " values ($1, $2, $1, 'twin_allowed', '', $1, $3)", request, UUID(order), MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into external_order (order_id, account_id, business_date, number, evidence, adopted_at)"
                " values ($1, $2, $3, '7001', $1, $4)", UUID(nowhere()), account, TODAY, MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into restatement (fill_id, account_id, business_date, kind, restated_at)"
                " values ($1, $2, $3, 'late', $4)", UUID(nowhere()), account, TODAY, MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into trade_cost values ($1, $2, $3, 'buy', 'trade', 70000, 10, 0)", account, TODAY, ISIN
            )
            await connection.execute(
                "insert into broker_statement values ($1, $2, 'balance', $3, true, '{}', '{}')",
                UUID(nowhere()), account, MORNING,
            )  # fmt: skip
            await connection.execute(
                "insert into event (id, kind, subject_id, account_id, document)"
                " select coalesce(max(id), 0) + 1, 'order.changed', $1, $2, '{}' from event",
                UUID(order), account,
            )  # fmt: skip
    finally:
        await connection.close()
    orders = await api.rows("select id from orders where account_id = $1", api.world.account)
    yield {"account_id": {api.world.account}, "id": {api.world.account}, "order_id": {one["id"] for one in orders}}


async def seen(api: Api, books: str | None, table: str, column: str) -> set[UUID]:
    """What login ilim_app reads of a table, with nothing but the transaction's setting in its way."""
    connection = await asyncpg.connect(api.urls.app)
    try:
        async with connection.transaction():
            if books is not None:
                await connection.execute("select set_config('ilim.user', $1, true)", books)
            return {row[0] for row in await connection.fetch(f"select {column} from {table}")}
    finally:
        await connection.close()


@pytest.mark.parametrize(("table", "column"), OWNS.items())
async def test_the_database_shows_a_manager_his_own_rows_only(
    api: Api, filled: dict[str, set[UUID]], table: str, column: str
) -> None:
    own = await seen(api, str(api.world.manager.user_id), table, column)
    assert own == filled[column], f"{table}: exactly the manager's rows"
    everything = await seen(api, "*", table, column)
    assert everything > own
    assert await seen(api, str(api.world.other_manager.user_id), table, column) == everything - own
    for nobody in (None, "", nowhere()):
        assert await seen(api, nobody, table, column) == set()


@pytest.mark.parametrize("table", OWNS)
async def test_the_database_lets_no_manager_write_into_another_book(api: Api, filled: dict[str, set[UUID]], table: str) -> None:
    """An update of everything touches no row of the other, where the login may write at all."""
    rights = await api.rows(
        "select column_name from information_schema.column_privileges where grantee = 'ilim_app' and table_name = $1"
        " and privilege_type = 'UPDATE' order by 1", table,
    )  # fmt: skip
    assert not await api.rows(
        "select 1 from information_schema.role_table_grants where grantee = 'ilim_app' and table_name = $1"
        " and privilege_type in ('DELETE', 'TRUNCATE')", table,
    )  # fmt: skip
    if not rights:
        return
    column, key = rights[0]["column_name"], OWNS[table]
    connection = await asyncpg.connect(api.urls.app)
    try:
        async with connection.transaction():
            await connection.execute("select set_config('ilim.user', $1, true)", str(api.world.manager.user_id))
            touched = await connection.fetch(f'update {table} set "{column}" = "{column}" returning {key}')
        assert {row[0] for row in touched} == filled[key]
    finally:
        await connection.close()


async def test_every_table_of_a_book_is_behind_the_wall(api: Api) -> None:
    """A new table with an account or an order in it: walled, out of the app's reach, or excused here."""
    rows = await api.rows(
        "select distinct c.relname as name, c.relrowsecurity and c.relforcerowsecurity as walled"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attname in ('account_id', 'order_id')"
        " and has_any_column_privilege('ilim_app', c.oid, 'select')"
    )
    assert {one["name"] for one in rows if not one["walled"]} == set(UNWALLED)
    assert {one["name"] for one in rows if one["walled"]} | {"account"} == set(OWNS)
    assert not await api.rows("select 1 from pg_roles where rolname like 'ilim_%' and (rolsuper or rolbypassrls)")


async def test_api_routes_are_what_the_walk_finds() -> None:
    """The walk rests on FastAPI's insides; this fails first when they change."""
    assert all(isinstance(route, APIRoute) for router in ROUTERS for route in router.routes)
    assert len(routes_of(bare())) > sum(len(router.routes) for router in ROUTERS)


# --- what a page for every role names, and who has two roles ----------------------------------------------------------------


async def test_the_status_page_names_orders_of_the_callers_books_only(api: Api, ids: dict[str, str]) -> None:
    """Everybody reads the page: counts are the house's, names are the book's."""
    reviewed = ids["order_id"]
    lasting = (await api.order(quantity=2)).json()["id"]
    await api.rows("update orders set needs_review = 'quarantined' where id = $1", UUID(reviewed))
    await api.rows("update orders set status = 'new', business_date = business_date - 1 where id = $1", UUID(lasting))
    await api.rows("update order_request set state = 'unknown' where order_id = $1", UUID(lasting))
    try:
        for who, told in (("manager", True), ("operations", True), ("stranger", False), ("administrator", False)):
            said = (await api.call(who, "GET", "/v1/status")).json()["orders"]
            assert (said["requests"]["unknown"], said["in_doubt"]) == (1, [lasting] * told), who
            assert (said["ok"], said["needs_review"]) == (False, 1), who
            assert [one["order"] for one in said["reviews"]] == [reviewed] * told, who
            assert said["outlived"] == [lasting] * told, who
    finally:
        await api.rows("update orders set needs_review = null where id = $1", UUID(reviewed))
        await api.rows("update orders set status = 'pending_new', business_date = $2 where id = $1", UUID(lasting), TODAY)
        await api.rows("update order_request set state = 'queued' where order_id = $1", UUID(lasting))


MORE = ["operations", "compliance", "approver", "administrator"]


async def roles(api: Api, *names: str) -> None:
    user = f"/v1/users/{api.world.other_manager.user_id}"
    assert (await api.call("administrator", "PATCH", user, json={"roles": list(names)})).status_code == 200


@pytest.mark.parametrize("more", MORE)
async def test_a_manager_with_another_role_sees_a_managers_books(api: Api, ids: dict[str, str], more: str) -> None:
    """One rule on every path: whoever trades sees what he trades."""
    await roles(api, "manager", more)
    try:
        for path in ("/v1/accounts", "/v1/orders", "/v1/clients", "/v1/mandates"):
            assert not [one for one in ids.values() if one in (await api.call("stranger", "GET", path)).text], path
        for name, what in (
            ("account_id", "accounts"),
            ("order_id", "orders"),
            ("client_id", "clients"),
            ("mandate_id", "mandates"),
        ):
            assert (await api.call("stranger", "GET", f"/v1/{what}/{ids[name]}")).status_code == 404, what
        assert (await api.call("stranger", "GET", f"/v1/accounts/{ids['account_id']}/balance")).status_code == 404
        own = f"/v1/accounts/{api.world.other_account}"
        assert (await api.call("stranger", "GET", own)).status_code == 200
    finally:
        await roles(api, "manager")


@pytest.mark.parametrize("more", ["operations", "administrator"])
async def test_a_manager_who_may_change_mandates_takes_no_other_managers(api: Api, ids: dict[str, str], more: str) -> None:
    """What he may not see he may not change either: else he would give himself its books, and learn of it in the answer."""
    mandate, himself = f"/v1/mandates/{ids['mandate_id']}", str(api.world.other_manager.user_id)
    await roles(api, "manager", more)
    try:
        before = await api.business()
        for change in ({"manager_ids": [himself]}, {"name": "taken"}, {"name": "taken", "version": 99}):
            answer = await api.call("stranger", "PATCH", mandate, json=change)
            absent = await api.call("stranger", "PATCH", f"/v1/mandates/{nowhere()}", json=change)
            assert shape(answer) == shape(absent), change
            assert answer.status_code == 404
        assert await api.business() == before
    finally:
        await roles(api, "manager")


async def test_who_is_no_manager_any_more_sees_no_account_though_the_mandate_still_names_him(api: Api) -> None:
    await roles(api, "administrator")
    try:
        own = f"/v1/accounts/{api.world.other_account}"
        assert (await api.call("stranger", "GET", own)).status_code == 404
        assert (await api.call("stranger", "GET", f"{own}/balance")).status_code == 404
        assert (await api.call("stranger", "GET", "/v1/accounts")).json()["items"] == []
    finally:
        await roles(api, "manager")
