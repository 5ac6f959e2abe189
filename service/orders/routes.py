"""Orders over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from service.core.errors import Invalid, Violation
from service.core.principal import Principal, Role
from service.gateway import Side
from service.infra import answers, idempotency, paging
from service.infra.caller import require
from service.infra.db import books_of
from service.infra.http import Cursor, Key, Limit, listed
from service.infra.idempotency import Answer, Intent
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.infra.written import Day
from service.orders import schemas, store
from service.orders.amend import amend
from service.orders.cancel import cancel
from service.orders.check import check
from service.orders.desk import Desk
from service.orders.intents import order_not_found
from service.orders.model import Status
from service.orders.resolutions import decide, propose
from service.orders.shown import shown
from service.orders.submit import ROUTE, submit
from service.orders.waiting import hold, seconds_wanted, settled

router = APIRouter(prefix="/v1", tags=["orders"])

Manager = Annotated[Principal, require(Role.MANAGER)]
Canceller = Annotated[Principal, require(Role.MANAGER, Role.OPERATIONS)]
Proposer = Annotated[Principal, require(Role.MANAGER, Role.OPERATIONS)]
Second = Annotated[Principal, require(Role.APPROVER, Role.OPERATIONS)]
Reader = Annotated[Principal, require(Role.MANAGER, Role.APPROVER, Role.OPERATIONS, Role.COMPLIANCE)]
Prefer = Annotated[str | None, Header(description="`wait=N`: hold the answer until the broker has spoken, at most 10 s")]

CONFIRM = "confirm"
CALLING = (
    "budget-exhausted",
    "authentication-required",
    "role-required",
    "idempotency-key-required",
    "malformed-json",
    "body-too-large",
)
KEYED = (
    "idempotency-in-progress", "idempotency-key-reused", "validation-failed", "unknown-field", "list-orders-not-supported",
)  # fmt: skip
SUBMITTING = (
    "halted", "broker-drift", "stream-blind", "clock-wrong",
    "account-not-found", "licence-required", "session-closed", "order-type-not-in-session",
    "time-in-force-not-in-session", "instrument-unknown", "instrument-not-current", "instrument-halted",
    "instrument-not-in-after-market", "contract-not-in-force", "mandate-missing", "mandate-not-in-force",
    "mandate-not-begun", "mandate-ended", "manager-not-assigned", "instrument-not-in-mandate", "order-value-exceeded",
    "turnover-exceeded", "single-name-weight-exceeded", "four-eyes-required", "price-limits-disagree", "price-deviation",
    "quantity-not-positive", "quantity-too-large", "quantity-not-in-lots",
    "price-required", "price-not-allowed", "price-not-positive", "price-off-tick", "price-above-limit",
    "price-below-limit", "market-buy-without-limit", "no-opening-balance", "insufficient-holding", "insufficient-cash",
    "twin-in-doubt", "client-order-id-used", "instrument-required",
)  # fmt: skip
AMENDING = (
    "halted", "broker-drift", "stream-blind", "clock-wrong",
    "order-not-found", "external-order", "order-closed", "request-in-flight", "fills-unaccounted",
    "partial-price-amend-not-supported",
    "amendment-empty", "price-amend-needs-limit-order", "price-unchanged", "quantity-increase-not-supported",
    "quantity-unchanged", "quantity-not-above-executed", "price-off-tick", "price-above-limit", "price-below-limit",
    "price-deviation", "price-limits-disagree", "turnover-exceeded", "single-name-weight-exceeded",
    "price-not-positive", "quantity-not-positive", "quantity-too-large", "session-closed", "licence-required",
    "insufficient-cash", "insufficient-holding", "instrument-not-current",
)  # fmt: skip
SHAPING = (
    "instrument-required", "price-required", "price-not-allowed", "price-not-positive", "quantity-not-positive",
    "quantity-too-large",
)  # fmt: skip
RESOLVING = (
    "order-not-found", "not-in-doubt", "day-not-over", "final-inquiry-missing", "evidence-shows-order",
)  # fmt: skip


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.wiring.desk
    return desk


def refuse_shape(found: list[Violation]) -> None:
    """Raise for what the shape of a body alone forbids."""
    if found:
        raise Invalid(found[0].code, found[0].message, violations=tuple(found))


def created(description: str) -> dict[int | str, dict[str, Any]]:
    return {201: {"model": schemas.OrderOut, "description": description}}


@router.post(
    "/orders",
    status_code=201,
    summary="Submit one order",
    responses=created("The order, on disk and queued to be sent") | problem_responses(*CALLING, *KEYED, *SUBMITTING),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": schemas.EXAMPLE_ORDER}}}},
)
async def submit_order(
    body: schemas.OrderIn, request: Request, principal: Manager, key: Key = None, prefer: Prefer = None
) -> Response:
    """One order. Answered once it is durably on disk with its ledger entry; it is sent behind the answer."""
    refuse_shape(body.violations())
    content = body.model_dump(mode="json")
    intent = idempotency.intent(user_id=principal.user_id, route=ROUTE, key=key, body=content, hold_s=hold(prefer))
    desk = desk_of(request)
    answer = await submit(desk, body.asked(), principal=principal, intent=intent, request_id=request_id.get() or "")
    return answers.given(await _waited(request, answer, prefer, principal, intent))


async def _waited(request: Request, answer: Answer, prefer: str | None, principal: Principal, intent: Intent) -> Answer:
    seconds = seconds_wanted(prefer)
    if not seconds or answer.replayed or answer.status != 201:
        return answer
    subscribe = request.app.state.wiring.listener.subscribe
    return await settled(desk_of(request), subscribe, answer, seconds=seconds, principal=principal, intent=intent)


@router.post(
    "/orders/checks",
    summary="Run every pre-trade check and send nothing",
    response_model=schemas.ChecksOut,
    responses=problem_responses(
        "authentication-required", "role-required", "malformed-json", "validation-failed", "unknown-field",
        "account-not-found", "list-orders-not-supported", *SHAPING,
    ),
)  # fmt: skip
async def check_order(body: schemas.OrderIn, request: Request, principal: Manager) -> schemas.ChecksOut:
    """What would become of this order now: every failed check, not the first."""
    refuse_shape(body.violations())
    done = await check(desk_of(request), body.asked(), principal=principal, request_id=request_id.get() or "")
    return schemas.ChecksOut(
        passed=not done.violations,
        violations=[schemas.ViolationOut(**one.as_dict()) for one in done.violations],
        business_date=done.business_date,
        session=done.session,
        value=str(done.value),
    )


@router.get(
    "/orders",
    summary="List orders",
    response_model=schemas.OrderPage,
    responses=problem_responses("authentication-required", "role-required", "validation-failed", "cursor-invalid"),
)
async def list_orders(
    request: Request,
    principal: Reader,
    account_id: Annotated[UUID | None, Query(description="of this account")] = None,
    isin: Annotated[str | None, Query(pattern=schemas.ISIN_PATTERN, description="of this instrument")] = None,
    side: Annotated[Side | None, Query(description="buy or sell")] = None,
    status: Annotated[Status | None, Query(description="in this status")] = None,
    business_date: Annotated[Day | None, Query(description="of this KST day")] = None,
    manager_id: Annotated[UUID | None, Query(description="given by this manager")] = None,
    client_order_id: Annotated[str | None, Query(max_length=64, pattern=r"^[\x21-\x7e]+$", description="your own id")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Orders in your books, newest first."""
    wanted = store.Filter(account_id, isin, side, status, business_date, manager_id, client_order_id)
    before = paging.after_uuid(listed(request), cursor)
    async with desk_of(request).transaction(books=books_of(principal)) as connection:
        rows = await store.page(connection, wanted, limit=limit + 1, before=before)
        page = paging.cut(listed(request), rows, limit, lambda one: str(one.id))
        documents = await shown(connection, page.items)
    return answers.page(documents, page.next_cursor)


