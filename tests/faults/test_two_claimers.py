"""What only two workers, or one that was held up, can get wrong about a claim."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import asyncpg

from service.core.clock import monotonic
from service.gateway import NotSent, OrderMessage, SendOutcome
from service.infra import failpoints
from service.orders.dispatch import DEADLINE_S, Dispatcher
from tests.executions.test_order_life import Life, life  # noqa: F401 - a fixture
from tests.makers import BROKER

ORDERS, WORKERS = 12, 4


async def test_p02_two_workers_at_one_queue_never_meet(life: Life) -> None:  # noqa: F811
    """Each takes what nobody else works on: none finds its claim refused by the database, and each order goes out once."""
    for n in range(ORDERS):
        await life.submit(key=f"k{n}", quantity=n + 1)

    async def work(one: Dispatcher) -> None:
        while await one.dispatch_one([BROKER]):
            pass

    await asyncio.gather(*(work(replace(life.dispatcher, sender=f"worker {n}")) for n in range(WORKERS)))
    sends = Counter(one.cl_ord_id for one in life.gateway.sends)
    assert (len(sends), set(sends.values())) == (ORDERS, {1})


async def test_p02_an_order_somebody_else_works_on_is_passed_over(life: Life) -> None:  # noqa: F811
    """Neither waited for nor taken a second time: the next one's turn has come."""
    first, second = await life.submit(key="k1", quantity=1), await life.submit(key="k2", quantity=2)
    other = await asyncpg.connect(life.urls.superuser)
    try:
        async with other.transaction(), asyncio.timeout(10):
            await other.execute("select 1 from orders where id = $1 for update", first)
            taken = await life.dispatcher.claim([BROKER], 1)
    finally:
        await other.close()
    assert [one.order.id for one in taken.claims] == [second]


async def test_p02_a_sender_that_was_held_up_sends_nothing(life: Life) -> None:  # noqa: F811
    """Between its claim and its first byte the world may have moved on: others may have given the request up."""
    await life.submit()
    sent: list[SendOutcome] = []

    class HeldUp(Dispatcher):
        async def _send(self, claim: object) -> SendOutcome:
            late = replace(claim, not_after=claim.not_after - DEADLINE_S - 60)  # type: ignore[attr-defined, type-var]
            sent.append(await super()._send(late))  # type: ignore[arg-type]
            return sent[-1]

    one = life.dispatcher
    await HeldUp(**{name: getattr(one, name) for name in one.__dataclass_fields__}).dispatch_one([BROKER])
    assert sent == [NotSent("deadline-passed")]
    assert life.gateway.sends == list[OrderMessage]()


async def test_p02_the_deadline_counts_from_the_look_at_the_clock_however_long_the_commit_takes(life: Life) -> None:  # noqa: F811
    """A process that is stopped before its commit, or a commit that waits for a standby: what goes out after it was looked at
    too long ago, past its `send_by` and past the moment up to which a halt waits for it."""
    await life.submit()
    looked, not_after = await claimed(life)
    assert not_after <= looked + DEADLINE_S


async def test_p16_nothing_is_written_once_its_own_time_is_over(life: Life) -> None:  # noqa: F811
    """Claimed half a second before the session ends, it does not leave a second after."""
    await life.submit()
    life.clock.moment += timedelta(seconds=29.5)
    looked, not_after = await claimed(life)
    assert not_after <= looked + 0.5


async def claimed(life: Life) -> tuple[float, float]:  # noqa: F811
    """Of one claim: a moment between its look at the clock and its commit, and after which moment nothing is written."""
    looked: list[float] = []
    failpoints.arm("claim.before_commit", lambda: looked.append(monotonic()))
    try:
        taken = await life.dispatcher.claim([BROKER], 1)
    finally:
        failpoints.disarm()
    return looked[0], taken.claims[0].not_after
