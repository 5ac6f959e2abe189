"""Clients and mandates over HTTP. Operations and administrators write; managers see what they manage, and only that."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from service.audit.append import record
from service.core.errors import NotFound
from service.core.principal import Principal, Role
from service.core.secret import Secret
from service.infra import paging
from service.infra.caller import Caller, require
from service.infra.http import Cursor, Limit, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.mandates import store
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.create_client import create_client
from service.mandates.create_mandate import create_mandate
from service.mandates.linkage import link
from service.mandates.model import MandateStatus
from service.mandates.schemas import (
    ClientOut,
    ClientPage,
    LinkageOut,
    MandateChange,
    MandateOut,
    MandatePage,
    NewClient,
    NewMandate,
)

router = APIRouter(prefix="/v1", tags=["mandates"])

Writer = Annotated[Principal, require(Role.OPERATIONS, Role.ADMINISTRATOR)]
READ = ("authentication-required", "validation-failed")
WRITE = (*READ, "role-required")


def seen_by(principal: Principal) -> UUID | None:
    """Whose eyes narrow the answer: a manager's own, whatever else a manager is; those who set contracts up or read all see
    every one."""
    every = principal.sees_all_books or principal.has(Role.ADMINISTRATOR)
    return None if every and not principal.has(Role.MANAGER) else principal.user_id


def _who(principal: Principal) -> dict[str, Any]:
    return {"principal": principal, "request_id": request_id.get()}


@router.post("/clients", status_code=201, responses=problem_responses(*WRITE))
async def post_client(request: Request, body: NewClient, principal: Writer) -> ClientOut:
    """Record a client. The ci is sealed and never given back."""
    wiring = request.app.state.wiring
    ci = Secret(body.ci.get_secret_value()) if body.ci is not None else None
    client = await create_client(
        transaction=wiring.transaction, vault=wiring.vault, name=body.name, kind=body.kind, ci=ci, **_who(principal)
    )
    return ClientOut.of(client)


@router.get("/clients", responses=problem_responses(*READ, "cursor-invalid"))
async def get_clients(
    request: Request, principal: Caller, limit: Limit = paging.DEFAULT_LIMIT, cursor: Cursor = None
) -> ClientPage:
    """List clients. The look-up is in the ledger."""
    after = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.clients_page(connection, seen_by=seen_by(principal), after=after, limit=limit)
        page = paging.cut(listed(request), rows, limit, lambda client: str(client.id))
        body = {"rows": len(page.items), "first": page.items[0].id if page.items else None}
        await record(connection, kind="client.listed", subject=("user", principal.user_id), body=body, **_who(principal))
    return ClientPage(items=[ClientOut.of(client) for client in page.items], next_cursor=page.next_cursor)


@router.get("/clients/{client_id}", responses=problem_responses(*READ, "not-found"))
async def get_client(request: Request, client_id: UUID, principal: Caller) -> ClientOut:
    """One client with the onboarding state last stored. The look-up is in the ledger."""
    async with request.app.state.wiring.transaction() as connection:
        client = await store.find_client(connection, client_id, seen_by=seen_by(principal))
        if client is None:
            raise NotFound("not-found", "There is no such client.")
        linkage = await store.find_linkage(connection, client_id)
        await record(connection, kind="client.viewed", subject=("client", client_id), body={}, **_who(principal))
    return ClientOut.of(client, linkage)


@router.post("/clients/{client_id}/linkage", responses=problem_responses(*WRITE, "not-found", "conflict"))
async def post_linkage(request: Request, client_id: UUID, principal: Writer) -> LinkageOut:
    """Ask the platform for membership and linked virtual accounts, store the answer, and say what comes next."""
    wiring = request.app.state.wiring
    linkage = await link(
        transaction=wiring.transaction,
        clock=wiring.clock,
        gateway=wiring.gateway,
        vault=wiring.vault,
        client_id=client_id,
        seen_by=seen_by(principal),
        **_who(principal),
    )
    return LinkageOut.of(linkage)


@router.post("/mandates", status_code=201, responses=problem_responses(*WRITE, "not-found", "conflict"))
async def post_mandate(request: Request, body: NewMandate, principal: Writer) -> MandateOut:
    """Record a discretionary contract."""
    given = {name: getattr(body, name) for name in type(body).model_fields}
    mandate = await create_mandate(
        transaction=request.app.state.wiring.transaction,
        **{**given, "status": MandateStatus(body.status), "limits": body.limits.value(), "fee_schedule": _fees(body)},
        **_who(principal),
    )
    return MandateOut.of(mandate)


@router.get("/mandates", responses=problem_responses(*READ, "cursor-invalid"))
async def get_mandates(
    request: Request,
    principal: Caller,
    client_id: Annotated[UUID | None, Query(description="only this client's")] = None,
    status: Annotated[MandateStatus | None, Query(description="only in this state")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> MandatePage:
    """List mandates. The look-up is in the ledger."""
    after = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.mandates_page(
            connection, seen_by=seen_by(principal), after=after, limit=limit, client_id=client_id, status=status
        )
        page = paging.cut(listed(request), rows, limit, lambda mandate: str(mandate.id))
        looked = {"rows": len(page.items), "first": page.items[0].id if page.items else None}
        await record(connection, kind="mandate.listed", subject=("user", principal.user_id), body=looked, **_who(principal))
    return MandatePage(items=[MandateOut.of(mandate) for mandate in page.items], next_cursor=page.next_cursor)


@router.get("/mandates/{mandate_id}", responses=problem_responses(*READ, "not-found"))
async def get_mandate(request: Request, mandate_id: UUID, principal: Caller) -> MandateOut:
    """One mandate with its present accounts and managers. The look-up is in the ledger."""
    async with request.app.state.wiring.transaction() as connection:
        mandate = await store.find_mandate(connection, mandate_id, seen_by=seen_by(principal))
        if mandate is None:
            raise NotFound("not-found", "There is no such mandate.")
        await record(connection, kind="mandate.viewed", subject=("mandate", mandate_id), body={}, **_who(principal))
    return MandateOut.of(mandate)


@router.patch("/mandates/{mandate_id}", responses=problem_responses(*WRITE, "not-found", "conflict", "gate-busy"))
async def patch_mandate(request: Request, mandate_id: UUID, body: MandateChange, principal: Writer) -> MandateOut:
    """Amend a mandate. It holds for every order not yet sent."""
    given = {name: getattr(body, name) for name in type(body).model_fields}
    limits = body.limits.value() if body.limits is not None else None
    changes = Changes(**{**given, "limits": limits, "fee_schedule": _fees(body)})
    mandate = await amend_mandate(
        transaction=request.app.state.wiring.transaction,
        mandate_id=mandate_id,
        changes=changes,
        seen_by=seen_by(principal),
        **_who(principal),
    )
    return MandateOut.of(mandate)


def _fees(body: NewMandate | MandateChange) -> dict[str, Any] | None:
    return body.fee_schedule.model_dump() if body.fee_schedule is not None else None
