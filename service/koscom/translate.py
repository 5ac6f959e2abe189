"""Rows of the platform to rows of the port. Pure: JSON in, frozen values and remarks out.

What must be there and is not, or is there and cannot be read, raises `WireError`; the reading then is incomplete and
says so. What is odd but harmless (an unknown code, a hint that disagrees, an unreadable time of day) becomes a remark.
"""

from datetime import datetime
from decimal import Decimal

from service.core.secret import AccountNumber
from service.gateway import (
    AccountRow,
    BalanceRow,
    CashRow,
    CostRow,
    ExecutionRow,
    HoldingRow,
    InstrumentRef,
    OrderRow,
    SettlementRow,
    Side,
    TransactionRow,
)
from service.koscom.dialect import short_code_of
from service.koscom.wire import (
    Json,
    WireError,
    absent,
    day,
    decimal,
    need_decimal,
    need_text,
    need_whole,
    rows_of,
    text,
    time,
    whole,
)

Remarks = list[str]

WON = "KRW"
SELL_BUY = {"1": Side.SELL, "2": Side.BUY}  # the reverse of FIX
STANDARD_CODE, SHORT_CODE = "표준코드", "단축코드"
TRADE_HINTS = {"BID": Side.SELL, "ASK": Side.BUY}  # as published: the reverse of market usage
BASES = {"D0": 0, "D1": 1, "D2": 2}


# --- 주문체결 ---------------------------------------------------------------------------------------------------------


def order_row(row: Json, remarks: Remarks) -> OrderRow:
    executed = need_whole(row, "execSumQty")
    original = text(row, "orgOrderNo")
    amend, cancel = _acting(row, "modifyType", original), _acting(row, "cancelType", original)
    executions = _executions(row, executed, remarks)
    return OrderRow(
        account=account(row),
        order_number=text(row, "orderNo"),
        original_number=original,
        is_amend=amend,
        is_cancel=cancel,
        side=_side(row, remarks),
        order_type_text=text(row, "orderType"),
        quantity=need_whole(row, "orderQty"),
        price=decimal(row, "orderPrice"),
        executed_quantity=executed,
        state_text=text(row, "orderExecType"),
        reject_reason=text(row, "orderRejectReason"),
        order_time=_moment(row, "orderTime", remarks),
        instrument=instrument(row, remarks),
        executions=executions,
    )


def _acting(row: Json, name: str, original: str | None) -> bool:
    """0 plain, 1 acts on another order. Without a word, a row that names another order is not taken for a plain one."""
    said = text(row, name)
    if said is None and original is not None:
        raise WireError("missing-field", name)
    if said not in {None, "0", "1"}:
        raise WireError("unknown-code", name)
    return said == "1"


def _executions(row: Json, executed: int, remarks: Remarks) -> tuple[ExecutionRow, ...]:
    if absent(row.get("execList")) and executed == 0:
        return ()
    listed = [_execution(one, remarks) for one in rows_of(row, "execList")]
    fills = tuple(fill for fill in listed if fill.quantity)  # one of no shares only says that there is none
    if sum(fill.quantity for fill in fills) != executed:
        remarks.append("executions-differ: execSumQty is not the sum of execList")
    return fills


def _execution(row: Json, remarks: Remarks) -> ExecutionRow:
    return ExecutionRow(
        quantity=need_whole(row, "execQty"),
        price=need_decimal(row, "execPrice"),
        number=text(row, "execNo"),
        time=_moment(row, "execTime", remarks),
    )


# --- 계좌잔고 ---------------------------------------------------------------------------------------------------------


def balance_row(row: Json, remarks: Remarks) -> BalanceRow:
    owners = rows_of(row, "accInfo")  # an array in one table, an object in every example
    if len(owners) != 1:
        raise WireError("unreadable-block", "accInfo")
    return BalanceRow(
        account=account(owners[0]),
        account_name=text(owners[0], "accName"),
        cash=tuple(_cash(one, remarks) for one in rows_of(row, "cashBalInfo", "cachBalInfo")),
        holdings=tuple(_holding(one, remarks) for one in rows_of(row, "securitiesBalInfo")),
    )


