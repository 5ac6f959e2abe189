"""API keys: what is stored, who is let in, and that what was taken away holds on the next call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import orjson
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from service.audit.tables import record as ledger
from service.core.clock import real_now
from service.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from service.core.ids import uuid7
from service.core.principal import Principal, Role
from service.infra.commands import operator
from service.infra.db import Database
from service.people import rules
from service.people.authenticate import authenticate
from service.people.change_user import change_user
from service.people.commands import World, make_commands
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.model import User
from service.people.revoke_key import revoke_key
from service.people.tables import api_key
from tests.conftest import DatabaseUrls
from tests.makers import fetch
from tests.waiting import until

PEPPER = rules.pepper_from(b"k" * 32)


@pytest.fixture
async def user(database: Database) -> User:
    return await create_user(transaction=database.transaction, name="kim", roles=[Role.MANAGER])


async def entering(database: Database, token: str, pepper: bytes = PEPPER) -> Principal:
    return await authenticate(database, pepper, token)


async def test_a_key_says_who_calls(database: Database, user: User) -> None:
    key, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)
    assert await entering(database, token.reveal()) == Principal(user.id, "kim", frozenset({Role.MANAGER}), key.id)


async def test_p32_the_database_holds_nothing_that_opens_a_door(database: Database, user: User) -> None:
    key, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)
    secret = token.reveal().split("_", 2)[2]
    async with database.transaction() as connection:
        row = (await connection.execute(select(api_key))).one()
        entries = (await connection.execute(select(ledger.c.body))).scalars().all()
    assert secret.encode() not in row.digest
    assert secret not in str(row)
    assert all(secret.encode() not in body for body in entries)
    with pytest.raises(Unauthenticated):
        await entering(database, token.reveal(), pepper=rules.pepper_from(b"x" * 32))
    assert key.prefix in token.reveal()
    assert secret not in str(token)


async def test_p28_the_ledger_names_who_made_a_user_and_a_key_on_the_command_line(
    database: Database, database_urls: DatabaseUrls
) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        mine = Database(database_urls.app, application="ilim-users", pool_size=1, hot_pool_size=1)
        await mine.open()
        try:
            yield World(mine.transaction, PEPPER)
        finally:
            await mine.close()

    commands, runner = make_commands(opened), CliRunner()
    for words in (["create", "park", "--role", "operations"], ["key", "park"]):
        said = await asyncio.to_thread(runner.invoke, commands, words)
        assert said.exit_code == 0, said.output
    async with database.transaction() as connection:
        told = (await connection.execute(select(ledger.c.body).order_by(ledger.c.arrived))).scalars().all()
    assert [orjson.loads(body)["data"]["by"] for body in told] == [operator()] * 2


def test_p28_who_sits_at_the_machine_is_who_the_system_says_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable is anybody's to set: the ledger would name whom he likes, or fail over what no entry can hold."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    own = operator()
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert operator() == own


async def test_a_revoked_key_is_refused_on_the_next_call(database: Database, user: User) -> None:
    key, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)
    first = await revoke_key(transaction=database.transaction, key_id=key.id)
    with pytest.raises(Unauthenticated):
        await entering(database, token.reveal())
    again = await revoke_key(transaction=database.transaction, key_id=key.id)
    assert again.revoked_at == first.revoked_at is not None


async def test_a_role_taken_away_holds_on_the_next_call(database: Database, user: User) -> None:
    _, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)
    await change_user(transaction=database.transaction, user_id=user.id, roles=[Role.COMPLIANCE])
    assert (await entering(database, token.reveal())).roles == {Role.COMPLIANCE}
    await change_user(transaction=database.transaction, user_id=user.id, active=False)
    with pytest.raises(Unauthenticated):
        await entering(database, token.reveal())
    with pytest.raises(Conflict):
        await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)


async def test_an_expired_key_is_refused(database: Database, database_urls: DatabaseUrls, user: User) -> None:
    expires = real_now() + timedelta(minutes=5)
    key, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id, expires_at=expires)
    assert (await entering(database, token.reveal())).user_id == user.id
    past = real_now() - timedelta(seconds=1)
    await fetch(database_urls.superuser, "update api_key set expires_at = $1 where id = $2", past, key.id)
    with pytest.raises(Unauthenticated):
        await entering(database, token.reveal())


async def test_a_key_that_would_never_open_a_door_is_not_made(database: Database, user: User) -> None:
    with pytest.raises(Invalid) as refused:
        await issue_key(
            transaction=database.transaction, pepper=PEPPER, user_id=user.id, expires_at=real_now() - timedelta(seconds=1)
        )
    assert [(one.code, one.field) for one in refused.value.violations] == [("not-in-the-future", "expires_at")]
    async with database.transaction() as connection:
        assert (await connection.execute(select(api_key.c.id))).all() == []


async def test_every_wrong_token_gets_the_same_answer(database: Database, user: User) -> None:
    _, token = await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=user.id)
    good = token.reveal()
    wrong = [good[:-1], good + "A", good.upper(), good.replace("ilim_", "mili_"), "ilim__", "", "ilim_a_b", "한글_키_값", "\x00"]
    answers = set()
    for text in wrong:
        with pytest.raises(Unauthenticated) as refusal:
            await entering(database, text)
        answers.add((refusal.value.slug, refusal.value.detail))
    assert len(answers) == 1


async def test_refusals_of_users(database: Database, user: User) -> None:
    with pytest.raises(Conflict):
        await create_user(transaction=database.transaction, name="kim", roles=[Role.APPROVER])
    with pytest.raises(Invalid) as refusal:
        await create_user(transaction=database.transaction, name=" ", roles=[])
    assert [violation.field for violation in refusal.value.violations] == ["name", "roles"]
    with pytest.raises(NotFound):
        await issue_key(transaction=database.transaction, pepper=PEPPER, user_id=uuid7())
    with pytest.raises(NotFound):
        await revoke_key(transaction=database.transaction, key_id=uuid7())


async def test_a_user_switched_off_stays_off_though_somebody_changes_the_roles_meanwhile(
    database: Database, database_urls: DatabaseUrls, user: User
) -> None:
    """Two administrators at once: each changes what they were asked to, and nothing else."""
    first = await asyncpg.connect(database_urls.superuser)
    try:
        off = first.transaction()
        await off.start()
        await first.execute("update app_user set active = false where id = $1", user.id)
        changing = asyncio.create_task(
            change_user(transaction=database.transaction, user_id=user.id, roles=[Role.MANAGER, Role.APPROVER])
        )
        await until(lambda: first.fetchval("select exists (select from pg_locks where not granted)"))
        await off.commit()
        assert (await changing).active is False
        assert await first.fetchval("select active from app_user where id = $1", user.id) is False
    finally:
        await first.close()


async def test_an_administrator_cannot_lock_everybody_out(database: Database) -> None:
    admin = await create_user(transaction=database.transaction, name="root", roles=[Role.ADMINISTRATOR])
    principal = Principal(admin.id, admin.name, admin.roles)
    with pytest.raises(Conflict):
        await change_user(transaction=database.transaction, user_id=admin.id, active=False, principal=principal)


def test_a_token_has_256_bits_and_its_prefix_parses() -> None:
    tokens = {rules.new_token() for _ in range(200)}
    assert len({prefix for prefix, _ in tokens}) == 200
    for prefix, token in tokens:
        assert rules.prefix_of(token.reveal()) == prefix
        assert len(token.reveal().split("_", 2)[2]) == 43  # 32 bytes, base64url without padding
