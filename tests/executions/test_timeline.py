"""The timeline: everything the ledger knows of an order, in words, in order, with its evidence."""

import ast
import re
from pathlib import Path
from typing import Any

import orjson

from service.audit import store as ledger
from service.core.ids import uuid7
from service.executions.timeline import WORDS, line
from service.gateway import ExecType, Unknown
from service.infra.db import Database
from tests.conftest import DatabaseUrls
from tests.executions.test_order_life import Life, ack, life, trade
from tests.makers import fetch, report

__all__ = ["life"]  # the fixture

SERVICE = Path(__file__).parents[2] / "service"


def kinds() -> set[str]:
    """What the code can write into the ledger of an order."""
    found: set[str] = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("Cause", "_cause")
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    refused = {f"{what}.refused" for what in ("amendment", "cancellation", "resolution")}  # of `intents.carry_out`
    return found | {"order.submitted", "order.adopted"} | refused


def test_every_kind_of_entry_about_an_order_has_words() -> None:
    assert kinds() == set(WORDS)


def test_a_kind_without_words_is_shown_all_the_same() -> None:
    body = {"kind": "order.looked_at", "data": {"status": ["new", "new"], "filled": 3, "remaining": 7}}
    assert line(4, "2026-11-23T01:00:00+00:00", body).text == "Order looked at. The order is still new: executed 3, remaining 7."


def test_p19_a_report_nobody_can_read_is_named_and_wants_a_person() -> None:
    body = {"kind": "order.needs_review", "data": {"parked": [["7f", "unknown-code: ExecType Z"]]}}
    said = "Message 7f speaks of it, nobody can read it (unknown-code: ExecType Z): kept to be replayed. A person has to look."
    assert line(4, "2026-11-23T01:00:00+00:00", body).text == said


async def told(database: Database, life: Life) -> list[Any]:
    order = await life.order()
    async with database.transaction() as connection:
        rows = await ledger.about(connection, ("order", str(order["id"])), after=0, limit=100)
    return [line(row["subject_seq"], str(row["written_at"]), orjson.loads(bytes(row["body"]))) for row in rows]


async def test_a_lost_answer_a_fill_and_its_bust_are_told_in_order_with_their_evidence(
    life: Life, database: Database, database_urls: DatabaseUrls
) -> None:
    await life.submit(quantity=10)
    life.gateway.answers = [Unknown("timeout")]
    await life.dispatch()
    cl = (await life.requests())[0]["cl_ord_id"]
    await life.receive(ack(cl), trade(cl, 4, 4, exec_id="E1"))
    bust = report(ExecType.TRADE_CANCEL, "0", cl, exec_id="E2", exec_ref_id="E1", cumulative_quantity=0)
    await life.receive(bust)
    await life.cancel((await life.order())["id"], str(uuid7()))
    lines = await told(database, life)
    assert [one.number for one in lines] == list(range(1, len(lines) + 1))
    assert [one.kind for one in lines] == [
        "order.submitted", "request.claimed", "request.answered", "order.reported", "order.reported", "cancellation.submitted",
    ]  # fmt: skip
    texts = [one.text for one in lines]
    assert texts[0].startswith("Ordered: buy 10 of KR")
    assert "nothing is sent again" in texts[2]
    assert "Executed 4 at 70000 won." in texts[3]
    assert "The order is now partially_filled: executed 4, remaining 6." in texts[3]
    assert "An execution of 4 at 70000 won was undone." in texts[4]
    assert re.search(r"A cancellation of what remains was asked for \(\w{20}\)\.", texts[5])
    assert lines[5].actor == str(life.world.manager.user_id)
    assert lines[5].request_id == "r"
    raw = {str(row["id"]) for row in await fetch(database_urls.superuser, "select id from audit.raw_message")}
    evidence = {one for told_line in lines for one in told_line.evidence}
    assert evidence == raw
    assert len(raw) == 3


async def test_a_bust_that_nobody_can_place_says_that_a_person_has_to_look(life: Life, database: Database) -> None:
    await life.submit(quantity=10)
    await life.dispatch()
    cl = (await life.requests())[0]["cl_ord_id"]
    await life.receive(ack(cl), trade(cl, 4, 4, exec_id="E1"))
    await life.receive(report(ExecType.TRADE_CANCEL, "0", cl, exec_id="E9", exec_ref_id="E8", cumulative_quantity=0))
    assert (await life.order())["needs_review"] == "bust-of-an-unknown-execution"
    last = (await told(database, life))[-1].text
    assert "takes back an execution that nobody told here: nothing was undone. A person has to look." in last


async def test_p07_executions_that_are_only_counted_are_told_as_such(life: Life, database: Database) -> None:
    """It said "now filled: executed 0, remaining 0"."""
    await life.submit(quantity=10)
    await life.dispatch()
    cl = (await life.requests())[0]["cl_ord_id"]
    await life.receive(ack(cl), trade(cl, 1, 5, exec_id="E1"))
    last = (await told(database, life))[-1].text
    assert last.endswith("executed 1, remaining 5; 4 more are told as executed without their executions, which are asked for.")
    await life.receive(trade(cl, 4, 4, exec_id="E0"), seqs=[90])
    assert (await told(database, life))[-1].text.endswith("executed 5, remaining 5.")


async def test_an_amendment_says_what_it_changes_and_a_refused_one_why(life: Life, database: Database) -> None:
    await life.submit(quantity=10)
    await life.dispatch()
    await life.receive(ack((await life.requests())[0]["cl_ord_id"]))
    order_id = (await life.order())["id"]
    await life.amend(order_id, str(uuid7()), quantity=11)
    await life.amend(order_id, str(uuid7()), quantity=4)
    refused, asked = [one.text for one in await told(database, life)][-2:]
    assert refused.startswith("An amendment was refused here (quantity 11), nothing was sent: quantity-increase-not-supported:")
    assert re.search(r"An amendment was asked for \(\w{20}\): quantity 4 instead of 10\.", asked)
    assert "price" not in asked


def test_an_amendment_of_the_price_says_from_which_and_an_old_entry_claims_neither() -> None:
    data = {"cl_ord_id": "X", "price": "70100", "quantity": 10}
    now = line(5, "", {"kind": "amendment.submitted", "data": data | {"before": {"price": "70000", "quantity": 10}}}).text
    assert now == "An amendment was asked for (X): price 70100 won instead of 70000 for the whole remainder."
    assert line(5, "", {"kind": "amendment.submitted", "data": data}).text.endswith("(X): price 70100 won, quantity 10.")


def test_both_halves_of_a_resolution_say_what_is_concluded_and_why() -> None:
    data = {"resolution": "R", "cl_ord_id": "X", "conclusion": "twin_allowed", "reason": "시험", "evidence": []}
    told = line(7, "", {"kind": "resolution.confirmed", "data": data}).text
    assert told == "Confirmed for X, which is in doubt: one more order like it may go out today. Reason given: 시험."
