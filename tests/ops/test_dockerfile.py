"""The image as far as it can be judged without building it."""

import json
import re
import shlex
from pathlib import Path

import yaml

from service.settings import Settings, variable

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument, comments dropped, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text())
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def all_of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in all_of("ENV") for pair in shlex.split(line))


def test_the_base_is_an_exact_version_and_may_be_pinned_by_digest() -> None:
    [base] = [line.removeprefix("PYTHON_IMAGE=") for line in all_of("ARG")]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert all(line.startswith("${PYTHON_IMAGE} AS ") for line in all_of("FROM"))


def test_it_runs_as_nobody_special_by_number() -> None:
    assert all_of("USER") == ["10001:10001"]
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("ENTRYPOINT")


def test_packages_come_by_hash_and_are_never_built() -> None:
    [install] = [line for line in all_of("RUN") if "pip install" in line]
    assert {"--require-hashes", "--no-deps", "--no-cache-dir", "--only-binary=:all:"} <= set(shlex.split(install))


def test_no_shell_stands_between_signals_and_the_process() -> None:
    assert json.loads(all_of("ENTRYPOINT")[0]) == ["python", "-m", "service"]
    assert json.loads(all_of("CMD")[0]) == ["serve"]
    assert json.loads(all_of("HEALTHCHECK")[0].partition("CMD ")[2])[0] == "python"


def test_no_secret_can_be_in_a_layer() -> None:
    text = (ROOT / "Dockerfile").read_text()
    secret = {variable(name) for name, field in Settings.model_fields.items() if type(field.default).__name__ == "Secret"}
    assert not [name for name in secret if name in text]
    assert not re.search(r"(?m)^ADD |curl |wget |COPY \.\s|COPY .*\.env", text)


def test_its_settings_exist() -> None:
    known = {variable(name) for name in Settings.model_fields}
    assert {name for name in environment() if name.startswith("ILIM_")} <= known
    assert environment()["ILIM_DEPLOYMENT"] == "production"


def test_the_root_file_system_may_be_read_only() -> None:
    assert environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment()["ILIM_DATA_DIR"] in all_of("VOLUME")


def test_what_it_copies_is_there_and_let_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {line.split()[0] for line in all_of("COPY") if not line.startswith("--from")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_example_is_as_strict_as_the_image() -> None:
    services = yaml.safe_load((ROOT / "ops/compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
