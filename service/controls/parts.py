"""The gate as parts of another slice's statements.

A claim takes `gate_lock()` first and reads `gate_part()` in a *later* statement of the same transaction: at READ COMMITTED
a statement sees what was committed before it began, so a claim that waited for a halt sees it.
"""

from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Subquery, Text, and_, bindparam, case, cast, func, or_, select, true
from sqlalchemy.sql.elements import BindParameter

from service.controls.tables import broker_lock, halt, halt_gate, stream_gate
from service.infra import migrations
from service.infra.leases import lapse_part


def gate_lock() -> Select[Any]:
    """Hold the gate as it is until the transaction ends, together with other claims; returns `cluster_epoch`. Setting a
    halt waits for all that hold it, and those who come later wait behind the halt."""
    return select(halt_gate.c.cluster_epoch).with_for_update(read=True)


def gate_part() -> Subquery:
    """One row, to be read with `Gate.of`: `cluster_epoch, halts, drifted, blind_since, blind_s, database_now, schema`. Binds
    `com_id`: the stream that must be seen; null asks about none."""
    stream = _stream()
    blind = and_(_com_id().is_not(None), stream.c.blind_since.is_not(None))
    since = case((blind, stream.c.blind_since))
    return (
        select(
            halt_gate.c.cluster_epoch,
            _halts().label("halts"),
            _drifted().label("drifted"),
            since.label("blind_since"),
            cast(func.floor(func.extract("epoch", func.clock_timestamp() - since)), Integer).label("blind_s"),
            func.clock_timestamp().label("database_now"),
            migrations.present_part().label("schema"),
        )
        .select_from(halt_gate.outerjoin(stream, true()))
        .subquery("gate")
    )


def blind_part() -> ColumnElement[bool]:
    """Whether the stream `com_id` is not seen now, for a question that passes over what must wait."""
    return and_(_com_id().is_not(None), select(_stream().c.blind_since).scalar_subquery().is_not(None))


def _com_id() -> BindParameter[Any]:
    return bindparam("com_id", type_=Text)


def _stream() -> Subquery:
    """Since when the stream of `com_id` is not seen, null while it is. One row always: a stream that nobody has ever read
    is blind since the beginning."""
    lapse = lapse_part(stream_gate.c.lease, stream_gate.c.lease_epoch)
    since = case((or_(~stream_gate.c.open, lapse.is_not(None)), func.greatest(stream_gate.c.since, lapse)))
    joined = halt_gate.outerjoin(stream_gate, stream_gate.c.com_id == _com_id())
    unread = case((stream_gate.c.com_id.is_(None), halt_gate.c.made_at), else_=since)
    return select(unread.label("blind_since")).select_from(joined).subquery("stream")


def _halts() -> Any:
    one = func.json_build_object("id", halt.c.id, "scope", halt.c.scope, "target", halt.c.target)
    standing = select(func.json_agg(one)).where(halt.c.released_at.is_(None)).scalar_subquery()
    return func.coalesce(cast(standing, Text), "[]")


def _drifted() -> Any:
    standing = select(func.json_agg(broker_lock.c.broker)).where(broker_lock.c.released_at.is_(None)).scalar_subquery()
    return func.coalesce(cast(standing, Text), "[]")
