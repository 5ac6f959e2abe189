"""`ilim orders replay FILE`: scenarios in, JSON lines out."""

import json
import sys
from pathlib import Path

from service.executions.replay import replay
from service.executions.scenarios import Malformed, read_scenarios

WELL, MALFORMED = 0, 2


def run(file: str, *, fix42: bool) -> int:
    """Print the state after each step. The exit status: 2, and nothing printed, when the file is no such file."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        scenarios = read_scenarios(raw.decode(), fix42=fix42)
    except (OSError, UnicodeDecodeError, Malformed) as error:
        sys.stderr.write(f"{file}: {error}\n")
        return MALFORMED
    for scenario in scenarios:
        for line in replay(scenario):
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    return WELL
