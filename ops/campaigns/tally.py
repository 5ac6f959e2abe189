"""What the kill campaign has found so far, as figures and as a state that survives the campaign."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.campaigns.figure import Figure, quantile
from ops.campaigns.oracle import KINDS, Finding

ANY = "any moment"
AIM_S = 5.0
EXAMPLES = 20


@dataclass
class Tally:
    """Counts, and times in real seconds."""

    kills: Counter[str] = field(default_factory=Counter)  # by place
    found: Counter[str] = field(default_factory=Counter)  # by kind
    examples: list[str] = field(default_factory=list)
    orders: int = 0
    sends: int = 0
    harmed: int = 0  # what the proxy did to connections
    episodes: int = 0
    seconds: float = 0.0
    serving: list[float] = field(default_factory=list)  # cold starts: from the order to start until it is ready
    stated: list[float] = field(default_factory=list)  # interrupted requests: from the sender's death to a stated condition
    seen: set[str] = field(default_factory=set)  # of the present episode

    @classmethod
    def read(cls, state: dict[str, Any]) -> "Tally":
        kept = dict(state.get("tally", {}))
        return cls(**kept | {name: Counter(kept.get(name, {})) for name in ("kills", "found")})

    def write(self, state: dict[str, Any]) -> None:
        state["tally"] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "seen"}

    @property
    def total(self) -> int:
        return self.kills.total()

    @property
    def places(self) -> set[str]:
        return {place for place, n in self.kills.items() if n and place != ANY}

    def note(self, findings: Sequence[Finding]) -> None:
        """Each violation of an episode once, however often it is looked at."""
        for one in findings:
            if str(one) not in self.seen:
                self.seen.add(str(one))
                self.found[one.kind] += 1
                self.examples = [*self.examples, str(one)][:EXAMPLES]

    def figures(self) -> list[Figure]:
        said = f"{len(self.places)} places, {self.kills[ANY]} at any moment, {self.orders} orders, {self.sends} sends"
        said += f", {self.harmed} harms to connections"
        rows = [
            Figure(f"orders {kind}", self.total, self.found[kind], "kills", self.seconds, self._example(kind) or said)
            for kind in KINDS
        ]
        return [*rows, _late("cold start to serving", self.serving), _late("interrupted requests stated", self.stated)]

    def _example(self, kind: str) -> str:
        return next((one for one in self.examples if one.startswith(kind)), "")


def _late(name: str, values: list[float]) -> Figure:
    """How many took longer than AIM_S; p99 below it means at most one in a hundred."""
    late = sum(one > AIM_S for one in values)
    detail = f"p50 {quantile(values, 0.5):.2f} s, p99 {quantile(values, 0.99):.2f} s, slowest {max(values, default=0):.2f} s"
    return Figure(f"{name}, over {AIM_S:.0f} s", len(values), late, "times", sum(values), detail, most=0.01)
