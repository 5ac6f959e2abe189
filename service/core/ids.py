"""Identities: UUIDv7 for our rows, ClOrdID for the wire."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from service.core.clock import real_ms

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U, so that a person can read it aloud

RandomBits = Callable[[int], int]


@dataclass
class _Source:
    random_bits: RandomBits = secrets.randbits


_source = _Source()


def draw_from(random_bits: RandomBits = secrets.randbits) -> None:
    """Identities' randomness from another source, for a simulation. Without an argument the machine's own again."""
    _source.random_bits = random_bits


def uuid7(random_bits: RandomBits | None = None, unix_ms: int | None = None) -> UUID:
    """A time-ordered UUID (RFC 9562, version 7), from the real clock and injected randomness."""
    draw = random_bits or _source.random_bits
    ms = real_ms() if unix_ms is None else unix_ms
    value = (ms & (1 << 48) - 1) << 80 | 0x7 << 76 | draw(12) << 64 | 0b10 << 62 | draw(62)
    return UUID(int=value)


TURN_BITS, LOT_BITS = 25, 35  # of a ClOrdID's number: five and seven of its characters


def lot() -> int:
    """What is drawn for a ClOrdID's number, so that a database which went back (a standby that lagged, a restored copy)
    and with it the sequence gives no order a name that the broker knows as another's."""
    return _source.random_bits(LOT_BITS)


def cl_ord_id(business_date: date, number: int) -> str:
    """ClOrdID: KST business date and 12 base32 characters: 5 of a sequence that is never reset, so that they sort, and 7
    that are drawn.

    The database builds the same text in the statement that takes the number (migration `cl_ord_id` function).
    """
    digits = [BASE32[number >> 5 * place & 31] for place in range(11, -1, -1)]
    return f"{business_date:%Y%m%d}{''.join(digits)}"
