"""The timeline of an order in words: what the ledger says of it, line by line, each with its evidence. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from service.core.money import plain

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One thing that happened. `evidence` are ids of raw messages; `request_id` is the caller's, when a call caused it."""

    number: int
    at: str | None  # business time
    recorded_at: str  # real time
    kind: str
    actor: str | None
    text: str
    cl_ord_id: str | None
    request_id: str | None
    evidence: tuple[str, ...]


def line(number: int, recorded_at: str, body: Data) -> Line:
    """The line of one ledger entry about an order."""
    data: Data = body["data"]
    return Line(
        number=number,
        at=body.get("at"),
        recorded_at=recorded_at,
        kind=body["kind"],
        actor=body.get("actor"),
        text=" ".join((*_what(body["kind"], data), *_became(data))),
        cl_ord_id=data.get("cl_ord_id"),
        request_id=body.get("request_id"),
        evidence=tuple(data.get("evidence") or ()),
    )


def _what(kind: str, data: Data) -> list[str]:
    told = WORDS.get(kind)
    # A kind this page has no words for is still shown: the ledger knows more than we have phrases.
    return told(data) if told else [f"{kind.replace('.', ' ').replace('_', ' ').capitalize()}."]


def _became(data: Data) -> list[str]:
    """Where the order stood after it."""
    before, after = data.get("status") or (None, None)
    if after is None:
        return []
    stands = f"executed {data['filled']}, remaining {data['remaining']}"
    if data.get("unaccounted"):
        stands += f"; {data['unaccounted']} more are told as executed without their executions, which are asked for"
    return [f"The order is {'still ' if before == after else 'now '}{after}: {stands}."]


def _submitted(data: Data) -> list[str]:
    price = f"at {_won(data['price'])} won" if data.get("price") else "at the market"
    words = f"{data['side']} {data['quantity']} of {data['isin']} {price} ({data['time_in_force']}, session {data['session']})"
    said = [f"Ordered: {words}. On disk as {data['cl_ord_id']}, nothing sent yet."]
    return [*said, f"Reason given: {data['rationale']}"] if data.get("rationale") else said


def _amendment(data: Data) -> list[str]:
    return [f"An amendment was asked for ({data['cl_ord_id']}): {_wish(data)}."]


def _wish(data: Data) -> str:
    """An entry without `before` is an old one, which does not say which of the two is new."""
    before = data.get("before")
    price = f"price {_won(data['price'])} won" if data.get("price") else "no price"
    if before is None:
        return f"{price}, quantity {data['quantity']}"
    if data["quantity"] != before["quantity"]:
        return f"quantity {data['quantity']} instead of {before['quantity']}"
    return f"{price} instead of {_won(before['price'])} for the whole remainder"


def _cancellation(data: Data) -> list[str]:
    return [f"A cancellation of what remains was asked for ({data['cl_ord_id']})."]


def _not_taken(noun: str) -> Callable[[Data], list[str]]:
    """A refusal of ours: what was asked, under which problem it was refused, and each rule it broke."""

    def told(data: Data) -> list[str]:
        asked = ", ".join(f"{name} {value}" for name, value in (data.get("asked") or {}).items() if value is not None)
        rules = "; ".join(f"{one['field']}: {one['message'].rstrip('.')}" for one in data.get("violations") or ())
        why = f"{data['reason']}: {rules}" if rules else data["reason"]
        return [f"{noun} was refused here{f' ({asked})' if asked else ''}, nothing was sent: {why}."]

    return told


CONCLUSIONS = {"not_sent": "it never reached the broker", "twin_allowed": "one more order like it may go out today"}


def _resolution(verb: str) -> Callable[[Data], list[str]]:
    """One of the two people who resolve a doubt: which conclusion, and the reason given."""

    def told(data: Data) -> list[str]:
        conclusion = CONCLUSIONS.get(data["conclusion"], data["conclusion"])
        return [f"{verb} for {data['cl_ord_id']}, which is in doubt: {conclusion}. Reason given: {data['reason']}."]

    return told


def _withdrawn(data: Data) -> list[str]:
    return [f"Withdrawn here: no attempt to send {data['cl_ord_id']} exists, so nothing ever left."]


def _claimed(data: Data) -> list[str]:
    return [
        f"Everything was checked again, and the {data['kind']} {data['cl_ord_id']} may be sent, once (attempt {data['attempt']})."
    ]


def _refused(data: Data) -> list[str]:
    return [f"The {data['kind']} {data['cl_ord_id']} was not sent: {data['reason']}."]


def _lost(data: Data) -> list[str]:
    return [
        f"Who was sending {data['cl_ord_id']} is gone without an answer. It may have reached the broker; nothing is sent again."
    ]


OUTCOMES = {
    "accepted": "The platform took {cl_ord_id}. That is no acknowledgement by the broker yet.",
    "refused": "The platform refused {cl_ord_id}: {reason}.",
    "not_sent": "No byte of {cl_ord_id} left this house ({reason}).",
    "unknown": "No answer to {cl_ord_id} that tells ({reason}). It may have reached the broker; nothing is sent again.",
}


