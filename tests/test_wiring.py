"""What is composed has the values that were decided, not the ones it would have without them."""

import random

import httpx

from service.core.clock import ManualClock
from service.gateway import Accepted
from service.koscom.budget import MemoryBudget, ServiceName
from service.koscom.config import ORDER_TIMEOUTS
from service.koscom.gateway import KoscomGateway
from service.orders.dispatch import DEADLINE_S
from service.orders.send_store import PATIENCE_S
from service.settings import load
from service.wiring import koscom_config
from tests.koscom.makers import MORNING, order

SPARE_S = 5  # for what a sender does before and after its call


async def test_p04_the_composed_gateway_sends_orders_with_the_decided_timeouts() -> None:
    seen: list[dict[str, float]] = []

    def accept(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        header = {"reqIdPlatform": "P-1", "reqIdConsumer": request.headers["reqIdConsumer"]}
        return httpx.Response(200, json={"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}})

    config = koscom_config(load({"ILIM_BROKERS": "cyber"}))
    transports = {name: httpx.MockTransport(accept) for name in ServiceName}
    gateway = KoscomGateway(config, MemoryBudget(), ManualClock(MORNING), random.Random(7).getrandbits, transports)
    outcome = await gateway.send(order(), not_after=float("inf"))
    await gateway.close()
    assert isinstance(outcome, Accepted)
    assert seen == [{"connect": 2.0, "read": 5.0, "write": 5.0, "pool": 3.0}]
    assert config.order_timeouts == ORDER_TIMEOUTS
    assert ORDER_TIMEOUTS.call == 8.0


def test_p03_a_call_is_over_before_its_attempt_counts_as_lost() -> None:
    """Else another worker would call unknown what is still being said."""
    assert ORDER_TIMEOUTS.pool <= DEADLINE_S  # a connection that comes later may not be written to
    assert ORDER_TIMEOUTS.pool + ORDER_TIMEOUTS.read <= ORDER_TIMEOUTS.call
    assert DEADLINE_S + ORDER_TIMEOUTS.call + SPARE_S <= PATIENCE_S
