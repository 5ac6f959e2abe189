"""Manners of the code that no linter knows. Each rule says whom it protects; each exception says why."""

import ast
import importlib
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from service.core import errors
from service.infra.failpoints import NAMES
from service.infra.problem_catalogue import CATALOGUE
from service.infra.problems import STATUS

ROOT = Path(__file__).parent.parent
SERVICE = ROOT / "service"
SOURCES = {str(path.relative_to(ROOT)): path for path in sorted(SERVICE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(), name) for name, path in SOURCES.items()}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def imported(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


# --- an order leaves by one door (P2) ----------------------------------------------------------------------------------


def test_one_place_sends_an_order() -> None:
    uses = [
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "send" and ast.unparse(node.value).endswith("gateway")
    ]
    assert uses == ["service/orders/dispatch.py"]


# --- no binary floating point touches money (P33) ------------------------------------------------------------------------

# Real seconds are floats; these modules hold nothing else that is.
SECONDS = {
    "service/controls/set_halt.py",
    "service/executions/rounds.py",
    "service/executions/sweep.py",
    "service/executions/watch.py",
    "service/koscom/calls.py",
    "service/koscom/config.py",
    "service/koscom/frames.py",
    "service/koscom/reader.py",
    "service/koscom/stream.py",
    "service/koscom/transport.py",
    "service/market/book.py",
    "service/orders/dispatch.py",
    "service/orders/pace.py",
    "service/orders/waiting.py",
    "service/sandbox/control.py",
    "service/sandbox/drive.py",
    "service/sandbox/faults.py",
    "service/sandbox/faults_http.py",
    "service/sandbox/faults_report.py",
    "service/sandbox/stream.py",
    "service/up/__init__.py",
    "service/up/day.py",
    "service/up/processes.py",
    "service/worker.py",
    "service/wiring.py",
    "service/settings.py",
}
QUOTIENTS = {
    "service/core/money.py": "the named roundings themselves",
    "service/market/rules.py": "floor_to: the tick rule itself",
    "service/sandbox/rows.py": "a yield for display, Decimal by Decimal, rounded by name",
    "service/sandbox/reports.py": "AvgPx, Decimal by int, rounded by name",
}
CLOCKS = {"service/core/clock.py", "service/core/ids.py"}


def holds_money(name: str) -> bool:
    return name not in SECONDS | CLOCKS and not name.startswith("service/infra/")


def floats(tree: ast.AST) -> list[int]:
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "float"]
    lines += [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    return lines


def divisions(tree: ast.AST) -> list[int]:
    binary = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp | ast.AugAssign)]
    return [node.lineno for node in binary if isinstance(node.op, ast.Div)]


def test_no_float_where_money_is() -> None:
    found = {name: lines for name, tree in TREES.items() if holds_money(name) and (lines := floats(tree))}
    assert found == {}


def test_money_is_divided_only_by_named_functions() -> None:
    found = {
        name: lines for name, tree in TREES.items() if holds_money(name) and name not in QUOTIENTS and (lines := divisions(tree))
    }
    assert found == {}


def test_the_exceptions_are_still_needed() -> None:
    unused = {name for name in SECONDS if name in TREES and not floats(TREES[name]) and not divisions(TREES[name])}
    unused |= {name for name in QUOTIENTS if not divisions(TREES[name])}
    assert unused == set()


# --- the world is touched where one expects it ---------------------------------------------------------------------------


def test_no_sql_is_put_together_from_text() -> None:
    found = [
        f"{name}:{call.lineno}"
        for name, tree in TREES.items()
        if any(module.partition(".")[0] in {"sqlalchemy", "alembic"} for module in imported(tree))
        for call in calls(tree)
        if called(call).rpartition(".")[2] in {"text", "literal_column"}
        if call.args and isinstance(call.args[0], ast.JoinedStr | ast.BinOp | ast.Call)
    ]
    assert found == []


def test_certificates_are_always_verified() -> None:
    found = [
        f"{name}:{call.lineno}"
        for name, tree in TREES.items()
        for call in calls(tree)
        for keyword in call.keywords
        if keyword.arg in {"verify", "verify_ssl", "ssl", "check_hostname"}
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
    ]
    assert found == []


def test_only_the_clock_reads_the_machines_time() -> None:
    clocks = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns|monotonic))$")
    found = {name for name, tree in TREES.items() for call in calls(tree) if clocks.search(called(call))}
    # A UUID's timestamp is part of its format; the sandbox stands apart and keeps its own time.
    assert {name for name in found if not name.startswith("service/sandbox/")} <= CLOCKS


