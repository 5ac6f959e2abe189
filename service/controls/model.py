"""What may stand between a queued request and its send. Cancellations pass all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from service.core.clock import real_now

CLOCK_ALARM = timedelta(seconds=1)
CLOCK_LIMIT = timedelta(seconds=5)


class Scope(StrEnum):
    """What a halt stops, and so what its `target` names."""

    FIRM = "firm"  # everything; no target
    BROKER = "broker"  # company code
    ACCOUNT = "account"  # account id
    INSTRUMENT = "instrument"  # ISIN
    MANAGER = "manager"  # user id


@dataclass(frozen=True)
class Subject:
    """What an order belongs to, as far as halts ask."""

    broker: str
    account_id: UUID
    isin: str
    manager_id: UUID | None

    def named(self, scope: Scope) -> str | None:
        """What a halt of this scope would have to name to stop the order."""
        names = {
            Scope.FIRM: None,
            Scope.BROKER: self.broker,
            Scope.ACCOUNT: str(self.account_id),
            Scope.INSTRUMENT: self.isin,
            Scope.MANAGER: str(self.manager_id) if self.manager_id else "",
        }
        return names[scope]


@dataclass(frozen=True)
class Halt:
    """매매정지 by the firm's own people. Times on the business clock."""

    id: UUID
    scope: Scope
    target: str | None
    reason: str
    set_by: UUID
    set_at: datetime
    released_by: UUID | None = None
    released_at: datetime | None = None
    release_reason: str | None = None


@dataclass(frozen=True)
class Standing:
    """A halt that stands, as a claim sees it."""

    id: UUID
    scope: Scope
    target: str | None

    def stops(self, subject: Subject) -> bool:
        return self.target == subject.named(self.scope)


@dataclass(frozen=True)
class Lock:
    """A broker whose messages are not what its profile says: no new orders for it until a person has looked (P20)."""

    id: UUID
    broker: str
    since: datetime  # business time
    message: str  # the kind of message: "report" or an inquiry's name
    field: str
    what: str  # what is wrong with it, in a word
    evidence: UUID | None
    released_by: UUID | None = None
    released_at: datetime | None = None
    release_reason: str | None = None


@dataclass(frozen=True)
class Gate:
    """Everything that may stop a send, in one row, as it was when it was read."""

    cluster_epoch: int
    halts: tuple[Standing, ...]
    drifted: frozenset[str]  # company codes
    blind_since: datetime | None  # real time; none: the stream is seen, or the reader of this row has none
    blind_s: int = 0
    clock_ahead: timedelta = timedelta(0)  # this machine's clock before the database's, as far as a round trip shows
    schema: str | None = None  # the migrations the database is at

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "Gate":
        """From a row of `parts.gate_part()`, whichever driver read it."""
        halts = (Standing(UUID(one["id"]), Scope(one["scope"]), one["target"]) for one in orjson.loads(row["halts"]))
        return cls(
            row["cluster_epoch"], tuple(halts), frozenset(orjson.loads(row["drifted"])), row["blind_since"],
            row["blind_s"] or 0, real_now() - row["database_now"], row["schema"],
        )  # fmt: skip

    def halt(self, subject: Subject) -> Standing | None:
        """A halt that stops this order, the widest first."""
        stopping = (one for scope in Scope for one in self.halts if one.scope is scope and one.stops(subject))
        return next(stopping, None)

    def refusal(self, subject: Subject) -> str | None:
        """Why a new order or an amendment of this must not go out, or None. Blindness is no refusal: it passes."""
        if self.halt(subject) is not None:
            return "halted"
        return "broker-drift" if subject.broker in self.drifted else None

    @property
    def blind(self) -> bool:
        return self.blind_since is not None

    @property
    def clock_wrong(self) -> bool:
        """Whether nobody knows what time it is: sessions, dates and the time an order has would be another's."""
        return abs(self.clock_ahead) > CLOCK_LIMIT


@dataclass(frozen=True)
class UnderWay:
    """A request whose send had been claimed before a halt: what became of it."""

    request_id: UUID
    order_id: UUID
    cl_ord_id: str
    kind: str
    state: str
    settled: bool  # it has its answer, or it is past the moment at which its sender may begin
