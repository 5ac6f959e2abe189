"""What a worker tells people of its own fitness to send: clocks and tables. The claim decides for itself; this is the alarm."""

from dataclasses import dataclass, field

import structlog

from service.controls.model import CLOCK_ALARM, Gate
from service.infra.metrics import gauge

log = structlog.get_logger()

CLOCK_AHEAD = gauge("ilim_clock_ahead_seconds", "This machine's clock before the database's")
SET_RIGHT = "set this machine's clock or the database's right (NTP)"
SAME_VERSION = "run `ilim database upgrade`, or the version of this program that the tables are of"
UNFIT = gauge("ilim_worker_unfit", "1 while this worker sends nothing new, by reason", ("why",))


@dataclass
class Fitness:
    """Of one worker. `schema`: the migrations its code was written for."""

    schema: str
    clock_wrong: bool = False  # nobody knows which day and session it is: no daily jobs, no sweeps
    _told: set[str] = field(default_factory=set)

    def look(self, gate: Gate) -> None:
        """Figures each time, a line when something turns wrong and when it is right again."""
        CLOCK_AHEAD.set(gate.clock_ahead.total_seconds())
        self._note("worker.clock_off", abs(gate.clock_ahead) > CLOCK_ALARM, ahead_s=gate.clock_ahead.total_seconds(),
                   what_now=SET_RIGHT)  # fmt: skip
        self.clock_wrong = gate.clock_wrong
        UNFIT.labels("clock").set(gate.clock_wrong)
        self._note("worker.other_tables", gate.schema != self.schema, present=gate.schema, wanted=self.schema,
                   what_now=SAME_VERSION)  # fmt: skip
        UNFIT.labels("tables").set(gate.schema != self.schema)

    def _note(self, what: str, wrong: bool, **seen: object) -> None:
        if wrong and what not in self._told:
            self._told.add(what)
            log.error(what, **seen)
        elif not wrong and what in self._told:
            self._told.discard(what)
            log.warning(f"{what}_no_more")
