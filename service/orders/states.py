"""The life of an order as a table: what holds now, what happens, what holds then; and why, beside each odd row.

Three things hold of an order at once: its *life* (this table), how much of it is executed, and which changes the broker is
still working on. `PRECEDENCE` says which of them is shown. The fold of `machine` moves a life by `MOVES` and by nothing
else; `docs/states.md` is printed from it.
"""

from collections.abc import Iterable
from enum import StrEnum

from service.gateway import ExecType
from service.orders.model import RANK, Status


class Event(StrEnum):
    """What a report says happened, by meaning."""

    RECEIVED = "received"  # 150=A: with the broker, not yet accepted
    ACKNOWLEDGED = "acknowledged"  # 150=0, or anything that could not be said of an order that was never accepted
    EXECUTED = "executed"  # 150=F, or 150=G: an execution, or a corrected one
    BUSTED = "busted"  # 150=H: an execution is taken back
    CHANGED = "changed"  # 150=5 or D: amended, or restated by the broker
    RESUMED = "resumed"  # a later report whose OrdStatus no longer says what held the order
    CANCELED = "canceled"  # 150=4
    EXPIRED = "expired"  # 150=C
    REJECTED = "rejected"  # 150=8 with 39=8, of the order itself
    DONE_FOR_DAY = "done_for_day"  # 150=3
    STOPPED = "stopped"  # 150=7: a price is guaranteed
    SUSPENDED = "suspended"  # 150=9
    CALCULATED = "calculated"  # 150=B: executions of the day are priced and billed


S, E = Status, Event

LIVES: tuple[Status, ...] = (
    S.PENDING_NEW, S.NEW, S.STOPPED, S.SUSPENDED, S.CALCULATED, S.DONE_FOR_DAY, S.CANCELED, S.EXPIRED, S.REJECTED,
)  # fmt: skip
ENDED = frozenset({S.CANCELED, S.EXPIRED, S.REJECTED})
# What a sell side holds an order in until it says otherwise.
HELD = frozenset({S.STOPPED, S.SUSPENDED, S.CALCULATED, S.DONE_FOR_DAY})

# Rows: what holds. Columns: what happens. A dot leaves it.
_GRID = """
             received acknowledged executed busted changed resumed canceled expired rejected done_for_day stopped suspended calculated
pending_new  .        new          new      new    new     new     canceled expired rejected done_for_day stopped suspended calculated
new          .        .            .        .      .       .       canceled expired rejected done_for_day stopped suspended calculated
stopped      .        .            .        .      .       new     canceled expired rejected done_for_day .       suspended calculated
suspended    .        .            .        .      .       new     canceled expired rejected done_for_day stopped .         calculated
calculated   .        .            .        .      .       new     canceled expired .        done_for_day stopped suspended .
done_for_day .        .            .        .      .       new     canceled expired .        .            stopped suspended calculated
canceled     .        .            .        .      .       .       .        .       .        .            .       .         .
expired      .        .            .        .      .       .       canceled .       .        .            .       .         .
rejected     .        .            new      .      .       .       canceled expired .        .            .       .         .
"""  # noqa: E501 - a table

