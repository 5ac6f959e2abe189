"""Account lists and balances as brokers give them: presence counts, absence only when the answer is whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from asyncpg import LockNotAvailableError
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from service.accounts import store
from service.accounts.read_balance import read_balance
from service.accounts.synchronise_accounts import AccountsDiff, synchronise_accounts
from service.accounts.take_opening import FAULT, Openings, take_opening
from service.audit.evidence import Vault
from service.audit.tables import record
from service.core.clock import KST, ManualClock
from service.core.errors import Unavailable
from service.core.secret import AccountNumber
from service.gateway import CallClass, InstrumentRef, SettlementRow, Side
from service.infra.db import Books, Database, Whose
from service.market.store import close_days
from tests.accounts.books import SAMSUNG
from tests.accounts.platform import Platform, account_row, balance, cash_row, complete, holding_row, incomplete
from tests.conftest import DatabaseUrls
from tests.waiting import until

BROKER = "00991"
VAULT = Vault(b"k" * 32)
EARLY = datetime(2026, 11, 23, 7, 30, tzinfo=KST)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(EARLY)


@pytest.fixture
def platform() -> Platform:
    return Platform(
        account_lists={BROKER: complete(account_row("111"), account_row("222", status="1"))},
        balances={"111": complete(balance("111", (cash_row(5_000_000),), holding_row(10, SAMSUNG, cost=700_000)))},
    )


class House:
    """The verbs with their collaborators."""

    def __init__(self, database: Database, clock: ManualClock, platform: Platform) -> None:
        self.database = database
        self.tools: dict[str, Any] = {
            "transaction": database.transaction,
            "clock": clock,
            "gateway": platform,
            "vault": VAULT,
        }
        self.brokers = [BROKER]

    async def accounts(self) -> AccountsDiff:
        return await synchronise_accounts(**self.tools, brokers=self.brokers)

    async def openings(self) -> Openings:
        return await take_opening(**self.tools)

    async def known(self) -> dict[str, Any]:
        async with self.database.transaction(books=Books.ALL) as connection:
            return {one.number.reveal(): one for one in await store.accounts_of(connection, BROKER)}

    async def position(self) -> tuple[Any, list[Any]]:
        account = (await self.known())["111"]
        async with self.database.transaction(books=Books.ALL) as connection:
            return await store.cash_of(connection, account.id), await store.holdings_of(connection, account.id)

    async def ledger(self) -> list[str]:
        async with self.database.transaction() as connection:
            return list((await connection.execute(select(record.c.kind).order_by(record.c.arrived))).scalars())


@pytest.fixture
def house(worker_database: Database, clock: ManualClock, platform: Platform) -> House:
    """As the worker, whose jobs these are: the login of the service may write evidence and not read it."""
    return House(worker_database, clock, platform)


async def test_p28_two_lists_at_once_change_no_account_without_an_entry(house: House, database_urls: DatabaseUrls) -> None:
    """A list taken over meanwhile has ended the right to trade: whoever gives it back says so."""
    await house.accounts()
    other = await asyncpg.connect(database_urls.superuser)
    try:
        meanwhile = other.transaction()
        await meanwhile.start()
        await other.execute("update account set vanished_at = now()")
        reading = asyncio.create_task(house.accounts())
        await until(lambda: other.fetchval("select exists (select from pg_locks where not granted)"))
        await meanwhile.commit()
        assert len((await reading).changed) == 2
    finally:
        await other.close()
    assert (await house.ledger()).count("account.changed") == 2


async def test_new_changed_and_vanished_come_back_as_a_diff(house: House, platform: Platform, clock: ManualClock) -> None:
    first = await house.accounts()
    assert (len(first.new), first.changed, first.vanished) == (2, [], [])
    again = await house.accounts()
    assert (again.new, again.changed, again.vanished) == ([], [], [])
    clock.advance(timedelta(hours=1))
    platform.account_lists[BROKER] = complete(account_row("222", status="0"))
    diff = await house.accounts()
    known = await house.known()
    assert diff.changed == [known["222"].id]
    assert diff.vanished == [known["111"].id]
    assert known["111"].vanished_at is not None
    assert (known["222"].contract_status, known["222"].vanished_at) == ("0", None)
    kinds = await house.ledger()
    assert [kinds.count(f"account.{what}") for what in ("appeared", "changed", "vanished")] == [2, 1, 1]


async def test_p17_a_list_that_broke_off_makes_nothing_vanish(house: House, platform: Platform) -> None:
    await house.accounts()
    platform.account_lists[BROKER] = incomplete("timeout", account_row("333"))
    diff = await house.accounts()
    assert diff.incomplete == {BROKER: "timeout"}
    assert diff.vanished == []
    assert len(diff.new) == 1  # what was readable is there


async def test_an_account_comes_back(house: House, platform: Platform) -> None:
    await house.accounts()
    whole = platform.account_lists[BROKER]
    platform.account_lists[BROKER] = complete()
    assert len((await house.accounts()).vanished) == 2
    platform.account_lists[BROKER] = whole
    assert len((await house.accounts()).changed) == 2
    assert (await house.known())["111"].vanished_at is None


async def test_p17_what_fails_for_one_broker_fails_for_no_other(house: House, platform: Platform) -> None:
    """A list the wire breaks over, and one that cannot be written: nothing of it counts as found, the others are taken over."""
    house.brokers = ["00990", "00992", BROKER]
    platform.account_lists["00992"] = complete(account_row("777"), account_row("888", name="\x00"))
    with capture_logs() as lines:
        diff = await house.accounts()
    known = await house.known()
    assert diff.incomplete == {"00990": FAULT, "00992": FAULT}
    assert diff.new == [known["111"].id, known["222"].id]
    assert [line["broker"] for line in lines if line["event"] == "accounts.failed"] == ["00990", "00992"]


async def test_p16_a_list_that_takes_a_right_away_while_a_claim_holds_the_gate_says_so(
    house: House, platform: Platform, worker_database: Database
) -> None:
    """That broker's accounts stay as they were, the next broker's are taken over; whoever asked is told to come back."""
    await house.accounts()
    house.brokers = [BROKER, "00992"]
    platform.account_lists |= {BROKER: complete(account_row("222", status="1")), "00992": complete(account_row("777"))}

    @asynccontextmanager
    async def impatient(*, books: Whose = Books.NONE) -> AsyncIterator[AsyncConnection]:
        async with worker_database.transaction(books=books) as connection:
            await connection.execute(text("set local lock_timeout = '20ms'"))
            yield connection

    house.tools["transaction"] = impatient
    async with worker_database.transaction() as connection:
        await connection.execute(text("select version from halt_gate for share"))  # as a claim holds it
        with pytest.raises(Unavailable) as refused:
            await house.accounts()
    assert (refused.value.slug, BROKER in refused.value.detail) == ("gate-busy", True)
    assert (await house.known())["111"].vanished_at is None
    again = await house.accounts()
    assert (len(again.vanished), again.new) == (1, [])  # the other broker's was new before


async def test_an_undocumented_contract_status_is_reported_and_harms_nothing(house: House, platform: Platform) -> None:
    await house.accounts()
    platform.account_lists[BROKER] = complete(account_row("111", status="9"), account_row("222", status="1"))
    diff = await house.accounts()
    assert (diff.unreadable, diff.changed, diff.vanished) == (["***"], [], [])
    assert (await house.known())["111"].contract_status == "0"


async def test_a_day_is_opened_once_and_only_for_contracts_in_force(house: House, platform: Platform) -> None:
    await house.accounts()
    first = await house.openings()
    assert (len(first.opened), first.failed, first.day) == (1, {}, EARLY.date())
    cash, holdings = await house.position()
    assert (cash.orderable, [(one.isin, one.quantity, one.opening_cost) for one in holdings]) == (
        5_000_000,
        [(SAMSUNG, 10, 700_000)],
    )
    platform.balances["111"] = complete(balance("111", (cash_row(1),)))
    second = await house.openings()
    assert (second.opened, second.already) == ([], first.opened)
    assert (await house.position())[0] == cash
    assert platform.asked == ["111"]


async def test_p17_an_incomplete_balance_opens_nothing_and_is_kept_as_such(house: House, platform: Platform) -> None:
    await house.accounts()
    platform.balances["111"] = incomplete("window-closed", balance("111", (cash_row(5_000_000),)))
    result = await house.openings()
    assert list(result.failed.values()) == ["window-closed"]
    cash, _ = await house.position()
    assert cash is None
    async with house.database.transaction(books=Books.ALL) as connection:
        assert await store.last_complete_balance(connection, next(iter(result.failed))) is None


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ((), "missing-block"),
        ((balance("999", (cash_row(1),)),), "missing-block"),
        ((balance("111", (cash_row(1),)), balance("999", (cash_row(1),))), "wrong-account"),
        ((balance("111", ()),), "missing-block"),
    ],
)
async def test_p17_a_failed_read_is_never_an_empty_account(
    house: House, platform: Platform, rows: tuple[Any, ...], reason: str
) -> None:
    await house.accounts()
    platform.balances["111"] = complete(*rows)
    assert list((await house.openings()).failed.values()) == [reason]


async def test_p17_without_the_scheduled_settlements_a_single_row_opens_nothing(house: House, platform: Platform) -> None:
    await house.accounts()
    platform.coming = incomplete("timeout")
    assert list((await house.openings()).failed.values()) == ["timeout"]


def purchase(won: int, settles: date) -> SettlementRow:
    return SettlementRow(AccountNumber("111"), Side.BUY, InstrumentRef(SAMSUNG, None, None), 9, Decimal(won), settles, None, ())


@pytest.mark.parametrize(
    "rows",
    [
        (cash_row(1_000),),
        (cash_row(1_000, 0),),
        (cash_row(1_000), cash_row(50, 2, currency="USD")),
        (cash_row(1_000, 0), replace(cash_row(1, 2), cash=None)),
    ],
    ids=["no-basis", "today-alone", "a-foreign-ladder", "an-empty-rung"],
)
async def test_p17_where_no_rung_tells_of_tomorrow_the_scheduled_settlements_do(
    house: House, platform: Platform, rows: tuple[Any, ...]
) -> None:
    """Today's cash, under whatever name, and bought for 600 on Friday: what is left to spend is 400."""
    await house.accounts()
    platform.balances["111"] = complete(balance("111", rows))
    platform.coming_of[date(2026, 11, 20)] = complete(purchase(600, date(2026, 11, 24)))
    await house.openings()
    assert (await house.position())[0].orderable == 400


