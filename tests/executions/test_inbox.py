"""From the stream into the inbox (P19): what is acknowledged is committed, and what is not comes again."""

import pytest

from service.audit.evidence import Vault
from service.core.clock import ManualClock
from service.executions.inbox import Inbox
from service.gateway import RawReport
from service.infra import failpoints
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.koscom.test_stream import Broker, Listener, heard, message, reading
from tests.makers import TODAY, fetch

COUNT = 5
HELD = "select i.seq from inbox i join audit.raw_message r on r.id = i.raw_id order by i.arrived"


@pytest.fixture
def inbox(worker_database: Database, clock: ManualClock) -> Inbox:
    return Inbox(worker_database.transaction, worker_database.hot, Vault(bytes(32)), clock, "F0001", lambda _channel: None)


class Poured(Listener):
    """What the stream is given: a real inbox, and our ear at it."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self.inbox = inbox
        self.position = inbox.position  # type: ignore[method-assign]
        self.store = inbox.store  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("place", "committed"), [("inbox.before_commit", False), ("inbox.after_commit", True)], ids=["before", "after"]
)
async def test_p19_cut_off_at_the_commit_of_a_batch_nothing_is_acknowledged_and_nothing_lost(
    inbox: Inbox, database_urls: DatabaseUrls, place: str, committed: bool
) -> None:
    frames = b"".join(message(number) for number in range(1, COUNT + 1))
    again = b"".join(message(number, resent=True) for number in range(1, COUNT + 1))
    broker = Broker(on_resend=lambda asked: [again] if asked["beginSeqNo"] == 1 and broker.connections == 2 else [])
    listener, reached = Poured(inbox), []

    def cut() -> None:
        reached.append([entry for entry in broker.log if entry.startswith("ACK")])
        failpoints.disarm()
        raise failpoints.FailpointError(place)

    try:
        async with reading(broker, listener):
            await listener.until(lambda: "live" in listener.states)
            failpoints.arm(place, cut)
            await broker.sockets[0].send(frames)
            await listener.until(lambda: "lost" in listener.states)
            if committed:
                await listener.until(lambda: listener.states.count("live") == 2)
            else:
                await heard(broker, lambda: f"ACKa{COUNT}" in broker.log)
    finally:
        failpoints.disarm()
    assert reached == [[]]  # once, and nobody had been told
    assert [row["seq"] for row in await fetch(database_urls.superuser, HELD)] == list(range(1, COUNT + 1))
    assert broker.asked()[-1]["beginSeqNo"] == (COUNT + 1 if committed else 1)
    assert broker.log.count("ACKa1") == (0 if committed else 1)


async def test_p19_a_message_the_database_will_not_take_keeps_nobody_out(inbox: Inbox, database_urls: DatabaseUrls) -> None:
    numbers = [1, 2, 2**70, 3, 4]
    held = await inbox.store([RawReport("F0001", TODAY, number, str(number).encode()) for number in numbers])
    assert held == [True, True, False, True, True]
    assert [row["seq"] for row in await fetch(database_urls.superuser, HELD)] == [1, 2, 3, 4]


async def test_p06_another_message_under_a_number_given_before_is_kept_and_once(
    inbox: Inbox, database_urls: DatabaseUrls
) -> None:
    """A platform that counts anew after a fault of its own: what it says under 1 now is no repetition."""
    first, second = RawReport("F0001", TODAY, 1, b"first"), RawReport("F0001", TODAY, 1, b"second")
    third, resent = RawReport("F0001", TODAY, 2, b"third"), RawReport("F0001", TODAY, 1, b"first, PossDupFlag Y", True)
    for raws in ([first], [second, third], [second, first, resent], [first, second]):
        assert all(await inbox.store(raws))
    vault = Vault(bytes(32))
    rows = await fetch(
        database_urls.superuser, "select r.id, r.sealed, i.seq from inbox i join audit.raw_message r on r.id = i.raw_id"
    )
    kept = sorted((vault.open(row["sealed"], row["id"]), row["seq"]) for row in rows)
    assert kept == [(b"first", 1), (b"second", None), (b"third", 2)]


async def test_p19_a_batch_may_hold_what_is_held_already(inbox: Inbox, database_urls: DatabaseUrls) -> None:
    for numbers in ([1, 2, 2], [3, 1, 4]):
        assert all(await inbox.store([RawReport("F0001", TODAY, number, b"the same") for number in numbers]))
    assert [row["seq"] for row in await fetch(database_urls.superuser, HELD)] == [1, 2, 3, 4]
