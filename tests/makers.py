"""Worlds for tests: a firm with a manager, a client's mandate, an account, instruments and an opening position.

Written as superuser, because no login of the service may write all of this at once.
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from service.core.clock import KST, ManualClock
from service.core.ids import uuid7
from service.core.principal import Principal, Role
from service.core.secret import AccountNumber
from service.gateway import (
    Accepted,
    BrokerProfile,
    ExecType,
    ExecutionReport,
    OrderMessage,
    RawReport,
    Report,
    SendOutcome,
    Side,
    Unreadable,
)
from service.infra.db import Database
from service.infra.problems import as_answer
from service.market.book import MarketBook
from service.orders.desk import Desk

TODAY = date(2026, 11, 23)
MORNING = datetime(2026, 11, 23, 10, 0, tzinfo=KST)
ISIN, CODE = "KR7900010003", "900010"
OTHER_ISIN, OTHER_CODE = "KR7900020002", "900020"
HALTED_ISIN, HALTED_CODE = "KR7900030001", "900030"
BROKER = "00991"
COM_ID = "F0001"


@dataclass(frozen=True)
class World:
    """Ids of what was made."""

    manager: Principal
    other_manager: Principal
    account: UUID
    other_account: UUID
    mandate: UUID
    number: str = "1234567890"


def principal(name: str, *roles: Role) -> Principal:
    return Principal(uuid7(), name, frozenset(roles or (Role.MANAGER,)))


async def make_world(
    url: str,
    *,
    cash: int = 100_000_000,
    shares: int = 1_000,
    limits: dict[str, Any] | None = None,
    opened_on: date = TODAY,
    contract: str = "0",
    mandate_status: str = "in_force",
) -> World:
    """Two managers with an account each; three instruments of which one is halted."""
    connection = await asyncpg.connect(url)
    try:
        manager, other = principal("kim"), principal("lee")
        for one in (manager, other):
            await _insert(connection, "app_user", id=one.user_id, name=one.name, roles=["manager"], created_at=_now())
        first = await _book(connection, manager, "1234567890", cash, shares, limits, opened_on, contract, mandate_status)
        second = await _book(connection, other, "9876543210", cash, shares, limits, opened_on, "0", "in_force")
        for isin, code, halted in ((ISIN, CODE, False), (OTHER_ISIN, OTHER_CODE, False), (HALTED_ISIN, HALTED_CODE, True)):
            await _instrument(connection, isin, code, halted)
        await _eyes(connection)
        return World(manager, other, first[0], second[0], first[1])
    finally:
        await connection.close()


async def _eyes(connection: asyncpg.Connection) -> None:
    """The report stream is seen, whoever reads it: orders may be taken and sent."""
    await connection.execute("insert into lease values ('test-eyes', gen_random_uuid(), 1, 'infinity')")
    await _insert(
        connection, "stream_gate", com_id=COM_ID, open=True, since=MORNING, why="live", lease="test-eyes", lease_epoch=1
    )


async def _book(
    connection: asyncpg.Connection, manager: Principal, number: str, cash: int, shares: int, limits: dict[str, Any] | None,
    opened_on: date, contract: str, mandate_status: str,
) -> tuple[UUID, UUID]:  # fmt: skip
    client, mandate, account = uuid7(), uuid7(), uuid7()
    await _insert(connection, "client", id=client, name="가상 고객", kind="individual", created_at=_now())
    await _insert(
        connection, "mandate", id=mandate, client_id=client, name="가상 계약", status=mandate_status,
        starts_on=date(2026, 1, 2), limits=json.dumps(limits or {}), created_at=_now(),
    )  # fmt: skip
    await _insert(
        connection, "account", id=account, broker=BROKER, number=number, name="가상 계좌", contract_status=contract,
        first_seen=MORNING, last_seen=MORNING,
    )  # fmt: skip
    await _insert(connection, "mandate_account", id=uuid7(), mandate_id=mandate, account_id=account, since=MORNING)
    await _insert(connection, "mandate_manager", id=uuid7(), mandate_id=mandate, user_id=manager.user_id, assigned_at=MORNING)
    await _insert(connection, "cash", account_id=account, opened_on=opened_on, opening=cash, deposit=cash, deposit_next=cash)
    for isin in (ISIN, HALTED_ISIN):
        await _insert(connection, "holding", account_id=account, isin=isin, opened_on=opened_on, opening=shares)
    return account, mandate


async def _instrument(connection: asyncpg.Connection, isin: str, code: str, halted: bool) -> None:
    await _insert(
        connection, "instrument", isin=isin, short_code=code, name=f"가상 {code}", market="kospi", product="stock",
        updated_at=MORNING,
    )  # fmt: skip
    await _insert(
        connection, "instrument_day", isin=isin, business_date=TODAY, base_price=Decimal(70_000),
        upper_limit=Decimal(91_000), lower_limit=Decimal(49_000), halted=halted, liquidation=False, administrative=False,
        warning="00", attention=False, overheated="0", trading_unit=1, after_market_eligible=True, fetched_at=MORNING,
    )  # fmt: skip


async def _insert(connection: asyncpg.Connection, table: str, **values: Any) -> None:
    places = ", ".join(f"${i}" for i in range(1, len(values) + 1))
    await connection.execute(f"insert into {table} ({', '.join(values)}) values ({places})", *values.values())


def _now() -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC)


async def fetch(url: str, question: str, *values: Any) -> list[asyncpg.Record]:
    """Look at the tables past every policy."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(question, *values))
    finally:
        await connection.close()


