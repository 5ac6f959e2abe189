"""Market data: the lists of instruments and their master."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True)
class ListedInstrument:
    isin: str
    short_code: str
    name: str
    market: Literal["kospi", "kosdaq"]


@dataclass(frozen=True)
class InstrumentMaster:
    """종목 master of one day. Prices in won."""

    isin: str
    short_code: str
    name: str
    market: Literal["kospi", "kosdaq"]
    group: str  # secugrpId: ST, EF, EN, EW, DR …
    base_price: Decimal
    upper_limit: Decimal | None
    lower_limit: Decimal | None
    halted: bool
    liquidation: bool  # 정리매매: no price limit
    administrative: bool  # 관리종목
    warning: str  # 00 none, 01 caution, 02 warning, 03 risk
    attention: bool
    overheated: str  # 0 none
    trading_unit: int
    listed_shares: int | None
