"""`KoscomGateway`: the port of `service.gateway`, spoken to the real platform. Answers are values, never exceptions.

`send` is the one function of the code base that posts to the order endpoint. It posts once.
"""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Literal, Never

import httpx
import structlog

from service.core.clock import Clock, MonotonicSeconds
from service.core.errors import NotFound
from service.core.ids import RandomBits
from service.core.secret import AccountNumber, Secret
from service.gateway import (
    Accepted,
    AccountRow,
    BalanceRow,
    BrokerProfile,
    CallClass,
    Failure,
    Incomplete,
    Inquiry,
    InstrumentMaster,
    LinkedAccount,
    ListedInstrument,
    Membership,
    NotSent,
    OrderMessage,
    OrderRow,
    RawReport,
    Refused,
    Report,
    RequestKind,
    SendOutcome,
    SettlementRow,
    TransactionRow,
    Unknown,
)
from service.infra.failpoints import fp
from service.infra.metrics import counter
from service.koscom import dialect, profiles
from service.koscom.budget import BudgetStore, ServiceName
from service.koscom.calls import Purse, Retry, Sleep
from service.koscom.config import KoscomConfig
from service.koscom.errors import outcome_of
from service.koscom.inquiries import Inquirer
from service.koscom.linkage import Linkage
from service.koscom.market import MarketData
from service.koscom.transport import Answer, HonestTransport, NoAnswer, Service

UNKNOWN_BROKER = "unknown-broker"
CALL_CLASSES = {
    RequestKind.NEW: CallClass.ORDER,
    RequestKind.AMENDMENT: CallClass.ORDER,
    RequestKind.CANCELLATION: CallClass.CANCEL,
}

log = structlog.get_logger(__name__)
OUTCOMES = counter("ilim_koscom_send_outcomes", "Order requests by outcome", ["kind", "outcome"])


