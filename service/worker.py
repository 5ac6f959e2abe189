"""The worker: dispatcher, report reader and scheduler. Any number may run; what only one may do is held by a lease.

Each loop is one verb and a bell: it is woken by a notification after a commit, and polls four times a second in case one
was missed. A loop that fails logs, pauses and goes on; a loop that ends ends the process.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from functools import partial
from uuid import UUID

import structlog
import uvicorn
import uvloop
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from service.accounts.synchronise_accounts import synchronise_accounts
from service.accounts.take_opening import take_opening
from service.controls.fitness import Fitness
from service.controls.store import gate
from service.core.clock import KST, kst_date, monotonic
from service.core.errors import Unavailable
from service.core.ids import uuid7
from service.executions.apply import Applier
from service.executions.inbox import Inbox
from service.executions.sweep import Sweeper
from service.executions.watch import Watch
from service.gateway import CallClass
from service.infra import feed, idempotency, jobs, leases, memory, migrations
from service.infra.jobs import FIRST, Daily
from service.infra.processes import identity
from service.infra.worker_pages import pages as pages_of
from service.koscom.budget import ServiceName
from service.koscom.stream import Connect, KoscomStream
from service.market.store import instruments_page
from service.market.synchronise_instruments import synchronise_instruments
from service.orders.dispatch import Dispatcher
from service.orders.pace import Pace
from service.orders.recheck import Recheck
from service.orders.sender import Sender
from service.settings import Settings
from service.wiring import Wiring, assemble

log = structlog.get_logger()

FENCED = 1  # exit status


@dataclass(frozen=True)
class Rhythm:
    """How many senders a worker has, and how often its loops look without having been called. Real seconds."""

    senders: int = 8
    poll_s: float = 0.25
    pause_s: float = 1.0
    lease_s: float = 6.0
    gather_s: float = 0.05  # changes that commit within this time get their numbers in the feed together


async def _instruments(wiring: Wiring) -> str:
    done = await synchronise_instruments(transaction=wiring.transaction, gateway=wiring.gateway, clock=wiring.clock)
    return "incomplete" if done.incomplete or done.failed else "complete"


def _licensed(wiring: Wiring) -> bool:
    """Whether clients' accounts may be asked about today. What went out under a licence is followed to its end all the same."""
    return wiring.settings.licence_valid(kst_date(wiring.clock.now()))


async def _accounts(wiring: Wiring) -> str:
    if not _licensed(wiring):
        return "incomplete"
    done = await synchronise_accounts(
        transaction=wiring.transaction, gateway=wiring.gateway, clock=wiring.clock, vault=wiring.vault, brokers=wiring.brokers
    )
    return "incomplete" if done.incomplete else "complete"


async def _openings(wiring: Wiring) -> str:
    if not _licensed(wiring):
        return "incomplete"
    done = await take_opening(transaction=wiring.transaction, gateway=wiring.gateway, clock=wiring.clock, vault=wiring.vault)
    return "incomplete" if done.failed else "complete"


async def _keys(wiring: Wiring) -> str:
    await idempotency.forget(wiring.transaction)
    return "complete"


async def _named(wiring: Wiring) -> bool:
    """Whether holdings can be named: by today's masters, from PATIENCE on by older ones too."""
    now = wiring.clock.now()
    async with wiring.transaction() as connection:
        read = await jobs.done_since(connection, "instruments", datetime.combine(kst_date(now), time(), KST))
        return read or (now.astimezone(KST).time() >= PATIENCE and bool(await instruments_page(connection, after=None, limit=0)))


# Master data is there from 06:30, balances until 08:30; an incomplete run is repeated by the next slot. Jobs of one row follow
# each other, rows run side by side: a slow reading of some thousand masters must not keep every account closed for the day.
PATIENCE = time(8, 10)
DAILY: tuple[tuple[Daily[Wiring], ...], ...] = (
    (
        Daily("instruments", FIRST["instruments"], time(20, 0), timedelta(minutes=30), _instruments),
        Daily("keys", FIRST["keys"], time(20, 30), timedelta(days=1), _keys),
    ),
    (
        Daily("accounts", FIRST["accounts"], time(8, 25), timedelta(minutes=5), _accounts),
        Daily("openings", FIRST["openings"], time(8, 25), timedelta(minutes=5), _openings, _named),
    ),
)


