"""`ilim orders replay`: what it prints, what it refuses to read, and that it needs no database."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.executions import replay_command
from tests.orders.test_matrices import CASES, step

ROOT = Path(__file__).parents[2]
KEYS = {
    "scenario", "step", "time", "branch", "crosses", "direction", "order", "status", "ord_status", "quantity", "cumulative",
    "filled", "unaccounted", "restated", "leaves", "closed", "fills_count", "fills", "busted_count", "requests", "alarms",
}  # fmt: skip


def file(tmp_path: Path, *names: str, **change: Any) -> str:
    steps = {name: [step(line, False) for line in CASES[name]] for name in names}
    path = tmp_path / "scenarios.json"
    path.write_text(json.dumps({"scenarios": [{"id": name, "steps": rows} for name, rows in steps.items()]} | change))
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], path: str, *, fix42: bool = False) -> list[dict[str, Any]]:
    assert replay_command.run(path, fix42=fix42) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def named(short: str) -> str:
    return next(name for name in CASES if name.split()[0] == short)


def test_one_line_a_step_with_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, file(tmp_path, *CASES))
    assert len(lines) == sum(len(rows) for rows in CASES.values())
    assert all(set(line) == KEYS for line in lines)
    assert {line["direction"] for line in lines} == {"received", "sent", "none"}


def test_an_either_or_row_is_a_fork(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, file(tmp_path, named("A.1.a")))
    assert [(one["branch"], one["status"]) for one in lines[:4]] == [
        ("main", "pending_new"), ("reject_alternative", "rejected"), ("main", "new"), ("main", "partially_filled"),
    ]  # fmt: skip


def test_requests_have_states_and_fills_have_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = printed(capsys, file(tmp_path, named("J.1.a")))[-1]
    assert last["requests"] == [
        {"cl_ord_id": "X", "kind": "new", "state": "acknowledged"},
        {"cl_ord_id": "Y", "kind": "amendment", "state": "acknowledged"},
    ]  # fmt: skip
    assert last["fills"] == [
        {"exec_id": "G", "quantity": 1000, "price": "120"}, {"exec_id": "K", "quantity": 9500, "price": "120"},
    ]  # fmt: skip
    assert last["busted_count"] == 4


def test_an_execution_without_a_printed_number_or_price_has_a_made_up_number_and_no_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = printed(capsys, file(tmp_path, named("I.1.b")))[-1]
    assert last["fills"] == [{"exec_id": "row-4", "quantity": 1000, "price": None}]


def test_both_renderings_in_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row with both: FIX 4.4 unless asked otherwise. Read as 4.2 without ExecTransType, a bust would be a fill."""
    rows = [step(line, False) for line in CASES[named("J.1.b")]]
    for row in rows:
        if row["sent"] and row["sent"]["ExecType"] == "H":
            row["sent"]["fix42"] = {"ExecTransType": "1", "ExecType": "1"}
        elif row["sent"] and row["sent"]["ExecType"] == "F":
            row["sent"]["fix42"] = {"ExecTransType": "0", "ExecType": "1"}
    path = tmp_path / "both.json"
    path.write_text(json.dumps([{"id": "both", "steps": rows}]))
    assert printed(capsys, str(path)) == printed(capsys, str(path), fix42=True)


def test_it_runs_without_database_and_settings(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")}
    done = subprocess.run(
        [sys.executable, "-m", "service", "orders", "replay", "--fix42", "-"],
        cwd=tmp_path, env={**bare, "PYTHONPATH": str(ROOT)},
        input=Path(file(tmp_path, named("B.1.c"))).read_text(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "filled"


def one(**sent: Any) -> dict[str, Any]:
    return {"scenarios": [{"id": "Q", "steps": [{"received": None, "sent": {"MsgType": "8"} | sent}]}]}


MALFORMED: list[tuple[str, Any, str]] = [
    ("no JSON", "{", "not JSON"),
    ("no list", {"scenarios": 1}, "field scenarios"),
    ("no steps", {"scenarios": [{"id": "Q"}]}, "scenario Q, field steps"),
    ("a step that is none", {"scenarios": [{"id": "Q", "steps": [[]]}]}, "scenario Q, step 1"),
    ("unknown ExecType", one(ExecType="Z", OrdStatus="0"), "scenario Q, step 1, field sent.ExecType"),
    ("no ExecType", one(OrdStatus="0"), "scenario Q, step 1, field sent.ExecType"),
    ("no OrdStatus", one(ExecType="0"), "scenario Q, step 1, field sent.OrdStatus"),
    ("a quantity in words", one(ExecType="0", OrdStatus="0", CumQty="many"), "scenario Q, step 1, field sent.CumQty"),
    ("half a share", one(ExecType="0", OrdStatus="0", CumQty=0.5), "scenario Q, step 1, field sent.CumQty"),
    ("less than nothing", one(ExecType="0", OrdStatus="0", LeavesQty=-1), "scenario Q, step 1, field sent.LeavesQty"),
    ("a truth for a number", one(ExecType="0", OrdStatus="0", OrderQty=True), "scenario Q, step 1, field sent.OrderQty"),
    ("a list for a text", one(ExecType="0", OrdStatus="0", ClOrdID=["X"]), "scenario Q, step 1, field sent.ClOrdID"),
    ("unknown message", {"scenarios": [{"id": "Q", "steps": [{"received": {"MsgType": "Z", "ClOrdID": "X"}}]}]},
     "scenario Q, step 1, field received.MsgType"),
    ("a request without id", {"scenarios": [{"id": "Q", "steps": [{"received": {"MsgType": "D"}}]}]},
     "scenario Q, step 1, field received.ClOrdID"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_file_is_named_by_scenario_step_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, said: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert replay_command.run(str(path), fix42=False) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True), err


def test_no_file_and_no_text_are_malformed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert replay_command.run(str(tmp_path / "none.json"), fix42=False) == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00")))
    assert replay_command.run("-", fix42=False) == 2


def test_numbers_may_be_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"received": {"MsgType": "D", "ClOrdID": "X", "OrderQty": 100}},
        {"sent": {"ExecType": "F", "OrdStatus": "1", "ClOrdID": "X", "LastQty": 40}},
        {"sent": {"ExecType": "F", "OrdStatus": "2", "ClOrdID": "X", "CumQty": 100}},
    ]
    path = tmp_path / "few.json"
    path.write_text(json.dumps({"id": "few", "steps": rows}))
    lines = printed(capsys, str(path))
    assert [(line["cumulative"], line["leaves"], line["filled"], line["unaccounted"]) for line in lines] == [
        (0, 100, 0, 0), (40, 60, 40, 0), (100, 0, 40, 60),
    ]  # fmt: skip
