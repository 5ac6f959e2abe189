"""Commission and taxes counted afresh from all executions, where the sandbox keeps them as they change."""

from collections import defaultdict
from collections.abc import Iterable

from service.sandbox.account import Costs, Piece, Settlement, cost_of
from service.sandbox.profiles import Profile


def costs(profile: Profile, settlement: Settlement) -> Costs:
    """Commission and taxes of one issue, side and day, on the base the broker has chosen."""
    total = Costs()
    for amount in _bases(profile.cost_base, settlement.pieces):
        total += cost_of(profile, settlement.isin, settlement.side, amount, settlement.settle_date)
    return total


def _bases(base: str, pieces: Iterable[Piece]) -> list[int]:
    amounts: dict[object, int] = defaultdict(int)
    for place, piece in enumerate(pieces):
        key = {"day": "", "order": piece.order, "fill": place}[base]
        amounts[key] += piece.quantity * piece.price
    return list(amounts.values())
