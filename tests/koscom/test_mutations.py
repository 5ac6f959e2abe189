"""Ten thousand broken answers of each inquiry: the reading says exactly what the JSON says, or it names a failure.

The judge reads the same JSON in its own plain way and knows nothing of the client's code. It is strict in one direction:
a `Complete` must hold every row and every figure of the JSON. `Incomplete` is always allowed, and so the last test counts
how often each happens: a client that refused everything would pass no other way.
"""

import json
import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from service.core.clock import KST, ManualClock
from service.core.secret import AccountNumber
from service.gateway import CallClass, Complete, Incomplete, Inquiry
from service.koscom import profiles
from service.koscom.budget import LIMITS, MemoryBudget
from service.koscom.calls import Purse, Retry
from service.koscom.inquiries import Inquirer
from service.koscom.transport import Answer
from tests.koscom.makers import ACCOUNT, CYBER, MORNING, config, no_sleep
from tests.koscom.shapes import BLOCKS, answer, copy, row

CASES = 10_000
JUNK: list[Any] = [
    None,
    "null",
    "",
    " ",
    "x",
    0,
    -1,
    1,
    300,
    "300",
    "1e3",
    300.5,
    1e20,
    -1e300,
    True,
    False,
    [],
    {},
    [{}],
    [None],
]
JUNK += ["2", "A005930", "\x00", "\ud800", " 00002", {"a": 1}, "KRW-D9", "99999999", 10**40, "٣"]


class FixedAnswer:
    """Stands where the HTTP service stands: every page is the same bytes, with our echo put in."""

    def __init__(self, make: Callable[[str], bytes]) -> None:
        self._make = make

    async def post(self, _path: str, content: bytes) -> Answer:
        req_id = json.loads(content)["commonHeader"]["reqIdConsumer"]
        return Answer(200, self._make(req_id))


def inquirer(make: Callable[[str], bytes]) -> Inquirer:
    clock, bits = ManualClock(MORNING.astimezone(KST)), random.Random(1).getrandbits
    purse = Purse(MemoryBudget(), dict(LIMITS), clock)
    retry = Retry(1, bits, no_sleep)
    return Inquirer(FixedAnswer(make), config(), purse, retry, clock, bits)  # type: ignore[arg-type]


def run(api: str, raw: Callable[[str], bytes]) -> Inquiry[Any]:
    asked, cyber = inquirer(raw), profiles.load()[CYBER]
    day = date(2026, 11, 24)
    calls: dict[str, Callable[[], Any]] = {
        "orderdetail": lambda: asked.orders(cyber, ACCOUNT, day, CallClass.ROUTINE),
        "balancelist": lambda: asked.balance(cyber, ACCOUNT, CallClass.ROUTINE),
        "settlelist": lambda: asked.settlements(cyber, ACCOUNT, day, CallClass.ROUTINE),
        "accountlist": lambda: asked.accounts(cyber, CallClass.ROUTINE),
        "tradebook": lambda: asked.transactions(cyber, ACCOUNT, day, day, CallClass.ROUTINE),
    }
    coroutine = calls[api]()
    try:
        while True:
            coroutine.send(None)  # nothing in there really waits, so no loop is needed
    except StopIteration as end:
        result: Inquiry[Any] = end.value
        return result


# --- the mutator


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [(value, key) for key, _ in inner] + [place for _, one in inner for place in places(one)]


def mutate(value: Any, chance: random.Random) -> None:
    container, key = chance.choice(places(value))
    action = chance.randrange(6)
    if action == 0:
        del container[key]
    elif action == 1:
        container[key] = copy_junk(chance)
    elif action == 2 and isinstance(container, dict):
        container[key.swapcase()] = container.pop(key)
    elif action == 3 and isinstance(container, list):
        container.append(copy(container[key]))
    elif action == 4:
        container[key] = [container[key]] if chance.random() < 0.5 else {"x": container[key]}
    else:
        other, other_key = chance.choice(places(value))
        container[key] = json.loads(json.dumps(other[other_key]))


def copy_junk(chance: random.Random) -> Any:
    return json.loads(json.dumps(chance.choice(JUNK)))


def damage(raw: bytes, chance: random.Random) -> bytes:
    """Sometimes the bytes themselves are broken: cut off, one byte changed, a stretch missing."""
    action, place = chance.randrange(40), chance.randrange(len(raw))
    if action == 0:
        return raw[:place]
    if action == 1:
        return raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1 :]
    if action == 2:
        return raw[:place] + raw[place + chance.randrange(20) :]
    return raw