PROFILE = BrokerProfile(
    code=BROKER,
    short_name="cyber",
    first_page="null",
    count=0,
    order_qty="total",
    reports_pending=True,
    new_number_on_amend=True,
    reports_expiry="none",
    fills_execution_number=True,
    commission_rate=Decimal("0.00015"),
    commission_unit=10,
)


def make_desk(database: Database, clock: ManualClock, *, licensed: bool = True, left: bool = True) -> Desk:
    return Desk(
        transaction=database.transaction,
        hot=database.hot,
        clock=clock,
        market=MarketBook(database.transaction, fresh_s=0),
        profile=lambda _broker: PROFILE,
        licence_valid=lambda _day: licensed,
        render=as_answer,
        poke=lambda _channel: None,
        orders_left=partial(_answer, left),
    )


async def _answer(value: bool) -> bool:
    return value


class FakeGateway:
    """The port with answers given beforehand: `sends` is what left, `answers` what comes back for each."""

    def __init__(self) -> None:
        self.sends: list[OrderMessage] = []
        self.answers: list[SendOutcome] = []
        self.reports: dict[bytes, Report] = {}

    def profile(self, _broker: str) -> BrokerProfile:
        return PROFILE

    async def send(self, message: OrderMessage, not_after: float = math.inf) -> SendOutcome:
        self.sends.append(message)
        return self.answers.pop(0) if self.answers else Accepted(None, b'{"ok": true}')

    def read_report(self, raw: RawReport) -> Report:
        return self.reports.get(raw.body, Unreadable("not-json"))


def report(exec_type: ExecType, status: str, cl_ord_id: str, **given: Any) -> ExecutionReport:
    """A report of the maker's account and instrument."""
    values: dict[str, Any] = {
        "exec_type": exec_type,
        "ord_status": status,
        "order_id": "1001",
        "cl_ord_id": cl_ord_id,
        "orig_cl_ord_id": None,
        "exec_id": None,
        "exec_ref_id": None,
        "account": AccountNumber("1234567890"),
        "isin": ISIN,
        "short_code": CODE,
        "side": Side.BUY,
        "order_quantity": None,
        "price": None,
        "last_quantity": None,
        "last_price": None,
        "leaves_quantity": None,
        "cumulative_quantity": None,
        "transact_time": MORNING,
        "reject_reason": None,
        "restatement_reason": None,
        "text": None,
        "sender": None,
    }
    return ExecutionReport(**(values | given))
