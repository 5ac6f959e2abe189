"""The states of an order and of its requests as a page for people: `ilim orders states` prints it, docs/states.md holds it."""

from collections.abc import Iterator

from service.orders.model import PRECEDENCE, REQUEST_MOVES, REQUEST_WHY, RequestEvent, RequestState, Status
from service.orders.states import LIVES, MOVES, ORD_STATUS, WHY, Event, shown_of

S, E = Status, Event
NONE, PART, ALL = "nothing", "part", "everything"

MEANING: dict[Status, tuple[str, str]] = {
    S.PENDING_CANCEL: ("취소접수", "a cancellation is with the broker, undecided"),
    S.PENDING_REPLACE: ("정정접수", "an amendment is with the broker, undecided; the old terms hold"),
    S.DONE_FOR_DAY: ("당일 종료", "the day is over for it; a day order's remainder is gone"),
    S.CALCULATED: ("정산", "the day's executions are priced and billed"),
    S.FILLED: ("전량체결", "everything is executed"),
    S.STOPPED: ("가격보증", "a price is guaranteed, nothing executed by that"),
    S.SUSPENDED: ("중지", "does not trade for now"),
    S.CANCELED: ("취소확인", "the remainder is cancelled; what was executed stays executed"),
    S.EXPIRED: ("실효", "the remainder died with its session"),
    S.PARTIALLY_FILLED: ("일부체결", "a part is executed, the rest is in the market"),
    S.REJECTED: ("거부", "the broker or the exchange refused it"),
    S.NEW: ("접수", "acknowledged, nothing executed yet"),
    S.PENDING_NEW: ("접수 대기", "not acknowledged yet: asked for, sent, or of unknown outcome"),
    S.PENDING_APPROVAL: ("승인 대기", "waits for a second person here; nothing has left"),
}

HAPPENS: dict[tuple[Event, str], str] = {
    (E.RECEIVED, ""): "received by the broker (150=A)",
    (E.ACKNOWLEDGED, ""): "acknowledged (150=0)",
    (E.EXECUTED, PART): "an execution, some is left (150=F, G)",
    (E.EXECUTED, ALL): "an execution, none is left (150=F, G)",
    (E.BUSTED, NONE): "a bust of all that was executed (150=H)",
    (E.BUSTED, PART): "a bust, some stays executed (150=H)",
    (E.CHANGED, NONE): "amended or restated (150=5, D)",
    (E.CHANGED, PART): "amended or restated, some is left (150=5, D)",
    (E.CHANGED, ALL): "amended or restated to what is executed (150=5, D)",
    (E.RESUMED, ""): "a report that no longer speaks of it (39=0, 1)",
    (E.CANCELED, ""): "cancelled (150=4)",
    (E.EXPIRED, ""): "expired (150=C)",
    (E.REJECTED, ""): "rejected (150=8, 39=8)",
    (E.DONE_FOR_DAY, ""): "done for day (150=3)",
    (E.STOPPED, ""): "stopped (150=7)",
    (E.SUSPENDED, ""): "suspended (150=9)",
    (E.CALCULATED, ""): "calculated (150=B)",
}

# Moves that quantities make, without the life moving.
BY_QUANTITY: dict[tuple[Status, Event, Status], str] = {
    (S.FILLED, E.BUSTED, S.PARTIALLY_FILLED): "filled is no end: a bust opens it again",
    (S.FILLED, E.BUSTED, S.NEW): "filled is no end: a bust opens it again",
    (S.FILLED, E.CHANGED, S.PARTIALLY_FILLED): "enlarged by the broker; we never ask for that",
    (S.PARTIALLY_FILLED, E.CHANGED, S.FILLED): "reduced to what was executed meanwhile: the amendment itself fills it",
    (S.CANCELED, E.EXECUTED, S.FILLED): "everything was executed after all: filled stands above cancelled",
    (S.EXPIRED, E.EXECUTED, S.FILLED): "everything was executed after all: filled stands above expired",
    (S.PARTIALLY_FILLED, E.REJECTED, S.PARTIALLY_FILLED): "nothing that traded was rejected",
    (S.FILLED, E.REJECTED, S.FILLED): "nothing that traded was rejected",
    (S.FILLED, E.STOPPED, S.FILLED): "nothing is left to guarantee",
    (S.FILLED, E.CANCELED, S.FILLED): "nothing was left to cancel",
}


