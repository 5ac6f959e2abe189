"""Frames of the report stream read and written: what a MESSAGE is as evidence, what CONNECT says. Pure."""

from datetime import date, datetime

from service.gateway import RawReport
from service.koscom import stomp
from service.koscom.config import KoscomConfig
from service.koscom.dialect import looks_resent
from service.koscom.stomp import Frame


def raw_report(com_id: str, frame: Frame) -> RawReport:
    """A MESSAGE as evidence. A missing or garbled sequence is None; the body is kept all the same."""
    return RawReport(
        com_id=com_id,
        seq_date=day_of(frame.headers.get("seq-date", "")),
        seq=sequence(frame.headers.get("seq", "")),
        body=frame.body,
        possible_duplicate=looks_resent(frame.body),
    )


def sequence(text: str) -> int | None:
    text = text.strip()
    good = text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0
    return int(text) if good else None


def day_of(text: str) -> date | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) == 8):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None


def heart_beats(header: str) -> tuple[float, float]:
    """(what the server sends, what it wants), in seconds; none where that is no pair of numbers."""
    try:
        sends, wants = (int(part) / 1000 for part in header.split(","))
    except (ValueError, OverflowError):
        return 0.0, 0.0
    return max(sends, 0.0), max(wants, 0.0)


def connect_frame(config: KoscomConfig) -> Frame:
    beat = int(config.stream_times.heart_beat * 1000)
    headers = {
        "accept-version": stomp.VERSION,
        "host": config.com_id,
        "login": config.api_key.reveal(),
        "passcode": config.secret.reveal(),
        "comId": config.com_id,
        "heart-beat": f"{beat},{beat}",
    }
    return Frame("CONNECT", headers)
