"""Published order state change matrices and cases of our own, told to `ilim orders replay` row by row."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from service.executions.replay import replay
from service.executions.scenarios import read_scenarios
from tests.orders.matrices import MATRICES
from tests.orders.matrices_further import FURTHER

Line = dict[str, Any]


def scenarios() -> dict[str, list[str]]:
    blocks = [block.splitlines() for block in (MATRICES + FURTHER).strip().split("\n\n")]
    return {block[0]: block[1:] for block in blocks}


CASES = scenarios()


def document(name: str, old: bool) -> str:
    """A scenario in the format of the command; `old`: with reports in FIX 4.2 spelling alone."""
    steps = [step(line, old) for line in CASES[name]]
    return json.dumps({"scenarios": [{"id": name, "steps": steps}]})


def step(line: str, old: bool) -> Line:
    words = line.split()
    branch = "reject_alternative" if words[0] == "?" else "main"
    kind, *rest = words[1:] if words[0] == "?" else words
    plain = [None if word == "-" else word for word in rest if not re.match(r"[a-z]+=|=>|\S/\d+/", word)]
    given = dict(word.split("=", 1) for word in rest if re.match(r"(id|ref|px|why)=", word))
    received = request(*plain) if kind == ">" else None
    sent = {"<": lambda: report(given, old, *plain), "!": lambda: refusal(given, *plain)}.get(kind, lambda: None)()
    return {"time": "1", "branch": branch, "crosses": False, "received": received, "sent": sent, "comment": None}


def request(kind: str, name: str, orig: str | None, quantity: str | None) -> Line:
    return {"MsgType": kind, "ClOrdID": name, "OrigClOrdID": orig, "OrderQty": quantity and int(quantity)}


def report(given: dict[str, str], old: bool, *words: str | None) -> Line:
    name, orig, types, *quantities = words
    exec_type, status = str(types).split("/")
    ordered, executed, leaves, last = (None if one is None else int(one) for one in quantities)
    body: Line = {
        "MsgType": "8", "ClOrdID": name, "OrigClOrdID": orig, "ExecType": exec_type, "OrdStatus": status, "OrderQty": ordered,
        "CumQty": executed, "LeavesQty": leaves, "LastShares" if old else "LastQty": last, "ExecID": given.get("id"),
        "ExecRefID": given.get("ref"), "LastPx": given.get("px"), "ExecRestatementReason": given.get("why"),
    }  # fmt: skip
    return body | in_42(exec_type, status, executed, ordered) if old else body


def in_42(exec_type: str, status: str, executed: int | None, ordered: int | None) -> Line:
    """ExecTransType says what happened to an execution, ExecType only partial or full."""
    if exec_type in "FGH":
        full = "2" if (executed or 0) >= (ordered or 0) else "1"
        return {"ExecType": full, "ExecTransType": {"F": "0", "G": "2", "H": "1"}[exec_type]}
    return {"ExecType": status, "ExecTransType": "3"} if exec_type == "I" else {"ExecTransType": "0"}


def refusal(given: dict[str, str], name: str | None, orig: str | None, status: str | None, answers: str | None) -> Line:
    order = "NONE" if status == "8" else None
    return {
        "MsgType": "9",
        "ClOrdID": name,
        "OrigClOrdID": orig,
        "OrdStatus": status,
        "CxlRejResponseTo": answers,
        "CxlRejReason": given.get("why"),
        "OrderID": order,
    }


def expected(line: str) -> tuple[str, int | None, int | None] | None:
    """OrdStatus, executed, open: as the row has them, unless something else is said."""
    otherwise = re.search(r"=> (\S)/(\d+)/(\d+)", line)
    if otherwise:
        return otherwise[1], int(otherwise[2]), int(otherwise[3])
    words = line.removeprefix("? ").split()
    if words[0] == "!":
        return words[3], None, None
    return (words[3][-1], int(words[5]), int(words[6])) if words[0] == "<" else None


def fills_expected(line: str) -> list[tuple[int, Decimal | None]] | None:
    said = re.search(r"fills=(\S*)", line)
    if said is None:
        return None
    pairs = [one.partition("@") for one in said[1].split(",") if one]
    return [(int(quantity), Decimal(price) if price else None) for quantity, _, price in pairs]


@pytest.mark.parametrize("old", [False, True], ids=["fix44", "fix42"])
@pytest.mark.parametrize("name", CASES, ids=[name.split()[0] for name in CASES])
def test_p06_a_published_scenario(name: str, old: bool) -> None:
    (scenario,) = read_scenarios(document(name, old))
    shown = list(replay(scenario))
    assert [one["step"] for one in shown] == list(range(1, len(CASES[name]) + 1))
    for line, got in zip(CASES[name], shown, strict=True):
        after_step(line, got)


def after_step(line: str, got: Line) -> None:
    wanted, fills = expected(line), fills_expected(line)
    if wanted is not None:
        seen = (
            got["ord_status"],
            *[got[key] if wanted[i] is not None else None for i, key in ((1, "cumulative"), (2, "leaves"))],
        )
        assert seen == wanted, line
    if fills is not None:
        held = [(one["quantity"], Decimal(one["price"]) if one["price"] else None) for one in got["fills"]]
        assert sorted(held, key=str) == sorted(fills, key=str), line
    else:
        assert got["filled"] == got["cumulative"] - got["restated"] - got["unaccounted"], line
        assert got["unaccounted"] == 0 or "unaccounted" in got["alarms"], line
    alarm = re.search(r"alarm=(\S+)", line)
    assert got["alarms"] == ([alarm[1]] if alarm else []), line
    assert got["fills_count"] == len(got["fills"])
    assert sum(one["quantity"] for one in got["fills"]) == got["filled"], line
    assert 0 <= got["leaves"] <= max(got["quantity"] - got["cumulative"], 0), line


DECIDED = {"Y.46": ["acknowledged"], "Y.47": ["acknowledged"] * 2, "Y.48": ["acknowledged"], "Y.49": ["refused"],
           "Y.50": ["acknowledged"], "Y.51": ["acknowledged"], "Y.52": ["refused"]}  # fmt: skip


@pytest.mark.parametrize("short", DECIDED)
def test_p06_the_last_word_about_a_change_decides_it_and_a_repetitions_refusal_is_none(short: str) -> None:
    name = next(name for name in CASES if name.split()[0] == short)
    (scenario,) = read_scenarios(document(name, False))
    *_, last = replay(scenario)
    assert [one["state"] for one in last["requests"][1:]] == DECIDED[short]


def test_there_are_as_many_as_are_said() -> None:
    assert len(CASES) == len(re.findall(r"^[A-Z]\.?\d.*", MATRICES + FURTHER, re.MULTILINE)) == 76 + 75
