"""Paging with proof: an inquiry is `Complete` only when the chain of pages is closed, unrepeated and adds up (P17).

`totalCnt` and `count` have been seen as 0 beside rows, so neither decides whether data exists. But a total above what
the pages held proves that something is missing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

from service.koscom.envelope import Page, PageKey
from service.koscom.wire import WireError

Row = TypeVar("Row")


@dataclass(frozen=True)
class Fetched:
    """One page as read from one answer."""

    raw: bytes
    page: Page


@dataclass(frozen=True)
class NotFetched:
    """A page that could not be had, after its retries. `raw` is whatever arrived."""

    reason: str
    detail: str
    raw: tuple[bytes, ...] = ()


Fetch = Callable[[PageKey], Awaitable[Fetched | NotFetched]]


@dataclass
class Read(Generic[Row]):
    """What a chain gave: rows and raw pages so far, and why it is not whole (None: it is)."""

    rows: list[Row] = field(default_factory=list)
    pages: list[bytes] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failure: tuple[str, str] | None = None

    def fail(self, reason: str, detail: str) -> None:
        """The first failure names the reading; later ones change nothing."""
        if self.failure is None:
            self.failure = (reason, detail)


@dataclass(frozen=True)
class Shape(Generic[Row]):
    """How one inquiry's page becomes rows. `counted` says how many entries a list of rows may be counted as."""

    translate: Callable[[Page, Read[Row]], None]
    counted: Callable[[list[Row]], int]


async def read_chain(fetch: Fetch, shape: Shape[Row], *, count: int, pages_max: int) -> Read[Row]:
    """Follow the page keys from the first page until the chain ends or fails."""
    read: Read[Row] = Read()
    chain = _Chain(count)
    key: PageKey = None
    for _ in range(pages_max):
        fetched = await fetch(key)
        if isinstance(fetched, NotFetched):
            read.pages.extend(fetched.raw)
            read.fail(fetched.reason, fetched.detail)
            return read
        read.pages.append(fetched.raw)
        if not chain.accepts(fetched.page, read):
            return read
        shape.translate(fetched.page, read)
        key = fetched.page.next_page
        if key is None:
            _compare_total(chain, shape.counted(read.rows), read)
            return read
    read.fail("too-many-pages", f"more than {pages_max}")
    return read


class _Chain:
    """The pages seen so far."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys: set[PageKey] = set()
        self._contents: set[bytes] = set()
        self.totals: set[int] = set()

    def accepts(self, page: Page, read: Read[Row]) -> bool:
        """False where the page proves that the chain runs in a circle."""
        content = sha256(repr(page.rows).encode("utf-8", "surrogatepass")).digest()
        if (page.rows and content in self._contents) or page.next_page in self._keys:
            read.fail("page-repeated", "content" if content in self._contents else "key")
            return False
        self._contents.add(content)
        if page.next_page is not None:
            self._keys.add(page.next_page)
        if page.total:
            self.totals.add(page.total)
        if 0 < self._count < len(page.rows):
            read.remarks.append(f"page-oversized: {len(page.rows)} rows where {self._count} were asked for")
        return True


def _compare_total(chain: _Chain, counted: int, read: Read[Row]) -> None:
    if len(chain.totals) > 1:
        read.remarks.append("total-changed: the list moved while it was read")
    if chain.totals and max(chain.totals) > counted:
        read.fail("total-mismatch", f"{max(chain.totals)} announced, {counted} read")


def each_row(read_row: Callable[[dict[str, object], list[str]], Row]) -> Callable[[Page, Read[Row]], None]:
    """Translate row by row. A row that cannot be read fails the reading and is named; the others stay readable."""

    def translate(page: Page, read: Read[Row]) -> None:
        for position, row in enumerate(page.rows):
            try:
                read.rows.append(read_row(row, read.remarks))
            except WireError as error:
                read.fail(error.reason, f"row {position + 1} of page {len(read.pages)}: {error.detail}")

    return translate
