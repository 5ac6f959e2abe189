"""What can be measured: `ops/bench NAME`. One JSON line on stdout; ratios hold, absolute figures are of this machine."""

import importlib
import sys

BENCHES = {
    "orders": "durable orders through POST /v1/orders beside pgbench, time to the gateway, memory",
    "reports": "execution reports applied exactly once beside COPY of the same rows, time from frame to visible state",
}


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        print("\n".join(f"ops/bench {one}: {what}" for one, what in BENCHES.items()), file=sys.stderr)
        return 0 if not name else 2
    status: int = importlib.import_module(f"ops.bench_{name}").main(sys.argv[2:])
    return status


if __name__ == "__main__":
    raise SystemExit(main())
