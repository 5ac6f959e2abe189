"""Fills, the timeline of an order and messages set aside, over HTTP."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.audit import store as ledger
from service.core.clock import KST
from service.core.money import plain
from service.core.principal import Principal, Role
from service.executions import messages, store
from service.executions.messages import Aside, MessageRow
from service.executions.timeline import line
from service.gateway import Side
from service.infra import answers, paging
from service.infra.caller import require
from service.infra.db import Transaction, books_of
from service.infra.http import Cursor, Limit, Words, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.infra.written import Day
from service.orders import store as orders
from service.orders.intents import order_not_found

router = APIRouter(prefix="/v1", tags=["executions"])

Reader = Annotated[Principal, require(Role.MANAGER, Role.APPROVER, Role.OPERATIONS, Role.COMPLIANCE)]


class FillOut(BaseModel):
    """체결: one execution, counted once. A reversal of a busted one is negative and names it."""

    id: UUID = Field(description="id of the fill")
    order_id: UUID = Field(description="the order it happened to")
    account_id: UUID = Field(description="the account it changed")
    business_date: date = Field(description="KST trading day")
    isin: str = Field(description="표준코드")
    side: Side = Field(description="buy or sell")
    quantity: int = Field(description="shares")
    price: str = Field(description="won")
    amount: str = Field(description="quantity times price, in won")
    traded_at: str = Field(description="business time of the execution")
    settles_on: date = Field(description="settlement date (결제일)")
    exec_id: str | None = Field(description="as the broker wrote it: a hint, not an identity")
    source: str = Field(description="stream or inquiry: where it was seen first")
    evidence: UUID = Field(description="the raw message it was read from")
    reverses: UUID | None = Field(description="the fill it undoes")


class FillPage(BaseModel):
    items: list[FillOut] = Field(description="fills, newest first")
    next_cursor: str | None = Field(description="null on the last page")


def fill_document(one: store.Fill) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "order_id": str(one.order_id),
        "account_id": str(one.account_id),
        "business_date": one.business_date.isoformat(),
        "isin": one.isin,
        "side": one.side.value,
        "quantity": one.quantity,
        "price": plain(one.price),
        "amount": str(one.amount),
        "traded_at": one.traded_at.astimezone(KST).isoformat(timespec="milliseconds"),
        "settles_on": one.settles_on.isoformat(),
        "exec_id": one.exec_id,
        "source": one.source,
        "evidence": str(one.evidence),
        "reverses": None if one.reverses is None else str(one.reverses),
    }


@router.get(
    "/executions",
    summary="List fills",
    response_model=FillPage,
    responses=problem_responses("authentication-required", "role-required", "validation-failed", "cursor-invalid"),
)
async def list_executions(
    request: Request,
    principal: Reader,
    account_id: Annotated[UUID | None, Query(description="of this account")] = None,
    isin: Annotated[str | None, Query(pattern=r"^[A-Z]{2}[0-9A-Z]{9}[0-9]$", description="of this instrument")] = None,
    side: Annotated[Side | None, Query(description="buy or sell")] = None,
    business_date: Annotated[Day | None, Query(description="of this KST day")] = None,
    order_id: Annotated[UUID | None, Query(description="of this order")] = None,
    manager_id: Annotated[UUID | None, Query(description="of orders this manager gave")] = None,
    client_order_id: Annotated[
        str | None, Query(max_length=64, pattern=r"^[\x21-\x7e]+$", description="of the order you gave this id")
    ] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Fills in your books, newest first."""
    transaction: Transaction = request.app.state.wiring.transaction
    wanted = store.FillFilter(account_id, isin, side, business_date, order_id, manager_id, client_order_id)
    before = paging.after_uuid(listed(request), cursor)
    async with transaction(books=books_of(principal)) as connection:
        rows = await store.page(connection, wanted, limit=limit, before=before)
    cut = paging.cut(listed(request), rows, limit, lambda one: str(one.id))
    return answers.page([fill_document(one) for one in cut.items], cut.next_cursor)


class LineOut(BaseModel):
    """One thing that happened to an order."""

    number: int = Field(description="1, 2, 3 … without a gap: the entry's place in the ledger of this order")
    at: str | None = Field(description="business time")
    recorded_at: str = Field(description="real time of the database")
    kind: str = Field(description="what happened, as the ledger names it")
    text: str = Field(description="the same in words")
    actor: UUID | None = Field(description="the person who caused it; null when a broker or a process of ours did")
    cl_ord_id: str | None = Field(description="the request to the broker it is about")
    request_id: str | None = Field(description="X-Request-Id of the call that caused it")
    evidence: list[UUID] = Field(description="raw messages it rests on")