def page() -> str:
    """The whole page, as markdown."""
    return "\n".join([*_precedence(), "", *_orders(), "", *_requests(), ""])


def _precedence() -> Iterator[str]:
    yield "## Which status is shown"
    yield ""
    yield "Several may hold at once; the first of these that holds is shown. FIX is the code of OrdStatus (39)."
    yield ""
    yield "| status | FIX | | it means |"
    yield "| --- | --- | --- | --- |"
    for status in PRECEDENCE:
        korean, meaning = MEANING[status]
        yield f"| `{status}` | {ORD_STATUS.get(status, '')} | {korean} | {meaning} |"


def _orders() -> Iterator[str]:
    yield "## What a report does to an order"
    yield ""
    yield "What leaves an order as it is and surprises nobody is left out. `pending_cancel` and `pending_replace` stand over"
    yield "these rows while a request is undecided, and go with its answer."
    yield ""
    yield "| shown | what happens | shown then | why |"
    yield "| --- | --- | --- | --- |"
    rows: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for now, hidden, event, after, then, why in moves():
        place = (f"`{now}`{hidden}", HAPPENS[event, after])
        if now is not then or why:
            outcomes, reasons = rows.setdefault(place, ([], []))
            outcomes += [f"`{then}`"] if f"`{then}`" not in outcomes else []
            reasons += [why] if why and why not in reasons else []
    for (now_cell, happens), (outcomes, reasons) in rows.items():
        yield f"| {now_cell} | {happens} | {' or '.join(outcomes)} | {'; '.join(reasons)} |"


def moves() -> Iterator[tuple[Status, str, Event, str, Status, str]]:
    """Every (shown, what it hides, event, executed afterwards, shown then, why), in the order of lives and events."""
    for life in LIVES:
        for executed in executed_under(life):
            now = shown_of(life, executed != NONE, executed == ALL)
            hidden = f", {life.value.replace('_', ' ')} before" if now is S.FILLED and life is not S.NEW else ""
            for event in Event:
                for after in executed_after(executed, event):
                    then = shown_of(MOVES[life, event], after != NONE, after == ALL)
                    why = BY_QUANTITY.get((now, event, then), "") or (WHY.get((life, event), "") if _speaks(life, now) else "")
                    yield now, hidden, event, after if (event, after) in HAPPENS else "", then, why


def _speaks(life: Status, now: Status) -> bool:
    """A reason of a life is told where that life is seen, or where it is the plain one under what is executed."""
    return now is life or life is S.NEW


def executed_under(life: Status) -> tuple[str, ...]:
    return (NONE,) if life in (S.PENDING_NEW, S.REJECTED) else (NONE, PART, ALL)


def executed_after(executed: str, event: Event) -> tuple[str, ...]:
    """How much may be executed after an event."""
    if event is E.EXECUTED:
        return (PART, ALL) if executed != ALL else (ALL,)
    if event is E.BUSTED:
        return () if executed == NONE else (NONE, PART)
    if event is E.CHANGED and executed != NONE:
        return (PART, ALL)
    return (executed,)


def _requests() -> Iterator[str]:
    yield "## What becomes of a request"
    yield ""
    yield "New order, amendment and cancellation each are a request with a life of its own. An empty cell changes nothing."
    yield "`unknown` never becomes `queued` again: nothing is sent twice by itself."
    yield ""
    yield "| request | " + " | ".join(f"{event}" for event in RequestEvent) + " |"
    yield "| --- |" + " --- |" * len(RequestEvent)
    for state in RequestState:
        cells = (REQUEST_MOVES.get((state, event), state) for event in RequestEvent)
        yield f"| `{state}` | " + " | ".join("" if cell is state else f"`{cell}`" for cell in cells) + " |"
    yield ""
    for (state, event), why in REQUEST_WHY.items():
        yield f"- `{state}`, {event}: {why}."