WHY: dict[tuple[Status, Event], str] = {
    (S.PENDING_NEW, E.EXECUTED): "an execution implies the acknowledgement, which may still be on its way",
    (S.PENDING_NEW, E.CANCELED): "immediate-or-cancel and fill-or-kill that cannot trade end cancelled, never expired",
    (S.NEW, E.RECEIVED): "overtaken: a late notice of receipt takes nothing back",
    (S.NEW, E.REJECTED): "the exchange refuses what the broker had acknowledged",
    (S.NEW, E.STOPPED): "a guaranteed price is no execution: its quantity is not counted",
    (S.STOPPED, E.EXECUTED): "still stopped while the report says so",
    (S.STOPPED, E.RESUMED): "the guarantee is used up or withdrawn",
    (S.SUSPENDED, E.ACKNOWLEDGED): "overtaken: only a second acknowledgement says that trading goes on",
    (S.SUSPENDED, E.RESUMED): "trading goes on",
    (S.SUSPENDED, E.EXECUTED): "executed before the suspension, reported after it",
    (S.DONE_FOR_DAY, E.EXECUTED): "executed before the close, reported after it",
    (S.DONE_FOR_DAY, E.RESUMED): "an order that outlives the day is restated next morning",
    (S.DONE_FOR_DAY, E.REJECTED): "overtaken: an order that went through a day was accepted",
    (S.CALCULATED, E.REJECTED): "overtaken: an order that went through a day was accepted",
    (S.CANCELED, E.ACKNOWLEDGED): "overtaken: what has ended does not begin again",
    (S.CANCELED, E.EXECUTED): "a fill that crossed the cancellation counts; the rest stays cancelled",
    (S.CANCELED, E.BUSTED): "the rest was cancelled before, and a bust gives none of it back",
    (S.CANCELED, E.RESUMED): "overtaken: what has ended does not begin again",
    (S.CANCELED, E.EXPIRED): "ended already, by the stronger word",
    (S.CANCELED, E.REJECTED): "ended already, by the stronger word",
    (S.CANCELED, E.DONE_FOR_DAY): "how the rest ended stays known; the close adds nothing",
    (S.EXPIRED, E.EXECUTED): "executed before the end of the session, reported after it",
    (S.EXPIRED, E.CANCELED): "either way the rest is gone; the stronger word stands, whichever came first",
    (S.REJECTED, E.ACKNOWLEDGED): "overtaken: the acknowledgement was before the refusal",
    (S.REJECTED, E.EXECUTED): "nothing that traded was rejected: evidence of an execution beats a refusal",
    (S.REJECTED, E.CANCELED): "either way the order is gone; the stronger word stands, whichever came first",
}


def _moves() -> dict[tuple[Status, Event], Status]:
    head, *rows = (line.split() for line in _GRID.strip().splitlines())
    events = [Event(name) for name in head]
    read = [(Status(name), cells) for name, *cells in rows]
    return {
        (life, event): life if cell == "." else Status(cell)
        for life, cells in read
        for event, cell in zip(events, cells, strict=True)
    }


MOVES = _moves()


def shown_of(life: Status, executed: bool, everything: bool, pending: Iterable[Status] = ()) -> Status:
    """The status that is shown of all that hold at once."""
    holding = {life, *pending}
    if executed:
        holding.add(Status.FILLED if everything else Status.PARTIALLY_FILLED)
    return min(holding, key=RANK.__getitem__)


# What an ExecType says of the order itself. Requests (6, E), rejects (8) and answers to questions (I) are read apart.
BY_EXEC_TYPE: dict[ExecType, Event] = {
    ExecType.PENDING_NEW: E.RECEIVED,
    ExecType.NEW: E.ACKNOWLEDGED,
    ExecType.TRADE: E.EXECUTED,
    ExecType.TRADE_CORRECT: E.EXECUTED,
    ExecType.TRADE_CANCEL: E.BUSTED,
    ExecType.REPLACED: E.CHANGED,
    ExecType.RESTATED: E.CHANGED,
    ExecType.CANCELED: E.CANCELED,
    ExecType.EXPIRED: E.EXPIRED,
    ExecType.DONE_FOR_DAY: E.DONE_FOR_DAY,
    ExecType.STOPPED: E.STOPPED,
    ExecType.SUSPENDED: E.SUSPENDED,
    ExecType.CALCULATED: E.CALCULATED,
    ExecType.PENDING_CANCEL: E.ACKNOWLEDGED,  # a change of an order that they do not have could not be pending
    ExecType.PENDING_REPLACE: E.ACKNOWLEDGED,
}

ORD_STATUS: dict[Status, str] = {
    S.PENDING_NEW: "A", S.NEW: "0", S.PARTIALLY_FILLED: "1", S.FILLED: "2", S.DONE_FOR_DAY: "3", S.CANCELED: "4",
    S.PENDING_CANCEL: "6", S.STOPPED: "7", S.REJECTED: "8", S.SUSPENDED: "9", S.CALCULATED: "B", S.EXPIRED: "C",
    S.PENDING_REPLACE: "E",
}  # fmt: skip
HELD_BY_WIRE: dict[str, Event] = {"3": E.DONE_FOR_DAY, "B": E.CALCULATED, "7": E.STOPPED, "9": E.SUSPENDED}
OPEN_ON_WIRE = frozenset({"0", "1", "2", "5"})  # of an order that nothing holds; 5 (Replaced) is FIX 4.2 only
ENDS_ON_WIRE: dict[str, Event] = {"4": E.CANCELED, "C": E.EXPIRED}  # said by a fill or a status report: its quantities count
