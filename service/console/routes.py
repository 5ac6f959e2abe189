"""The state of every part, and the feed of changes."""

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.security.utils import get_authorization_scheme_param
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.console.status import named, status
from service.core.clock import kst_date
from service.core.errors import ServiceError
from service.core.principal import Principal, Role
from service.infra import answers, feed
from service.infra.caller import require
from service.infra.db import Books, books_of
from service.infra.problem_document import problem_responses

router = APIRouter(prefix="/v1", tags=["operation"])


class StatusOut(BaseModel):
    """Each part has `ok` and, when it is not, `what_now`."""

    model_config = ConfigDict(extra="allow")

    ok: bool = Field(description="whether every part is well")
    business_time: str = Field(description="the business clock")
    business_date: str = Field(description="KST day")
    database: dict[str, Any] = Field(description="the database answers")
    licence: dict[str, Any] = Field(description="whether the firm may give orders today")
    clock: dict[str, Any] = Field(description="this replica's clock beside the database's")
    stream: dict[str, Any] = Field(description="the report stream and since when it is so")
    messages: dict[str, Any] = Field(description="reports waiting, parked, quarantined or about no order of ours")
    orders: dict[str, Any] = Field(
        description="requests on their way and unknown, orders to look at or outlived (yours by id), open external ones"
    )
    brokers: dict[str, Any] = Field(description="open orders by broker, and brokers locked for a drift of their messages")
    halts: dict[str, Any] = Field(description="halts that stand")
    sweeps: dict[str, Any] = Field(
        description="how often accounts with live orders are asked about, and the complete look longest ago"
    )
    budgets: dict[str, Any] = Field(description="calls left today by service and class")
    jobs: dict[str, Any] = Field(description="the last run of each daily job")


@router.get(
    "/status",
    summary="The state of every part",
    response_model=StatusOut,
    responses=problem_responses("authentication-required", "role-required"),
)
async def get_status(request: Request, principal: Annotated[Principal, require(*Role)]) -> Response:
    """For a person: what is well, what is not, and what to do. Orders are counted for everybody and named to whom they are
    shown."""
    wiring = request.app.state.wiring
    async with wiring.transaction(books=books_of(principal)) as connection:
        names = await named(connection, wiring.clock)
    async with wiring.transaction(books=Books.ALL) as connection:
        said = await status(
            connection, clock=wiring.clock, brokers=wiring.brokers, budgets=wiring.budgets,
            licensed=wiring.settings.licence_valid(kst_date(wiring.clock.now())), names=names,
        )  # fmt: skip
    return answers.document(said)


# --- the feed -------------------------------------------------------------------------------------------------------------------

READERS = (Role.MANAGER, Role.APPROVER, Role.OPERATIONS, Role.COMPLIANCE)
LARGEST = 2**63 - 1
RETRY_MS = 2000


class EventOut(BaseModel):
    """One change. The event's `id` on the wire is this `id`; remember it, and send it as `Last-Event-ID` to go on."""

    id: int = Field(description="increasing; not every number is for you")
    previous_id: int | None = Field(
        description="the event before it that you could see: equal to the last one you had, or you missed some"
    )
    kind: str = Field(description="order.changed, execution.recorded, halt.changed, broker.changed")
    subject_id: str = Field(description="id of what changed")
    account_id: str | None = Field(description="the account whose book it is in; null when it concerns everybody")
    happened_at: AwareDatetime = Field(description="real time of the change")
    document: dict[str, Any] = Field(description="what it is now, in short; ask for the subject to see it whole")


EVENTS = {
    "id": {"description": "of the event; send the last one as `Last-Event-ID` to go on"},
    "event": {"description": "its `kind`"},
    "data": {"contentMediaType": "application/json", "contentSchema": EventOut.model_json_schema()},
}
FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The changes, one event each; a comment now and then shows that the line is up",
        "content": {"text/event-stream": {"itemSchema": {"properties": EVENTS}}},  # beside what FastAPI says of any stream
    }
}


async def reader(request: Request, principal: Annotated[Principal, require(*READERS)]) -> feed.Reader:
    """Follows in the caller's books, for as long as the key is good and they are the caller's."""
    app, books = request.app, books_of(principal)
    token = get_authorization_scheme_param(request.headers["authorization"])[1]  # as it was read when it let the caller in

    async def entitled() -> bool:
        try:
            present: Principal = await app.state.authenticate(token)
        except ServiceError:
            return False
        return present.has(*READERS) and books_of(present) == books

    return feed.Reader(app.state.wiring.transaction, books, entitled, app.state.ending.is_set)


Following = Annotated[feed.Reader, Depends(reader)]


async def place(
    follower: Following,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LARGEST, description="the last event you had; without it: from now on")
    ] = None,
) -> feed.Place:
    return await follower.begin(last_event_id)


@router.get(
    "/events",
    summary="Follow changes",
    response_class=EventSourceResponse,
    responses=FOLLOWED | problem_responses("authentication-required", "role-required", "validation-failed", "event-not-reached"),
)
async def follow_events(
    request: Request,
    follower: Following,
    begun: Annotated[feed.Place, Depends(place)],
    wait: Annotated[bool, Query(description="false: end after what is there already, for catching up")] = True,
) -> AsyncIterator[ServerSentEvent]:
    """Every order, execution and halt change in your books, in order, none left out: each names the one before it. An end
    of the stream is no end of the feed: connect again with `Last-Event-ID`, here or at any replica."""
    async with request.app.state.wiring.listener.subscribe(feed.CHANNEL) as wake:
        yield ServerSentEvent(comment="following", retry=RETRY_MS)
        async for one in follower.follow(wake, begun, wait=wait):
            yield ServerSentEvent(id=str(one.id), event=one.kind, raw_data=orjson.dumps(document(one)).decode())


def document(one: feed.Event) -> dict[str, Any]:
    return {
        "id": one.id,
        "previous_id": one.previous_id,
        "kind": one.kind,
        "subject_id": str(one.subject_id),
        "account_id": None if one.account_id is None else str(one.account_id),
        "happened_at": one.happened_at.astimezone(UTC).isoformat(),
        "document": one.document,
    }