def _cash(row: Json, remarks: Remarks) -> CashRow:
    for unread in ("substitute", "totCreditAmt", "valAtCur"):
        decimal(row, unread)  # not kept, but a figure that is none betrays a drift of the schema
    decimal(row, "totLoanAmt", "totlLoanAmt")
    basis, currency = _basis(text(row, "crcyCode"), remarks)
    return CashRow(
        basis=basis,
        currency=currency,
        cash=decimal(row, "cashBalance"),
        margin=decimal(row, "margin"),
        receivable=decimal(row, "receivable"),
        withdrawable=decimal(row, "cashAvWithdraw"),
    )


def _basis(code: str | None, remarks: Remarks) -> tuple[int | None, str]:
    """KRW-D0 is won, as it stands today; D1 and D2 as it will stand on the settlement days."""
    if code is None:
        return None, WON
    currency, dash, suffix = code.partition("-")
    if dash and suffix not in BASES:
        remarks.append(f"unknown-code: crcyCode {code}")
        return None, code
    return BASES.get(suffix), currency


def _holding(row: Json, remarks: Remarks) -> HoldingRow:
    return HoldingRow(
        instrument=instrument(row, remarks),
        quantity=need_whole(row, "qty"),
        purchase_amount=decimal(row, "valAtTrade"),
        market_value=decimal(row, "valAtCur"),
        asset_type=text(row, "assetType"),
    )


# --- 결제예정 · 설정계좌 · 거래내역 -------------------------------------------------------------------------------------


def settlement_row(row: Json, remarks: Remarks) -> SettlementRow:
    total = decimal(row, "costTotal")
    return SettlementRow(
        account=account(row),
        side=_side(row, remarks),
        instrument=instrument(row, remarks),
        quantity=need_whole(row, "settQty"),
        amount=need_decimal(row, "settAmt"),
        settles_on=day(row, "settDate"),
        cost_total=total,
        costs=_costs(row, required=bool(total)),
    )


def account_row(row: Json, _remarks: Remarks) -> AccountRow:
    virtual = text(row, "virtualAccNo")
    return AccountRow(
        account=account(row),
        account_name=text(row, "accName"),
        virtual_number=None if virtual is None else AccountNumber(virtual),
        contract_status=need_text(row, "contractStatus"),
    )


def transaction_row(row: Json, remarks: Remarks) -> TransactionRow:
    hint = text(row, "transType")
    named = not absent(row.get("isinInfo"))
    amount, quantity = _changes(row, trade=hint in TRADE_HINTS or named)
    return TransactionRow(
        account=account(row),
        date=day(row, "transDate"),
        trans_type=hint,
        side=_traded_side(amount, quantity, hint, remarks),
        change_amount=amount,
        change_quantity=quantity,
        quantity_after=whole(row, "qty"),
        cash_after=decimal(row, "amt"),
        instrument=instrument(row, remarks) if named or quantity else InstrumentRef(None, None, None),
        costs=_costs(row, required=False),
        subject=text(row, "subject"),
        summary=text(row, "summary"),
    )


def _changes(row: Json, *, trade: bool) -> tuple[Decimal, int]:
    """What changed. A pure movement of cash or of stock may leave the other figure out; a trade may not."""
    amount, quantity = decimal(row, "changeAmt"), whole(row, "changeQty")
    if (trade and quantity is None) or (amount is None and (quantity is None or text(row, "transType") in TRADE_HINTS)):
        raise WireError("missing-field", "changeQty" if quantity is None else "changeAmt")
    return amount or Decimal(0), quantity or 0


def _traded_side(amount: Decimal, quantity: int, hint: str | None, remarks: Remarks) -> Side | None:
    """The signs decide: stock in and cash out is a purchase. transType is a hint, and one that disagrees is reported."""
    side = None
    if quantity and amount and (quantity > 0) != (amount > 0):
        side = Side.BUY if quantity > 0 else Side.SELL
    if hint in TRADE_HINTS and TRADE_HINTS[hint] is not side:
        remarks.append(f"side-disagrees: transType {hint}, changeQty {quantity}, changeAmt {amount}")
    return side


# --- shared by all --------------------------------------------------------------------------------------------------


def account(row: Json) -> AccountNumber:
    return AccountNumber(need_text(row, "accNo"))


