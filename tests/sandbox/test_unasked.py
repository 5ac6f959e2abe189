"""What nobody here asked for: each is true in the books, told by report, and shown by the inquiry."""

from typing import Any

import pytest

ELECTRONICS = "KR7930010004"
ACCOUNTS = {"cyber": "99100010001", "diamond": "2100-0001-01", "star": "0010203001"}
OURS = "20261123A1"


async def bodies(client: Any) -> list[dict[str, Any]]:
    """What has been reported today, oldest first."""
    return [one["message"]["Body"] for one in (await client.control("reports")).get("20261123", [])]


async def order_in_books(client: Any, number: str, broker: str = "cyber") -> dict[str, Any]:
    books = await client.control("books")
    code = {"cyber": "00991", "diamond": "00992", "star": "00993"}[broker]
    accounts = books["brokers"][code]["accounts"]
    found: dict[str, Any] = next(one for account in accounts for one in account["orders"] if number in one["order_nos"])
    return found


async def account_in_books(client: Any) -> tuple[int, int]:
    """(cash two settlement days on, shares of the one instrument) of the account the tests trade for."""
    books = await client.control("books")
    account = next(one for one in books["brokers"]["00991"]["accounts"] if one["account"] == ACCOUNTS["cyber"])
    held = {one["isin"]: one["quantity"] for one in account["holdings"]}
    return account["cash"]["d2"], held.get(ELECTRONICS, 0)


async def rows(client: Any) -> list[dict[str, Any]]:
    answer = (await client.orders())["orderDetailListResponseBody"]["orderDetailList"]["orderDetail"]
    return [row for row in answer if {"isinType": "표준코드", "isinCode": ELECTRONICS}.items() <= row["isinInfo"][0].items()]


async def still(client: Any) -> None:
    """Half past nine, and nobody trades the instrument but who is told to."""
    await client.step("09:30:00")
    await client.control("quote", {"isin": ELECTRONICS, "bid": 60000, "ask": 80000, "bid_quantity": 1, "ask_quantity": 1})


async def bought(client: Any, quantity: int = 10, filled: int = 10) -> None:
    await still(client)
    assert (await client.order("new", OURS, Price="71000", OrderQty=str(quantity))).status_code == 200
    await client.control("trade-through", {"isin": ELECTRONICS, "price": 71000, "quantity": filled})


@pytest.mark.parametrize("name", ["", "HTS-0001"])
async def test_the_clients_own_order_is_told_shown_and_moves_his_account(client: Any, name: str) -> None:
    await still(client)
    cash, shares = await account_in_books(client)
    wish = {"broker": "cyber", "account": ACCOUNTS["cyber"], "isin": ELECTRONICS, "side": "buy", "quantity": 3, "price": 80000}
    placed = await client.control("client-order", {**wish, "cl_ord_id": name})
    told = await bodies(client)
    assert [(one["ExecType"], one.get("ClOrdID", "")) for one in told] == [("A", name), ("0", name), ("F", name)]
    order = await order_in_books(client, placed["order_no"])
    assert (order["placed_by"], order["accepted"], order["status"]) == ("client", True, "partially_filled")
    assert [row["execSumQty"] for row in await rows(client)] == [1]
    later_cash, later_shares = await account_in_books(client)
    assert later_shares == shares + 1
    assert later_cash < cash - 79_000
    assert await client.control("sends") == {}, "it did not come from here"


@pytest.mark.parametrize("broker", list(ACCOUNTS))
async def test_the_client_cancels_an_order_of_ours(client: Any, broker: str) -> None:
    await still(client)
    header = client.body("D", OURS, Account=ACCOUNTS[broker], Price="71000")
    header["Header"]["TargetCompID"] = broker
    auth = {"Authorization": "Basic c2FuZGJveC1rZXk6c2FuZGJveC1zZWNyZXQ=", "comId": "F0001"}
    assert (await client.http.post("/v1/order/new", json=header, headers=auth)).status_code == 200
    gone = await client.control("client-cancel", {"order": OURS})
    assert (gone["leaves"], gone["cancelled"]) == (0, 10)
    last = (await bodies(client))[-1]
    assert (last["ClOrdID"], last["OrdStatus"], "OrigClOrdID" in last) == (OURS, "4", False)
    order = await order_in_books(client, gone["order_no"], broker)
    assert (order["placed_by"], order["ended_by"], order["status"]) == ("service", "client", "canceled")


