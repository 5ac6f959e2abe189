"""Where objects meet: from settings to a process that can work. Nothing else constructs what touches the world."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.accounts.store import find_account
from service.audit.evidence import Vault
from service.controls.fence import fence_at
from service.controls.model import Scope
from service.controls.set_halt import Switch
from service.core.clock import Clock, SystemClock, monotonic
from service.core.secret import Secret
from service.gateway import CallClass
from service.infra import problems
from service.infra.caller import Authenticator
from service.infra.commands import operator
from service.infra.db import Database, HotTransaction, Transaction
from service.infra.driven_clock import DrivenClock
from service.infra.notify import Listener, Notifier
from service.koscom import profiles
from service.koscom.budget import LIMITS, CallLimit, ServiceName
from service.koscom.config import KoscomConfig
from service.koscom.gateway import KoscomGateway
from service.koscom.store import PostgresBudget
from service.market.book import MarketBook
from service.market.store import find_instrument
from service.orders.desk import Desk
from service.orders.presume import Presumption
from service.orders.under_way import again, under_way
from service.people import rules as people_rules
from service.people.authenticate import authenticate
from service.people.store import find_user
from service.settings import Settings

KEY_BYTES = 32


class ConfigurationError(Exception):
    """A process cannot be put together from these settings; the message names the setting and how to mend it."""


@dataclass(frozen=True)
class Wiring:
    """The objects of one process."""

    settings: Settings
    database: Database
    clock: Clock
    gateway: KoscomGateway
    koscom: KoscomConfig
    market: MarketBook
    notifier: Notifier
    listener: Listener
    vault: Vault
    pepper: bytes
    authenticate: Authenticator
    desk: Desk
    switch: Switch

    @property
    def transaction(self) -> Transaction:
        return self.database.transaction

    @property
    def hot(self) -> HotTransaction:
        return self.database.hot

    @property
    def brokers(self) -> tuple[str, ...]:
        """Company codes of the brokers in use."""
        return tuple(one.code for one in self.gateway.brokers())

    async def budgets(self) -> dict[str, dict[str, int]]:
        """Calls left today, by service and class."""
        return {
            str(service): {str(one): await self.gateway.calls_left(service, one) for one in CallClass} for service in ServiceName
        }


@asynccontextmanager
async def assemble(settings: Settings, *, url: Secret, process: str) -> AsyncIterator[Wiring]:
    """A process's objects, opened; closed in reverse at the end. Raises ConfigurationError, TimeoutError, OSError."""
    async with AsyncExitStack() as stack:
        database = Database(
            url.reveal(), application=f"ilim-{process}",
            pool_size=settings.database_pool, hot_pool_size=settings.database_hot_pool,
        )  # fmt: skip
        stack.push_async_callback(database.close)
        await database.open()
        clock = await _clock(settings, stack)
        notifier, listener = Notifier(database.connect_alone), Listener(database.connect_alone)
        for one in (notifier, listener):
            await one.start()
            stack.push_async_callback(one.stop)
        config = koscom_config(settings)
        gateway = KoscomGateway(config, PostgresBudget(database), clock, secrets.randbits)
        stack.push_async_callback(gateway.close)
        yield wire(settings, database, clock, gateway, config, notifier, listener)


def wire(
    settings: Settings, database: Database, clock: Clock, gateway: KoscomGateway, config: KoscomConfig, notifier: Notifier,
    listener: Listener,
) -> Wiring:  # fmt: skip
    """A process's objects around those that touch the world."""
    key = data_key(settings)
    pepper = people_rules.pepper_from(key)
    market = MarketBook(database.transaction)
    desk = Desk(
        transaction=database.transaction,
        hot=database.hot,
        clock=clock,
        market=market,
        profile=gateway.profile,
        licence_valid=settings.licence_valid,
        render=problems.as_answer,
        poke=notifier.poke,
        orders_left=OrdersLeft(gateway).ask,
        com_id=config.com_id,
    )
    switch = Switch(
        database.transaction, clock, Targets({one.code for one in gateway.brokers()}).known, under_way, again, notifier.poke
    )
    return Wiring(
        settings=settings,
        database=database,
        clock=clock,
        gateway=gateway,
        koscom=config,
        market=market,
        notifier=notifier,
        listener=listener,
        vault=vault_of(settings),
        pepper=pepper,
        authenticate=partial(authenticate, database, pepper),
        desk=desk,
        switch=switch,
    )


