"""Crash matrix row 18 at the front door: the fence after a fail-over, in a house whose market has a clock of its own."""

from datetime import timedelta

import pytest

from service.wiring import fence_cluster
from tests.journeys.conftest import OPENS, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_row_18_what_the_fence_presumes_is_dated_by_the_market(api: Api) -> None:
    order = (await api.order()).json()
    worker = api.urls.worker
    first = await fence_cluster(api.settings, worker, missing=False)
    assert [one["state"] for one in await api.rows("select state from order_request")] == ["queued"]

    assert await fence_cluster(api.settings, worker, missing=True) == first + 1
    shown = await api.rows("select r.state, o.updated_at, o.id::text from order_request r join orders o on o.id = r.order_id")
    assert [(one["id"], one["state"]) for one in shown] == [(order["id"], "unknown")]
    assert abs(shown[0]["updated_at"] - OPENS) < timedelta(minutes=1)