def test_fastapi_only_where_http_is() -> None:
    allowed = {"service/app.py", *(f"service/infra/{name}.py" for name in ("problems", "caller", "http", "answers"))}
    found = {
        name
        for name, tree in TREES.items()
        if any(module.partition(".")[0] == "fastapi" for module in imported(tree))
        and not name.endswith("/routes.py")
        and name not in allowed
    }
    assert found == set()


def test_no_verb_commits_in_a_dependency() -> None:
    """FastAPI may answer 200 before a dependency's teardown runs, so none of ours yields."""
    for name, tree in TREES.items():
        if name.endswith("/routes.py"):
            routes = [one for one in ast.walk(tree) if isinstance(one, ast.AsyncFunctionDef) and one.decorator_list]
            streams = {id(node) for one in routes for node in ast.walk(one)}  # a route that streams is no dependency
            assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Yield) and id(node) not in streams], name


# --- tables, migrations, fail points, problems ---------------------------------------------------------------------------


def test_migrations_do_not_wait_long_for_locks() -> None:
    assert "set lock_timeout = '5s'" in (ROOT / "migrations/env.py").read_text()
    for path in (ROOT / "migrations/versions").glob("*.py"):
        said = re.findall(r"lock_timeout\s*=\s*'?(\w+)", path.read_text())
        assert set(said) <= {"5s"}, f"{path.name} changes lock_timeout"


def test_every_migration_is_a_letter() -> None:
    for path in (ROOT / "migrations/versions").glob("*.py"):
        letter = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert len(letter.split()) > 25, f"{path.name} says too little to its next author"
        assert re.fullmatch(r"\d{8}_\d{4}_[a-z_]+\.py", path.name), path.name


TABLES = [name for name in TREES if name.endswith("/tables.py")]


@pytest.mark.parametrize("name", TABLES)
def test_a_row_and_its_dataclass_have_the_same_fields(name: str) -> None:
    """A `tables` module declares `PAIRS = ((table, dataclass), …)` where one is the other's row."""
    module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
    for table, row in getattr(module, "PAIRS", ()):
        assert {column.name for column in table.columns} == {field.name for field in fields(row)}, row.__name__


def test_every_failpoint_has_one_place() -> None:
    used: Counter[str] = Counter()
    for tree in TREES.values():
        for call in calls(tree):
            if called(call).rpartition(".")[2] == "fp" and isinstance(call.args[0], ast.Constant):
                used[str(call.args[0].value)] += 1
    assert used == Counter(dict.fromkeys(NAMES, 1))


def raised() -> Iterator[tuple[str, str, str]]:
    kinds = {kind.__name__ for kind in STATUS}
    for name, tree in TREES.items():
        for call in calls(tree):
            kind = called(call).rpartition(".")[2]
            if kind in kinds and call.args and isinstance(call.args[0], ast.Constant):
                yield f"{name}:{call.lineno}", kind, str(call.args[0].value)


def test_every_problem_has_a_page_with_its_status() -> None:
    wrong = {
        place: (slug, kind)
        for place, kind, slug in raised()
        if slug not in CATALOGUE or CATALOGUE[slug].status != STATUS[getattr(errors, kind)]
    }
    assert wrong == {}


# --- the whole checkout ----------------------------------------------------------------------------------------------------


def contracts() -> dict[str, dict[str, list[str]]]:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract for contract in written}


def test_every_folder_is_a_known_slice() -> None:
    layers = {part.strip("() ") for layer in contracts()["direction"]["layers"] for part in layer.split("|")}
    folders = {path.parent.name for path in SERVICE.glob("*/*.py")}
    modules = {path.stem for path in SERVICE.glob("*.py")} - {"__init__"}
    assert folders | modules <= layers


def test_gateways_are_kept_from_every_slice() -> None:
    slices = {f"service.{path.parent.name}" for path in SERVICE.glob("*/__init__.py")}
    tools = {f"service.{name}" for name in ("core", "infra", "audit", "gateway", "koscom", "sandbox", "up")}
    assert set(contracts()["gateways"]["forbidden_modules"]) == slices - tools


def test_every_slice_is_layered_inside() -> None:
    slices = {f"service.{path.parent.name}" for path in SERVICE.glob("*/store.py")} - {"service.koscom"}
    assert slices <= set(contracts()["slice"]["containers"])


def test_the_repository_names_no_machine_of_ours() -> None:
    """No registry or mirror, no path of the machine it was written on: a clean clone works anywhere."""
    ours = re.compile("/wo" + r"rk/|pypi\.o" + r"rg|pythonh" + r"osted|https?://[^\s<>]*/sim" + "ple")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and ours.search(path.read_text(errors="replace")):
            found.append(name)
    assert found == []
