"""P4 and P2 against the platform's own truth: whatever it answers, and whether or not it took the order.

The oracle is the sandbox: how often it received a request, and whether it took it. A send that was taken is never told as
not sent, one that was not taken is never told as accepted, and a refusal is told on a documented code alone.
"""

import random
from collections.abc import AsyncIterator
from decimal import Decimal
from math import inf
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.core.clock import ManualClock
from service.core.secret import AccountNumber, Secret
from service.gateway import Accepted, Refused, SendOutcome, Unknown
from service.koscom.budget import MemoryBudget
from service.koscom.gateway import KoscomGateway
from service.koscom.transport import Timeouts
from tests.journeys.conftest import platform
from tests.koscom.makers import MORNING, config, order

pytestmark = pytest.mark.asyncio(loop_scope="module")

# From the platform's manual, by hand: what proves that no order exists, and what proves nothing.
DEFINITE_CODES = "400 401 403 404 405 406 415 2001 2002 2003 2100 3002 3003 3006 3007 3008 3009 3010 3011 3012 3013 "
DEFINITE_CODES += "4000 4001 4002 4003 4004 4005 4006 6007 6008 7000"
UNCERTAIN_CODES = "408 500 503 505 3001 3004 3005 3600 3999 5004 5005 5006 5007 6001 6002 6003 6004 6005 6006"
DEFINITE, UNCERTAIN = DEFINITE_CODES.split(), UNCERTAIN_CODES.split()
STYLES = ("old", "inside")  # under the code's own HTTP status, and inside an HTTP 200
DRESSES: dict[str, dict[str, Any]] = {
    "html": {}, "html-200": {"fault": "html", "http_status": 200}, "html-403": {"fault": "html", "http_status": 403},
    "redirect": {}, "unknown_code": {}, "unknown_code-2999": {"fault": "unknown_code", "code": 2999},
    "refusal-under-502": {"fault": "error", "code": 7000, "http_status": 502},
    "refusal-under-408": {"fault": "error", "code": 3012, "http_status": 408},
}  # fmt: skip
AFTER_ONLY = ("answer_lost_after", "answer_torn", "answer_foreign")

CELLS = [
    (f"{code}-{style}", {"fault": "error", "code": int(code), "style": style})
    for code in DEFINITE + UNCERTAIN
    for style in STYLES
]
CELLS += [(name, {"fault": name} | more) for name, more in DRESSES.items()]
BOTH = [(f"{name}-{when}", fault, when) for name, fault in CELLS for when in ("before", "after")]
BOTH += [(name, {"fault": name}, "after") for name in AFTER_ONLY] + [
    ("answer_lost_before", {"fault": "answer_lost_before"}, "before")
]


class Truth:
    """The gateway and the sandbox's control."""

    def __init__(self, gateway: KoscomGateway, control: httpx.AsyncClient, account: str) -> None:
        self.gateway, self.control, self.account, self.count = gateway, control, account, 0

    async def send(self, fault: dict[str, Any] | None) -> tuple[SendOutcome, int, int]:
        """The outcome, how often the platform received the request, how often it took it."""
        self.count += 1
        name = f"20261123P4{self.count:09d}"
        if fault:
            (await self.control.post("/_sandbox/faults", json=fault)).raise_for_status()
        outcome = await self.gateway.send(
            order(
                cl_ord_id=name, account=AccountNumber(self.account), isin="KR7930010004", short_code="930010", quantity=1,
                price=Decimal(60_000),
            ),
            inf,
        )  # fmt: skip
        (await self.control.delete("/_sandbox/faults")).raise_for_status()
        found = (await self.control.get("/_sandbox/sends")).json().get(name, {"received": 0, "accepted": 0})
        return outcome, found["received"], found["accepted"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def truth() -> AsyncIterator[Truth]:
    async with platform() as url, httpx.AsyncClient(base_url=url, trust_env=False) as control:
        books = (await control.get("/_sandbox/books")).json()["brokers"]
        settings = config(
            url, api_key=Secret("sandbox-key"), secret=Secret("sandbox-secret"), sender_comp_id="ILIMSANDBOX",
            order_timeouts=Timeouts(connect=5, read=5, pool=5, call=20),
        )  # fmt: skip
        gateway = KoscomGateway(settings, MemoryBudget(), ManualClock(MORNING), random.Random(7).getrandbits)
        try:
            yield Truth(gateway, control, books["00991"]["accounts"][0]["account"])
        finally:
            await gateway.close()


async def test_p04_the_cells_are_many() -> None:
    assert len(BOTH) >= 200
    assert len({name for name, *_ in BOTH}) == len(BOTH)


async def test_p04_without_a_fault_it_is_accepted_and_taken(truth: Truth) -> None:
    outcome, received, accepted = await truth.send(None)
    assert (type(outcome), received, accepted) == (Accepted, 1, 1)


@pytest.mark.parametrize(("name", "fault", "when"), BOTH, ids=[name for name, *_ in BOTH])
async def test_p04_each_answer_is_one_outcome_whether_or_not_the_order_was_taken(
    truth: Truth, name: str, fault: dict[str, Any], when: str
) -> None:
    wanted = dict(fault)
    if when == "after" and not wanted["fault"].endswith("_after") and wanted["fault"] not in AFTER_ONLY:
        wanted["fault"] += "_after"
    outcome, received, accepted = await truth.send(wanted)
    assert (received, accepted) == (1, int(when == "after")), "the fault did what its name says, and nothing was sent twice"
    definite = wanted["fault"].startswith("error") and str(wanted.get("code")) in DEFINITE and "http_status" not in wanted
    assert type(outcome) is (Refused if definite else Unknown)
    if isinstance(outcome, Refused):
        assert outcome.code == str(wanted["code"])
