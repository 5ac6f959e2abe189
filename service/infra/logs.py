"""Log lines: one JSON object each, with the request id, without secrets, with nothing a reader can be fooled by.

Three walls keep secrets out. Masked values render as their mask wherever they stand; fields with a telling name are
masked whatever they hold; known shapes (Basic and Bearer headers, URLs with passwords, a `ci`, a row PostgreSQL quotes) are cut
out of any text, exceptions included. Control characters, line separators and direction marks are written as escapes.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, BinaryIO, cast

import orjson
import structlog

from service.core.clock import real_now
from service.core.secret import Masked
from service.infra.metrics import counter

LOST = counter("ilim_log_failures_total", "Times the log could not be written: its disk is full, its reader is gone")

MASK = "********"
MAX_TEXT = 8192  # characters of one field; a longer one is cut, so that no upstream's page fills the disk
MAX_DEPTH = 6
MAX_INTEGER = 2**63 - 1  # beyond it there is no JSON integer that every reader takes

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

TELLING = {
    "authorization", "proxyauthorization", "cookie", "setcookie", "secret", "clientsecret", "password", "passcode",
    "passwd", "token", "accesstoken", "idtoken", "refreshtoken", "apikey", "xapikey", "ci", "dsn", "databaseurl",
    "datakey", "accountnumber", "accountno", "residentnumber", "privatekey",
}  # fmt: skip

SHAPES = (
    (re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{8,}"), r"\1 " + MASK),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@"), r"\1:" + MASK + "@"),
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="), MASK),  # a ci: 64 bytes as base64
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), MASK),  # a JWT
    (re.compile(r"(DETAIL:\s+(?:Failing row contains|Key \([^\n]*?\)=))[^\n]*"), r"\1 " + MASK),  # a row of the database
    (re.compile(r"(?i)\b(apikey|api_key|secret|passcode|password)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",&}]+"), r"\1\2" + MASK),
)

# C0 and C1 controls, line and paragraph separators, direction marks: what breaks a line or turns one around.
FOOLING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\n\t]")


def clean_text(text: str) -> str:
    """Text safe to log: secrets of known shape cut out, fooling characters as escapes, cut at MAX_TEXT."""
    for shape, instead in SHAPES:
        text = shape.sub(instead, text)
    text = FOOLING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def clean(value: Any, depth: int = 0) -> Any:
    """A JSON value of anything, by the three walls."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"  # raw messages hold what must not be logged
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {clean_text(str(key)): _by_name(str(key), item, depth) for key, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [clean(item, depth + 1) for item in value]
    return clean_text(str(value))


def _by_name(name: str, value: Any, depth: int) -> Any:
    if re.sub(r"[^a-z]", "", name.lower()) in TELLING and not isinstance(value, Masked):
        return MASK if value else value
    return clean(value, depth + 1)


def _stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at"] = real_now().isoformat(timespec="milliseconds")
    if (current := request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


def render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    """The last processor: one JSON line."""
    head = {name: event.pop(name) for name in ("at", "level", "event") if name in event}
    return orjson.dumps(clean({**head, **event}))


def configure(level: str, process: str, stream: BinaryIO | None = None) -> None:
    """Route this process's structlog and standard logging to `stream` (standard error by default)."""
    out = _Unfailing(stream if stream is not None else sys.stderr.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _named(process),
            _stamp,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.BytesLoggerFactory(file=cast(BinaryIO, out)),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(level)


class _Unfailing:
    """A stream to write lines to that raises nothing. A full disk or a closed pipe must not end what a line speaks of: an
    order that went out would be in doubt for a word about it. What a buffered stream could not write it keeps, up to its
    buffer's size, and writes with a later line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        try:
            self._stream.write(line)
        except (OSError, ValueError):  # ValueError: closed
            LOST.inc()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            LOST.inc()


def _named(process: str) -> structlog.typing.Processor:
    def name(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


class _Through(logging.Handler):
    """Standard logging's records, by the same processors."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
        except Exception:  # a log line must never end what it speaks of
            self.handleError(record)


def _route_standard_logging(level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Through()]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "apscheduler", "alembic"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
        logging.getLogger(name).setLevel(logging.NOTSET)  # whatever somebody set before us
    # They log whole URLs, or what our own access line says better.
    for name in ("httpx", "httpcore", "uvicorn.access", "aiohttp.access", "apscheduler", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