def vault_of(settings: Settings) -> Vault:
    """What seals and opens evidence."""
    return Vault(derived(data_key(settings), "raw-messages"))


@dataclass(frozen=True)
class Targets:
    """Whether what a halt names is there. A halt stands below the slices that know."""

    brokers: Collection[str]

    async def known(self, connection: AsyncConnection, scope: Scope, target: str) -> bool:
        if scope is Scope.BROKER:
            return target in self.brokers
        if scope is Scope.INSTRUMENT:
            return await find_instrument(connection, target) is not None
        find = find_account if scope is Scope.ACCOUNT else find_user
        return await find(connection, UUID(target)) is not None


class OrdersLeft:
    """Whether order calls are left today, asked of the counter at most once a second: a submission must not pay for it."""

    def __init__(self, gateway: KoscomGateway) -> None:
        self._gateway = gateway
        self._until = 0.0
        self._left = True

    async def ask(self) -> bool:
        if monotonic() > self._until:
            self._until = monotonic() + 1.0
            self._left = await self._gateway.calls_left(ServiceName.ORDERS, CallClass.ORDER) > 0
        return self._left


async def _clock(settings: Settings, stack: AsyncExitStack) -> Clock:
    if not settings.drives_clock:
        return SystemClock()
    clock = DrivenClock(settings.clock)
    await clock.start()
    stack.push_async_callback(clock.stop)
    return clock


async def fence_cluster(settings: Settings, url: str, missing: bool) -> int:
    """The new epoch, for a command that has the worker's address. `missing`: commits may be."""
    if not missing:
        return await fence_at(url, None, operator())
    known = koscom_config(settings).profiles or {}
    async with AsyncExitStack() as stack:
        clock = await _clock(settings, stack)
        return await fence_at(url, Presumption(known.__getitem__, clock.now()), operator())


def koscom_config(settings: Settings) -> KoscomConfig:
    """What the gateway needs, from settings; profiles of the brokers are data."""
    known = profiles.load()
    pace = settings.sends_per_second
    if pace:
        known = {code: replace(one, sends_per_second=pace) for code, one in known.items()}
    return KoscomConfig(
        base_url=settings.koscom_base_url,
        order_url=settings.koscom_order_url,
        stream_url=settings.koscom_stream_url,
        api_key=settings.koscom_api_key,
        secret=settings.koscom_secret,
        com_id=settings.koscom_com_id,
        srv_id=settings.koscom_srv_id,
        sender_comp_id=settings.koscom_sender_comp_id,
        brokers=settings.brokers,
        market_url=settings.koscom_market_url or None,
        limits=_limits(settings),
        profiles=known,
    )


def _limits(settings: Settings) -> dict[ServiceName, CallLimit]:
    limits = dict(LIMITS)
    if settings.orders_a_day:
        limits[ServiceName.ORDERS] = replace(limits[ServiceName.ORDERS], calls=settings.orders_a_day)
    return limits


def data_key(settings: Settings) -> bytes:
    """ILIM_DATA_KEY as bytes. Raises ConfigurationError."""
    mend = "ILIM_DATA_KEY: set it to 32 random bytes as base64, for example from `openssl rand -base64 32`"
    try:
        key = base64.b64decode(settings.data_key.reveal(), validate=True)
    except ValueError:
        raise ConfigurationError(mend) from None
    if len(key) != KEY_BYTES:
        raise ConfigurationError(mend)
    return key


def derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose (HKDF's expand step, one block)."""
    return hmac.new(key, purpose.encode() + b"\x01", hashlib.sha256).digest()
