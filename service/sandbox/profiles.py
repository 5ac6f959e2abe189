"""The three imaginary brokers' habits as data. Each habit is one the platform's manual warns of; none is an accident."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """How one broker speaks. Rates in 1/1,000,000; lengths in digits."""

    code: str
    name: str
    first_page: str | None
    page_size: int
    last_page: str
    absent: str
    numbers: str
    counts_are_zero: bool
    list_errors_inside_200: bool
    exec_no: str
    number_width: int
    numbers_restart: bool
    amend_keeps_number: bool
    pending_reports: bool
    new_report_before_fill: bool
    order_time_digits: int
    exec_time_digits: int
    cash_block: str
    loan_field: str
    acc_info_is_list: bool
    short_code_prefix: bool
    isin_types: tuple[str, ...]
    cash_basis_rows: bool
    replace_quantity: str
    at_session_end: str
    commission_rate: int
    commission_unit: int
    cost_base: str
    fix_dialect: str
    com_id_leading_blank: bool
    side_words_swapped: bool
    tradebook_days: int
    asset_types: tuple[str, ...]
    state_words: dict[str, str]

    def described(self) -> dict[str, object]:
        return asdict(self)


CYBER = Profile(
    code="00991", name="cyber",
    first_page=None, page_size=20, last_page="null", absent="null", numbers="java",
    counts_are_zero=False, list_errors_inside_200=False,
    exec_no="per_order", number_width=10, numbers_restart=True, amend_keeps_number=False,
    pending_reports=True, new_report_before_fill=True,
    order_time_digits=16, exec_time_digits=17,
    cash_block="cashBalInfo", loan_field="totLoanAmt", acc_info_is_list=False,
    short_code_prefix=True, isin_types=("표준코드", "단축코드"), cash_basis_rows=False,
    replace_quantity="total", at_session_end="expired",
    commission_rate=150, commission_unit=10, cost_base="day",
    fix_dialect="plain", com_id_leading_blank=False, side_words_swapped=False,
    tradebook_days=31, asset_types=("EQTY", "FUND", "ETC"),
    state_words={
        "new": "접수", "partial": "일부체결", "filled": "전량체결", "cancelled": "취소확인", "replaced": "정정확인",
        "rejected": "거부", "expired": "만료", "cancel_row": "취소확인", "replace_row": "정정",
    },
)  # fmt: skip

DIAMOND = Profile(
    code="00992", name="diamond",
    first_page="null", page_size=7, last_page="missing", absent="empty", numbers="plain",
    counts_are_zero=False, list_errors_inside_200=False,
    exec_no="zero", number_width=0, numbers_restart=False, amend_keeps_number=True,
    pending_reports=False, new_report_before_fill=True,
    order_time_digits=14, exec_time_digits=14,
    cash_block="cachBalInfo", loan_field="totlLoanAmt", acc_info_is_list=False,
    short_code_prefix=False, isin_types=("표준코드", "단축코드", "축약영문"), cash_basis_rows=False,
    replace_quantity="remaining", at_session_end="silent",
    commission_rate=142, commission_unit=1, cost_base="order",
    fix_dialect="numbers", com_id_leading_blank=False, side_words_swapped=False,
    tradebook_days=90, asset_types=("EQTY",),
    state_words={
        "new": "접수완료", "partial": "체결", "filled": "체결", "cancelled": "취소", "replaced": "정정",
        "rejected": "접수거부", "expired": "접수완료", "cancel_row": "취소", "replace_row": "정정",
    },
)  # fmt: skip

STAR = Profile(
    code="00993", name="star",
    first_page=None, page_size=50, last_page="string", absent="string", numbers="point",
    counts_are_zero=True, list_errors_inside_200=True,
    exec_no="missing", number_width=6, numbers_restart=True, amend_keeps_number=False,
    pending_reports=False, new_report_before_fill=False,
    order_time_digits=12, exec_time_digits=8,
    cash_block="cashBalInfo", loan_field="totLoanAmt", acc_info_is_list=True,
    short_code_prefix=True, isin_types=("단축코드", "표준코드"), cash_basis_rows=True,
    replace_quantity="total", at_session_end="done",
    commission_rate=100, commission_unit=1, cost_base="fill",
    fix_dialect="fix42", com_id_leading_blank=True, side_words_swapped=True,
    tradebook_days=366, asset_types=("EQTY", "FUND", "ETC"),
    state_words={
        "new": "접수", "partial": "부분체결", "filled": "체결완료", "cancelled": "취소완료", "replaced": "정정완료",
        "rejected": "거부", "expired": "장종료", "cancel_row": "취소확인", "replace_row": "정정확인",
    },
)  # fmt: skip

PROFILES: tuple[Profile, ...] = (CYBER, DIAMOND, STAR)
BY_NAME = {profile.name: profile for profile in PROFILES}

MEANING = {
    "first_page": "what `page` must be in the first request: JSON null, or the text \"null\"",
    "page_size": "rows a page holds when `count` is 0",
    "last_page": "how the last page shows: null | missing field | the text \"null\"",
    "absent": "how a value that does not exist is written: null | \"\" | \"null\"; see also last_page and execList",
    "numbers": "java: 300.0 and 5.0E8 from ten million on; plain: 300; point: 300.0, E only for nine digits or more",
    "counts_are_zero": "queryResult.count and totalCnt are always 0",
    "list_errors_inside_200": "inquiry errors come as HTTP 200 with resp.respCode",
    "exec_no": "execNo in the inquiry: restarting per order | always 0 | no field",
    "number_width": "orderNo in the inquiry has leading zeros to this width; OrderID in a report has none",
    "numbers_restart": "order and execution numbers begin again at 1 every day, so that they repeat, or go on",
    "amend_keeps_number": "an amend or a cancel keeps the order's number (one row), or has a row and number of its own",
    "pending_reports": "sends Pending New, Pending Cancel, Pending Replace",
    "new_report_before_fill": "sends New before the fills of an order that trades at once",
    "order_time_digits": "length of orderTime: 8, 12, 14, 16, 17 digits of YYYYMMDDhhmmss and fractions",
    "replace_quantity": "OrderQty of a replace means the total of the order, or what remains",
    "at_session_end": "reports Expired | nothing at all | Done for Day",
    "commission_rate": "in 1/1,000,000 of the amount", "commission_unit": "cut to so many won",
    "cost_base": "commission and taxes are worked out per issue and day | per order | per fill",
    "fix_dialect": "plain | numbers as JSON numbers, no Trailer | FIX 4.2 names (LastShares, ExecTransType, 150=1/2)",
    "side_words_swapped": "tradebook transType BID on purchases (the published contradiction)",
    "tradebook_days": "longest range of a tradebook inquiry in days", "asset_types": "others answer 6001",
}  # fmt: skip
