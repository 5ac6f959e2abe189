"""What the documents say exists: commands, files, settings, routes, tests, figures. And the walk of the README, walked."""

import asyncio
import dataclasses
import json
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ops.day.play import furnish
from ops.day.stage import Stage
from service import worker
from service.app import ROUTERS, application
from service.console.routes import StatusOut
from service.gateway import BrokerProfile
from service.infra import metrics
from service.koscom import dialect
from service.sandbox.control import _ACTS
from service.sandbox.faults import KINDS
from service.settings import READ_ELSEWHERE, Settings, load, variable
from service.up import describe, house, open_market, write_private

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {path.name: path.read_text() for path in DOCUMENTS}
ALL = "\n".join(TEXT.values())
WALK = (ROOT / "docs/walk.sh").read_text()
NOT_SETTINGS = {"ILIM_PYTHON", *READ_ELSEWHERE}  # the scripts' own, and what one command reads


def code_in(text: str) -> list[str]:
    """What stands in backticks on a line of prose."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?s)```.*?```", "", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_are_there(path: Path) -> None:
    text = path.read_text()
    links = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    assert all("://" not in link for link in links)
    named = [one for one in code_in(text) if re.fullmatch(r"(service|tests|ops|docs|migrations)/[\w./-]*", one)]
    named += [one for one in code_in(text) if one in {"Dockerfile", "pyproject.toml"}]
    missing = [one for one in named if not (ROOT / one).exists()]
    missing += [one for one in links if one and not (path.parent / one).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_can_be_read_at_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250


def test_settings_exist() -> None:
    known = {variable(name) for name in Settings.model_fields} | NOT_SETTINGS
    said = set(re.findall(r"\bILIM_[A-Z_]+[A-Z]\b(?!…)", ALL + WALK))
    prefixes = set(re.findall(r"\b(ILIM_[A-Z_]+_)…", ALL))
    assert said - known == set()
    assert all(any(name.startswith(prefix) for name in known) for prefix in prefixes)


def test_commands_exist() -> None:
    from service.__main__ import app, messages_group, users_group

    root = typer.main.get_command(app)
    groups = {name: set(getattr(one, "commands", {})) for name, one in root.commands.items()}  # type: ignore[attr-defined]
    for name, group in (("users", users_group()), ("messages", messages_group())):
        groups[name] = set(typer.main.get_command(group).commands)  # type: ignore[attr-defined]
    said = re.findall(r"(?:^|`|\s\s|…\s)ilim ([a-z]+)(?: ([a-z]+))?", ALL, re.MULTILINE)
    assert len(said) > 10
    wrong = [(name, sub) for name, sub in said if name not in groups or (groups[name] and sub and sub not in groups[name])]
    assert wrong == []


def test_scripts_exist() -> None:
    said = set(re.findall(r"\bops/[a-z]+(?:\.[a-z]+)?", ALL))
    assert {one for one in said if not (ROOT / one).exists()} == set()


def test_routes_exist() -> None:
    app = application(load({}))
    paths = set(app.openapi()["paths"])
    patterns = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in paths]
    said = {one.rstrip("/") for one in re.findall(r"/v1/[\w$/{}-]+", ALL + WALK)}
    upstream = {"/v1/order/new", "/v1/order/replace", "/v1/order/cancel", "/v1/order/stream"}  # the platform's
    unknown = {one for one in said - upstream if not any(pattern.fullmatch(one.replace("$", "")) for pattern in patterns)}
    assert unknown == set()
    pages = {route.path for route in app.routes if hasattr(route, "path")} | {
        "/problems",
        "/docs",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    house_pages = {one for one in code_in(ALL) if re.fullmatch(r"/[a-z]+", one)}
    assert house_pages - pages == set()
    assert len(ROUTERS) > 1


def test_named_tests_exist() -> None:
    there = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", ALL))
    assert len(names) > 15
    assert {name for name in names if f"def {name}(" not in there} == set()


def test_every_control_and_fault_of_the_sandbox_is_explained() -> None:
    said = set(re.findall(r"`(GET|POST|DELETE) /_sandbox/([\w-]+)`", TEXT["sandbox.md"]))
    assert said == set(_ACTS)
    assert set(re.findall(r"(?m)^\| `(\w+)` \| (?:reading|before|after|rows|emit|report|market) \|", TEXT["sandbox.md"])) == set(
        KINDS
    )


def test_every_field_of_a_profile_is_explained() -> None:
    table = TEXT["wire.md"].partition("| profile field |")[2].partition("\n\n")[0]
    said = {one for line in table.splitlines() for one in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    assert said == {field.name for field in dataclasses.fields(BrokerProfile)}


def test_every_name_of_the_dialect_is_in_the_wire() -> None:
    names = {name for names in dialect.NAMES.values() for name in names}
    assert {name for name in names if name not in TEXT["wire.md"]} == set()


def test_every_part_of_the_status_is_explained() -> None:
    table = TEXT["operating.md"].partition("| part |")[2].partition("\n\n")[0]
    said = set(re.findall(r"(?m)^\| `(\w+)` \|", table))
    assert said == set(StatusOut.model_fields) - {"ok", "business_time", "business_date"}


def test_figures_exist_and_ours_are_all_named() -> None:
    assert worker.Worker  # both processes' figures are registered by being imported
    there = {family.name for family in metrics.REGISTRY.collect()}
    said = set(re.findall(r"`(ilim_[a-z_]+)`", TEXT["operating.md"])) - {"ilim_owner", "ilim_app", "ilim_worker"}
    assert {one.removesuffix("_total") for one in said} == {name for name in there if name.startswith("ilim_")}


def test_log_events_exist() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    table = TEXT["operating.md"].partition("| event |")[2].partition("\n\n")[0]
    events = set(re.findall(r"`([a-z]+\.[a-z_]+)`", table))
    assert len(events) > 10
    written = {f"message.{state}" for state in ("parked", "quarantined", "unmatched")}  # log.error(f"message.{state}")
    assert {one for one in events - written if f'"{one}"' not in source} == set()


def steps() -> dict[str, str]:
    found = re.findall(r'(?ms)^step "([^"]+)"\n(.*?)(?=^step |\Z)', WALK)
    return {name: body.strip().removesuffix("\necho") for name, body in found}


def test_the_walk_of_the_readme_is_the_walk_of_the_script() -> None:
    walk = TEXT["README.md"].partition("## The walk")[2].partition("\n## ")[0]
    assert [block.strip() for block in re.findall(r"(?s)```sh\n(.*?)```", walk)] == list(steps().values())


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def walk(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "docs/walk.sh"], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def directory() -> Iterator[Path]:
    """In /tmp and open to pass through: an unprivileged user of the embedded PostgreSQL must be able to enter."""
    with tempfile.TemporaryDirectory(prefix="ilim-walk-", dir="/tmp") as place:
        Path(place).chmod(0o711)
        yield Path(place)


async def test_the_walk_can_be_walked(directory: Path) -> None:
    ports = dict(zip(("ILIM_PORT", "ILIM_SANDBOX_PORT", "ILIM_WORKER_PORT"), map(str, free_ports(3)), strict=True))
    own = ports | {"ILIM_DATA_DIR": str(directory)}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ILIM_")} | own
    async with house(load(own), environ) as built:
        write_private(directory / "start.json", json.dumps(describe(built)))
        await open_market(built)
        stage = Stage(built)
        try:
            await furnish(stage)
        finally:
            await stage.close()
        done = await asyncio.to_thread(walk, environ)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    assert '"status":"alive"' in told
    assert re.search(r"== its fill\s+\{\"items\":\[\{.*\"quantity\":\d+", told)
    assert re.search(r"== an amend.*\n\{'status': 'new', 'quantity': 6", told)
    assert "/problems/quantity-increase-not-supported" in told
    assert re.search(r"== a cancellation\n\{'status': 'canceled', 'quantity': 6, 'remaining_quantity': 0", told)
    assert "/problems/list-orders-not-supported" in told