@router.get(
    "/orders/{order_id}",
    summary="One order",
    response_model=schemas.OrderOut,
    responses=problem_responses("authentication-required", "role-required", "order-not-found", "validation-failed"),
)
async def get_order(order_id: UUID, request: Request, principal: Reader) -> Response:
    """The order with its requests, and what is in doubt."""
    async with desk_of(request).transaction(books=books_of(principal)) as connection:
        order = await store.load(connection, order_id)
        if order is None:
            raise order_not_found()
        (document,) = await shown(connection, [order])
    return answers.document(document)


@router.post(
    "/orders/{order_id}/amendments",
    status_code=201,
    summary="Amend one order",
    responses=created("The order with its new request") | problem_responses(*CALLING, *KEYED, *AMENDING),
)
async def amend_order(
    order_id: UUID, body: schemas.AmendmentIn, request: Request, principal: Manager, key: Key = None, prefer: Prefer = None
) -> Response:
    """A new price for the whole remainder, or a lower quantity; never both, never more."""
    refuse_shape(body.violations())
    intent = _intent(principal, "amendments", order_id, key, body.model_dump(mode="json"), prefer)
    answer = await amend(
        desk_of(request), order_id, price=schemas.decimal_or_none(body.price), quantity=body.quantity,
        principal=principal, intent=intent, request_id=request_id.get() or "",
    )  # fmt: skip
    return answers.given(await _waited(request, answer, prefer, principal, intent))