async def test_a_bust_takes_the_fill_out_of_books_inquiry_and_account(client: Any) -> None:
    await still(client)
    before = await account_in_books(client)
    await bought(client)
    done = await client.control("bust", {"order": OURS, "reopen": False})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["CumQty"], last["LeavesQty"]) == ("H", "4", "0", "0")
    assert last["ExecRefID"] == done["exec_id"] == (await bodies(client))[-2]["ExecID"]
    order = await order_in_books(client, done["order_no"])
    assert (order["executed"], order["cancelled"], order["fills"]) == (0, 10, [])
    assert [one["quantity"] for one in order["busted"]] == [10]
    assert [row["execSumQty"] for row in await rows(client)] == [0]
    assert await account_in_books(client) == before


async def test_a_busted_fill_works_again_while_the_session_lasts(client: Any) -> None:
    await bought(client)
    await client.control("bust", {"order": OURS})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["CumQty"], last["LeavesQty"]) == ("H", "0", "0", "10")
    await client.control("trade-through", {"isin": ELECTRONICS, "price": 71000, "quantity": 10})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["CumQty"]) == ("F", "2", "10")


async def test_a_bust_after_a_cancel_leaves_it_cancelled(client: Any) -> None:
    await bought(client, filled=4)
    await client.order("cancel", "20261123A2", OrigClOrdID=OURS, OrdType=None, Price=None)
    done = await client.control("bust", {"order": OURS})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["CumQty"], last["LeavesQty"]) == ("H", "4", "0", "0")
    assert (done["executed"], done["leaves"], done["cancelled"]) == (0, 0, 10)


async def test_a_correction_changes_price_and_quantity_under_a_new_exec_id(client: Any) -> None:
    await bought(client)
    first = (await bodies(client))[-1]["ExecID"]
    done = await client.control("correct", {"order": OURS, "price": 70900})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["LastPx"], last["AvgPx"]) == ("G", "2", "70900", "70900")
    assert (last["ExecRefID"], last["ExecID"]) == (first, done["exec_id"])
    again = await client.control("correct", {"order": OURS, "quantity": 8})
    last = (await bodies(client))[-1]
    assert (last["ExecRefID"], last["CumQty"], last["LeavesQty"], last["OrdStatus"]) == (done["exec_id"], "8", "2", "1")
    assert (again["executed"], again["leaves"]) == (8, 2)
    (row,) = await rows(client)
    assert (row["execSumQty"], row["execList"][0]["execQty"], row["execList"][0]["execPrice"]) == (8, 8, 70900)


async def test_a_bust_in_fix_42_is_told_by_its_transaction_type_alone(client: Any) -> None:
    await still(client)
    wish = {"broker": "star", "account": ACCOUNTS["star"], "isin": ELECTRONICS, "side": "buy", "quantity": 1, "price": 80000}
    placed = await client.control("client-order", wish)
    await client.control("bust", {"order": placed["order_no"], "broker": "star", "reopen": False})
    fill, bust = (await bodies(client))[-2:]
    assert (fill["ExecType"], fill["ExecTransType"]) == ("2", "0")
    assert (bust["ExecType"], bust["ExecTransType"], bust["LastShares"]) == ("2", "1", "0")


@pytest.mark.parametrize("wish", [{}, {"isin": ELECTRONICS}, {"broker": "cyber"}])
async def test_the_exchange_throws_out_every_live_order(client: Any, wish: dict[str, str]) -> None:
    await bought(client, filled=4)
    await client.order("new", "20261123A2", Price="70000")
    gone = await client.control("mass-cancel", wish)
    assert gone["cancelled"] == [OURS, "20261123A2"]
    for body in (await bodies(client))[-2:]:
        assert (body["ExecType"], body["LeavesQty"], body["ExecRestatementReason"]) == ("4", "0", "8")
    assert [row["orderExecType"] for row in await rows(client)] == ["취소확인", "취소확인"]