def _side(row: Json, remarks: Remarks) -> Side | None:
    said = text(row, "sellBuyType")
    if said not in SELL_BUY:
        remarks.append(f"unknown-code: sellBuyType {said}")
    return SELL_BUY.get(said or "")


def _moment(row: Json, name: str, remarks: Remarks) -> datetime | None:
    """A time is a hint for matching, so one that cannot be read is reported and left out."""
    try:
        return time(row, name)
    except WireError as error:
        remarks.append(str(error))
        return None


def _costs(row: Json, *, required: bool) -> tuple[CostRow, ...]:
    if absent(row.get("costInfo")) and not required:
        return ()
    return tuple(CostRow(name=need_text(one, "costName"), amount=need_decimal(one, "cost")) for one in rows_of(row, "costInfo"))


def instrument(row: Json, remarks: Remarks) -> InstrumentRef:
    """One instrument under several codes; each is kept verbatim, the ISIN is preferred."""
    codes, name = [], None
    for entry in rows_of(row, "isinInfo"):
        code = text(entry, "isinCode")
        name = name or text(entry, "isinName")
        if code is not None:
            codes.append((text(entry, "isinType") or "", code))
    if not codes:
        raise WireError("missing-field", "isinCode")
    isin, short = _code(codes, STANDARD_CODE), _code(codes, SHORT_CODE)
    if isin is None and short is None:
        remarks.append(f"unknown-code: isinType {[kind for kind, _ in codes]}")
    return InstrumentRef(isin, short_code_of(short), name, tuple(codes))


def _code(codes: list[tuple[str, str]], kind: str) -> str | None:
    return next((code for said, code in codes if said.replace(" ", "") == kind), None)


def merge_orders(rows: list[OrderRow]) -> list[OrderRow]:
    """Each row once. A list that moved while it was read shows a row on two pages, and its executions would be counted
    twice; one that shows it otherwise the second time is no snapshot and raises WireError."""
    merged: dict[object, OrderRow] = {}
    for place, row in enumerate(rows):
        if merged.setdefault(_row_of(row) or place, row) != row:
            raise WireError("inconsistent", f"order {row.order_number} changed while the list was read")
    return list(merged.values())


def distinct_of(rows: list[OrderRow]) -> int:
    """How many rows a total counts: a row shown twice stands where another one is missing."""
    return len({_row_of(row) or place for place, row in enumerate(rows)})


def _row_of(row: OrderRow) -> tuple[object, ...] | None:
    """What makes two rows the same one; None for a row without a number. A change that keeps its order's number differs from
    another one by what it asked for."""
    number = (row.order_number or "").lstrip("0")
    acts = (row.original_number, row.quantity, row.price) if row.is_amend or row.is_cancel else None
    return (number, row.side, row.instrument, row.is_amend, row.is_cancel, acts) if number else None


def cash_differs(first: CashRow, second: CashRow) -> bool:
    return (first.basis, first.currency) == (second.basis, second.currency) and first != second


def merge_balances(rows: list[BalanceRow]) -> list[BalanceRow]:
    """One row per account. Pages and asset types repeat the cash; the same cash twice is one, differing cash is no
    snapshot and raises WireError. A holding that a later one repeats in every field is one too: counted twice it would be
    sold twice, and two lots that are alike in all but their page cost no more than a refused sale."""
    merged: dict[AccountNumber, BalanceRow] = {}
    for row in rows:
        before = merged.get(row.account)
        merged[row.account] = row if before is None else _merged(before, row)
    return list(merged.values())


def _merged(first: BalanceRow, second: BalanceRow) -> BalanceRow:
    if any(cash_differs(one, other) for one in first.cash for other in second.cash):
        raise WireError("inconsistent", "cash changed while the balance was read")
    cash = first.cash + tuple(row for row in second.cash if row not in first.cash)
    holdings = first.holdings + tuple(row for row in second.holdings if row not in first.holdings)
    return BalanceRow(first.account, first.account_name or second.account_name, cash, holdings)


def entries_of(rows: list[BalanceRow]) -> int:
    """How many entries a balance may be counted as: accounts or lines, whichever a broker counts."""
    return max(len(rows), sum(len(row.cash) + len(row.holdings) for row in rows))
