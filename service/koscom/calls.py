"""Reading from the platform: a page or a single answer, fetched within the budget and tried again with jitter.

Every attempt costs a call and has an identity of its own. What fails for good is named; nothing here is ever empty for
lack of an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from service.core.clock import Clock
from service.core.errors import Unavailable
from service.core.ids import RandomBits
from service.gateway import CallClass
from service.koscom.budget import BudgetStore, CallLimit, ServiceName, budget_day, ceiling
from service.koscom.errors import SUCCESS, TRANSIENT, read_verdict
from service.koscom.transport import Answer, NoAnswer
from service.koscom.wire import WireError, parse_object

EXHAUSTED = "budget-exhausted"
NO_BUDGET = "budget-unavailable"
RETRY_SECONDS = 0.2  # doubled at every attempt, times a random share
TORN = frozenset({"not-json", "not-utf8", "echo-mismatch"})  # the next attempt may well be whole

Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Lost:
    """A read without a usable answer. `again` says whether another attempt could do better."""

    reason: str
    detail: str
    raw: bytes = b""
    again: bool = False


class Purse:
    """The day's calls of every service, for one process; the counting is shared through the store."""

    def __init__(self, store: BudgetStore, limits: dict[ServiceName, CallLimit], clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    async def refuses(self, service: ServiceName, call_class: CallClass) -> str | None:
        """Spend one call; the word for why not, where it may not be spent."""
        limit = self._limits[service]
        day = budget_day(limit, self._clock.now())
        try:
            taken = await self._store.take(service, day, call_class, ceiling(limit, call_class))
        except Unavailable:
            return NO_BUDGET
        if not taken:
            log.warning("koscom.budget_exhausted", service=str(service), call_class=str(call_class), day=str(day))
        return None if taken else EXHAUSTED

    async def left(self, service: ServiceName, call_class: CallClass) -> int:
        """How many calls this class may still spend today. Raises Unavailable."""
        limit = self._limits[service]
        spent = await self._store.spent(service, budget_day(limit, self._clock.now()))
        return max(ceiling(limit, call_class) - sum(spent.values()), 0)


class Retry:
    """Tries a read a few times, waiting a random while in between."""

    def __init__(self, attempts: int, random_bits: RandomBits, sleep: Sleep = asyncio.sleep) -> None:
        self._attempts = attempts
        self._random_bits = random_bits
        self._sleep = sleep

    async def __call__(self, attempt: Callable[[], Awaitable["Lost | Found"]]) -> "Lost | Found":
        for number in range(1, self._attempts):
            result = await attempt()
            if not isinstance(result, Lost) or not result.again:
                return result
            log.info("koscom.read_again", reason=result.reason, attempt=number)
            await self._sleep(RETRY_SECONDS * 2**number * jitter(self._random_bits))
        return await attempt()


@dataclass(frozen=True)
class Found:
    """A successful answer's bytes."""

    raw: bytes


def jitter(random_bits: RandomBits) -> float:
    """A random share, never nothing: 0.5 to 1."""
    return 0.5 + random_bits(16) / 2**17


def usable(answer: Answer | NoAnswer) -> Found | Lost:
    """The body of an answer that claims success, or why there is none. HTTP status and code must both say so."""
    if isinstance(answer, NoAnswer):
        return Lost(answer.reason, answer.detail, answer.body, again=answer.reason != "too-large")
    try:
        verdict = read_verdict(parse_object(answer.body))
    except WireError as error:
        reason = error.reason if answer.status == 200 else f"http-{answer.status}"
        return Lost(reason, error.detail, answer.body, again=answer.status == 200 or str(answer.status) in TRANSIENT)
    refusals = sorted(verdict.codes - {SUCCESS})
    if refusals:
        return Lost(f"code-{refusals[0]}", verdict.message, answer.body, again=refusals[0] in TRANSIENT)
    if answer.status != 200:
        word = f"http-{answer.status}"
        return Lost(word, verdict.message, answer.body, again=str(answer.status) in TRANSIENT)
    return Found(answer.body)