@dataclass
class Worker:
    """The loops of one process."""

    wiring: Wiring
    rhythm: Rhythm = field(default_factory=Rhythm)
    connect: Connect | None = None  # how the report stream is opened; None: a WebSocket
    holder: UUID = field(default_factory=uuid7)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    fenced: bool = False  # it ends because the database failed over, and not because somebody asked
    _ran: dict[str, datetime] = field(default_factory=dict)  # the newest slot of each job that needs no more asking

    def __post_init__(self) -> None:
        wiring = self.wiring
        self.fitness = Fitness(migrations.named(migrations.heads()))
        pace = Pace(lambda broker: wiring.gateway.profile(broker).sends_per_second, monotonic)
        self.dispatcher = Dispatcher(
            hot=wiring.hot,
            gateway=wiring.gateway,
            clock=wiring.clock,
            vault=wiring.vault,
            recheck=Recheck(wiring.settings.licence_valid, wiring.koscom.com_id),
            sender=identity(),
            poke=wiring.notifier.poke,
            spend=pace.spend,
            schema=self.fitness.schema,
        )
        self.sender = Sender(self.dispatcher, pace, wiring.brokers, self.rhythm.senders)
        self.applier = Applier(
            wiring.transaction, wiring.gateway, wiring.clock, wiring.vault, wiring.market, wiring.notifier.poke,
            {one.short_name.casefold(): one.code for one in wiring.gateway.brokers()},
        )  # fmt: skip
        self.sweeper = Sweeper(self.applier, partial(wiring.gateway.calls_left, ServiceName.INQUIRIES, CallClass.ROUTINE))

    async def run(self) -> None:
        """Until `stopping` is set."""
        async with self.wiring.transaction() as connection:
            began = await gate(connection, None)
        self.fitness.look(began)
        self.dispatcher = replace(self.dispatcher, epoch=began.cluster_epoch)
        self.sender.dispatcher = self.dispatcher
        try:
            async with asyncio.TaskGroup() as group:
                await self._until_stopping(group)
        finally:
            self.sender.abandon()

    async def _until_stopping(self, group: asyncio.TaskGroup) -> None:
        loops = [
            group.create_task(one)
            for one in (
                self._loop("dispatch", "orders", self.sender.send_some),
                self._loop("apply", "reports", self.applier.apply_waiting),
                self._orphans(),
                self._alone("stream", self._read_stream),
                self._alone("sweeps", self._sweep),
                self._alone("feed", self._number),
            )
        ]
        scheduler = self._scheduler()
        scheduler.start()
        await self.stopping.wait()
        scheduler.shutdown(wait=False)
        for one in loops:
            one.cancel()
        await self.sender.finish()

    async def _loop(self, name: str, channel: str, verb: Callable[[], Awaitable[object]]) -> None:
        """Run `verb` until it finds nothing, then wait for the bell or the next poll."""
        async with self.wiring.listener.subscribe(channel) as wake:
            while True:
                try:
                    busy = await verb()
                except Exception:
                    log.exception("worker.loop_failed", loop=name)
                    await asyncio.sleep(self.rhythm.pause_s)
                    continue
                if not busy:
                    await wake.wait(self.rhythm.poll_s)

    async def _alone(self, name: str, work: Callable[[leases.Held], Awaitable[None]]) -> None:
        """Do `work` while this process holds the lease; otherwise try for it again and again."""
        while True:
            try:
                async with leases.hold(self.wiring.transaction, name, self.holder, self.rhythm.lease_s) as held:
                    if held is not None:
                        await _until_lost(work(held), held.lost)
            except Exception:
                log.exception("worker.lease_work_failed", lease=name)
            await asyncio.sleep(self.rhythm.pause_s)

    async def _read_stream(self, held: leases.Held) -> None:
        """The reader pours into the inbox; its watch opens the gate for new orders and shuts it."""
        wiring = self.wiring
        inbox = Inbox(
            wiring.transaction, wiring.hot, wiring.vault, wiring.clock, wiring.koscom.com_id, wiring.notifier.poke
        )  # fmt: skip
        drawn, last_day = lambda bits: uuid7().int & (1 << bits) - 1, await inbox.last_day()
        stream = KoscomStream(wiring.koscom, wiring.clock, drawn, self.connect, last_day=last_day)
        watch = Watch(self.applier, wiring.koscom.com_id, held.lease)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hurry(stream))
            group.create_task(watch.run())
            await stream.run(store=inbox.store, position=inbox.position, on_state=watch.on_state)

    async def _hurry(self, stream: KoscomStream) -> None:
        """Whoever looks into a request in doubt has the resend asked for before it inquires."""
        async with self.wiring.listener.subscribe("resend") as wake:
            while True:
                if await wake.wait(self.rhythm.lease_s):
                    stream.ask_soon()

    async def _number(self, held: leases.Held) -> None:
        """Events get their numbers as soon as their changes are committed, and whoever follows is woken."""

        async def numbered() -> int:
            count = await feed.number(self.wiring.hot, held.lease)
            if count:
                self.wiring.notifier.poke(feed.CHANNEL)
                await asyncio.sleep(self.rhythm.gather_s)
            return count

        await self._loop("feed", "orders.changed", numbered)

    async def _sweep(self, held: leases.Held) -> None:
        while not (held.lost.is_set() or self.fitness.clock_wrong):  # a worker whose clock is right takes them over
            await self.sweeper.sweep()
            await asyncio.sleep(self.rhythm.pause_s)

    async def _orphans(self) -> None:
        """Any worker may give up an attempt nobody can answer any more; a slow or broken inquiry must not hold that up."""
        while True:
            try:
                if await self._fenced():
                    return
                await self.dispatcher.orphans()
            except Exception:
                log.exception("worker.loop_failed", loop="orphans")
            await asyncio.sleep(self.rhythm.pause_s)

    async def _fenced(self) -> bool:
        """After a fail-over of the database this process knows too little to go on: it ends, and is started again."""
        async with self.wiring.transaction() as connection:
            now = await gate(connection, None)
        self.fitness.look(now)
        if now.cluster_epoch == self.dispatcher.epoch:
            return False
        log.error("worker.fenced", epoch=now.cluster_epoch, began_at=self.dispatcher.epoch, what_now="start this worker again")
        self.fenced = True
        self.stopping.set()
        return True

    def _scheduler(self) -> AsyncIOScheduler:
        """A real tick each second; what is due is decided on the business clock, who runs it by a claim row."""
        scheduler = AsyncIOScheduler()
        for row in DAILY:
            scheduler.add_job(self._tick, "interval", [row], seconds=1, max_instances=1, coalesce=True, misfire_grace_time=None)
        return scheduler

    async def _tick(self, row: Sequence[Daily[Wiring]]) -> None:
        if self.fitness.clock_wrong:  # it would open another day's books, and take other days' slots
            return
        now = self.wiring.clock.now()
        try:
            calendar = (await self.wiring.market.rules()).calendar
            if not calendar.is_trading_day(kst_date(now)):
                return
        except Unavailable as unknown:
            log.error("worker.calendar_unknown", detail=unknown.detail)
            return
        for daily in row:
            await self._run_daily(daily, now)

    async def _run_daily(self, daily: Daily[Wiring], now: datetime) -> None:
        at = daily.due(now)
        if at is None or self._ran.get(daily.name) == at:
            return
        try:
            if daily.ready is not None and not await daily.ready(self.wiring):
                return
            slot = jobs.Slot(daily.name, at)
            outcome = await jobs.run_once(self.wiring.transaction, slot, self.holder, lambda _held: daily.work(self.wiring))
            if outcome is not None or await self._finished(slot):
                self._ran[daily.name] = at
            if outcome is not None:
                log.info("worker.job", job=daily.name, slot=at.isoformat(), outcome=outcome)
        except Exception:
            log.exception("worker.job_failed", job=daily.name, slot=at.isoformat())

    async def _finished(self, slot: jobs.Slot) -> bool:
        async with self.wiring.transaction() as connection:
            run = await jobs.find(connection, slot)
        return run is not None and run.finished_at is not None


async def _until_lost(work: Awaitable[None], lost: asyncio.Event) -> None:
    """Stop the work the moment the lease is somebody else's. What the work raises is raised: nothing dies unheard."""
    task, bell = asyncio.ensure_future(work), asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait({task, bell}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        bell.cancel()
        task.cancel()
        await asyncio.gather(task, bell, return_exceptions=True)


def run(settings: Settings) -> int:
    """The process: 0 after SIGTERM or SIGINT, FENCED after a fail-over, so that whatever starts again what failed does."""
    return uvloop.run(_run(settings))


async def _run(settings: Settings) -> int:
    async with assemble(settings, url=settings.database_worker_url, process="worker") as wiring:
        log.info("worker.started", brokers=list(wiring.brokers))
        worker = Worker(wiring)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stopping.set)
        pages = uvicorn.Server(
            uvicorn.Config(
                pages_of(wiring.database, wiring.clock), settings.host, settings.worker_port, log_config=None, access_log=False
            )
        )
        serving = asyncio.create_task(pages._serve())
        memory.settle()
        try:
            await worker.run()
        finally:
            pages.should_exit = True
            await serving
    log.info("worker.stopped", fenced=worker.fenced)
    return FENCED if worker.fenced else 0
