"""The other days of `test_simulation`."""

from collections.abc import Callable

from tests.faults.test_simulation import no_day_breaks_an_invariant, played

DAYS = "76-150"


def test_p34_no_simulated_day_of_the_second_half_breaks_an_invariant(record_property: Callable[[str, object], None]) -> None:
    no_day_breaks_an_invariant(played(DAYS), DAYS, record_property)
