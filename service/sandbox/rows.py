"""Rows of the five inquiries in a broker's habit. Pure: state in, wire values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from service.sandbox import encode
from service.sandbox.account import Account, Costs, Holding, Settlement
from service.sandbox.exchange import Listing
from service.sandbox.instruments import BY_ISIN, Instrument
from service.sandbox.orders import NEW, STATUS_WORDS, Fill, Order
from service.sandbox.orders import Row as Line
from service.sandbox.paging import Row
from service.sandbox.profiles import Profile

_SIDE = {"sell": "1", "buy": "2"}
_TYPES = {"1": "시장가", "2": "지정가"}
_WORDS = {"partially_filled": "partial", "canceled": "cancelled", "done_for_day": "expired"}


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes one broker's rows. `before`: an inquiry that lags knows nothing younger."""

    profile: Profile
    before: datetime

    @property
    def none(self) -> object:
        return {"null": None, "empty": "", "string": "null"}[self.profile.absent]

    # --- orderdetail

    def order_lines(self, orders: Iterable[Order]) -> list[Row]:
        pairs = [(order, line) for order in orders for line in order.rows if line.time <= self.before]
        return [self._order_line(order, line) for order, line in sorted(pairs, key=lambda pair: pair[1].order_no)]

    def _order_line(self, order: Order, line: Line) -> Row:
        one_row = self.profile.amend_keeps_number
        fills = [fill for fill in order.fills if (one_row or fill.order_no == line.order_no) and fill.time <= self.before]
        price = (order.price or 0) if one_row else line.price
        return {
            "accNo": order.account,
            "accName": self.none if self.profile.name == "star" else "",
            "modifyType": "1" if line.kind == "amend" else "0",
            "cancelType": "1" if line.kind == "cancel" else "0",
            "orderNo": self.order_no(line.order_no),
            "orgOrderNo": self.order_no(line.org_order_no) if line.org_order_no else self.none,
            "sellBuyType": _SIDE[order.side],
            "orderType": _TYPES[order.order_type],
            "exchange": encode.MISSING if self.profile.name == "cyber" else self.none,
            "crcyCode": self.none,
            "orderQty": order.ordered if one_row else line.quantity,
            "orderPrice": price,
            "execSumQty": sum(fill.quantity for fill in fills),
            "orderExecType": self._state(order, line),
            "cmsnType": "일반수수료",
            "settDays": 2,
            "buyQtyUnit": 1,
            "sellQtyUnit": 1,
            "orderTime": digits(line.time, self.profile.order_time_digits),
            "orderRejectReason": line.reason or self.none,
            "isinInfo": self.isin_info(order.instrument),
            "execList": self._exec_list(fills),
        }

    def _exec_list(self, fills: list[Fill]) -> object:
        if not fills:
            return {"null": None, "empty": encode.MISSING, "string": []}[self.profile.absent]
        return [self._execution(fill) for fill in fills]

    def _execution(self, fill: Fill) -> Row:
        number = {"per_order": fill.exec_no, "zero": 0, "missing": encode.MISSING}
        return {
            "execQty": fill.quantity,
            "execPrice": fill.price,
            "execNo": number[self.profile.exec_no],
            "execTime": digits(fill.time, self.profile.exec_time_digits),
        }

    def _state(self, order: Order, line: Line) -> str:
        words = self.profile.state_words
        if line.kind == "cancel":
            return words["cancel_row"]
        if line is not order.rows[-1] and order.rows[-1].time <= self.before:
            following = order.rows[order.rows.index(line) + 1]
            return words["cancelled" if following.kind == "cancel" else "replaced"]
        state = STATUS_WORDS.get(order.status, STATUS_WORDS[NEW])
        return words[_WORDS.get(state, state)]

    def order_no(self, number: int | None) -> str:
        return f"{number or 0:0{self.profile.number_width or 1}d}"

    # --- balancelist

    def balance(self, account: Account, today: date, margin: int, listings: dict[str, Listing]) -> Row:
        holder = {"accNo": account.number, "accName": account.name}
        securities = [self._security(holding, listings[isin]) for isin, holding in sorted(account.holdings.items())]
        return {
            "accInfo": [holder] if self.profile.acc_info_is_list else holder,
            self.profile.cash_block: self._cash(account, today, margin),
            "securitiesBalInfo": securities,
        }

    def _cash(self, account: Account, today: date, margin: int) -> list[Row]:
        ladder = account.ladder(today)
        free = max(0, min(ladder) - margin)
        if not self.profile.cash_basis_rows:
            return [self._cash_row(account.deposit, margin, free, self.none)]
        return [self._cash_row(cash, margin, free, f"KRW-D{n}") for n, cash in enumerate(ladder)]

    def _cash_row(self, cash: int, margin: int, free: int, currency: object) -> Row:
        return {
            "cashBalance": cash, "margin": margin, "substitute": 0, "receivable": 0, "totCreditAmt": 0,
            self.profile.loan_field: 0, "valAtCur": cash, "crcyCode": currency, "cashAvWithdraw": free,
        }  # fmt: skip

    def _security(self, holding: Holding, listing: Listing) -> Row:
        value = holding.quantity * listing.last
        gain = value - holding.cost
        return {
            "assetType": "KSP" if listing.instrument.market == "kospi" else "KSQ",
            "exchange": self.none, "crcyCode": self.none, "loanCreditType": self.none, "loanCreditAmt": 0,
            "qty": holding.quantity, "valAtTrade": holding.cost, "valAtCur": value, "proLoss": gain,
            "earningRate": _rate(gain, holding.cost), "lastBuyDate": f"{holding.last_buy:%Y%m%d}",
            "maturity": self.none, "foreignDeposit": 0, "wonDeposit": 0, "currencyRate": 0,
            "isinInfo": self.isin_info(listing.instrument),
        }  # fmt: skip

    # --- settlelist, tradebook, accountlist

    def settlement(self, account: Account, one: Settlement) -> Row:
        return {
            "accNo": account.number, "accName": account.name, "sellBuyType": _SIDE[one.side],
            "exchange": self.none, "crcyCode": self.none, "settQty": one.quantity, "settAmt": abs(one.cash),
            "tradeType": "매도" if one.side == "sell" else "매수", "loanCreditDate": self.none, "loanCreditAmt": 0,
            "settDate": f"{one.settle_date:%Y%m%d}", "costTotal": one.costs.total,
            "isinInfo": self.isin_info(BY_ISIN[one.isin]), "costInfo": self.cost_info(one.costs),
        }  # fmt: skip

    def cost_info(self, costs: Costs) -> list[Row]:
        names = ("일반수수료" if self.profile.name == "diamond" else "수수료", "거래세", "농특세")
        amounts = (costs.commission, costs.transaction, costs.rural)
        return [{"costName": name, "cost": cost} for name, cost in zip(names, amounts, strict=True) if cost]

    def tradebook(self, account: Account, start: date, end: date) -> list[Row]:
        """Told backwards from what is there now, so that the columns `after` agree with the balance."""
        cash, held = account.expected_cash(), {isin: one.quantity for isin, one in account.holdings.items()}
        moves: list[tuple[date, Settlement | None, int]] = [(m.day, None, m.cash) for m in account.deposits]
        moves += [(one.business_date, one, one.cash) for one in account.settlements]
        rows: list[Row] = []
        for day, one, change in sorted(moves, key=lambda move: move[0], reverse=True):
            shares = 0 if one is None else (one.quantity if one.side == "buy" else -one.quantity)
            isin = "" if one is None else one.isin
            if start <= day <= end:
                rows.append(self._movement(account, day, one, change, shares, cash, held.get(isin, 0)))
            cash -= change
            held[isin] = held.get(isin, 0) - shares
        return rows[::-1]

    def _movement(
        self, account: Account, day: date, one: Settlement | None, change: int, shares: int, cash: int, held: int
    ) -> Row:
        return {
            "accNo": account.number, "accName": account.name, "transDate": f"{day:%Y%m%d}",
            "transType": self._trans_type(one), "changeAmt": change, "changeQty": shares, "qty": held, "amt": cash,
            "exchange": self.none, "crcyCode": self.none,
            "subject": "입금" if one is None else ("매도" if one.side == "sell" else "매수"), "summary": self.none,
            "isinInfo": [] if one is None else self.isin_info(BY_ISIN[one.isin]),
            "costInfo": [] if one is None else self.cost_info(one.costs),
        }  # fmt: skip

    def _trans_type(self, one: Settlement | None) -> str:
        """As published, BID is a sale and ASK a purchase; one broker has it the other way round."""
        if one is None:
            return "DEP"
        return "BID" if (one.side == "sell") is not self.profile.side_words_swapped else "ASK"

    def account(self, account: Account) -> Row:
        return {
            "accNo": account.number, "accName": account.name, "virtualAccNo": account.virtual,
            "contractStatus": account.contract,
        }  # fmt: skip

    def isin_info(self, instrument: Instrument) -> list[Row]:
        code = instrument.short_code if self.profile.short_code_prefix else instrument.code
        values = {"표준코드": instrument.isin, "단축코드": code, "축약영문": f"IMAGINARY{instrument.code}"}
        return [{"isinType": kind, "isinCode": values[kind], "isinName": instrument.name} for kind in self.profile.isin_types]


def digits(moment: datetime, length: int) -> str:
    """YYYYMMDDhhmmss and milliseconds, cut to the broker's length."""
    return (moment.strftime("%Y%m%d%H%M%S") + f"{moment.microsecond // 1000:03d}")[:length]


def _rate(gain: int, cost: int) -> Decimal:
    rate = Decimal(gain * 100) / cost if cost else Decimal(0)
    return rate.quantize(Decimal("0.01"), ROUND_HALF_UP)
