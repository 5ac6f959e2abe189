"""The same order, sent 64 times at once with one key to two api processes: one order, one answer."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Generator
from typing import Any

import httpx

from ops.campaigns.figure import Figure
from ops.campaigns.ground import own_server
from ops.campaigns.kills import SEEN
from ops.campaigns.nursery import Nursery, nursery
from ops.campaigns.rig import PAPER, Rig, rig, until
from ops.campaigns.traders import RUNNING
from ops.day.play import Book
from service.core.clock import monotonic
from service.infra.postgres import EmbeddedPostgres

ABOUT = "64 parallel identical POSTs with one key, again and again: one order each"
SHARE = 0.5
GOAL = 1_000

AT_ONCE = 64
EPISODE = 250  # keys on one database
APIS = ("serve", "serve-2")
REUSED = "/problems/idempotency-key-reused"
ORDERS = """
    select count(*) as orders, count(distinct o.id) filter (where o.id::text = $2) as named from orders o
    where o.rationale = $1"""


async def episode(
    server: EmbeddedPostgres, born_by: Nursery, state: dict[str, Any], *, seed: int, goal: int, until_s: float
) -> None:
    """At most `goal` keys on a fresh house, not beginning another after `until_s` (monotonic)."""
    began, dice = monotonic(), random.Random(seed)
    wrong: list[str] = state.setdefault("wrong", [])
    answers = Counter(state.get("answers", {}))
    async with rig(server, born_by, seed) as made:
        await made.start("worker-1")
        clients = [await _api(made, slot) for slot in APIS]
        await until(lambda: made.eye.fetchval(SEEN), "the stream to be seen: nothing is taken before")
        for i in range(goal):
            if monotonic() > until_s:
                break
            problems = await _one_key(made, clients, f"twin-{seed}-{i}", dice, answers)
            wrong += problems[:1]
            state["keys"] = state.get("keys", 0) + 1
        for one in clients:
            await one.aclose()
    state["answers"] = dict(answers)
    state["seconds"] = state.get("seconds", 0.0) + monotonic() - began
    state["episodes"] = state.get("episodes", 0) + 1


async def _api(made: Rig, slot: str) -> httpx.AsyncClient:
    await made.serving(slot, await made.start(slot, ILIM_DATABASE_HOT_POOL="10"))
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{made.ports[slot]}", trust_env=False, timeout=20, limits=httpx.Limits(max_connections=AT_ONCE)
    )


async def _one_key(
    made: Rig, clients: list[httpx.AsyncClient], key: str, dice: random.Random, answers: Counter[str]
) -> list[str]:
    """What was wrong about one key."""
    book = dice.choice(made.books)
    body = {
        "account_id": book.id, "isin": PAPER, "side": "buy", "order_type": "limit", "quantity": dice.randint(1, 90),
        "price": str(made.price), "rationale": key,
    }  # fmt: skip
    asked = [_post(made, clients[i % len(clients)], book, key, body) for i in range(AT_ONCE)]
    got = await asyncio.gather(*asked)
    replay = await _post(made, clients[0], book, key, body)
    other = await _post(made, clients[1], book, key, body | {"quantity": 91})
    answers.update(_word(one) for one in (*got, replay, other))
    ids = {one.json()["id"] for one in (*got, replay) if one.status_code == httpx.codes.CREATED}
    problems = [f"{key}: {len(ids)} ids"] if len(ids) != 1 else []
    problems += [
        f"{key}: {_word(one)}" for one in got if one.status_code != httpx.codes.CREATED and _word(one) != f"409 {RUNNING}"
    ]
    problems += [] if replay.status_code == httpx.codes.CREATED else [f"{key}: replayed {_word(replay)}"]
    problems += [] if _word(other) == f"422 {REUSED}" else [f"{key}: another body {_word(other)}"]
    row = await made.eye.fetchrow(ORDERS, key, next(iter(ids), ""))
    return problems + ([] if (row["orders"], row["named"]) == (1, 1) else [f"{key}: {row['orders']} orders"])


async def _post(made: Rig, client: httpx.AsyncClient, book: Book, key: str, body: dict[str, Any]) -> httpx.Response:
    """As a caller should: a connection that the server closed as idle just then is no answer, and the call is made again."""
    headers = {"Authorization": f"Bearer {made.built.users[book.manager]['key']}", "Idempotency-Key": key}
    with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
        return await client.post("/v1/orders", json=body, headers=headers)
    return await client.post("/v1/orders", json=body, headers=headers)


def _word(answer: httpx.Response) -> str:
    return "201" if answer.is_success else f"{answer.status_code} {answer.json().get('type')}"


def figures(state: dict[str, Any]) -> list[Figure]:
    wrong, keys = state.get("wrong", []), state.get("keys", 0)
    said = ", ".join(f"{n} × {word}" for word, n in sorted(state.get("answers", {}).items()))
    detail = "; ".join(wrong[:3]) or said
    return [Figure(f"not one order from {AT_ONCE} parallel POSTs", keys, len(wrong), "keys", state.get("seconds", 0.0), detail)]


def run(budget_s: float, state: dict[str, Any], seed: int) -> Generator[list[Figure], None, None]:
    """Episodes until the time is up or the goal is reached."""
    until_s = monotonic() + budget_s
    with own_server() as server:
        while state.get("keys", 0) < GOAL and monotonic() < until_s - 30:
            asyncio.run(_one(server, state, seed + state.get("episodes", 0), until_s - 10))
            yield figures(state)
    yield figures(state)


async def _one(server: EmbeddedPostgres, state: dict[str, Any], seed: int, until_s: float) -> None:
    async with nursery() as born_by:
        goal = min(EPISODE, GOAL - state.get("keys", 0))
        await episode(server, born_by, state, seed=seed, goal=goal, until_s=until_s)
