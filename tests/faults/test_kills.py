"""The kill campaign of `ops/soak`, in small: real processes, a real database, the sandbox as the broker that counts."""

from ops.campaigns import kills
from ops.campaigns.nursery import nursery
from ops.campaigns.tally import Tally
from service.core.clock import monotonic
from service.infra.postgres import EmbeddedPostgres
from tests.faults.conftest import Note

PATIENCE_S = 240.0  # a machine that is busy with something else gets fewer trials, never none
KILLS = 300


async def test_p02_p07_killed_anywhere_nothing_goes_out_twice_is_lost_or_misstated(server: EmbeddedPostgres, note: Note) -> None:
    tally = Tally()
    async with nursery() as born_by:
        until_s = monotonic() + PATIENCE_S
        await kills.episode(server, born_by, tally, seed=1, goal=KILLS, until_s=until_s)
    note(tally.figures())
    assert dict(tally.found) == {}, tally.examples
    assert len(tally.places) >= kills.LEAST_PLACES or monotonic() > until_s, tally.kills
    assert tally.orders > 0
