"""`python -m service.sandbox`: run the imaginary platform on this machine."""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import datetime

from service.sandbox.calendar import KST
from service.sandbox.server import serve
from service.sandbox.world import Identity


def parser() -> argparse.ArgumentParser:
    invented = Identity()
    arguments = argparse.ArgumentParser("service.sandbox", description=__doc__)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8001)
    arguments.add_argument("--date", default="2026-11-23", help="Korean day on which the sandbox begins")
    arguments.add_argument("--time", default="08:00", help="Korean time of that day")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--rate", type=int, default=0, help="0 stepped, 1 real speed")
    arguments.add_argument("--daily-loop", action="store_true", help="at 15:20 jump to 10:00 of the next business day")
    arguments.add_argument("--api-key", default=invented.api_key)
    arguments.add_argument("--secret", default=invented.secret)
    arguments.add_argument("--com-id", default=invented.com_id)
    arguments.add_argument("--srv-id", default=invented.srv_id)
    arguments.add_argument("--sender-comp-id", default=invented.sender_comp_id)
    arguments.add_argument("--log-level", default="warning")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    given = parser().parse_args(words)
    try:
        start = datetime.fromisoformat(f"{given.date}T{given.time}").replace(tzinfo=KST)
    except ValueError:
        parser().error(f"--date is written 2026-11-23, --time 08:00 (given: {given.date}, {given.time})")
    identity = Identity(given.api_key, given.secret, given.com_id, given.srv_id, given.sender_comp_id)
    asyncio.run(
        serve(
            host=given.host,
            port=given.port,
            start=start,
            seed=given.seed,
            identity=identity,
            rate=given.rate,
            daily_loop=given.daily_loop,
            log_level=given.log_level,
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
