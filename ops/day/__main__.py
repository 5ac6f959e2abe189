"""`python -m ops.day [--exit]`: start the house, play the day, compare the books, stay up."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.day.compare import Comparison, compare, doubts
from ops.day.play import Day, furnish
from ops.day.stage import Stage, StageError
from service.infra.postgres import PostgresError
from service.settings import Settings, SettingsError, load
from service.up import House, StartError, describe, house, next_morning, set_clock, stay, stop_event, write_private
from service.up import jobs_done as readings_done

FAILED = 1
console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def main() -> int:
    words = argparse.ArgumentParser(prog="ops/start", description="Run everything on this machine and play a trading day.")
    words.add_argument("--exit", action="store_true", help="end after the day, with status 0 when the books agree")
    words.add_argument("--seed", type=int, default=7, help="seed of the imaginary market")
    given = words.parse_args()
    try:
        return asyncio.run(run(load(os.environ, Path(".env")), seed=given.seed, leave=given.exit))
    except (SettingsError, StartError, StageError, PostgresError) as error:
        console.print(f"[bold red]stopped:[/] {error}")
        return FAILED


async def run(settings: Settings, *, seed: int, leave: bool) -> int:
    began = time.monotonic()
    stop = stop_event()
    console.print("starting PostgreSQL, the sandbox, the service and a worker …")
    async with house(settings, dict(os.environ), seed=seed) as built:
        write_private(settings.data_dir / "start.json", json.dumps(describe(built), indent=2))
        agreed = await play(built)
        console.print(f"the day took {time.monotonic() - began:.0f} s of real time, everything included")
        if leave or not agreed:
            return 0 if agreed else FAILED
        await open_again(built)
        where_to_look(built, settings)
        ended = await stay(built, stop, console.print)
    if ended:
        console.print(f"[bold red]{ended} ended by itself[/]; its log is {built.logs / ended}.log")
    return FAILED if ended else 0


async def play(built: House) -> bool:
    """The day from 08:05 to the night; whether the books agree."""
    stage = Stage(built)
    try:
        console.print(f"playing {built.business_date} (brokers, accounts and people are invented)")
        await set_clock(built, stage.sandbox, {"now": f"{built.business_date}T08:05:00+09:00"})
        await readings_done(built, built.business_date)
        books = await furnish(stage)
        console.print(f"08:05  {len(books)} accounts at {len({one.broker for one in books})} brokers, opening balances read")
        await Day(stage, books, console.print).run()
        comparison = await compare(stage)
        await tell(stage, comparison)
        return not comparison.differences
    finally:
        await stage.close()


async def tell(stage: Stage, comparison: Comparison) -> None:
    """What happened, and our books against the sandbox's."""
    orders = await stage.every("compliance", "/v1/orders", business_date=stage.house.business_date.isoformat())
    status = await stage.get("operations", "/v1/status")
    happened = Table("what happened", "count", title="The day")
    for name, count in sorted(Counter(one["status"] for one in orders).items()):
        happened.add_row(f"orders {name}", str(count))
    states = Counter(request["state"] for one in orders for request in one["requests"])
    for name, count in sorted(states.items()):
        happened.add_row(f"requests {name}", str(count))
    for name, count in sorted(stage.tally.refused.items()):
        happened.add_row(f"refused by us: {name}", str(count))
    settled = await doubts(stage)
    happened.add_row("requests that were in doubt", str(sum(settled.values())))
    for name, count in settled.items():
        happened.add_row(f"in doubt, settled by: {name}", str(count))
    fired = (await stage.sandbox.get("/_sandbox/faults")).json()["fired"]
    for name, count in sorted(Counter(one["fault"] if isinstance(one, dict) else str(one) for one in fired).items()):
        happened.add_row(f"fault: {name}", str(count))
    happened.add_row("stream disconnects", str(sum(one["disconnects"] for one in status["stream"]["streams"])))
    console.print(happened)
    books = Table("ours against the sandbox's books", "compared", "differences", title="The comparison")
    orders_differ = ("order", "ordered", "price", "executed", "remaining", "ended", "unaccounted")
    names = {"orders": orders_differ, "fills": ("fills",), "holdings": ("holding",),
             "cash": ("cash", "balance"), "sends": ("sends",), "invariants": ("invariant",)}  # fmt: skip
    for name, kinds in names.items():
        books.add_row(name, str(comparison.compared.get(name, 0)), str(sum(one.what in kinds for one in comparison.differences)))
    console.print(books)
    for one in comparison.differences:
        console.print(f"[red]differs[/]: {one.what} of {one.which}: ours {one.ours}, theirs {one.theirs}")
    if not comparison.differences:
        console.print("[green]no difference[/]: our orders, fills, holdings and cash are the exchange's")


async def open_again(built: House) -> None:
    """To 10:00 of the next trading day, at real speed."""
    stage = Stage(built)
    try:
        await next_morning(built, stage.sandbox)
    finally:
        await stage.close()


def where_to_look(built: House, settings: Settings) -> None:
    place = settings.data_dir / "start.json"
    console.print(f"the market is open; look at {built.api_url}/docs")
    console.print(f"API keys for every role: {place} (readable by you only); logs: {built.logs}")
    console.print("try the walk in README.md; end with Ctrl-C")


if __name__ == "__main__":
    sys.exit(main())
