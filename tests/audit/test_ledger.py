"""The ledger: one form of bytes, append-only whoever asks, queued for sealing in the same transaction."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.invariants import violations
from service.audit import append
from service.audit.canonical import encode
from service.audit.evidence import Raw, Vault
from service.core.clock import KST
from service.core.secret import AccountNumber
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.makers import fetch

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=KST)


def test_the_bytes_of_a_document_are_fixed() -> None:
    document = {"b": Decimal("71500.00"), "a": NOON, "d": date(2026, 11, 23), "c": ["매수", None, True, 3]}
    expected = '{"a":"2026-11-23T12:00:00.000000+09:00","b":"71500","c":["매수",null,true,3],"d":"2026-11-23"}'
    assert encode(document) == expected.encode()


def test_p32_an_account_number_enters_the_ledger_masked() -> None:
    assert encode({"account": AccountNumber("1234567890")}) == b'{"account":"*******890"}'


@pytest.mark.parametrize("value", [0.1, float("nan"), 2**53, datetime(2026, 1, 1), b"x", {1}])  # noqa: DTZ001
def test_what_two_encoders_could_write_differently_has_no_place(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"a": value})


@pytest.mark.parametrize("key", ["", "키", "a b", 1])
def test_keys_are_plain_ascii(key: Any) -> None:
    with pytest.raises(ValueError, match="canonical key"):
        encode({key: 1})


def test_decomposed_hangul_is_composed() -> None:
    decomposed = "\u1106\u1162"
    assert encode({"a": decomposed}) == encode({"a": "\ub9e4"})


scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20)
documents = st.dictionaries(st.from_regex(r"[A-Za-z0-9_.\-]{1,8}", fullmatch=True), scalars, max_size=6)


@given(documents)
def test_any_document_reads_back_as_written_and_in_one_way(document: dict[str, Any]) -> None:
    body = encode(document)
    assert encode(orjson.loads(body)) == body


async def _write(database: Database, **what: Any) -> None:
    async with database.transaction() as connection:
        await append.record(connection, **what)


async def test_a_record_is_queued_for_sealing_with_its_leaf(database: Database, database_urls: DatabaseUrls) -> None:
    await _write(database, kind="test.happened", subject=("thing", "1"), body={"n": 1})
    rows = await fetch(
        database_urls.superuser, "select r.*, p.leaf_hash as queued from audit.record r join audit.pending p using (arrived)"
    )
    assert len(rows) == 1
    leaf = hashlib.sha256(b"\x00" + rows[0]["body"]).digest()
    assert rows[0]["leaf_hash"] == leaf == rows[0]["queued"]


@pytest.mark.parametrize(
    "statement",
    [
        "update audit.record set kind = 'x'",
        "delete from audit.record",
        "truncate audit.record",
        "delete from audit.pending",
        "insert into audit.pending values (9, gen_random_uuid(), 'x')",
        "alter table audit.record disable trigger no_change",
        "drop table audit.record",
        "insert into audit.record (record_id, arrived, kind, subject_kind, subject_id, subject_seq, body) "
        "overriding system value values (gen_random_uuid(), 1, 'k', 's', 'i', 1, '{}')",
    ],
)
@pytest.mark.parametrize("login", ["app", "worker"])
async def test_p29_no_login_of_the_service_can_change_what_is_written(
    database: Database, database_urls: DatabaseUrls, statement: str, login: str
) -> None:
    await _write(database, kind="test.happened", subject=("thing", "1"), body={"n": 1})
    with pytest.raises(Exception, match=r"permission denied|must be owner|append-only"):
        await fetch(getattr(database_urls, login), statement)
    assert len(await fetch(database_urls.superuser, "select 1 from audit.record")) == 1


async def test_p29_even_a_superuser_is_refused(database: Database, database_urls: DatabaseUrls) -> None:
    await _write(database, kind="test.happened", subject=("thing", "1"), body={"n": 1})
    for statement in ("update audit.record set kind = 'x'", "delete from audit.record", "truncate audit.record cascade"):
        with pytest.raises(Exception, match="append-only"):
            await fetch(database_urls.superuser, statement)


async def test_a_subject_with_a_counter_takes_each_number_once(database: Database) -> None:
    await _write(database, kind="k", subject=("order", "1"), seq=1, body={})
    with pytest.raises(Exception, match="uq_record_subject"):
        await _write(database, kind="k", subject=("order", "1"), seq=1, body={})


async def test_p19_a_raw_message_is_kept_once_encrypted_and_opened_again(
    worker_database: Database, database_urls: DatabaseUrls
) -> None:
    vault = Vault(bytes(32))
    message = Raw("stream", b"account 1234567890", datetime.now(UTC), "F0001", date(2026, 11, 23), 7)
    async with worker_database.transaction() as connection:
        first, twin, other = await vault.keep_stream(connection, [message, message, replace(message, seq=8)])
        again = await vault.keep_stream(connection, [message])
        assert first is not None
        assert await vault.read(connection, [first]) == {first: message.body}
    assert (twin, again) == (None, [None])
    assert other is not None
    sealed = (await fetch(database_urls.superuser, "select sealed from audit.raw_message where seq = 7"))[0]["sealed"]
    assert b"1234567890" not in sealed


async def test_p19_the_api_may_add_evidence_and_not_read_it(database: Database, database_urls: DatabaseUrls) -> None:
    vault = Vault(bytes(32))
    async with database.transaction() as connection:
        kept = await vault.keep(connection, [Raw("inquiry", b"page", datetime.now(UTC))])
    assert len(kept) == 1
    with pytest.raises(Exception, match="permission denied"):
        await fetch(database_urls.app, "select * from audit.raw_message")


TAMPERED = {  # what a superuser does behind the triggers: what is said of it
    "changed": (
        "update audit.record set body = convert_to('{}', 'UTF8') where subject_seq = 2",
        "its body is not the one that was queued",
    ),
    "taken-out": ("delete from audit.record where subject_seq = 2", "its entry is gone"),
    # What its bytes do not hold, or lists are filtered by: an entry filed elsewhere is as good as gone.
    "called-otherwise": (
        "update audit.record set kind = 'test.other' where subject_seq = 2",
        "it is filed otherwise than it says",
    ),
    "of-another": ("update audit.record set subject_id = '8' where subject_seq = 2", "it is filed otherwise than it says"),
    "of-none": (
        "update audit.record set subject_kind = 'entry', subject_id = '8' where subject_seq = 2",
        "it is filed otherwise than it says",
    ),
    "put-first": (
        "update audit.record set subject_seq = 4 where subject_seq = 2",
        "it came before the entry it is numbered after",
    ),
}


@pytest.mark.parametrize("how", list(TAMPERED))
async def test_p29_an_entry_changed_behind_the_triggers_is_found_and_named(
    database: Database, database_urls: DatabaseUrls, how: str
) -> None:
    for seq in (1, 2, 3):
        async with database.transaction() as connection:
            await append.record(connection, kind="test.done", subject=("order", "7"), seq=seq, body={"n": seq})
    assert [one for one in await violations(database_urls.superuser) if "P29" in one.invariant] == []
    (second,) = await fetch(database_urls.superuser, "select arrived from audit.record where subject_seq = 2")
    owner = await asyncpg.connect(database_urls.superuser)
    try:
        await owner.execute("alter table audit.record disable trigger no_change")
        await owner.execute(TAMPERED[how][0])
    finally:
        await owner.close()
    found = [one for one in await violations(database_urls.superuser) if "P29" in one.invariant]
    assert [(one.which, one.what) for one in found] == [(str(second["arrived"]), TAMPERED[how][1])]
