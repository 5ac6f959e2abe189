"""`ilim database prepare` may be run at any time, and leaves no password behind in the server."""

import base64
import hashlib
import hmac

import asyncpg
import pytest

from service.infra import roles
from service.infra.postgres import SUPERUSER, EmbeddedPostgres


def test_the_verifier_is_what_rfc_5803_says() -> None:
    """RFC 7677, section 3: user "user", password "pencil"."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    head, keys = roles.scram_verifier("pencil", salt=salt, iterations=4096).rsplit("$", 1)
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored, server = (base64.b64decode(part) for part in keys.split(":"))
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    assert hmac.digest(server, message, "sha256") == base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored


async def test_prepare_twice_is_prepare_once(postgres: EmbeddedPostgres) -> None:
    superuser = postgres.url(SUPERUSER, "postgres")
    for _ in range(2):
        await roles.prepare(superuser, 'a "quoted" name', postgres.passwords)
    admin = await asyncpg.connect(superuser)
    try:
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = $1"
        assert await admin.fetchval(owner, 'a "quoted" name') == roles.OWNER
    finally:
        await admin.execute('drop database "a ""quoted"" name"')
        await admin.close()


async def test_strangers_have_no_way_in(postgres: EmbeddedPostgres, database_urls: object) -> None:
    admin = await asyncpg.connect(postgres.url(SUPERUSER))
    try:
        public = "select has_database_privilege('public', 'ilim', 'connect'), has_schema_privilege('public', 'public', 'usage')"
        assert tuple(await admin.fetchrow(public)) == (False, False)
        app = "select has_schema_privilege('ilim_app', 'public', 'create')"
        assert await admin.fetchval(app) is False
    finally:
        await admin.close()


class Forgetful:
    """A server that says fsync is off."""

    async def fetchval(self, _question: str, name: str) -> str:
        return "off" if name == "fsync" else "on"


async def test_a_server_that_forgets_is_named() -> None:
    [said] = await roles.durability_problems(Forgetful())
    assert said.startswith("fsync is off")


@pytest.mark.parametrize("statement", ["create table x (y int)", "create schema z", "create role r"])
async def test_the_service_itself_changes_no_structure(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url(roles.APP))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
