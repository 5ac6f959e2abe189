"""Halts and locked brokers over HTTP: for operations."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from service.controls import store
from service.controls.model import Scope
from service.controls.release_broker import lock_document, release_broker
from service.controls.release_halt import release_halt
from service.controls.set_halt import ROUTE, halt_document, set_halt
from service.core.principal import Principal, Role
from service.infra import answers, idempotency, paging
from service.infra.caller import require
from service.infra.http import Cursor, Key, Limit, Words, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses

router = APIRouter(prefix="/v1", tags=["controls"])

Operator = Annotated[Principal, require(Role.OPERATIONS)]
Reader = Annotated[Principal, require(Role.OPERATIONS, Role.COMPLIANCE, Role.APPROVER)]
Reason = Annotated[Words, Query(description="why, for whoever reads it later")]
CALLED = ("authentication-required", "role-required", "validation-failed")
KEYED = (
    "idempotency-key-required", "idempotency-in-progress", "idempotency-key-reused", "unknown-field", "malformed-json",
    "body-too-large",
)  # fmt: skip


class NewHalt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: Scope = Field(description="what is halted")
    target: str | None = Field(
        None, min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$", examples=["00991"], validate_default=True,
        description="company code, account id, ISIN or user id; none for the whole firm",
    )  # fmt: skip
    reason: Words = Field(description="why, for whoever reads it later", examples=["평가 오류 확인 중"])

    @field_validator("target")
    @classmethod
    def _of_its_scope(cls, target: str | None, info: ValidationInfo) -> str | None:
        scope = info.data.get("scope")  # none when it is no scope, which is said by itself
        if scope is not None and (scope is Scope.FIRM) != (target is None):
            raise ValueError("a halt of the firm has no target, every other one names its target")
        return target


class HaltOut(BaseModel):
    id: UUID = Field(description="id of the halt")
    scope: Scope = Field(description="what is halted")
    target: str | None = Field(description="company code, account id, ISIN or user id; none for the whole firm")
    reason: str = Field(description="why it was set")
    set_by: UUID = Field(description="who set it")
    set_at: datetime = Field(description="business time; it holds from then on")
    released_by: UUID | None = Field(description="who released it: never who set it")
    released_at: datetime | None = Field(description="business time; none while it stands")
    release_reason: str | None = Field(description="why it was released")


class UnderWayOut(BaseModel):
    order_id: UUID = Field(description="the order")
    cl_ord_id: str = Field(description="ClOrdID of the request")
    kind: str = Field(description="new or amendment")
    state: str = Field(description="what became of it: sent, acknowledged, refused, queued again, unknown, or still sending")


class HaltSet(HaltOut):
    under_way: list[UnderWayOut] = Field(description="requests whose send had been claimed before the halt; none was after")


class HaltPage(BaseModel):
    items: list[HaltOut] = Field(description="newest first")
    next_cursor: str | None = Field(description="null on the last page")


SET: dict[int | str, dict[str, Any]] = {
    201: {"model": HaltSet, "description": "The halt, and what was under way when it was set"}
}


@router.post(
    "/halts",
    status_code=201,
    summary="Halt new orders and amendments",
    responses=SET | problem_responses(*CALLED, *KEYED, "halt-target-unknown", "gate-busy"),
)
async def post_halt(request: Request, body: NewHalt, principal: Operator, key: Key = None) -> Response:
    """Holds from its commit on, for every process and across restarts. Cancellations pass. The answer comes when everything
    claimed before has its answer or can no longer be sent, a few seconds at most."""
    intent = idempotency.intent(user_id=principal.user_id, route=ROUTE, key=key, body=body.model_dump(mode="json"))
    answer = await set_halt(
        request.app.state.wiring.switch, body.scope, body.target, body.reason, principal=principal, intent=intent,
        request_id=request_id.get(),
    )  # fmt: skip
    return answers.given(answer)


@router.get("/halts", summary="List halts", response_model=HaltPage, responses=problem_responses(*CALLED, "cursor-invalid"))
async def get_halts(
    request: Request,
    _caller: Reader,
    standing: Annotated[bool | None, Query(description="only those that stand, or only those released")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Halts, newest first."""
    before = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.halts_page(connection, standing=standing, limit=limit, before=before)
    page = paging.cut(listed(request), rows, limit, lambda one: str(one.id))
    return answers.page([halt_document(one) for one in page.items], page.next_cursor)


@router.delete(
    "/halts/{halt_id}",
    summary="Release a halt",
    response_model=HaltOut,
    responses=problem_responses(*CALLED, "halt-not-found", "halt-own-release", "halt-released", "gate-busy"),
)
async def delete_halt(request: Request, halt_id: UUID, principal: Operator, reason: Reason) -> Response:
    """By somebody other than its setter. The halt stays in the list."""
    wiring = request.app.state.wiring
    released = await release_halt(
        transaction=wiring.transaction, clock=wiring.clock, poke=wiring.notifier.poke, halt_id=halt_id, reason=reason,
        principal=principal, request_id=request_id.get(),
    )  # fmt: skip
    return answers.document(halt_document(released))


# --- brokers locked for a drift -------------------------------------------------------------------------------------------


class LockOut(BaseModel):
    id: UUID = Field(description="id of the lock")
    broker: str = Field(description="company code")
    since: datetime = Field(description="business time; no new order goes to the broker from then on")
    message: str = Field(description="the kind of message: report or order inquiry")
    field: str = Field(description="the field that is not as it should be")
    what: str = Field(description="missing, of another type, or an unknown code")
    evidence: UUID | None = Field(description="the raw message, as `ilim messages show` takes it")
    released_by: UUID | None = Field(description="who released it")
    released_at: datetime | None = Field(description="business time; none while it stands")
    release_reason: str | None = Field(description="why it was released")


class LockPage(BaseModel):
    items: list[LockOut] = Field(description="newest first")
    next_cursor: str | None = Field(description="null on the last page")


@router.get(
    "/broker-locks",
    summary="List locked brokers",
    response_model=LockPage,
    responses=problem_responses(*CALLED, "cursor-invalid"),
)
async def get_locks(
    request: Request,
    _caller: Reader,
    standing: Annotated[bool | None, Query(description="only those that stand, or only those released")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Brokers whose messages drifted from their profile, newest first."""
    before = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.locks_page(connection, standing=standing, limit=limit, before=before)
    page = paging.cut(listed(request), rows, limit, lambda one: str(one.id))
    return answers.page([lock_document(one) for one in page.items], page.next_cursor)


@router.delete(
    "/broker-locks/{lock_id}",
    summary="Release a locked broker",
    response_model=LockOut,
    responses=problem_responses(*CALLED, "lock-not-found", "lock-released"),
)
async def delete_lock(request: Request, lock_id: UUID, principal: Operator, reason: Reason) -> Response:
    """New orders go to the broker again. A drift that goes on locks it again at once."""
    wiring = request.app.state.wiring
    released = await release_broker(
        transaction=wiring.transaction, clock=wiring.clock, poke=wiring.notifier.poke, lock_id=lock_id, reason=reason,
        principal=principal, request_id=request_id.get(),
    )  # fmt: skip
    return answers.document(lock_document(released))