async def test_a_balance_kept_since_the_close_opens_the_next_day(house: House, platform: Platform, clock: ManualClock) -> None:
    """At 20:05 the books turn: the evening's balance is the opening of tomorrow, and nobody asks again."""
    await house.accounts()
    await house.openings()
    clock.moment = datetime(2026, 11, 23, 20, 5, tzinfo=KST)
    platform.balances["111"] = replace(complete(balance("111", (cash_row(7),))), asked_at=clock.moment)
    account = (await house.known())["111"]
    await read_balance(**house.tools, account=account)
    assert platform.asked == ["111", "111"]
    result = await house.openings()
    assert result.day == datetime(2026, 11, 24, tzinfo=KST).date()
    cash, holdings = await house.position()
    assert (cash.opened_on, cash.orderable, [one.quantity for one in holdings]) == (result.day, 7, [0])
    assert platform.asked == ["111", "111"]


async def test_a_balance_from_before_the_close_is_not_an_opening(house: House, platform: Platform, clock: ManualClock) -> None:
    await house.accounts()
    await house.openings()
    clock.moment = datetime(2026, 11, 24, 7, 30, tzinfo=KST)
    await house.openings()
    assert platform.asked == ["111", "111"]


async def test_p23_the_opening_of_a_day_that_was_closed_later_does_not_open_the_next(
    house: House, platform: Platform, clock: ManualClock
) -> None:
    """The morning's balance knows nothing of what traded before the exchange closed the day, and its orders live until the
    midnight: only what the broker says after it opens the next day."""
    await house.accounts()
    await house.openings()
    async with house.database.transaction() as connection:
        await close_days(connection, [EARLY.date()], known_since=EARLY.date(), source="platform")
    whole: Any = platform.balances["111"]
    clock.moment = datetime(2026, 11, 23, 16, 30, tzinfo=KST)
    platform.balances["111"] = replace(whole, asked_at=clock.moment)
    assert list((await house.openings()).failed.values()) == ["taken-before-the-close"]
    assert (await house.position())[0].opened_on == EARLY.date()
    clock.moment = datetime(2026, 11, 24, 7, 30, tzinfo=KST)
    platform.balances["111"] = replace(complete(balance("111", (cash_row(7),))), asked_at=clock.moment)
    assert len((await house.openings()).opened) == 1
    cash, holdings = await house.position()
    assert (cash.opened_on, cash.orderable, [one.quantity for one in holdings]) == (clock.moment.date(), 7, [0])


