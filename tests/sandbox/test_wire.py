"""The HTTP wire: orders, refusals, faults, budgets, linkage, market data, control."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.sandbox import errors
from service.sandbox.people import CLIENTS

ELECTRONICS = "KR7930010004"


async def test_an_accepted_order_says_only_that_it_was_well_formed(client: Any) -> None:
    await client.step("09:30:00")
    answer = await client.order("new", "20261123A1", Price="60000")
    document = answer.json()
    assert document["resp"] == {"respCode": "200", "respMsg": "OK"}
    assert document["commonHeader"]["reqIdConsumer"] == "20261123A1"
    assert (answer.headers["x-rate-limit"], answer.headers["x-rate-value"]) == ("20000", "1")
    assert await client.control("sends") == {"20261123A1": {"received": 1, "accepted": 1}}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [({"OrderQty": None}, 400, 3003), ({"Price": None}, 400, 3003), ({"Account": "nobody"}, 500, 3012),
     ({"SecurityID": "KR7000000000"}, 500, 6007), ({"Side": "5"}, 500, 6008), ({"OrderQty": "ten"}, 400, 400),
     ({"OrderQty": "1e9"}, 400, 400), ({"OrderQty": "-1"}, 400, 400), ({"OrderQty": "0"}, 400, 400),
     ({"OrdType": "P"}, 500, 7000), ({"TimeInForce": "7"}, 500, 7000), ({"TradingSessionID": "9"}, 500, 7000),
     ({"ClOrdID": "x" * 21}, 400, 400), ({"Legs": [1]}, 400, 400), ({"Price": "71000.5"}, 400, 400)],
)  # fmt: skip
async def test_the_gateway_refuses(client: Any, fields: dict[str, Any], status: int, code: int) -> None:
    await client.step("09:30:00")
    answer = await client.order("new", "20261123A1", **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await client.control("reports") == {}


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 500), (b"", 500), (b"[]", 400), (b"[{}]", 400), (b"null", 400), (b"1", 400), (b'"x"', 400), (b"{}", 400),
     (b'{"Header":1,"Body":{}}', 400), (b"\xff\xfe", 500), (b'{"Header":{"MsgType":"D"},"Body":{}}', 400),
     (b'{"a":' * 2000, 500), (b'{"Header":{"MsgType":"D"},"Body":{"ClOrdID":"\\ud800"}}', 500)],
)  # fmt: skip
async def test_nonsense_is_refused_and_never_crashes(client: Any, auth: dict[str, str], content: bytes, status: int) -> None:
    headers = {**auth, "Content-Type": "application/json"}
    for path in ("order/new", "order/cancel", "order/replace"):
        answer = await client.http.post(f"/v1/{path}", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"] in (400, 3003, 3011)) == (status, True)
    for path in ("cyber/b2baccount/orderdetail/search",):
        answer = await client.http.post(f"/v1/{path}", content=content, headers=headers)
        assert answer.status_code in (400, 403, 500)
        assert "code" in answer.json()


@pytest.fixture
def auth() -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(b"sandbox-key:sandbox-secret").decode(), "comId": "F0001"}


@pytest.mark.parametrize(
    ("change", "body"),
    [({"Authorization": "Basic xxx"}, "message"), ({"Authorization": "Bearer x"}, "message"), ({"comId": "F9"}, "code")],
)
async def test_both_error_bodies_for_a_stranger(client: Any, auth: dict[str, str], change: dict[str, str], body: str) -> None:
    answer = await client.http.post("/v1/order/new", json={}, headers={**auth, **change})
    assert answer.status_code == 401
    assert body in answer.json()


async def test_other_content_methods_and_paths(client: Any, auth: dict[str, str]) -> None:
    plain = await client.http.post("/v1/order/new", content=b"{}", headers={**auth, "Content-Type": "text/plain"})
    wrong = await client.http.get("/v1/order/new")
    lost = await client.http.get("/v9/nothing")
    assert [one.status_code for one in (plain, wrong, lost)] == [415, 405, 404]
    assert all("message" in one.json() for one in (plain, wrong, lost))
    unknown = await client.http.post("/v1/nobody/b2baccount/orderdetail/search", json={}, headers=auth)
    assert (unknown.status_code, unknown.json()["code"]) == (400, 3002)


async def test_daily_budget_turns_at_nine_in_korea(client: Any) -> None:
    await client.control("limits", {"order": 1})
    first, second = [await client.order("new", f"20261123A{n}") for n in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json() == {"message": "API rate limit exceeded"}
    await client.step("09:00:00")
    assert (await client.order("new", "20261123A3")).status_code == 200


async def test_market_budget_in_the_later_header_family(client: Any) -> None:
    answer = await client.http.get("/v3/market/closed/kospi/lists", headers={"apikey": "sandbox-key"})
    assert answer.headers["X-RateLimit-Limit-Day"] == "50000"
    assert answer.headers["X-RateLimit-Remaining-Day"] == "49999"


@pytest.mark.parametrize(("fault", "accepted"), [("answer_lost_before", 0), ("answer_lost_after", 1)])
async def test_a_lost_answer_is_a_broken_connection(client: Any, fault: str, accepted: int) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": fault, "match": {"cl_ord_id": "20261123A1"}})
    with pytest.raises(httpx.HTTPError):
        await client.order("new", "20261123A1", Price="60000")
    assert (await client.control("sends"))["20261123A1"] == {"received": 1, "accepted": accepted}
    assert bool(await client.control("reports")) == bool(accepted)
    assert (await client.order("new", "20261123A2", Price="60000")).status_code == 200
    state = await client.control("faults")
    assert (state["armed"], [one["fault"] for one in state["fired"]]) == ([], [fault])


async def test_a_delayed_answer_shows_as_not_idle(client: Any) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "answer_delayed", "seconds": 0.3, "match": {"path": "order/new"}})
    sending = asyncio.create_task(client.order("new", "20261123A1", Price="60000"))
    while not (await client.control("idle"))["delayed"]:
        assert not sending.done()
    assert (await sending).status_code == 200
    assert (await client.control("idle"))["idle"]


@pytest.mark.parametrize("code", sorted(errors.CODES))
async def test_an_error_of_every_documented_code(client: Any, code: int) -> None:
    await client.control("faults", {"fault": "error", "code": code})
    answer = await client.order("new", "20261123A1")
    assert (answer.status_code, answer.json()["code"]) == (errors.CODES[code][0], code)
    assert (await client.control("sends"))["20261123A1"]["accepted"] == 0


@pytest.mark.parametrize("style", ["message", "error", "inside"])
async def test_errors_in_other_clothes(client: Any, style: str) -> None:
    await client.step("09:30:00")
    await client.control("faults", {"fault": "error_after", "code": 3999, "http_status": 502, "style": style})
    answer = await client.order("new", "20261123A1", Price="60000")
    if style == "inside":
        assert (answer.status_code, answer.json()["resp"]["respCode"]) == (200, "3999")
    else:
        assert (answer.status_code, list(answer.json())) == (502, [style])
    assert "20261123" in await client.control("reports"), "the order was taken all the same"


async def test_a_schedule_is_drawn_from_its_seed(begin: Callable[..., Any]) -> None:
    from service.sandbox.faults import Call, Faults

    def strikes(seed: int) -> list[int]:
        faults = Faults()
        faults.schedule(seed, {"answer_lost_after": "0.2"})
        return [n for n in range(500) if faults.take("after", Call("order/new"))]

    assert strikes(3) == strikes(3) != strikes(4)
    assert 60 < len(strikes(3)) < 140


async def test_inquiry_lag_hides_what_is_young(client: Any) -> None:
    await client.step("09:30:00")
    await client.order("new", "20261123A1", Price="60000")
    await client.step("09:31:00")
    await client.order("new", "20261123A2", Price="60000")
    await client.control("faults", {"fault": "inquiry_lag", "seconds": 30, "match": {"broker": "cyber"}})
    late, fresh = [await client.orders() for _ in range(2)]
    counts = [len(one["orderDetailListResponseBody"]["orderDetailList"]["orderDetail"]) for one in (late, fresh)]
    assert counts == [1, 2]


async def test_linkage(client: Any) -> None:
    def ask(path: str, who: Any) -> Any:
        document = {
            "partner": {"comId": "F0001", "srvId": "ILIM-SANDBOX"},
            "commonHeader": {"reqIdPlatform": "", "ci": who.ci}, "body": {"korName": who.name},
        }  # fmt: skip
        return client.http.post(f"/v1/common/member/{path}/search", json=document, headers={"apikey": "sandbox-key"})

    member, stranger = CLIENTS[1], CLIENTS[-1]
    assert all(len(one.ci) == 88 for one in CLIENTS)
    assert (await ask("register", member)).json()["result"] == "member"
    assert (await ask("register", stranger)).json()["result"] == "nonMember"
    rows = (await ask("consent", member)).json()["vtAccList"]
    assert [row["comId"] for row in rows] == ["00991", " 00993"]
    assert (await ask("consent", CLIENTS[-2])).json()["vtAccList"] == []
    refused = await client.http.post("/v1/common/member/register/search", json={}, headers={"apikey": "no"})
    assert refused.status_code == 401


async def test_market_data_of_both_markets(client: Any) -> None:
    async def get(path: str) -> Any:
        answer = await client.http.get(f"/v3/market/{path}", headers={"apikey": "sandbox-key"})
        assert answer.status_code == 200, answer.text
        return answer

    kospi = (await get("closed/kospi/lists")).json()
    kosdaq = (await get("closed/kosdaq/lists")).json()
    assert kospi["isuLists"][0]["isuKorAbbrv"] == "가상전자"
    assert "isuKorAbbr" in kosdaq["result"]["isuLists"][0]
    master = (await get("closed/kospi/A930010/master")).json()
    assert (master["basPrc"], master["uplmtprc"], master["lwlmtprc"]) == (71_200, 92_500, 49_900)
    halted = (await get("closed/kospi/930070/master")).json()
    assert halted["haltYn"] == "Y"
    assert '"basPrc":65000.0' in (await get("closed/kosdaq/930120/master")).text
    prices = (await get(f"realtime/kospi/multiquote/stocks/price?isuCd={ELECTRONICS},930020")).json()
    assert [row["trdPrc"] for row in prices["isuLists"]] == [71_200, 239_000]
    assert (await get("extra/stocks/KR/holiday")).json()["lists"][:2] == ["20261225", "20261231"]


async def test_master_data_begins_at_half_past_six(begin: Callable[..., Any]) -> None:
    from service.sandbox import market
    from service.sandbox.door import Ask
    from service.sandbox.errors import Refused
    from service.sandbox.faults import Call

    world = begin("06:29").world
    ask = Ask(Call(), None, {"market": "kospi"}, {}, "")
    with pytest.raises(Refused):
        market.lists(world)(ask)
    world.advance(world.now.replace(hour=6, minute=30))
    assert market.lists(world)(ask).status_code == 200


async def test_the_clock_steps_waits_and_never_turns_back(client: Any) -> None:
    state = await client.control("clock")
    assert (state["now"], state["rate"]) == ("2026-11-23T08:00:00+09:00", 0)
    waiting = asyncio.create_task(client.control(f"clock?version={state['version']}&wait=30"))
    await client.control("clock", {"advance_seconds": 90})
    assert (await waiting)["now"] == "2026-11-23T08:01:30+09:00"
    stale = await client.control(f"clock?version={state['version'] + 1}&wait=0")
    assert stale["version"] == state["version"] + 1
    for body in ({"now": "2026-11-23T08:00:00+09:00"}, {"now": "soon"}, {"advance_seconds": "x"}, {}, {"rate": -1},
                 {"now": "2027-11-23T08:00:00+09:00"}):  # fmt: skip
        assert (await client.http.post("/_sandbox/clock", json=body)).status_code == 400


async def test_real_speed_in_a_daily_loop_jumps_over_the_night(client: Any) -> None:
    await client.step("15:19:59")
    await client.control("clock", {"rate": 1000, "daily_loop": True})
    version = (await client.control("clock"))["version"]
    state = await client.control(f"clock?version={version}&wait=30")
    assert state["now"] >= "2026-11-24T10:00:00"
    await client.control("clock", {"rate": 0})


async def test_control_makes_outcomes_happen(client: Any) -> None:
    await client.step("09:30:00")
    await client.control("quote", {
        "isin": ELECTRONICS, "bid": 71_000, "ask": 71_100, "bid_quantity": 5, "ask_quantity": 5,
    })  # fmt: skip
    await client.order("new", "20261123A1", Price="71100", OrderQty="10")
    await client.control("trade-through", {"isin": ELECTRONICS, "price": 71_100, "quantity": 2})
    books = await client.control("books?business_date=2026-11-23")
    (order,) = books["brokers"]["00991"]["accounts"][0]["orders"]
    assert (order["executed"], order["leaves"], order["status"]) == (7, 3, "partially_filled")
    await client.control("halt", {"isin": ELECTRONICS, "halted": True})
    await client.control("broker-reject", {"account": "99100010002", "count": 1, "reason": "확인"})
    await client.order("new", "20261123A2")
    await client.order("new", "20261123A3", Account="99100010002")
    texts = [one["message"]["Body"].get("Text") for one in (await client.control("reports"))["20261123"]]
    assert "거래정지 종목입니다" in texts
    assert "확인" in texts
    assert (await client.control("books?business_date=2026-11-24"))["brokers"]["00991"]["accounts"][0]["orders"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [("quote", {}), ("quote", {"isin": ELECTRONICS, "bid": "x"}), ("quote", {"isin": ELECTRONICS, "bid": 1, "bid_quantity": -1}),
     ("trade-through", {"isin": ELECTRONICS}), ("halt", {"isin": 3}), ("faults", {}), ("faults", {"fault": "unheard"}),
     ("faults", {"fault": "error", "code": "x"}), ("faults", {"fault": "error", "match": {"colour": "red"}}),
     ("faults", {"schedule": {"rates": {"error": 2}}}), ("broker-reject", {"count": "x"}), ("limits", {"x": 1}),
     ("clock", {"rate": []}), ("clock", {"now": 5})],
)  # fmt: skip
async def test_control_refuses_nonsense(client: Any, path: str, body: dict[str, Any]) -> None:
    await client.step("09:30:00")
    assert (await client.http.post(f"/_sandbox/{path}", json=body)).status_code == 400
    assert (await client.http.post(f"/_sandbox/{path}", content=b"[")).status_code == 400


async def test_profiles_explain_every_habit(client: Any) -> None:
    profiles = await client.control("profiles")
    assert list(profiles["brokers"]) == ["00991", "00992", "00993"]
    assert profiles["brokers"]["00992"]["replace_quantity"] == "remaining"