async def test_an_acknowledged_order_is_rejected_after_all(client: Any) -> None:
    await still(client)
    await client.order("new", OURS, Price="71000")
    done = await client.control("late-reject", {"order": OURS, "reason": "사후거부"})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrdStatus"], last["Text"]) == ("8", "8", "사후거부")
    assert (await order_in_books(client, done["order_no"]))["status"] == "rejected"
    assert [row["orderRejectReason"] for row in await rows(client)] == ["사후거부"]


async def test_a_restatement_lowers_the_order(client: Any) -> None:
    await bought(client, filled=4)
    await client.control("restate", {"order": OURS, "quantity": 7})
    last = (await bodies(client))[-1]
    assert (last["ExecType"], last["OrderQty"], last["CumQty"], last["LeavesQty"]) == ("D", "7", "4", "3")
    assert [row["orderQty"] for row in await rows(client)] == [7]


@pytest.mark.parametrize(("verb", "body"), [
    ("bust", {"order": OURS}), ("correct", {"order": OURS}), ("restate", {"order": OURS, "quantity": 10}),
    ("client-cancel", {"order": "nobody"}), ("mass-cancel", {"broker": "nobody"}), ("stream", {"do": "poison"}),
    ("client-order", {"broker": "cyber", "account": "nobody", "isin": ELECTRONICS, "side": "buy", "quantity": 1}),
    ("client-order", {"broker": "cyber", "account": "99100010001", "isin": ELECTRONICS, "side": "buy", "quantity": 0}),
])  # fmt: skip
async def test_what_cannot_happen_is_refused(client: Any, verb: str, body: dict[str, Any]) -> None:
    await client.step("09:30:00")
    if verb not in ("stream", "client-order"):
        await client.order("new", OURS, Price="60000")
    assert (await client.http.post(f"/_sandbox/{verb}", json=body)).status_code == 400


def test_a_settled_fill_is_never_taken_back(play: Any) -> None:
    from service.sandbox import unasked
    from service.sandbox.errors import Refused

    play.to("09:30")
    name = play.new("cyber", ACCOUNTS["cyber"], ELECTRONICS, "buy", 1, None)
    assert play.order(name).executed == 1
    play.to("09:30", "2026-11-25")
    with pytest.raises(Refused):
        unasked.bust(*play.world.known_order(name), 0, reopen=True)


@pytest.mark.parametrize(("kind", "exec_type"), [
    ("client_order", "0"), ("client_cancel", "4"), ("bust", "H"), ("correction", "G"), ("mass_cancel", "4"),
    ("late_reject", "8"), ("restatement", "D"),
])  # fmt: skip
async def test_each_also_happens_by_chance_at_a_beat_of_the_market(client: Any, kind: str, exec_type: str) -> None:
    await bought(client, filled=4 if kind not in ("late_reject",) else 1)
    if kind == "late_reject":
        await client.order("new", "20261123A2", Price="70000")
    told = len(await bodies(client))
    await client.control("faults", {"schedule": {"seed": 5, "rates": {kind: "1"}}})
    await client.step("09:30:10")
    await client.control("faults", method="DELETE")
    kinds = [one["ExecType"] for one in (await bodies(client))[told:]]
    assert exec_type in kinds
    assert kind in {one["fault"] for one in (await client.control("faults"))["fired"]}


async def test_p10_order_numbers_repeat_the_next_day_where_that_is_the_brokers_habit(play: Any) -> None:
    def number(name: str) -> int:
        return int(play.order(name).order_no)

    first, second = {}, {}
    for numbers, day in ((first, "2026-11-23"), (second, "2026-11-24")):
        play.to("09:30", day)
        for broker, account in ACCOUNTS.items():
            name = play.new(broker, account, ELECTRONICS, "buy", 1, 60_000, cl_ord_id=f"{day}-{broker}")
            numbers[broker] = number(name)
    assert first == {"cyber": 1, "diamond": 1, "star": 1}
    assert second == {"cyber": 1, "diamond": 2, "star": 1}