async def test_p23_what_a_day_bought_before_it_was_closed_is_not_spent_again(
    house: House, platform: Platform, clock: ManualClock
) -> None:
    """The list of closing days named a day in its midst, perhaps wrongly: its trades settle all the same. A broker that names
    today's cash only was not asked about them, since the day is none of the trading days before."""
    await house.accounts()
    await house.openings()
    closed, settles = EARLY.date(), date(2026, 11, 26)
    async with house.database.transaction() as connection:
        await close_days(connection, [closed], known_since=closed, source="test")
    platform.coming_of[closed] = complete(purchase(600, settles))
    clock.moment = EARLY + timedelta(days=1)
    platform.balances["111"] = replace(complete(balance("111", (cash_row(1_000),))), asked_at=clock.moment)
    assert len((await house.openings()).opened) == 1
    assert (await house.position())[0].orderable == 400


async def test_p13_a_balance_read_after_trading_began_is_not_an_opening(
    house: House, platform: Platform, clock: ManualClock
) -> None:
    """It may contain what the day traded, the client's own orders included, and their reports would count that again."""
    await house.accounts()
    whole: Any = platform.balances["111"]
    clock.moment = datetime(2026, 11, 24, 16, 30, tzinfo=KST)
    platform.balances["111"] = replace(whole, asked_at=clock.moment)
    result = await house.openings()
    assert list(result.failed.values()) == ["taken-after-trading-began"]
    clock.moment = datetime(2026, 11, 25, 7, 30, tzinfo=KST)
    platform.balances["111"] = replace(whole, asked_at=clock.moment)
    assert len((await house.openings()).opened) == 1
    assert platform.asked == ["111", "111"]


