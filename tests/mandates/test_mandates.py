"""Clients and contracts: who sees them, how they change, and what the platform says about a client."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import select

from service.accounts import store as account_store
from service.audit.evidence import Vault
from service.audit.tables import record
from service.core.clock import KST, ManualClock
from service.core.errors import Conflict, Invalid, NotFound, Unavailable
from service.core.ids import uuid7
from service.core.money import Won
from service.core.principal import Role
from service.core.secret import AccountNumber, Secret
from service.gateway import Failure, LinkedAccount, Membership
from service.infra.db import Books, Database
from service.mandates import rules, store
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.create_client import create_client
from service.mandates.create_mandate import create_mandate
from service.mandates.linkage import link
from service.mandates.model import Client, Limits, Mandate, MandateStatus, Onboarding
from service.mandates.tables import client as client_table
from service.people.create_user import create_user
from service.people.model import User
from tests.accounts.books import make_account
from tests.accounts.platform import Platform, complete, incomplete

CI = Secret("A" * 86 + "==")
VAULT = Vault(b"v" * 32)
TODAY = date(2026, 11, 23)
LIMITS = Limits(Won(10**9), Won(5 * 10**9), Decimal("7.5"), Decimal(20), Won(10**8), ("KR7005930003",), ("KR7000660001",))


@pytest.fixture
async def client(database: Database) -> Client:
    return await create_client(transaction=database.transaction, vault=VAULT, name="홍길동", kind="individual", ci=CI)


@pytest.fixture
async def manager(database: Database) -> User:
    return await create_user(transaction=database.transaction, name="manager", roles=[Role.MANAGER])


@pytest.fixture
async def account_id(database: Database) -> UUID:
    account = make_account()
    async with database.transaction(books=Books.ALL) as connection:
        await account_store.add_account(connection, account)
    return account.id


async def made(database: Database, client: Client, **given: Any) -> Mandate:
    return await create_mandate(
        transaction=database.transaction, client_id=client.id, name="1호", starts_on=date(2026, 1, 1), **given
    )


async def amended(database: Database, mandate: Mandate, **changes: Any) -> Mandate:
    return await amend_mandate(transaction=database.transaction, mandate_id=mandate.id, changes=Changes(**changes))


async def ledger(database: Database) -> list[str]:
    async with database.transaction() as connection:
        return list((await connection.execute(select(record.c.kind))).scalars())


def test_limits_survive_their_json() -> None:
    assert Limits.from_json(LIMITS.as_json()) == LIMITS
    assert LIMITS.as_json()["price_deviation_percent"] == "7.5"
    assert Limits.from_json({}) == Limits()


async def test_p32_the_ci_lies_sealed_and_in_no_ledger_entry(database: Database, client: Client) -> None:
    async with database.transaction() as connection:
        sealed = (await connection.execute(select(client_table.c.ci))).scalar_one()
        bodies = (await connection.execute(select(record.c.body))).scalars().all()
    assert CI.reveal().encode() not in sealed
    assert VAULT.open(sealed, client.id) == CI.reveal().encode()
    with pytest.raises(InvalidTag):
        VAULT.open(sealed, uuid7())  # bound to its row: two clients' rows cannot be swapped
    assert all(CI.reveal().encode() not in body for body in bodies)


async def test_a_mandate_is_made_whole(database: Database, client: Client, manager: User, account_id: UUID) -> None:
    mandate = await made(database, client, limits=LIMITS, account_ids=[account_id], manager_ids=[manager.id])
    assert (mandate.limits, mandate.account_ids, mandate.manager_ids) == (LIMITS, (account_id,), (manager.id,))
    assert {"mandate.created", "mandate.account_added", "mandate.manager_assigned"} <= set(await ledger(database))


async def test_an_account_is_in_one_mandate_at_a_time(database: Database, client: Client, account_id: UUID) -> None:
    first = await made(database, client, account_ids=[account_id])
    with pytest.raises(Conflict):
        await made(database, client, account_ids=[account_id])
    await amended(database, first, account_ids=[])
    assert (await made(database, client, account_ids=[account_id])).account_ids == (account_id,)


async def test_what_cannot_be_linked_is_refused_and_nothing_is_left(database: Database, client: Client) -> None:
    approver = await create_user(transaction=database.transaction, name="a", roles=[Role.APPROVER])
    with pytest.raises(Invalid):
        await made(database, client, account_ids=[uuid7()])
    for user_id in (approver.id, uuid7()):
        with pytest.raises(Invalid):
            await made(database, client, manager_ids=[user_id])
    with pytest.raises(Invalid):
        await made(database, client, ends_on=date(2025, 12, 31))
    with pytest.raises(NotFound):
        await made(database, replace(client, id=uuid7()))
    async with database.transaction() as connection:
        assert await store.mandates_page(connection, seen_by=None, after=None, limit=50) == []


async def test_a_manager_sees_only_what_is_assigned(database: Database, client: Client, manager: User) -> None:
    mandate = await made(database, client, manager_ids=[manager.id])
    await made(database, client)
    stranger = uuid7()
    async with database.transaction() as connection:
        mine = await store.mandates_page(connection, seen_by=manager.id, after=None, limit=50)
        assert [one.id for one in mine] == [mandate.id]
        assert await store.find_client(connection, client.id, seen_by=manager.id) == client
        assert await store.find_client(connection, client.id, seen_by=stranger) is None
        assert await store.find_mandate(connection, mandate.id, seen_by=stranger) is None
    await amended(database, mandate, manager_ids=[])
    async with database.transaction() as connection:
        assert await store.find_mandate(connection, mandate.id, seen_by=manager.id) is None
        assert await store.clients_page(connection, seen_by=manager.id, after=None, limit=50) == []


async def test_reassigning_keeps_the_history(database: Database, client: Client, manager: User) -> None:
    mandate = await made(database, client, manager_ids=[manager.id])
    await amended(database, mandate, manager_ids=[])
    again = await amended(database, mandate, manager_ids=[manager.id, manager.id])
    assert again.manager_ids == (manager.id,)
    assert again.version == 3


async def test_two_amendments_of_one_version(database: Database, client: Client) -> None:
    mandate = await made(database, client)
    await amended(database, mandate, name="2호", version=1)
    with pytest.raises(Conflict):
        await amended(database, mandate, name="3호", version=1)


async def test_p28_a_mandate_with_the_largest_universe_is_made_amended_and_ended(database: Database, client: Client) -> None:
    """What the contract may name has to fit the ledger, or it could not even be ended."""
    names = tuple(f"KR7{number:09}" for number in range(4000))
    widest = replace(LIMITS, include=names[:2000], exclude=names[2000:])
    mandate = await made(database, client, status=MandateStatus.IN_FORCE, limits=widest)
    await amended(database, mandate, limits=replace(widest, exclude=names[1:2001]))
    await amended(database, mandate, status=MandateStatus.TERMINATED)
    async with database.transaction() as connection:
        bodies = (await connection.execute(select(record.c.body).where(record.c.kind == "mandate.universe_set"))).scalars()
        said = [orjson.loads(body)["data"] for body in bodies]
    assert [(one["version"], one["list"], tuple(one["isins"])) for one in said] == [
        (1, "include", names[:2000]), (1, "exclude", names[2000:]), (2, "exclude", names[1:2001]),
    ]  # fmt: skip


@pytest.mark.parametrize("before", list(MandateStatus))
@pytest.mark.parametrize("after", list(MandateStatus))
def test_the_life_of_a_mandate(before: MandateStatus, after: MandateStatus) -> None:
    allowed = {"draft": "draft in_force terminated", "in_force": "in_force suspended terminated",
               "suspended": "suspended in_force terminated", "terminated": "terminated"}  # fmt: skip
    assert rules.may_become(before, after) is (after in allowed[before].split())


async def test_a_terminated_mandate_is_not_revived(database: Database, client: Client) -> None:
    mandate = await made(database, client, status=MandateStatus.IN_FORCE)
    await amended(database, mandate, status=MandateStatus.TERMINATED)
    with pytest.raises(Conflict):
        await amended(database, mandate, status=MandateStatus.IN_FORCE)


@pytest.mark.parametrize(
    ("status", "starts", "ends", "codes"),
    [
        ("in_force", "2026-11-23", "2026-11-23", []),
        ("in_force", "2026-11-24", None, ["mandate-not-begun"]),
        ("in_force", "2026-01-01", "2026-11-22", ["mandate-ended"]),
        ("suspended", "2026-01-01", "2026-11-22", ["mandate-not-in-force", "mandate-ended"]),
    ],
)
def test_whether_a_mandate_allows_trading_on_a_day(status: str, starts: str, ends: str | None, codes: list[str]) -> None:
    mandate = Mandate(
        uuid7(), uuid7(), "1호", MandateStatus(status), date.fromisoformat(starts),
        date.fromisoformat(ends) if ends else None, Limits(), None, datetime(2026, 1, 1, tzinfo=KST), 1,
    )  # fmt: skip
    assert [violation.code for violation in rules.mandate_allows(mandate, TODAY)] == codes


def test_p33_weight_is_compared_without_dividing() -> None:
    def weight(order: int) -> bool:
        found = rules.weight_violation(LIMITS, position_value=Won(100), order_value=Won(order), total_value=Won(1_003))
        return found is not None

    assert (weight(100), weight(101)) == (False, True)  # 20 % of 1,003 is 200.6


def linked(expires: date | None = None) -> LinkedAccount:
    return LinkedAccount("00991", AccountNumber("V1234567890"), "내 계좌", expires)


@pytest.mark.parametrize(
    ("member", "terms", "accounts", "state"),
    [
        (False, None, [linked()], Onboarding.NOT_MEMBER),
        (True, None, [], Onboarding.MEMBER_WITHOUT_ACCOUNT),
        (True, None, [linked()], Onboarding.LINKED),
        (True, date(2026, 12, 25), [linked()], Onboarding.LINKED),
        (True, date(2026, 12, 24), [linked()], Onboarding.CONSENT_EXPIRING),
        (True, date(2027, 12, 24), [linked(), linked(TODAY)], Onboarding.CONSENT_EXPIRING),
        (True, None, [linked(date(2026, 11, 22))], Onboarding.CONSENT_EXPIRED),
    ],
)
def test_onboarding(member: bool, terms: date | None, accounts: list[LinkedAccount], state: Onboarding) -> None:
    assert rules.onboarding(Membership(member, terms), accounts, TODAY).state is state


async def asked(database: Database, clock: ManualClock, platform: Platform, client_id: UUID) -> Any:
    return await link(
        transaction=database.transaction,
        clock=clock,
        gateway=platform,
        vault=VAULT,
        client_id=client_id,  # type: ignore[arg-type]
    )


async def test_linkage_asks_with_the_ci_and_keeps_the_answer(database: Database, client: Client, clock: ManualClock) -> None:
    platform = Platform(member=Membership(True, None), linked=complete(linked()))
    found = await asked(database, clock, platform, client.id)
    assert found.state is Onboarding.LINKED
    assert platform.asked == [CI.reveal()]
    async with database.transaction() as connection:
        assert await store.find_linkage(connection, client.id) == found
    assert {"client.linkage_asked", "client.linkage_answered"} <= set(await ledger(database))


@pytest.mark.parametrize(
    ("member", "accounts"),
    [(Failure("timeout", ""), complete(linked())), (Membership(True, None), incomplete("timeout"))],
)
async def test_p17_half_an_answer_changes_nothing(
    database: Database, client: Client, clock: ManualClock, member: Any, accounts: Any
) -> None:
    before = await asked(database, clock, Platform(member=Membership(True, None), linked=complete(linked())), client.id)
    with pytest.raises(Unavailable):
        await asked(database, clock, Platform(member=member, linked=accounts), client.id)
    async with database.transaction() as connection:
        assert await store.find_linkage(connection, client.id) == before
    assert "client.linkage_failed" in await ledger(database)


async def test_a_client_without_ci_cannot_be_asked_about(database: Database, clock: ManualClock) -> None:
    bare = await create_client(transaction=database.transaction, vault=VAULT, name="법인", kind="corporate")
    with pytest.raises(Conflict):
        await asked(database, clock, Platform(), bare.id)
