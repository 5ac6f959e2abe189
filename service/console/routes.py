"""The status page as JSON."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.console.status import status
from service.core.clock import kst_date
from service.core.principal import Principal, Role
from service.infra import answers
from service.infra.caller import require
from service.infra.db import Books
from service.infra.problems import problem_responses

router = APIRouter(prefix="/v1", tags=["operation"])


class StatusOut(BaseModel):
    """Each part has `ok` and, when it is not, `what_now`."""

    model_config = ConfigDict(extra="allow")

    ok: bool = Field(description="whether every part is well")
    business_time: str = Field(description="the business clock")
    business_date: str = Field(description="KST day")
    database: dict[str, Any] = Field(description="the database answers")
    licence: dict[str, Any] = Field(description="whether the firm may give orders today")
    stream: dict[str, Any] = Field(description="the report stream and since when it is so")
    messages: dict[str, Any] = Field(description="reports waiting, parked, quarantined or about no order of ours")
    orders: dict[str, Any] = Field(description="requests on their way and unknown")
    brokers: dict[str, Any] = Field(description="open orders by broker")
    budgets: dict[str, Any] = Field(description="calls left today by service and class")
    jobs: dict[str, Any] = Field(description="the last run of each daily job")


@router.get(
    "/status",
    summary="The state of every part",
    response_model=StatusOut,
    responses=problem_responses("authentication-required", "role-required"),
)
async def get_status(request: Request, principal: Annotated[Principal, require(*Role)]) -> Response:  # noqa: ARG001
    """For a person: what is well, what is not, and what to do."""
    wiring = request.app.state.wiring
    async with wiring.transaction(books=Books.ALL) as connection:
        said = await status(
            connection, clock=wiring.clock, brokers=wiring.brokers, budgets=wiring.budgets,
            licensed=wiring.settings.licence_valid(kst_date(wiring.clock.now())),
        )  # fmt: skip
    return answers.document(said)