class KoscomGateway:
    """One instance per process; safe to share between tasks. `close()` at the end."""

    def __init__(
        self,
        config: KoscomConfig,
        budget: BudgetStore,
        clock: Clock,
        random_bits: RandomBits,
        transports: Mapping[ServiceName, httpx.AsyncBaseTransport] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        known = profiles.load() if config.profiles is None else dict(config.profiles)
        self._profiles = profiles.chosen(known, config.brokers)
        self._names = {one.short_name.lower() for one in known.values()}
        self._config = config
        self._purse = Purse(budget, dict(config.limits), clock)
        self._services = {name: self._service(name, transports or {}) for name in ServiceName}
        retry = Retry(config.attempts, random_bits, sleep)
        common = (config, self._purse, retry, clock)
        self._inquirer = Inquirer(self._services[ServiceName.INQUIRIES], *common, random_bits)
        self._linkage = Linkage(self._services[ServiceName.LINKAGE], *common, random_bits)
        self._market = MarketData(self._services[ServiceName.MARKET], *common)

    def _service(self, name: ServiceName, transports: Mapping[ServiceName, httpx.AsyncBaseTransport]) -> Service:
        config, orders = self._config, name is ServiceName.ORDERS
        basic = name in {ServiceName.ORDERS, ServiceName.INQUIRIES}
        own = transports.get(name)
        return Service(
            self._base_url(name),
            # An order never travels on a connection that was kept alive: one gone stale would leave it unknown.
            transport=own or HonestTransport(connections=config.concurrency, fresh=orders, verify=config.verify_tls),
            headers={"comId": config.com_id} if basic else {"apikey": config.api_key.reveal()},
            auth=httpx.BasicAuth(config.api_key.reveal(), config.secret.reveal()) if basic else None,
            timeouts=config.order_timeouts if orders else config.timeouts,
            byte_limit=config.byte_limit,
            concurrency=config.concurrency,
        )

    def _base_url(self, name: ServiceName) -> str:
        if name is ServiceName.ORDERS:
            return self._config.order_url
        if name is ServiceName.MARKET:
            return self._config.market_url or self._config.base_url
        return self._config.base_url

    async def close(self) -> None:
        for service in self._services.values():
            await service.close()

    def profile(self, broker: str) -> BrokerProfile:
        """Raises NotFound for a broker this deployment does not trade through."""
        if broker not in self._profiles:
            raise NotFound(UNKNOWN_BROKER, f"broker {broker} is not configured")
        return self._profiles[broker]

    def brokers(self) -> tuple[BrokerProfile, ...]:
        return tuple(self._profiles.values())

    async def calls_left(self, service: ServiceName, call_class: CallClass) -> int:
        """How many calls a class may still spend today. Raises Unavailable."""
        return await self._purse.left(service, call_class)

    # --- orders

    async def send(self, message: OrderMessage, not_after: MonotonicSeconds) -> SendOutcome:
        """One POST to the order endpoint. Called by the dispatcher and by nobody else."""
        profile = self._profiles.get(message.broker)
        if profile is None:
            return _noted(message, NotSent(UNKNOWN_BROKER))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.order_timeouts.call
        refused = await self._purse.refuses(ServiceName.ORDERS, CALL_CLASSES[message.kind])
        if refused is not None:
            return _noted(message, NotSent(refused))
        fp("send.counted")
        answer = await self._services[ServiceName.ORDERS].post(
            self._config.paths.orders.format(verb=dialect.PATHS[message.kind]),
            dialect.request_body(message, profile, sender=self._config.sender_comp_id, venue=self._config.venue),
            headers={"reqIdConsumer": message.cl_ord_id},
            seconds=deadline - loop.time(),
            not_after=not_after,
        )
        return _noted(message, _outcome(message, answer, self._names - {profile.short_name.lower()}))

    # --- inquiries

    async def orders(self, broker: str, account: AccountNumber, day: date, call_class: CallClass) -> Inquiry[OrderRow]:
        profile = self._profiles.get(broker)
        return await self._inquirer.orders(profile, account, day, call_class) if profile else _stranger(broker)

    async def balance(self, broker: str, account: AccountNumber, call_class: CallClass) -> Inquiry[BalanceRow]:
        profile = self._profiles.get(broker)
        return await self._inquirer.balance(profile, account, call_class) if profile else _stranger(broker)

    async def settlements(
        self, broker: str, account: AccountNumber, day: date | None, call_class: CallClass
    ) -> Inquiry[SettlementRow]:
        profile = self._profiles.get(broker)
        return await self._inquirer.settlements(profile, account, day, call_class) if profile else _stranger(broker)

    async def accounts(self, broker: str, call_class: CallClass) -> Inquiry[AccountRow]:
        profile = self._profiles.get(broker)
        return await self._inquirer.accounts(profile, call_class) if profile else _stranger(broker)

    async def transactions(
        self, broker: str, account: AccountNumber, first: date, last: date, call_class: CallClass
    ) -> Inquiry[TransactionRow]:
        profile = self._profiles.get(broker)
        if profile is None:
            return _stranger(broker)
        return await self._inquirer.transactions(profile, account, first, last, call_class)

    # --- market and linkage

    async def instruments(self, market: Literal["kospi", "kosdaq"]) -> Inquiry[ListedInstrument]:
        return await self._market.instruments(market)

    async def master(self, market: Literal["kospi", "kosdaq"], short_code: str) -> InstrumentMaster | Failure:
        return await self._market.master(market, short_code)

    async def holidays(self) -> Inquiry[date]:
        return await self._market.holidays()

    async def membership(self, ci: Secret, korean_name: str) -> Membership | Failure:
        return await self._linkage.membership(ci, korean_name)

    async def linked_accounts(self, ci: Secret, korean_name: str) -> Inquiry[LinkedAccount]:
        return await self._linkage.linked_accounts(ci, korean_name)

    # --- reports

    def read_report(self, raw: RawReport) -> Report:
        """Pure: the same bytes give the same value."""
        return dialect.read_report(raw)


def _noted(message: OrderMessage, outcome: SendOutcome) -> SendOutcome:
    kind, word = str(message.kind), type(outcome).__name__
    OUTCOMES.labels(kind, word).inc()
    log.info("koscom.sent", cl_ord_id=message.cl_ord_id, kind=kind, outcome=word)
    return outcome


def _outcome(message: OrderMessage, answer: Answer | NoAnswer, other_brokers: set[str]) -> SendOutcome:
    if isinstance(answer, Answer):
        return _discreet(outcome_of(answer.status, answer.body, message.cl_ord_id, other_brokers), message.account)
    if not answer.written:
        return NotSent(answer.reason)
    return Unknown(f"{answer.reason} {answer.detail}".strip(), answer.body)


def _discreet(outcome: SendOutcome, account: AccountNumber) -> SendOutcome:
    """A platform's words may quote the account; the reason goes to people and logs, so there it is masked."""
    if isinstance(outcome, Accepted | NotSent):
        return outcome
    reason = outcome.reason.replace(account.reveal(), str(account)) if account else outcome.reason
    if isinstance(outcome, Refused):
        return Refused(outcome.code, reason, outcome.raw)
    return Unknown(reason, outcome.raw)


def _stranger(broker: str) -> Incomplete[Never]:
    return Incomplete(UNKNOWN_BROKER, broker)
