"""What the campaigns in small share."""

from collections.abc import Callable, Iterator

import pytest

from ops.campaigns.figure import Figure
from ops.campaigns.ground import own_server
from service.infra.postgres import EmbeddedPostgres

Note = Callable[[list[Figure]], None]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Not the one other tests use: it is stopped under them."""
    with own_server() as running:
        yield running


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Figures that the summary of the test run prints."""

    def tell(figures: list[Figure]) -> None:
        for one in figures:
            record_property("figure", f"{one.name}: {one} in {one.seconds:.0f} s ({one.detail})")

    return tell
