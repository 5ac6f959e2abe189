"""STOMP 1.2 as bytes in and values out; no socket, no clock.

The parser never raises: a frame it cannot decode comes out as `Malformed` with its bytes and whatever headers were
readable, and parsing goes on behind it, so that one poisoned message does not take its neighbours along.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

VERSION = "1.2"
ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
UNESCAPES = {"\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":"}
UNESCAPED_COMMANDS = {"CONNECT", "CONNECTED"}
COMMANDS = {"CONNECTED", "MESSAGE", "RECEIPT", "ERROR"}
HEADERS_MAX = 64 * 1024
NUL, LF, CR = 0x00, 0x0A, 0x0D


@dataclass(frozen=True)
class Frame:
    command: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class HeartBeat:
    """A lone end of line between frames."""


@dataclass(frozen=True)
class Malformed:
    """Bytes that are no frame, kept as they came."""

    raw: bytes
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


Event = Frame | HeartBeat | Malformed
HEART_BEAT = b"\n"


class _Broken(Exception):
    def __init__(self, reason: str, headers: Mapping[str, str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.headers = headers


# --- writing --------------------------------------------------------------------------------------------------------


def encode(frame: Frame) -> bytes:
    """The bytes of a frame. `content-length` counts bytes and is written where there is a body."""
    escaped = frame.command not in UNESCAPED_COMMANDS
    headers = dict(frame.headers)
    if frame.body:
        headers["content-length"] = str(len(frame.body))
    lines = [frame.command, *(f"{_out(name, escaped)}:{_out(value, escaped)}" for name, value in headers.items())]
    return "\n".join([*lines, "", ""]).encode() + frame.body + b"\x00"


def _out(text: str, escaped: bool) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text) if escaped else text


# --- reading --------------------------------------------------------------------------------------------------------


class Parser:
    """Feed it what arrives, in parts or in heaps; take out events."""

    def __init__(self, frame_max: int) -> None:
        self._buffer = bytearray()
        self._frame_max = frame_max
        self._searched = 0  # bytes known to hold no NUL: a large frame in small parts is not searched again and again

    def feed(self, data: bytes) -> Iterator[Event]:
        self._buffer += data
        while self._buffer:
            event = self._next()
            if event is None:
                return
            self._searched = 0
            yield event

    def pending(self) -> bool:
        """Whether the beginning of a frame waits for its end."""
        return bool(self._buffer)

    def give_up(self) -> Iterator[Event]:
        """The pending frame's end is not coming (a wrong content-length swallows what follows): take it out whole, up to
        its first NUL, and read on behind it."""
        nul = self._buffer.find(NUL)
        self._searched = 0
        yield self._cut(len(self._buffer) if nul < 0 else nul + 1, "unfinished")
        yield from self.feed(b"")

    def _next(self) -> Event | None:
        if self._buffer[0] in {LF, CR}:
            return self._heart_beat()
        end = self._headers_end()
        length = None if end is None else self._content_length(end)
        if end is not None and length is not None:
            return self._sized(end, length)
        return self._until_nul(end)

    def _heart_beat(self) -> HeartBeat | None:
        width = 1 if self._buffer[0] == LF else 2
        if len(self._buffer) < width:
            return None
        if width == 2 and self._buffer[1] != LF:
            width = 1  # a lone CR is nothing; it is stepped over
        del self._buffer[:width]
        return HeartBeat()

    def _headers_end(self) -> int | None:
        """Where the body begins, or None while the blank line is not there (or beyond the frame's end)."""
        places = [place + len(mark) for mark in (b"\n\n", b"\n\r\n") if (place := self._buffer.find(mark, 0, HEADERS_MAX)) >= 0]
        if not places:
            return None
        nul = self._buffer.find(NUL, 0, min(places))
        return None if nul >= 0 else min(places)

    def _content_length(self, end: int) -> int | None:
        for line in bytes(self._buffer[:end]).split(b"\n"):
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"content-length":
                digits = value.strip()
                return int(digits) if digits.isdigit() and len(digits) <= 9 else None
        return None

    def _sized(self, end: int, length: int) -> Event | None:
        if end + length > self._frame_max:
            return self._cut(len(self._buffer), "frame-too-large")
        if len(self._buffer) <= end + length:
            return None
        if self._buffer[end + length] != NUL:
            return self._until_nul(end, "content-length-wrong")
        return self._frame(end, end + length)

    def _until_nul(self, end: int | None, broken: str | None = None) -> Event | None:
        nul = self._buffer.find(NUL, self._searched)
        if nul < 0:
            self._searched = len(self._buffer)
            too_large = len(self._buffer) > self._frame_max or (end is None and len(self._buffer) > HEADERS_MAX)
            return self._cut(len(self._buffer), "frame-too-large") if too_large else None
        if broken is not None or end is None:
            return self._cut(nul + 1, broken or "no-blank-line")
        return self._frame(end, nul)

    def _frame(self, end: int, nul: int) -> Event:
        raw = bytes(self._buffer[: nul + 1])
        del self._buffer[: nul + 1]
        try:
            command, headers = _head(raw[:end])
        except _Broken as error:
            return Malformed(raw, error.reason, error.headers)
        return Frame(command, headers, raw[end:nul])

    def _cut(self, width: int, reason: str) -> Malformed:
        raw = bytes(self._buffer[:width])
        del self._buffer[:width]
        return Malformed(raw, reason, _readable(raw))


def _head(raw: bytes) -> tuple[str, dict[str, str]]:
    lines = raw.split(b"\n")[:-2]
    command = lines[0].rstrip(b"\r").decode("ascii", "replace")
    headers = _readable(raw)
    if command not in COMMANDS:
        raise _Broken("unknown-command", headers)
    for line in lines[1:]:
        if _header(line.rstrip(b"\r"), command not in UNESCAPED_COMMANDS) is None:
            raise _Broken("bad-header", headers)
    return command, headers


def _readable(raw: bytes) -> dict[str, str]:
    """The headers that can be read; the first of repeated ones wins."""
    headers: dict[str, str] = {}
    lines = [line.rstrip(b"\r") for line in raw[:HEADERS_MAX].partition(b"\x00")[0].split(b"\n")]
    escaped = lines[0].decode("ascii", "replace") not in UNESCAPED_COMMANDS
    for line in lines[1:]:
        if not line:
            break
        pair = _header(line, escaped)
        if pair is not None:
            headers.setdefault(*pair)
    return headers


def _header(line: bytes, escaped: bool) -> tuple[str, str] | None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    name, colon, value = text.partition(":")
    if not colon or not name or "\x00" in text:
        return None
    if not escaped:
        return name, value
    clear_name, clear_value = _unescape(name), _unescape(value)
    return None if clear_name is None or clear_value is None else (clear_name, clear_value)


def _unescape(text: str) -> str | None:
    """None for any escape but the four: the standard calls those fatal."""
    if "\\" not in text:
        return text
    out, place = [], 0
    while place < len(text):
        pair = text[place : place + 2]
        if pair[0] != "\\":
            out.append(pair[0])
            place += 1
        elif pair in UNESCAPES:
            out.append(UNESCAPES[pair])
            place += 2
        else:
            return None
    return "".join(out)