@router.post(
    "/orders/{order_id}/cancellations",
    status_code=201,
    summary="Cancel what remains of one order",
    responses=created("The order with its new request")
    | problem_responses(*CALLING, *KEYED, "order-not-found", "external-order", "order-closed", "request-in-flight"),
)
async def cancel_order(
    order_id: UUID,
    request: Request,
    principal: Canceller,
    body: schemas.CancellationIn | None = None,
    key: Key = None,
    prefer: Prefer = None,
) -> Response:
    """Cancel everything that remains. An order that was never sent is withdrawn here."""
    content = body.model_dump(mode="json") if body else {}
    intent = _intent(principal, "cancellations", order_id, key, content, prefer)
    answer = await cancel(desk_of(request), order_id, principal=principal, intent=intent, request_id=request_id.get() or "")
    return answers.given(await _waited(request, answer, prefer, principal, intent))


@router.post(
    "/orders/{order_id}/resolutions",
    status_code=201,
    summary="Propose how a request in doubt is resolved",
    responses=created("The order; the proposal stands in `in_doubt.resolutions`")
    | problem_responses(*CALLING, *KEYED, *RESOLVING, "resolution-pending"),
)
async def propose_resolution(
    order_id: UUID, body: schemas.ResolutionIn, request: Request, principal: Proposer, key: Key = None
) -> Response:
    """One person's half: `not_sent` closes the request on absence after the day's last session and a final complete inquiry;
    `twin_allowed` lets one twin of an unknown order pass, on the same day. Nothing happens before a second person confirms."""
    intent = _intent(principal, "resolutions", order_id, key, body.model_dump(mode="json"))
    answer = await propose(
        desk_of(request), order_id, doubtful=body.request_id, conclusion=body.conclusion, reason=body.reason,
        principal=principal, intent=intent, request_id=request_id.get() or "",
    )  # fmt: skip
    return answers.given(answer)


@router.post(
    "/orders/{order_id}/resolutions/{resolution_id}/decisions",
    status_code=201,
    summary="Confirm or decline a proposed resolution",
    responses=created("The order as it is after the decision")
    | problem_responses(*CALLING, *KEYED, *RESOLVING, "resolution-not-found", "resolution-decided", "second-person-required"),
)
async def decide_resolution(
    order_id: UUID, resolution_id: UUID, body: schemas.ResolutionDecisionIn, request: Request, principal: Second, key: Key = None
) -> Response:
    """The second person's half: never the proposer, never who made the request. A confirmed `not_sent` ends the order as
    rejected and frees what was held back; should evidence still turn up, the order is revived and an alarm is raised."""
    whole = body.model_dump(mode="json") | {"resolution_id": str(resolution_id)}
    intent = _intent(principal, "resolutions/{id}/decisions", order_id, key, whole)
    answer = await decide(
        desk_of(request), order_id, resolution_id, confirm=body.decision == CONFIRM, reason=body.reason,
        principal=principal, intent=intent, request_id=request_id.get() or "",
    )  # fmt: skip
    return answers.given(answer)


def _intent(
    principal: Principal, what: str, order_id: UUID, key: str | None, body: dict[str, Any], prefer: str | None = None
) -> Intent:
    """The order's id counts as part of the body: the same key for another order is another body."""
    whole, route = body | {"order_id": str(order_id)}, f"POST /v1/orders/{{id}}/{what}"
    return idempotency.intent(user_id=principal.user_id, route=route, key=key, body=whole, hold_s=hold(prefer))
