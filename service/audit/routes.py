"""The ledger over HTTP, for compliance (준법감시). Entries are given as they were written: the body is the evidence."""

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from service.audit import append, store
from service.core.errors import NotFound
from service.core.principal import Principal, Role
from service.infra import answers, paging
from service.infra.caller import require
from service.infra.http import Cursor, Limit, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.infra.written import Instant

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Compliance = Annotated[Principal, require(Role.COMPLIANCE)]
Word = Annotated[str | None, Query(max_length=100, pattern=r"^[\x21-\x7e]+$")]
LARGEST = 2**53 - 1  # what a ledger entry may itself name


class EntryOut(BaseModel):
    """One entry of the ledger."""

    index: int = Field(description="order of arrival; gaps are normal until entries are sealed")
    record_id: str = Field(description="id of the entry")
    written_at: str = Field(description="real time of the database")
    kind: str = Field(description="what happened, as dotted words")
    subject_kind: str = Field(description="order for an order; entry for what has no counter of its own")
    subject_id: str = Field(description="id of the subject")
    subject_seq: int = Field(description="1, 2, 3 … without a gap for each order")
    leaf_hash: str = Field(description="SHA-256(0x00 ‖ body), hexadecimal")
    body: dict[str, Any] = Field(description="the canonical document that was hashed")


class EntryPage(BaseModel):
    items: list[EntryOut] = Field(description="entries, newest first")
    next_cursor: str | None = Field(description="null on the last page")


def entry_document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index": row["arrived"],
        "record_id": str(row["record_id"]),
        "written_at": row["written_at"].astimezone(UTC).isoformat(),
        "kind": row["kind"],
        "subject_kind": row["subject_kind"],
        "subject_id": row["subject_id"],
        "subject_seq": row["subject_seq"],
        "leaf_hash": bytes(row["leaf_hash"]).hex(),
        "body": orjson.loads(bytes(row["body"])),
    }


@router.get(
    "/entries",
    summary="List ledger entries",
    response_model=EntryPage,
    responses=problem_responses("authentication-required", "role-required", "validation-failed", "cursor-invalid"),
)
async def list_entries(
    request: Request,
    principal: Compliance,
    kind: Annotated[Word, Query(description="what happened, for example order.submitted")] = None,
    subject_kind: Annotated[Word, Query(description="for example order")] = None,
    subject_id: Annotated[Word, Query(description="id of the subject")] = None,
    since: Annotated[Instant | None, Query(description="written at or after")] = None,
    until: Annotated[Instant | None, Query(description="written before")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Entries, newest first. The look-up is an entry itself."""
    wanted = store.EntryFilter(kind, subject_kind, subject_id, since, until)
    before = paging.after_number(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.page(connection, wanted, limit=limit, before=before)
        await _note(connection, principal, {"rows": min(len(rows), limit)})
    cut = paging.cut(listed(request), rows, limit, lambda row: str(row["arrived"]))
    return answers.page([entry_document(row) for row in cut.items], cut.next_cursor)


@router.get(
    "/entries/{index}",
    summary="One ledger entry",
    response_model=EntryOut,
    responses=problem_responses("authentication-required", "role-required", "not-found", "validation-failed"),
)
async def get_entry(
    index: Annotated[int, Path(ge=1, le=LARGEST, description="`index` of the entry")], request: Request, principal: Compliance
) -> Response:
    """The entry as it was written. The look-up is an entry itself."""
    async with request.app.state.wiring.transaction() as connection:
        row = await store.find(connection, index)
        await _note(connection, principal, {"index": index})
    if row is None:
        raise NotFound("not-found", "There is no entry with this index.")
    return answers.document(entry_document(row))


async def _note(connection: Any, principal: Principal, body: dict[str, Any]) -> None:
    await append.record(
        connection, kind="ledger.viewed", subject=("user", principal.user_id), body=body, principal=principal,
        request_id=request_id.get(),
    )  # fmt: skip