# --- the judge


def nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "null"))


def number(value: Any) -> Decimal | None:
    return None if nothing(value) else Decimal(str(value).strip())


def listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, dict) else [] if nothing(value) else list(value)


def said(value: Any) -> str | None:
    if nothing(value):
        return None
    whole = isinstance(value, Decimal) and value == value.to_integral_value()
    return str(int(value)) if whole else str(value).strip()


def either(block: dict[str, Any], first: str, second: str) -> Any:
    return block[first] if not nothing(block.get(first)) else block.get(second)


def judge_order(read: Any, wire: dict[str, Any]) -> None:
    assert read.account == AccountNumber(said(wire["accNo"]) or "")
    assert (read.quantity, read.executed_quantity) == (number(wire["orderQty"]), number(wire["execSumQty"]))
    assert read.price == number(wire.get("orderPrice"))
    assert (read.order_number, read.original_number) == (said(wire.get("orderNo")), said(wire.get("orgOrderNo")))
    assert (read.is_amend, read.is_cancel) == (said(wire.get("modifyType")) == "1", said(wire.get("cancelType")) == "1")
    assert read.side == {"1": "sell", "2": "buy"}.get(said(wire.get("sellBuyType")) or "")
    fills = [(number(fill["execQty"]), number(fill["execPrice"])) for fill in listed(wire.get("execList"))]
    assert [(fill.quantity, fill.price) for fill in read.executions] == [one for one in fills if one[0]]
    judge_codes(read.instrument, wire)


