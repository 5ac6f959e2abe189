"""How a broker's balance is read, pure. The document keeps the rows as read; amounts are decimal text.

Sources: the platform's manual (cash rows with a KRW-D0 style basis, or a single row); 예수금 by settlement day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from service.accounts.model import Cash, Holding, Opening, OpeningHolding
from service.core.money import Won, truncate_to_won
from service.gateway import BalanceRow, HoldingRow, SettlementRow, Side

WON_CURRENCIES = frozenset({"", "KRW"})


def document_of(
    rows: Sequence[BalanceRow],
    remarks: Sequence[str],
    reason: str | None,
    unsettled: Sequence[tuple[date, int]] = (),
) -> dict[str, Any]:
    """The rows as read, as JSON that any later reader understands. `reason` says why a reading is not complete;
    `unsettled` is what other trades will bring (won, signed) and when, where the broker gives no ladder."""
    return {
        "unsettled": [{"settles_on": day.isoformat(), "won": str(won)} for day, won in unsettled],
        "cash": [
            {
                "basis": cash.basis,
                "currency": cash.currency,
                "cash": _text(cash.cash),
                "margin": _text(cash.margin),
                "receivable": _text(cash.receivable),
                "withdrawable": _text(cash.withdrawable),
            }
            for row in rows
            for cash in row.cash
        ],
        "holdings": [_holding_document(holding) for row in rows for holding in row.holdings],
        "remarks": list(remarks),
        "reason": reason,
    }


def _holding_document(row: HoldingRow) -> dict[str, Any]:
    return {
        "isin": row.instrument.isin,
        "short_code": row.instrument.short_code,
        "name": row.instrument.name,
        "quantity": row.quantity,
        "purchase_amount": _text(row.purchase_amount),
        "market_value": _text(row.market_value),
        "asset_type": row.asset_type,
    }


@dataclass(frozen=True)
class Ladder:
    """예수금 by settlement: today, the next day, the day after; the last is what may be ordered with."""

    today: Won
    next: Won
    last: Won


def ladder_of(document: Mapping[str, Any]) -> Ladder:
    """A broker that was asked for several asset types may repeat its cash; where the repeats differ the smaller counts. A
    single row, or one of today alone, is today's cash: what trades of the days before will bring is added rung by rung, and
    what its margin (증거금) holds cannot be ordered with. Nor can what is owed."""
    rungs: dict[int, Won] = {}
    won = [row for row in document["cash"] if row["currency"] in WON_CURRENCIES and row["cash"] is not None]
    laddered = any(row["basis"] for row in won)
    for row in won:
        amount = _amount(row["cash"])
        climbs = row["basis"] is None or not laddered
        seen = _climbed(document, row, amount) if climbs else {row["basis"]: amount}
        for basis, value in seen.items():
            rungs[basis] = min(rungs.get(basis, value), value)
    highest = rungs.get(2, rungs.get(1, rungs.get(0, Won(0))))
    today, last = rungs.get(0, rungs.get(1, highest)), Won(highest - _owed(document))
    return Ladder(today, rungs.get(1, min(today, last)), last)


def _owed(document: Mapping[str, Any]) -> Won:
    """미수: what the client has not paid yet. Brokers differ in its sign, and show it on one rung or on all."""
    rows = [row for row in document["cash"] if row["currency"] in WON_CURRENCIES]
    return max((Won(abs(_amount(row["receivable"]))) for row in rows), default=Won(0))


def _climbed(document: Mapping[str, Any], row: Mapping[str, Any], amount: Won) -> dict[int, Won]:
    """The ladder of a broker that names today's cash only."""
    coming = [(one["settles_on"], int(one["won"])) for one in document.get("unsettled", ())]
    first = min((day for day, _ in coming), default=None)
    tomorrow = amount + sum(won for day, won in coming if day == first)
    last = amount + sum(won for _, won in coming) - abs(_amount(row["margin"]))
    return {0: amount, 1: Won(min(tomorrow, last) if not coming else tomorrow), 2: Won(last)}


def unsettled_of(rows: Sequence[SettlementRow], after: date) -> list[tuple[date, int]] | None:
    """What scheduled settlements bring after a day, signed: a sale brings its net amount, a purchase takes it, whichever
    sign its broker gives it. None when a row does not say when, or which way: then nobody knows the cash of tomorrow."""
    found: list[tuple[date, int]] = []
    for row in rows:
        if row.side is None or row.settles_on is None:
            return None
        if row.settles_on > after:
            won = truncate_to_won(row.amount)
            found.append((row.settles_on, won if row.side is Side.SELL else Won(-abs(won))))
    return found


def holdings_of(document: Mapping[str, Any], isins: Mapping[str, str]) -> tuple[dict[str, OpeningHolding], tuple[str, ...]]:
    """Holdings by ISIN, rows of one instrument added up, and the names of rows no instrument was found for."""
    found: dict[str, OpeningHolding] = {}
    unresolved: list[str] = []
    for row in document["holdings"]:
        isin = row["isin"] or isins.get(row["short_code"] or "")
        if isin is None:
            unresolved.append(row["short_code"] or row["name"] or "?")
            continue
        before = found.get(isin, OpeningHolding(isin, 0, Won(0)))
        cost = Won(before.cost + _amount(row["purchase_amount"]))
        found[isin] = OpeningHolding(isin, before.quantity + row["quantity"], cost)
    return found, tuple(unresolved)


def opening_of(document: Mapping[str, Any], isins: Mapping[str, str]) -> Opening:
    """A complete balance as the opening position of a day."""
    ladder = ladder_of(document)
    held, unresolved = holdings_of(document, isins)
    whole = tuple(one for one in held.values() if one.quantity > 0)
    short = tuple(f"{one.isin} {one.quantity}" for one in held.values() if one.quantity < 0)
    return Opening(ladder.today, ladder.next, ladder.last, whole, unresolved + short)


@dataclass(frozen=True)
class Difference:
    """Ours less the broker's, for one item: an ISIN, or a rung of the cash ladder."""

    item: str
    ours: int
    brokers: int


def differences(
    cash: Cash | None, holdings: Sequence[Holding], document: Mapping[str, Any], isins: Mapping[str, str]
) -> list[Difference]:
    """Every item of either side in which the two differ (P22)."""
    theirs, _ = holdings_of(document, isins)
    ours = {one.isin: one.quantity for one in holdings}
    quantity = {isin: one.quantity for isin, one in theirs.items()}
    pairs = [(isin, ours.get(isin, 0), quantity.get(isin, 0)) for isin in sorted(ours.keys() | quantity.keys())]
    if cash is not None:
        ladder = ladder_of(document)
        pairs.append(("cash_today", cash.deposit, ladder.today))
        pairs.append(("cash_after_settlement", cash.after_settlement, ladder.last))
    return [Difference(item, mine, other) for item, mine, other in pairs if mine != other]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _amount(text: str | None) -> Won:
    return Won(0) if text is None else truncate_to_won(Decimal(text))
