"""Bodies of the routes of clients and mandates."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from service.core.money import parse_decimal
from service.core.secret import mask_account
from service.infra.written import Day, Given
from service.mandates.model import Client, Limits, Linkage, Mandate, MandateStatus, Onboarding
from service.mandates.rules import NEXT_STEP

ISIN_PATTERN = r"^KR[0-9A-Z]{9}[0-9]$"
WON_PATTERN = r"^(0|[1-9][0-9]{0,14})$"
PERCENT_PATTERN = r"^(0|[1-9][0-9]{0,2})(\.[0-9]{1,4})?$"


def _at_most_100(text: str) -> str:
    if parse_decimal(text) > Decimal(100):
        raise ValueError("a percentage is at most 100")
    return text


Won = Annotated[str, Field(pattern=WON_PATTERN, examples=["100000000"])]
Percent = Annotated[str, Field(pattern=PERCENT_PATTERN, examples=["10"]), AfterValidator(_at_most_100)]
Isin = Annotated[str, Field(pattern=ISIN_PATTERN, examples=["KR7005930003"])]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$")]
CI = re.compile(r"[A-Za-z0-9+/]{86}==")


def _ci_shape(value: SecretStr) -> SecretStr:
    if not CI.fullmatch(value.get_secret_value()):
        raise ValueError("a ci has 88 characters of base64")
    return value


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Universe(Strict):
    include: list[Isin] = Field([], max_length=2000, description="only these; empty: everything not excluded")
    exclude: list[Isin] = Field([], max_length=2000, description="never these")


class LimitsBody(Strict):
    """What the contract allows; null: it sets no such limit."""

    max_order_value: Won | None = Field(None, description="largest value of one order, won")
    daily_turnover: Won | None = Field(None, description="value of all orders of a day, won")
    price_deviation_percent: Percent | None = Field(None, description="largest distance of a limit price from the reference")
    single_name_weight_percent: Percent | None = Field(None, description="largest weight of one name in an account")
    four_eyes_threshold: Won | None = Field(None, description="orders of this value or more need an approval, won")
    universe: Universe = Field(Universe(), description="which instruments")

    def value(self) -> Limits:
        return Limits.from_json(self.model_dump())

    @classmethod
    def of(cls, limits: Limits) -> "LimitsBody":
        return cls(**limits.as_json())


class FeeSchedule(Strict):
    """일임수수료 by contract."""

    management_fee_percent: Percent = Field(description="of the account's value, a year")
    performance_fee_percent: Percent | None = Field(None, description="of the gain above the contract's mark")
    billing: Literal["monthly", "quarterly", "yearly"] = Field("quarterly", description="when it is invoiced")


class NewClient(Strict):
    name: Name = Field(description="name as the platform knows it", examples=["홍길동"])
    kind: Literal["individual", "corporate"] = Field("individual", description="kind of investor")
    ci: Annotated[SecretStr, AfterValidator(_ci_shape)] | None = Field(
        None, description="연계정보, 88 characters of base64; write-only", json_schema_extra={"writeOnly": True}
    )


class LinkedOut(Strict):
    com_id: str = Field(description="company code of the broker")
    virtual_number: str = Field(description="virtual account number, masked")
    alias: str | None = Field(description="the client's own name for it")
    terms_expire: date | None = Field(description="last day of the consent")


class LinkageOut(Strict):
    state: Onboarding = Field(description="where the client stands")
    next_step: str = Field(description="what the client must do next")
    member: bool = Field(description="whether the client is a member of the portal")
    terms_expire: date | None = Field(description="earliest last day of a consent")
    accounts: list[LinkedOut] = Field(description="virtual accounts linked to this service")
    checked_at: datetime = Field(description="business time of the answer")

    @classmethod
    def of(cls, linkage: Linkage) -> "LinkageOut":
        masked = [{**one, "virtual_number": mask_account(one["virtual_number"])} for one in linkage.accounts]
        values = {name: value for name, value in vars(linkage).items() if name != "client_id"}
        return cls(**{**values, "next_step": NEXT_STEP[linkage.state], "accounts": [LinkedOut(**one) for one in masked]})


class ClientOut(Strict):
    id: UUID = Field(description="id of the client")
    name: str = Field(description="name")
    kind: Literal["individual", "corporate"] = Field(description="kind of investor")
    created_at: datetime = Field(description="when it was recorded")
    linkage: LinkageOut | None = Field(description="what the platform said last; null: never asked, or in a list")

    @classmethod
    def of(cls, client: Client, linkage: Linkage | None = None) -> "ClientOut":
        return cls(**vars(client), linkage=LinkageOut.of(linkage) if linkage is not None else None)


class ClientPage(Strict):
    items: list[ClientOut] = Field(description="clients in the order of their ids")
    next_cursor: str | None = Field(description="null on the last page")


class NewMandate(Strict):
    client_id: UUID = Field(description="whose contract")
    name: Name = Field(description="a name for people", examples=["성장형 1호"])
    status: Literal[MandateStatus.DRAFT, MandateStatus.IN_FORCE] = Field(MandateStatus.DRAFT, description="to begin with")
    starts_on: Day = Field(description="first day, KST")
    ends_on: Day | None = Field(None, description="last day, KST; null: open")
    limits: LimitsBody = Field(LimitsBody(), description="what it allows")
    fee_schedule: FeeSchedule | None = Field(None, description="fees by contract")
    account_ids: list[UUID] = Field([], max_length=100, description="its accounts; an account is in one mandate at a time")
    manager_ids: list[UUID] = Field([], max_length=100, description="users who manage it")


class MandateChange(Strict):
    name: Annotated[Name | None, Given()] = Field(None, description="a new name")
    status: Annotated[MandateStatus | None, Given()] = Field(
        None, description="suspended stops new orders at once; terminated is final"
    )
    ends_on: Annotated[Day | None, Given()] = Field(None, description="a new last day")
    limits: Annotated[LimitsBody | None, Given()] = Field(None, description="the whole new set of limits")
    fee_schedule: Annotated[FeeSchedule | None, Given()] = Field(None, description="new fees")
    account_ids: Annotated[list[UUID] | None, Given()] = Field(None, max_length=100, description="the whole new set of accounts")
    manager_ids: Annotated[list[UUID] | None, Given()] = Field(None, max_length=100, description="the whole new set of managers")
    version: Annotated[int | None, Given()] = Field(None, ge=1, description="refused with 409 unless it is the present version")


class MandateOut(Strict):
    id: UUID = Field(description="id of the mandate")
    client_id: UUID = Field(description="whose contract")
    name: str = Field(description="a name for people")
    status: MandateStatus = Field(description="only in_force may trade")
    starts_on: date = Field(description="first day")
    ends_on: date | None = Field(description="last day; null: open")
    limits: LimitsBody = Field(description="what it allows")
    fee_schedule: dict[str, Any] | None = Field(description="fees by contract")
    account_ids: list[UUID] = Field(description="its accounts now")
    manager_ids: list[UUID] = Field(description="its managers now")
    created_at: datetime = Field(description="when it was recorded")
    version: int = Field(description="rises with every amendment")

    @classmethod
    def of(cls, mandate: Mandate) -> "MandateOut":
        links = {"account_ids": list(mandate.account_ids), "manager_ids": list(mandate.manager_ids)}
        return cls(**{**vars(mandate), **links, "limits": LimitsBody.of(mandate.limits)})


class MandatePage(Strict):
    items: list[MandateOut] = Field(description="mandates in the order of their ids")
    next_cursor: str | None = Field(description="null on the last page")
