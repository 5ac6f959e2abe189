"""Invented instruments. Names begin with 가상 (imaginary); check digits are valid, companies are not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instrument:
    """One listed product; `base` is its reference price in won on the first day."""

    isin: str
    code: str
    name: str
    market: str
    base: int
    group: str = "ST"
    halted: bool = False
    administrative: bool = False
    shares: int = 10_000_000

    @property
    def fund(self) -> bool:
        """ETF or ETN: other ticks, no tax, no after-market."""
        return self.group in ("EF", "EN")

    @property
    def short_code(self) -> str:
        return ("Q" if self.group == "EN" else "A") + self.code


def check_digit(body: str) -> int:
    """Luhn over the base-36 expansion of the first eleven characters of an ISIN."""
    digits = "".join(str(int(character, 36)) for character in body)
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return (10 - total % 10) % 10


def isin_of(issuer: str, serial: str = "00") -> str:
    body = f"KR7{issuer}{serial}"
    return body + str(check_digit(body))


def _one(
    code: str, name: str, market: str, base: int, *, issuer: str = "", group: str = "ST",
    halted: bool = False, administrative: bool = False,
) -> Instrument:  # fmt: skip
    return Instrument(isin_of(issuer or code), code, name, market, base, group, halted, administrative, 3_000_000_000_000 // base)


# 930015 is the preferred share of 930010: its ISIN carries another class digit, so it can only come from the master.
INSTRUMENTS: tuple[Instrument, ...] = (
    _one("930010", "가상전자", "kospi", 71_200),
    _one("930015", "가상전자우", "kospi", 58_300, issuer="930011"),
    _one("930020", "가상하이반도체", "kospi", 239_000),
    _one("930030", "가상자동차", "kospi", 24_250),
    _one("930040", "가상바이오", "kospi", 812_000),
    _one("930050", "가상은행", "kospi", 6_170),
    _one("930060", "가상조선", "kospi", 138_500),
    _one("930070", "가상정지산업", "kospi", 4_310, halted=True),
    _one("930200", "가상200 ETF", "kospi", 35_980, group="EF"),
    _one("0930E0", "가상채권 ETF", "kospi", 101_255, group="EF"),
    _one("930110", "가상소프트", "kosdaq", 19_990),
    _one("930120", "가상게임즈", "kosdaq", 65_000),
    _one("930130", "가상관리소재", "kosdaq", 1_385, administrative=True),
    _one("0930A0", "가상로봇", "kosdaq", 47_850),
    _one("930150", "가상제약", "kosdaq", 12_340),
)  # fmt: skip

BY_ISIN = {instrument.isin: instrument for instrument in INSTRUMENTS}
