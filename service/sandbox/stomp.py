"""STOMP 1.2 frames, the server's side. Pure: text in, frames out; anything malformed is a `BadFrame`."""

from dataclasses import dataclass, field

_UNESCAPE = {"r": "\r", "n": "\n", "c": ":", "\\": "\\"}
_ESCAPE = str.maketrans({"\r": "\\r", "\n": "\\n", ":": "\\c", "\\": "\\\\"})
FRAME_BYTES_MAX = 1_000_000


class BadFrame(Exception):
    """The peer does not speak STOMP 1.2."""


@dataclass(frozen=True, slots=True)
class Frame:
    command: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    """CONNECTED is not escaped; `content-length` counts bytes and is always sent with a body."""
    plain = frame.command in ("CONNECT", "CONNECTED")
    headers = dict(frame.headers)
    if frame.body:
        headers["content-length"] = str(len(frame.body))
    lines = [frame.command]
    for name, value in headers.items():
        lines.append(f"{name}:{value}" if plain else f"{name.translate(_ESCAPE)}:{value.translate(_ESCAPE)}")
    return "\n".join(lines).encode() + b"\n\n" + frame.body + b"\x00"


class Parser:
    """Collects bytes and yields frames; one WebSocket message may hold a part of a frame or several."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`; lone newlines between frames are heart-beats and vanish."""
        self._buffer += data
        if len(self._buffer) > FRAME_BYTES_MAX:
            raise BadFrame("frame too large")
        frames: list[Frame] = []
        while frame := self._next():
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        self._buffer = self._buffer.lstrip(b"\r\n")
        head, separator, rest = _split_head(self._buffer)
        if not separator:
            return None
        command, headers = _parse_head(head)
        length = headers.get("content-length")
        end = rest.find(b"\x00") if length is None else _length(length)
        if end < 0 or len(rest) <= end:
            return None
        if rest[end : end + 1] != b"\x00":
            raise BadFrame("frame does not end with NUL")
        self._buffer = rest[end + 1 :]
        return Frame(command, headers, rest[:end])


def _split_head(data: bytes) -> tuple[bytes, bytes, bytes]:
    places = [(place, mark) for mark in (b"\n\n", b"\n\r\n") if (place := data.find(mark)) >= 0]
    if not places:
        return data, b"", b""
    place, mark = min(places)
    return data[:place], mark, data[place + len(mark) :]


def _parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    try:
        lines = [line.removesuffix("\r") for line in head.decode().split("\n")]
    except UnicodeDecodeError as error:
        raise BadFrame("headers are not UTF-8") from error
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadFrame("header without colon")
        if lines[0] != "CONNECT":
            name, value = _unescape(name), _unescape(value)
        headers.setdefault(name, value)  # the first of repeated headers wins
    return lines[0], headers


def _unescape(text: str) -> str:
    out, characters = [], iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            if following not in _UNESCAPE:
                raise BadFrame("undefined escape")
            character = _UNESCAPE[following]  # noqa: PLW2901 - the pair is one character
        out.append(character)
    return "".join(out)


def _length(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadFrame("content-length")
    return int(text)
