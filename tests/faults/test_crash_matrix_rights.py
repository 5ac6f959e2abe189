"""Rows 26 and 27 of `docs/faults.md`: a right withdrawn, or a halt set, at every place an order passes on its way out.

When a withdrawal commits, the database itself notes which attempts there are. Whatever was claimed is one of them: nothing
is claimed afterwards, and nothing that had looked before commits behind its back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

import orjson
import pytest

from ops.invariants import violations
from service.core.principal import Role
from service.gateway import RequestKind
from service.infra import failpoints
from service.infra.db import Database
from service.mandates.amend_mandate import Changes, amend_mandate
from service.mandates.model import MandateStatus
from service.people.change_user import change_user
from tests.controls.test_halt import Desk, desk, slug_of  # noqa: F401 - a fixture
from tests.executions.test_order_life import Life
from tests.makers import fetch

PLACES = [
    "submit.before_commit",
    "submit.after_commit",
    "claim.before_commit",
    "send.before",
    "send.after",
    "record.begun",
    "record.before_commit",
    "record.after_commit",
]
ORDERS, SENDERS = 4, 3
NOTING = """create table noted (request_id uuid, n int);
    create function note() returns trigger language plpgsql security definer as
        $$ begin insert into noted select request_id, n from attempt union all select null, null; return null; end $$;
    create constraint trigger note after insert or update on {} deferrable initially deferred
        for each row execute function note()"""
STRUCK = """
    select exists (select from noted)
        or exists (select from pg_stat_activity where application_name = 'test-elsewhere' and wait_event_type = 'Lock')"""


@dataclass(frozen=True)
class Withdrawal:
    """How a right ends, how a test brings it back, the table that changes, and what a claim then says."""

    act: Callable[[Desk, str], Awaitable[Any]]
    table: str
    reason: str
    back: str


async def _amended(desk: Desk, **changes: Any) -> None:  # noqa: F811
    world = desk.life.world
    await amend_mandate(transaction=desk.life.app.transaction, mandate_id=world.mandate, changes=Changes(**changes))


async def _user(desk: Desk, **changes: Any) -> None:  # noqa: F811
    await change_user(transaction=desk.life.app.transaction, user_id=desk.life.world.manager.user_id, **changes)


WITHDRAWALS = {
    "mandate-suspended": Withdrawal(
        lambda at, _: _amended(at, status=MandateStatus.SUSPENDED), "mandate", "mandate-not-in-force",
        "update mandate set status = 'in_force'",
    ),
    "manager-taken-off": Withdrawal(
        lambda at, _: _amended(at, manager_ids=()), "mandate_manager", "manager-not-assigned",
        "update mandate_manager set revoked_at = null",
    ),
    "account-taken-out": Withdrawal(
        lambda at, _: _amended(at, account_ids=()), "mandate_account", "mandate-not-in-force",
        "update mandate_account set removed_at = null",
    ),
    "role-taken-away": Withdrawal(
        lambda at, _: _user(at, roles=[Role.COMPLIANCE]), "app_user", "manager-not-entitled",
        "update app_user set roles = array['manager'] where roles = array['compliance']",
    ),
    "switched-off": Withdrawal(
        lambda at, _: _user(at, active=False), "app_user", "manager-not-entitled", "update app_user set active = true"
    ),
}  # fmt: skip
HALT = Withdrawal(
    lambda at, place: at.press(place), "halt", "halted",
    "update halt set released_by = (select id from app_user where id <> set_by limit 1), released_at = now(),"
    " release_reason = 'over' where released_at is null",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


class Elsewhere:
    """The withdrawal comes from another thread with connections of its own. At the place, everybody else stands still until
    it has committed, or waits for somebody who stands there."""

    def __init__(self, desk: Desk, how: Withdrawal, place: str) -> None:  # noqa: F811
        self._desk, self._how, self._place = desk, how, place
        self.failed: list[BaseException] = []
        self.thread = Thread(target=self._work)

    def arm(self) -> None:
        failpoints.arm(self._place, self._strike)

    def _strike(self) -> None:
        failpoints.disarm()
        self.thread.start()
        with ThreadPoolExecutor(1) as pool:
            while self.thread.is_alive() and not pool.submit(self._struck).result():
                time.sleep(0.002)  # the loop is to stand still

    def _struck(self) -> bool:
        return bool(asyncio.run(fetch(self._desk.life.urls.superuser, STRUCK))[0][0])

    def _work(self) -> None:
        try:
            asyncio.run(self._withdraw())
        except BaseException as error:
            self.failed.append(error)

    async def _withdraw(self) -> None:
        life = self._desk.life
        database = Database(life.urls.app, application="test-elsewhere", pool_size=1, hot_pool_size=1)
        try:
            there = Life(database, life.worker, life.urls, life.clock, life.world)
            await self._how.act(replace(self._desk, life=there), self._place)
        finally:
            await database.close()

    async def over(self) -> None:
        await asyncio.to_thread(self.thread.join)
        assert self.failed == []


async def through(life: Life, how: Withdrawal, struck: Elsewhere, place: str) -> int:
    """Orders are taken and sent by several senders, and at the place it strikes. Returns how many were claimed."""
    for i in range(ORDERS):
        if i == ORDERS - 1:
            struck.arm()
        await life.submit(key=f"{place}-{i}", quantity=1 + i)
    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(life.dispatch())
    await struck.over()
    await life.dispatch()
    noted = await fetch(life.urls.superuser, "select request_id, n from noted where n is not null order by 1, 2")
    made = await fetch(life.urls.superuser, "select request_id, n from attempt order by 1, 2")
    assert [tuple(one) for one in made] == [tuple(one) for one in noted], place
    rows = await life.requests()
    assert {row["reason"] for row in rows if row["state"] == "refused"} <= {how.reason}, place
    assert {row["state"] for row in rows} <= {"refused", "sent"}, place
    return len(made)


async def at_every_place(desk: Desk, how: Withdrawal) -> None:  # noqa: F811
    life, claimed = desk.life, 0
    for statement in NOTING.format(how.table).split(";\n    "):
        await fetch(life.urls.superuser, statement)
    for place in PLACES:
        before = claimed
        claimed = await through(life, how, Elsewhere(desk, how, place), place)
        assert (claimed == before) == place.startswith("submit."), place
        await fetch(life.urls.superuser, how.back)
        await fetch(life.urls.superuser, "delete from noted")
    assert len(life.gateway.sends) == claimed < ORDERS * len(PLACES)
    assert await violations(life.urls.superuser) == []


@pytest.mark.parametrize("name", WITHDRAWALS)
async def test_row_26_p16_nothing_is_claimed_once_a_right_is_withdrawn_wherever_an_order_is(desk: Desk, name: str) -> None:  # noqa: F811
    await at_every_place(desk, WITHDRAWALS[name])


async def test_row_27_p15_nothing_is_claimed_once_a_halt_is_set_wherever_an_order_is(desk: Desk) -> None:  # noqa: F811
    await at_every_place(desk, HALT)


async def test_row_27_p15_while_it_is_halted_cancellations_pass_and_somebody_else_releases_it(desk: Desk) -> None:  # noqa: F811
    """Set while one order is sent and another waits."""
    life = desk.life
    first = await life.submit(key="a", quantity=3)
    pressed: list[asyncio.Task[Any]] = []

    def press() -> None:
        failpoints.disarm()
        pressed.append(asyncio.create_task(desk.press()))

    failpoints.arm("send.before", press)
    await life.dispatch()
    halt = await pressed[0]
    assert [one["state"] for one in orjson.loads(halt.body)["under_way"]] in (["sent"], [])
    await life.cancel(first, "c1")
    await life.dispatch()
    assert [one.kind for one in life.gateway.sends] == [RequestKind.NEW, RequestKind.CANCELLATION]
    assert await slug_of(desk.release(halt, desk.kim)) == "halt-own-release"
    await desk.release(halt, desk.lee)
    await life.submit(key="b", quantity=5)
    await life.dispatch()
    assert [one.quantity for one in life.gateway.sends if one.kind is RequestKind.NEW] == [3, 5]


def test_every_place_before_the_broker_is_struck() -> None:
    """A new place between the taking of an order and the record of its answer belongs into PLACES."""
    passed = ("submit.", "claim.", "send.", "record.")
    elsewhere = {"send.counted", "send.half"}  # the gateway's; tests/faults/test_kills.py is killed there
    assert {name for name in failpoints.NAMES if name.startswith(passed)} - elsewhere == set(PLACES)