class Timeline(BaseModel):
    items: list[LineOut] = Field(description="what happened, oldest first")
    next_cursor: str | None = Field(description="null on the last page")


@router.get(
    "/orders/{order_id}/timeline",
    summary="What happened to an order",
    response_model=Timeline,
    responses=problem_responses(
        "authentication-required", "role-required", "order-not-found", "validation-failed", "cursor-invalid"
    ),
)
async def get_timeline(
    order_id: UUID, request: Request, principal: Reader, limit: Limit = paging.DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """Everything that happened to one order, in order, in words, each line with its evidence."""
    transaction: Transaction = request.app.state.wiring.transaction
    after = paging.after_number(listed(request), cursor, largest=ledger.LARGEST_SEQ) or 0
    async with transaction(books=books_of(principal)) as connection:
        if await orders.load(connection, order_id) is None:
            raise order_not_found()
        rows = await ledger.about(connection, ("order", str(order_id)), after=after, limit=limit)
    cut = paging.cut(listed(request), rows, limit, lambda row: str(row["subject_seq"]))
    return answers.page([line_document(row) for row in cut.items], cut.next_cursor)


def line_document(row: Mapping[str, Any]) -> dict[str, Any]:
    told = line(row["subject_seq"], row["written_at"].astimezone(UTC).isoformat(), orjson.loads(bytes(row["body"])))
    return asdict(told)


# --- messages set aside: what they say stays with `ilim messages show`, the api may not read evidence ------------------------

Overseer = Annotated[Principal, require(Role.OPERATIONS, Role.COMPLIANCE)]
Operator = Annotated[Principal, require(Role.OPERATIONS)]
CALLED = ("authentication-required", "role-required", "validation-failed")


class MessageOut(BaseModel):
    """A message of the report stream."""

    id: UUID = Field(description="id of the raw message, as in the log and in `ilim messages show`")
    com_id: str = Field(description="whose stream it came in")
    seq: int | None = Field(description="its number in the stream, where it had one")
    state: str = Field(
        description="waiting, applied, parked (unreadable), quarantined (impossible) or unmatched (order not known)"
    )
    reason: str | None = Field(description="why it was set aside")
    order_id: UUID | None = Field(description="the order a parked or quarantined message says it is about")
    received_at: datetime = Field(description="real time")
    settled_at: datetime | None = Field(description="real time of what became of it")


class MessagePage(BaseModel):
    items: list[MessageOut] = Field(description="messages, oldest first")
    next_cursor: str | None = Field(description="null on the last page")


class ReplayIn(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Words = Field(description="why, for whoever reads the ledger later", examples=["방언 수정 후 재처리"])


def message_document(one: MessageRow) -> dict[str, object]:
    return MessageOut(id=one.raw_id, **{name: getattr(one, name) for name in MessageOut.model_fields if name != "id"}).model_dump(
        mode="json"
    )


@router.get(
    "/messages",
    summary="List messages set aside",
    response_model=MessagePage,
    responses=problem_responses(*CALLED, "cursor-invalid"),
)
async def list_messages(
    request: Request,
    principal: Overseer,  # noqa: ARG001
    state: Annotated[Aside | None, Query(description="only these")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Reports nobody could apply, oldest first: parked, quarantined, unmatched."""
    after = paging.after_number(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await messages.set_aside(connection, state=state, limit=limit + 1, after=after or 0)
    cut = paging.cut(listed(request), rows, limit, lambda one: str(one.arrived))
    return answers.page([message_document(one) for one in cut.items], cut.next_cursor)


@router.post(
    "/messages/{message_id}/replays",
    summary="Apply a message again",
    response_model=MessageOut,
    responses=problem_responses(*CALLED, "message-not-found", "message-applied"),
)
async def post_replay(request: Request, principal: Operator, message_id: UUID, body: ReplayIn) -> Response:
    """Put a message that was set aside back among those that wait, after a fix. Doing it twice is harmless."""
    wiring = request.app.state.wiring
    found = await messages.replay(
        wiring.transaction,
        message_id,
        reason=body.reason,
        at=wiring.clock.now(),
        principal=principal,
        request_id=request_id.get(),
    )
    wiring.notifier.poke("reports")
    return answers.document(message_document(found))
