"""Faults of the report stream: told late, twice, in another order, spoilt, or not at all."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from service.sandbox import poison
from service.sandbox.faults import Armed, Faults, on_emit, on_report

if TYPE_CHECKING:
    from service.sandbox.hub import Hub, Stored
    from service.sandbox.reports import Message


@on_emit("report_lost", "the report never gets a number: no gap, no resend; only an inquiry shows what it said")
def _lost(hub: "Hub", _armed: Armed, message: "Message") -> "Message | None":
    hub.lost.append(message)
    return None


@on_emit("report_held", "the report gets its number and goes out `seconds` of market time later (default 60)")
def _held(hub: "Hub", armed: Armed, message: "Message") -> "Message | None":
    hub.hold(message, timedelta(seconds=armed.seconds(60)))
    return None


@on_emit("drift_report", "the report's `field` (default CumQty) is called `to` (default CumQuantity)")
def _drift(_hub: "Hub", armed: Armed, message: "Message") -> "Message | None":
    old, new = armed.text("field", "CumQty"), armed.text("to", "CumQuantity")
    return {**message, "Body": {new if name == old else name: value for name, value in message["Body"].items()}}


@on_report("stream_drop", "the report is stored and every stream connection is cut")
def _drop(_faults: Faults, _armed: Armed, hub: "Hub", _stored: "Stored") -> None:
    hub.drop_all()


@on_report("stream_half_open", "from this report on nothing comes, no heart-beat either; the sockets stay")
def _half_open(_faults: Faults, _armed: Armed, hub: "Hub", _stored: "Stored") -> None:
    hub.mute_all()


@on_report("stream_gap", "the report is left out; a resend gives it")
def _gap(_faults: Faults, _armed: Armed, _hub: "Hub", _stored: "Stored") -> None:
    return None


@on_report("stream_gap_lost", "the report is left out; a resend does not have it either")
def _gap_lost(_faults: Faults, _armed: Armed, hub: "Hub", stored: "Stored") -> None:
    hub.forgotten.add((stored.day, stored.seq))


@on_report("stream_duplicate", "the report arrives twice, same seq, no PossDupFlag")
def _duplicate(_faults: Faults, _armed: Armed, hub: "Hub", stored: "Stored") -> None:
    hub.push(stored)
    hub.push(stored)


@on_report("stream_poison", "the report arrives spoilt: `what`; a resend gives it whole, unless `lasting`")
def _poison(_faults: Faults, armed: Armed, hub: "Hub", stored: "Stored") -> None:
    what = armed.text("what", "malformed_json")
    if armed.parameters.get("lasting"):
        hub.spoilt[stored.day, stored.seq] = what
    hub.push(stored, poison.known(what))


@on_report("stream_reorder", "the next `n` reports (default 2) arrive backwards; fewer, after a moment of real time")
def _reorder(faults: Faults, armed: Armed, hub: "Hub", stored: "Stored") -> None:
    faults.held.append(stored)
    faults.hold_until = armed.number("n", 2)
    # A second report may never come: what is held must not be held for ever.
    asyncio.get_running_loop().call_later(0.3, faults.release, hub)
