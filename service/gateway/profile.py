"""What is known of a broker."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

CANCELLED_WORDS = frozenset({"취소확인", "취소완료", "전량취소"})  # where a broker's profile says nothing else


@dataclass(frozen=True)
class BrokerProfile:
    """What we know of a broker's habits, as data (P20)."""

    code: str
    short_name: str
    first_page: Literal["null", "text-null"]
    count: int  # page size asked for; 0 lets the broker choose
    order_qty: Literal["total", "remaining"]
    reports_pending: bool  # sends Pending Cancel / Pending Replace
    new_number_on_amend: bool
    reports_expiry: Literal["expired", "done_for_day", "none"]
    fills_execution_number: bool
    commission_rate: Decimal
    commission_unit: int  # truncated below so many won
    cost_base: Literal["day", "order", "fill"] = "day"  # what commission and taxes are worked out on
    asset_types: tuple[str, ...] = ("EQTY",)
    order_type_codes: dict[str, str] = field(default_factory=dict)
    cancelled_words: frozenset[str] = CANCELLED_WORDS  # of a row: a cancellation is done
    sends_per_second: int = 20