def _presumed(data: Data) -> list[str]:
    return [f"The database lacks its last commits: {data['cl_ord_id']} may have been sent, and is not sent again."]


def _answered(data: Data) -> list[str]:
    return [OUTCOMES[data["outcome"]].format(cl_ord_id=data["cl_ord_id"], reason=data.get("reason"))]


def _reported(data: Data) -> list[str]:
    said = ["The broker reported.", *[_fill(one) for one in data.get("fills") or ()]]
    if data.get("unresolved"):
        said.append("It takes back an execution that nobody told here: nothing was undone. A person has to look.")
    return [*said, *_set_aside(data)]


def _set_aside(data: Data) -> list[str]:
    aside = [
        f"Message {raw_id} cannot be true of it ({reason}): kept in quarantine."
        for raw_id, reason in data.get("quarantined") or ()
    ]
    unread = data.get("parked") or ()
    aside += [f"Message {raw_id} speaks of it, nobody can read it ({reason}): kept to be replayed." for raw_id, reason in unread]
    return [*aside, "Nothing about it is set aside any more."] if data.get("reviewed") else aside


DIFFERENCES = {
    "inquiry-shows-more": "A complete inquiry shows {theirs} executed, more than was ever ordered; ours {ours}. Nothing of it "
    "was booked. A person has to look.",
    "inquiry-shows-less": "A complete inquiry shows {theirs} executed, ours {ours}; nothing was reversed. A person has to look.",
    "inquiry-shows-other-prices": "A complete inquiry shows executions worth {theirs} won, ours {ours}. A person has to look.",
    "inquiry-shows-other-quantity": "A complete inquiry shows an order of {theirs}, ours is of {ours}. A person has to look.",
}


def _needs_review(data: Data) -> list[str]:
    if data.get("differs"):
        return [DIFFERENCES[data["differs"]].format(ours=data["ours"], theirs=data["theirs"])]
    if data.get("agrees"):
        return ["A complete inquiry shows it as we have it: nobody has to look any more."]
    looks = ["A person has to look."] if data.get("quarantined") or data.get("parked") else []
    return [*_set_aside(data), *looks]


def _adopted(data: Data) -> list[str]:
    price = f"at {_won(data['price'])} won" if data.get("price") else "at the market"
    words = f"{data['side']} {data['quantity']} of {data['isin']} {price}"
    return [f"Not sent by this service: the broker shows it as {data['broker_order_number']}, {words}. Adopted as external."]


CHANGES = {
    "in_force": "Its rows show that {cl_ord_id} was carried out.",
    "refused": "Its rows show that the broker refused {cl_ord_id}.",
    "no_effect": "Its rows show that the order ended without {cl_ord_id}.",
}


def _sighted(data: Data) -> list[str]:
    ended = f", and that it is {data['ended']}" if data.get("ended") else ""
    ended = ended or (f", and says that it is {data['claim']}: a second one must agree" if data.get("claim") else "")
    said = f"A complete inquiry shows the order, executed {data['executed']}{ended}."
    proven = [CHANGES[proof].format(cl_ord_id=cl_ord_id) for cl_ord_id, proof in data.get("changes") or ()]
    more = [f"And {data['more_fills']} more executions."] if data.get("more_fills") else []
    return [said, *proven, *[_fill(one) for one in data.get("fills") or ()], *more]


def _fill(one: Data) -> str:
    quantity, price = int(one["quantity"]), _won(one["price"])
    return f"Executed {quantity} at {price} won." if quantity > 0 else f"An execution of {-quantity} at {price} won was undone."


def _won(text: str) -> str:
    return plain(Decimal(text))


def _merged(data: Data) -> list[str]:
    if data.get("into"):
        return [f"It proved to be order {data['into']} of ours: what was said and booked here goes there."]
    said = f"The order adopted as external {data['external']} proved to be this one; what was said about it is said about this."
    return [said, *[_fill(one) for one in data.get("fills") or ()]]


WORDS: dict[str, Callable[[Data], list[str]]] = {
    "order.submitted": _submitted,
    "amendment.submitted": _amendment,
    "cancellation.submitted": _cancellation,
    "amendment.refused": _not_taken("An amendment"),
    "cancellation.refused": _not_taken("A cancellation"),
    "resolution.proposed": _resolution("Proposed"),
    "resolution.confirmed": _resolution("Confirmed"),
    "resolution.declined": _resolution("Declined"),
    "resolution.refused": _not_taken("A resolution"),
    "order.withdrawn": _withdrawn,
    "request.claimed": _claimed,
    "request.presumed_sent": _presumed,
    "request.refused": _refused,
    "request.lost": _lost,
    "request.answered": _answered,
    "order.reported": _reported,
    "order.sighted": _sighted,
    "order.needs_review": _needs_review,
    "order.adopted": _adopted,
    "order.merged": _merged,
}