def same_order(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a row is another one again: it has a number, and everything that a reader knows a row by."""

    def known_by(row: dict[str, Any]) -> list[Any]:
        acts = [said(row.get(name)) == "1" for name in ("modifyType", "cancelType")]
        codes = [[said(each.get(name)) for name in ("isinType", "isinCode", "isinName")] for each in listed(row["isinInfo"])]
        numbers = [(said(row.get(name)) or "").lstrip("0") for name in ("orderNo", "orgOrderNo")]
        return [*numbers, *acts, said(row.get("sellBuyType")), number(row["orderQty"]), number(row.get("orderPrice")), codes]

    return known_by(one)[0] != "" and known_by(one) == known_by(other)


def judge_codes(read: Any, wire: dict[str, Any]) -> None:
    codes = [said(one.get("isinCode")) for one in listed(wire.get("isinInfo")) if not nothing(one.get("isinCode"))]
    assert [code for _, code in read.codes] == codes


def judge_balance(read: Any, wire: dict[str, Any]) -> None:
    cash = [figures(one)[1:] for one in listed(either(wire, "cashBalInfo", "cachBalInfo"))]
    assert [[one.cash, one.margin, one.receivable, one.withdrawable] for one in read.cash] == cash
    holdings = listed(wire["securitiesBalInfo"])
    assert [one.quantity for one in read.holdings] == [number(one["qty"]) for one in holdings]
    assert [one.purchase_amount for one in read.holdings] == [number(one.get("valAtTrade")) for one in holdings]
    for held, one in zip(read.holdings, holdings, strict=True):
        judge_codes(held.instrument, one)


def judge_costs(read: Any, wire: dict[str, Any]) -> None:
    costs = [(said(one["costName"]), number(one["cost"])) for one in listed(wire.get("costInfo"))]
    assert [(one.name, one.amount) for one in read.costs] == costs


def judge_settlement(read: Any, wire: dict[str, Any]) -> None:
    assert (read.quantity, read.amount) == (number(wire["settQty"]), number(wire["settAmt"]))
    assert read.cost_total == number(wire.get("costTotal"))
    judge_costs(read, wire)
    judge_codes(read.instrument, wire)


def judge_account(read: Any, wire: dict[str, Any]) -> None:
    assert read.account == AccountNumber(said(wire["accNo"]) or "")
    assert read.contract_status == said(wire["contractStatus"])


def judge_transaction(read: Any, wire: dict[str, Any]) -> None:
    assert read.change_amount == (number(wire.get("changeAmt")) or 0)
    assert read.change_quantity == (number(wire.get("changeQty")) or 0)
    assert (read.quantity_after, read.cash_after) == (number(wire.get("qty")), number(wire.get("amt")))
    assert read.trans_type == said(wire.get("transType"))
    judge_costs(read, wire)
    judge_codes(read.instrument, wire)


JUDGES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "orderdetail": judge_order,
    "balancelist": judge_balance,
    "settlelist": judge_settlement,
    "accountlist": judge_account,
    "tradebook": judge_transaction,
}


def rows_said(api: str, raw: bytes) -> list[Any]:
    """Where the rows stand, by a plain walk."""
    whole = json.loads(raw.decode("utf-8-sig"), parse_float=Decimal)
    body, block, inner, _ = BLOCKS[api]
    alternative = body.replace("ListResponseBody", "ResponseBody")
    inside = either(whole, body, alternative)
    lists = inside.get(block) if not nothing(inside.get(block)) else whole[block]
    return lists if isinstance(lists, list) else listed(lists[inner])


def judge(api: str, result: Complete[Any], raw: bytes) -> None:
    wire = rows_said(api, raw)
    if api == "balancelist":
        # Rows of one account are one balance; the judge compares what they hold, in order.
        wire = [merged(wire)] if wire else []
    if api == "orderdetail":
        wire = [one for place, one in enumerate(wire) if not any(same_order(one, other) for other in wire[:place])]
    assert len(result.rows) == len(wire)
    for read, one in zip(result.rows, wire, strict=True):
        JUDGES[api](read, one)


def two(api: str) -> list[Any]:
    """Two rows, of two orders or accounts or with two holdings."""
    others = {"orderdetail": {"orderNo": "0000012346"}, "accountlist": {"accNo": "1234567891"}}
    second = row(api, **others.get(api, {}))
    if api == "balancelist":
        second["securitiesBalInfo"][0]["qty"] = 7
    return [row(api), second]


def figures(row: dict[str, Any]) -> list[Any]:
    names = ("cashBalance", "margin", "receivable", "cashAvWithdraw")
    return [said(row.get("crcyCode")) or "KRW", *(number(row.get(name)) for name in names)]


def line(row: dict[str, Any]) -> list[Any]:
    """All that a reader knows of a holding."""
    named = listed(row["isinInfo"])
    codes = [[said(one.get("isinType")) or "", code] for one in named if (code := said(one.get("isinCode"))) is not None]
    name = next((name for one in named if (name := said(one.get("isinName"))) is not None), None)
    sums = [number(row.get(each)) for each in ("qty", "valAtTrade", "valAtCur")]
    return [*sums, said(row.get("assetType")), name, codes]


def merged(wire: list[dict[str, Any]]) -> dict[str, Any]:
    """What a later row of the account repeats in every field is there once."""
    cash: list[Any] = []
    held: list[Any] = []
    for one in wire:
        known, lines = [figures(row) for row in cash], [line(row) for row in held]
        rows = listed(either(one, "cashBalInfo", "cachBalInfo"))
        cash += [row for row in rows if one is wire[0] or figures(row) not in known]
        held += [row for row in listed(one["securitiesBalInfo"]) if line(row) not in lines]
    return {"cashBalInfo": cash, "securitiesBalInfo": held}


@pytest.mark.parametrize("api", list(BLOCKS))
def test_p17_ten_thousand_broken_answers_are_read_truly_or_not_at_all(api: str) -> None:
    chance = random.Random(f"mutations of {api}")
    verdicts = {"complete": 0, "incomplete": 0}
    for case in range(CASES):
        body = answer(api, two(api), echo="ECHO", total=chance.choice([0, 2]))
        for _ in range(chance.choice([1, 1, 2, 3])):
            mutate(body, chance)
        damaged = damage(json.dumps(body).encode(), chance)

        def with_echo(req_id: str, raw: bytes = damaged) -> bytes:
            return raw.replace(b'"ECHO"', json.dumps(req_id).encode())

        result = run(api, with_echo)
        if isinstance(result, Complete):
            verdicts["complete"] += 1
            try:
                judge(api, result, result.pages[-1])
            except (AssertionError, LookupError, ArithmeticError, TypeError, AttributeError, ValueError) as error:
                raise AssertionError(f"case {case}: {result.pages[-1].decode()}\nread as {result.rows}") from error
        else:
            assert isinstance(result, Incomplete)
            assert result.reason
            verdicts["incomplete"] += 1
    assert min(verdicts.values()) > CASES / 20, verdicts


def test_a_whole_answer_is_complete_for_every_inquiry() -> None:
    for api in BLOCKS:
        whole = json.dumps(answer(api, two(api), echo="ECHO", total=2)).encode()
        result = run(api, lambda req_id, whole=whole: whole.replace(b"ECHO", req_id.encode()))  # type: ignore[misc]
        assert isinstance(result, Complete)
        judge(api, result, whole)