async def test_an_instrument_nobody_knows_is_reported_and_not_sold(house: House, platform: Platform) -> None:
    await house.accounts()
    platform.balances["111"] = complete(balance("111", (cash_row(1),), holding_row(3, None, "A999999")))
    result = await house.openings()
    assert list(result.unresolved.values()) == [("A999999",)]
    assert (await house.position())[1] == []


async def test_p19_the_pages_behind_a_statement_are_kept(house: House) -> None:
    await house.accounts()
    result = await house.openings()
    async with house.database.transaction(books=Books.ALL) as connection:
        statement = await store.last_complete_balance(connection, result.opened[0])
        assert statement is not None
        pages = await VAULT.read(connection, statement.raw_ids)
    assert set(pages.values()) == {b'{"page": 1}'}


async def test_p22_an_account_with_a_garbled_row_is_opened_and_keeps_no_other_from_it(house: House, platform: Platform) -> None:
    """The day opens for one account after the other: what one broker wrote must not end it for those that come after."""
    platform.account_lists[BROKER] = complete(account_row("111"), account_row("222"))
    garbled = [holding_row(1, None, "종" * 1_000 + str(number)) for number in range(300)]
    platform.balances["111"] = complete(balance("111", (cash_row(1),), holding_row(10, SAMSUNG), *garbled))
    platform.balances["222"] = complete(balance("222", (cash_row(2),)))
    await house.accounts()
    result = await house.openings()
    assert len(result.opened) == 2
    assert [len(rows) for rows in result.unresolved.values()] == [300]
    assert [(one.isin, one.quantity) for one in (await house.position())[1]] == [(SAMSUNG, 10)]


async def test_p22_what_fails_for_one_account_fails_for_no_other(house: House, platform: Platform) -> None:
    """A balance we cannot even write, and an account the wire breaks over: the third account's day opens all the same."""
    platform.account_lists[BROKER] = complete(*(account_row(number) for number in ("111", "222", "333")))
    platform.balances = {
        "222": complete(balance("222", (cash_row(10**30),))),
        "333": complete(balance("333", (cash_row(3),))),
    }
    await house.accounts()
    known = await house.known()
    with capture_logs() as lines:
        result = await house.openings()
    assert result.opened == [known["333"].id]
    assert result.failed == {known["111"].id: FAULT, known["222"].id: FAULT}
    told = [line["account_id"] for line in lines if line["event"] == "opening.failed"]
    assert sorted(told) == sorted(str(one) for one in result.failed)


class BusyOnce(Platform):
    """The first balance meets a row that somebody holds for too long."""

    async def balance(self, broker: str, account: AccountNumber, call_class: CallClass) -> Any:
        answer = await super().balance(broker, account, call_class)
        if len(self.asked) == 1:
            raise LockNotAvailableError("held for too long")
        return answer


async def test_p22_trouble_that_passes_is_told_after_the_other_accounts_were_opened(house: House, platform: Platform) -> None:
    """The run is not whole, so whoever runs it repeats it."""
    platform.account_lists[BROKER] = complete(account_row("111"), account_row("222"))
    house.tools["gateway"] = BusyOnce(
        platform.account_lists, platform.balances | {"222": complete(balance("222", (cash_row(2),)))}
    )
    await house.accounts()
    known = await house.known()
    with pytest.raises(LockNotAvailableError):
        await house.openings()
    again = await house.openings()
    assert (again.opened, again.already, again.failed) == ([known["111"].id], [known["222"].id], {})
