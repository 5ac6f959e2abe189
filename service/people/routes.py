"""Users and API keys over HTTP: for administrators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.core.principal import Principal, Role
from service.infra import paging
from service.infra.caller import require
from service.infra.http import Cursor, Limit, listed
from service.infra.logs import request_id
from service.infra.problem_document import problem_responses
from service.infra.written import Given, Instant
from service.people import store
from service.people.change_user import change_user
from service.people.create_user import create_user
from service.people.issue_key import issue_key
from service.people.model import ApiKey, User
from service.people.revoke_key import revoke_key

router = APIRouter(prefix="/v1", tags=["people"])

Administrator = Annotated[Principal, require(Role.ADMINISTRATOR)]
REFUSED = ("authentication-required", "role-required", "validation-failed")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewUser(Strict):
    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$", description="unique", examples=["kim"])
    roles: list[Role] = Field(min_length=1, max_length=5, examples=[["manager"]], description="what the user may do")


class UserChange(Strict):
    roles: Annotated[list[Role] | None, Given()] = Field(None, min_length=1, max_length=5, description="the new set of roles")
    active: Annotated[bool | None, Given()] = Field(None, description="false: every call of the user is refused from now on")


class UserOut(Strict):
    id: UUID = Field(description="id of the user")
    name: str = Field(description="unique name")
    roles: list[Role] = Field(description="what the user may do")
    active: bool = Field(description="whether calls are answered")
    created_at: datetime = Field(description="when it was created")

    @classmethod
    def of(cls, user: User) -> "UserOut":
        return cls(**{**vars(user), "roles": sorted(user.roles)})


class UserPage(Strict):
    items: list[UserOut] = Field(description="users in the order of their ids")
    next_cursor: str | None = Field(description="null on the last page")


class NewKey(Strict):
    user_id: UUID = Field(description="whose key")
    expires_at: Instant | None = Field(None, description="none: until it is revoked")


class KeyOut(Strict):
    id: UUID = Field(description="id of the key")
    user_id: UUID = Field(description="whose key")
    prefix: str = Field(description="the readable part of the token, to tell keys apart")
    created_at: datetime = Field(description="when it was issued")
    expires_at: datetime | None = Field(description="none: until it is revoked")
    revoked_at: datetime | None = Field(description="none: not revoked")

    @classmethod
    def of(cls, key: ApiKey) -> "KeyOut":
        return cls(**vars(key))


class IssuedKey(KeyOut):
    token: str = Field(description="the API key: shown now and never again")


class KeyPage(Strict):
    items: list[KeyOut] = Field(description="keys in the order of their ids")
    next_cursor: str | None = Field(description="null on the last page")


@router.post("/users", status_code=201, responses=problem_responses(*REFUSED, "conflict"))
async def post_user(request: Request, body: NewUser, principal: Administrator) -> UserOut:
    """Create a user."""
    transaction = request.app.state.wiring.transaction
    user = await create_user(
        transaction=transaction, name=body.name, roles=body.roles, principal=principal, request_id=request_id.get()
    )
    return UserOut.of(user)


@router.get("/users", responses=problem_responses(*REFUSED, "cursor-invalid"))
async def get_users(
    request: Request, _caller: Administrator, limit: Limit = paging.DEFAULT_LIMIT, cursor: Cursor = None
) -> UserPage:
    """List users."""
    after = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.users_page(connection, after=after, limit=limit)
    page = paging.cut(listed(request), rows, limit, lambda user: str(user.id))
    return UserPage(items=[UserOut.of(user) for user in page.items], next_cursor=page.next_cursor)


@router.patch("/users/{user_id}", responses=problem_responses(*REFUSED, "not-found", "conflict", "gate-busy"))
async def patch_user(request: Request, user_id: UUID, body: UserChange, principal: Administrator) -> UserOut:
    """Change the roles of a user, or switch the user off."""
    user = await change_user(
        transaction=request.app.state.wiring.transaction,
        user_id=user_id,
        roles=body.roles,
        active=body.active,
        principal=principal,
        request_id=request_id.get(),
    )
    return UserOut.of(user)


@router.post("/api-keys", status_code=201, responses=problem_responses(*REFUSED, "not-found", "conflict"))
async def post_key(request: Request, body: NewKey, principal: Administrator) -> IssuedKey:
    """Issue an API key. The token is in this answer and nowhere else."""
    wiring = request.app.state.wiring
    key, token = await issue_key(
        transaction=wiring.transaction,
        pepper=wiring.pepper,
        user_id=body.user_id,
        expires_at=body.expires_at,
        principal=principal,
        request_id=request_id.get(),
    )
    return IssuedKey(**vars(key), token=token.reveal())


@router.get("/api-keys", responses=problem_responses(*REFUSED, "cursor-invalid"))
async def get_keys(
    request: Request,
    _caller: Administrator,
    user_id: Annotated[UUID | None, Query(description="only keys of this user")] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> KeyPage:
    """List API keys, without their secrets."""
    after = paging.after_uuid(listed(request), cursor)
    async with request.app.state.wiring.transaction() as connection:
        rows = await store.keys_page(connection, after=after, limit=limit, user_id=user_id)
    page = paging.cut(listed(request), rows, limit, lambda key: str(key.id))
    return KeyPage(items=[KeyOut.of(key) for key in page.items], next_cursor=page.next_cursor)


@router.delete("/api-keys/{key_id}", responses=problem_responses(*REFUSED, "not-found"))
async def delete_key(request: Request, key_id: UUID, principal: Administrator) -> KeyOut:
    """Revoke an API key. It stays in the list."""
    wiring = request.app.state.wiring
    key = await revoke_key(transaction=wiring.transaction, key_id=key_id, principal=principal, request_id=request_id.get())
    return KeyOut.of(key)
