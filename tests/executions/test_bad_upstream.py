"""The upstream itself is the bad input: through the real stream client, the vault and the applier, between good messages.

None stops the stream; each ends parked or quarantined with its reason in the ledger; the good ones are applied, once.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ops.invariants import violations
from service.core.clock import ManualClock
from service.executions.apply import Applier
from service.executions.inbox import Inbox
from service.gateway import BrokerProfile, RawReport, Report
from service.infra.db import Database
from service.koscom import dialect
from service.koscom.stomp import Frame, encode
from service.market.book import MarketBook
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import VAULT, Life, ack
from tests.koscom.test_stream import Broker, Listener, reading
from tests.makers import CODE, ISIN, PROFILE, fetch, make_world

GOOD = 100
SHARES = 1000


@pytest.fixture
async def life(database: Database, worker_database: Database, database_urls: DatabaseUrls, clock: ManualClock) -> Life:
    world = await make_world(database_urls.superuser)
    return Life(database, worker_database, database_urls, clock, world)


class Real:
    """The port as applying sees it, with the real dialect."""

    def profile(self, _broker: str) -> BrokerProfile:
        return PROFILE

    def read_report(self, raw: RawReport) -> Report:
        return dialect.read_report(raw)


def fill(cl: str, n: int, **changes: Any) -> dict[str, Any]:
    body = {
        "OrderID": "1001", "ClOrdID": cl, "ExecID": f"E{n}", "ExecType": "F", "OrdStatus": "1", "Account": "1234567890",
        "SecurityID": ISIN, "Symbol": CODE, "Side": "1", "OrderQty": str(SHARES), "Price": "70000", "LastQty": "1",
        "LastPx": "70000", "LeavesQty": str(SHARES - n), "CumQty": str(n), "AvgPx": "70000",
        "TransactTime": "20261123-01:00:00.000",
    }  # fmt: skip
    kept = {name: value for name, value in (body | changes).items() if value is not None}
    return {"Header": {"BeginString": "FIX.4.4", "MsgType": "8", "SenderCompID": "cyber"}, "Body": kept}


def frame(seq: int, body: bytes, **headers: str) -> bytes:
    named = {"seq": str(seq), "seq-date": "20261123", "message-id": f"m{seq}", "ack": f"a{seq}"} | headers
    return encode(Frame("MESSAGE", named, body))


def bad(cl: str) -> dict[str, bytes]:
    """What an upstream may send instead of a report, by what is wrong with it."""
    good = json.dumps(fill(cl, 50))
    said: dict[str, bytes] = {
        "half a document": good[:-20].encode(),
        "html": b"<html><body>502 Bad Gateway</body></html>",
        "a list": b"[1, 2, 3]",
        "empty": b"",
        "nan": good.replace('"CumQty": "50"', '"CumQty": NaN').encode(),
        "a key twice": good.replace('"Side": "1"', '"Side": "1", "Side": "2"').encode(),
        "euc-kr": json.dumps(fill(cl, 50, Text="거부"), ensure_ascii=False).encode("euc-kr"),
        "nul in a text": json.dumps(fill(cl, 50, Text="a\x00b")).encode(),
        "half a surrogate": good.replace('"E50"', '"\\ud800"').encode(),
        "deep": b"[" * 100_000,
        "ten megabytes": json.dumps(fill(cl, 50, Text="x" * 10_000_000)).encode(),
    }
    wrong: dict[str, dict[str, Any]] = {
        "an unknown enumeration": {"ExecType": "Z"},
        "an unknown side": {"Side": "9"},
        "a block for a text": {"ClOrdID": {"a": 1}},
        "words for a number": {"LastQty": "ten"},
        "half a share": {"LastQty": "1.5"},
        "a negative quantity": {"LastQty": "-1"},
        "more than ordered": {"CumQty": "100000", "LastQty": "1"},
        "an endless number": {"LastQty": "9" * 400},
        "an exponent": {"LastPx": "1E+999999"},
        "another account": {"Account": "5555555555"},
        "another side": {"Side": "2"},
        "another instrument": {"SecurityID": "KR7900020002"},
        "an endless name": {"ClOrdID": "x" * 100_000},
        "no type of execution": {"ExecType": None},
    }
    return said | {name: json.dumps(fill(cl, 50, **changes)).encode() for name, changes in wrong.items()}


async def test_p19_p11_bad_upstream_input_between_a_hundred_good_messages(life: Life) -> None:
    await life.submit(quantity=SHARES)
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    spoilt = bad(cl)
    frames = [frame(n, json.dumps(fill(cl, n)).encode()) for n in range(1, GOOD + 1)]
    for i, body in enumerate(spoilt.values()):
        frames.insert(1 + 3 * i, frame(1000 + i, body))
    frames.insert(7, b"MESSAGE\nno colon here\n\nbody\x00")  # no STOMP
    frames.insert(11, b"NONSENSE\n\n\x00")
    listener, broker = Listener(missing=[[]]), Broker(on_subscribe=frames)
    inbox = Inbox(life.worker.transaction, life.worker.hot, VAULT, life.clock, "F0001", lambda _channel: None)

    async def keep(raws: Sequence[RawReport]) -> list[bool]:
        held = await inbox.store(raws)
        listener.stored += raws
        listener.changed.set()
        return held

    listener.store = keep  # type: ignore[method-assign]
    async with reading(broker, listener), asyncio.timeout(60):
        while not any(raw.seq == GOOD for raw in listener.stored):
            listener.changed.clear()
            await listener.changed.wait()
    assert broker.connections == 1
    port: Any = Real()
    applier = Applier(life.worker.transaction, port, life.clock, VAULT, MarketBook(life.worker.transaction, fresh_s=0), print)
    while await applier.apply_waiting():
        pass
    order = await life.order()
    assert (order["filled_quantity"], order["status"]) == (GOOD, "partially_filled")
    rows = await fetch(life.urls.superuser, "select state, count(*) as n from inbox group by state")
    states = {row["state"]: row["n"] for row in rows}
    assert states["applied"] == GOOD
    assert set(states) <= {"applied", "parked", "quarantined"}
    assert states["parked"] + states["quarantined"] >= len(spoilt)
    told = await fetch(
        life.urls.superuser, "select count(*) from audit.record where kind in ('message.parked', 'message.quarantined')"
    )
    assert told[0][0] == states["parked"] + states["quarantined"]
    assert order["needs_review"]
    assert await violations(life.urls.superuser) == []


NO_TIMES = ["00010101-00:00:00", "00010101-00:00:00.000", "18991230-00:00:00", "19700101-00:00:00"]


@pytest.mark.parametrize("named", [True, False], ids=["by its name", "by its number"])
@pytest.mark.parametrize("time", NO_TIMES)
async def test_p06_a_fill_whose_time_is_somebodys_no_value_is_booked_and_the_next_one_too(
    life: Life, time: str, named: bool
) -> None:
    """The first moment of the calendar is no moment to the database: read back it could not be compared, and nothing of the
    order be applied any more."""
    await life.submit()
    await life.dispatch()
    cl = life.gateway.sends[0].cl_ord_id
    terms = {"ClOrdID": cl if named else None, "OrderQty": "10"}
    said = [fill(cl, 1, LeavesQty="9", TransactTime=time, **terms), fill(cl, 2, LeavesQty="8", **terms)]
    reports = [dialect.read_report(RawReport("F0001", None, n, json.dumps(one).encode())) for n, one in enumerate(said, start=1)]
    await life.receive(ack(cl), *reports)
    fills = await fetch(life.urls.superuser, "select traded_at from fill")
    assert [one["traded_at"] for one in fills] == [life.clock.now()] * 2
    assert (await life.order())["filled_quantity"] == 2
    assert await violations(life.urls.superuser) == []
