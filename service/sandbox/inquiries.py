"""POST /v1/{broker}/b2baccount/{api}/search: envelope, checks and windows of the five inquiries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from itertools import count

from starlette.responses import Response

from service.sandbox.account import Account
from service.sandbox.broker import Broker
from service.sandbox.calendar import is_trading_day, previous_trading_day
from service.sandbox.door import Ask, answer
from service.sandbox.errors import Refused
from service.sandbox.faults_inquiry import Distortion
from service.sandbox.instruments import BY_ISIN
from service.sandbox.orders import Order
from service.sandbox.paging import Row, page
from service.sandbox.rows import Scribe
from service.sandbox.world import World

Query = dict[str, object]
_ABSENT = (None, "", "null")
_CLOSED_FROM, _CLOSED_UNTIL = time(8, 30), time(16, 0)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """How one inquiry is called on the wire."""

    blocks: tuple[str, ...]
    answer: str
    block: str
    item: str
    rows: Callable[["Desk", Query], list[Row]]
    windowed: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """One broker answering at one moment."""

    world: World
    broker: Broker
    scribe: Scribe
    distortion: Distortion = field(default_factory=Distortion)

    @property
    def today(self) -> date:
        return self.world.now.date()

    def account(self, query: Query) -> Account:
        number = _text(query, "qrAccNo")
        if not number:
            raise Refused(400, 3003, "필수항목 누락 [qrAccNo]")
        if number not in self.broker.accounts:
            raise Refused(500, 3012, "증권사에 없는 계좌", self.broker.profile.name)
        return self.broker.accounts[number]

    def shares_asked(self, query: Query) -> bool:
        """All instruments here are EQTY; another asset type has no rows, or is not supported at all."""
        kind = _text(query, "qrAssetType")
        if kind not in self.broker.profile.asset_types:
            raise Refused(500, 6001, f"지원하지 않는 자산유형 [{kind}]", self.broker.profile.name)
        return kind == "EQTY"

    def side_asked(self, query: Query) -> str | None:
        sides = {"0": None, "": None, "1": "sell", "2": "buy"}
        word = _text(query, "qrSellBuyType")
        if word not in sides:
            raise Refused(500, 6008, "매매구분 오류", self.broker.profile.name)
        return sides[word]

    def isin_asked(self, query: Query) -> str:
        isin = _text(query, "qrIsinCode")
        if isin and isin not in BY_ISIN:
            raise Refused(500, 6007, "알 수 없는 종목코드", self.broker.profile.name)
        return isin

    def day_asked(self, query: Query, name: str) -> date | None:
        text = _text(query, name)
        if not text:
            return None
        try:
            return datetime.strptime(text[:8] + "+0900", "%Y%m%d%z").date()
        except ValueError as error:
            raise Refused(500, 7000, f"잘못된 요청 [{name}]", self.broker.profile.name) from error


def _orders(desk: Desk, query: Query) -> list[Row]:
    account, side, isin = desk.account(query), desk.side_asked(query), desk.isin_asked(query)
    day = desk.day_asked(query, "qrOrderDate") or desk.today
    if desk.distortion.has("inquiry_yesterday"):
        day = previous_trading_day(day)
    number = _text(query, "qrOrderNo").lstrip("0")
    if not desk.shares_asked(query):
        return []

    def wanted(order: Order) -> bool:
        return side in (None, order.side) and isin in ("", order.instrument.isin)

    rows = desk.scribe.order_lines(filter(wanted, desk.broker.book.get((account.number, day), [])))
    for row in rows:
        row["accName"] = row["accName"] or account.name
    return [row for row in rows if not number or str(row["orderNo"]).lstrip("0") == number]


def _balance(desk: Desk, query: Query) -> list[Row]:
    account = desk.account(query)
    if not desk.shares_asked(query):
        return []
    margin = account.expected_cash() - desk.broker.free_cash(account)
    return [desk.scribe.balance(account, desk.today, margin, desk.world.exchange.listings)]


def _settlements(desk: Desk, query: Query) -> list[Row]:
    """Everything under way; with a date, what was traded on it and has not settled."""
    account, side, isin = desk.account(query), desk.side_asked(query), desk.isin_asked(query)
    day = desk.day_asked(query, "qrOrderDate")
    if not desk.shares_asked(query):
        return []
    return [
        desk.scribe.settlement(account, one)
        for one in account.settlements
        if not one.settled and day in (None, one.business_date) and side in (None, one.side) and isin in ("", one.isin)
    ]


def _accounts(desk: Desk, _query: Query) -> list[Row]:
    return [desk.scribe.account(account) for account in desk.broker.accounts.values()]


def _tradebook(desk: Desk, query: Query) -> list[Row]:
    account = desk.account(query)
    start, end = desk.day_asked(query, "qrFromDate"), desk.day_asked(query, "qrToDate")
    if start is None or end is None:
        raise Refused(400, 3003, "필수항목 누락 [qrFromDate, qrToDate]")
    longest = desk.broker.profile.tradebook_days
    if (end - start).days > longest or end < start:
        raise Refused(500, 6006, f"조회기간 초과 [최대 {longest}일]", desk.broker.profile.name)
    return desk.scribe.tradebook(account, start, end)


INQUIRIES: dict[str, Inquiry] = {
    "orderdetail": Inquiry(
        ("orderDetailListRequestBody", "orderDetailRequestBody"), "orderDetailListResponseBody", "orderDetailList",
        "orderDetail", _orders,
    ),
    "balancelist": Inquiry(
        ("balanceListRequestBody",), "balanceListResponseBody", "balanceList", "balance", _balance, windowed=True
    ),
    "settlelist": Inquiry(
        ("settleListRequestBody",), "settleListResponseBody", "settleList", "settleInfo", _settlements, windowed=True
    ),
    "accountlist": Inquiry(
        ("accountListRequestBody",), "accountListResponseBody", "accountList", "account", _accounts
    ),
    "tradebook": Inquiry(
        ("tradeBookListRequestBody",), "tradeBookListResponseBody", "tradeBookList", "tradeBook", _tradebook
    ),
}  # fmt: skip


def handler(world: World) -> Callable[[Ask], Response]:
    ids = count(1)

    def handle(ask: Ask) -> Response:
        broker, inquiry = world.brokers.get(ask.path["broker"]), INQUIRIES.get(ask.path["api"])
        if broker is None or inquiry is None:
            raise Refused(400, 3002, "알 수 없는 API URL")
        consumer, query = _envelope(world, inquiry, ask.document)
        header: Row = {
            "reqIdPlatform": f"INQ{world.now:%Y%m%d}{next(ids):010d}", "reqIdConsumer": consumer,
            "certDn": None, "ci": "",
        }  # fmt: skip
        distortion = Distortion(tuple(world.faults.take("rows", ask.call)))
        scribe = Scribe(broker.profile, world.now - distortion.lag())
        return _answer(Desk(world, broker, scribe, distortion), inquiry, query, header)

    return handle


def _answer(desk: Desk, inquiry: Inquiry, query: Query, header: Row) -> Response:
    profile = desk.broker.profile
    try:
        _check_window(desk.world.now, inquiry)
        shown, result = page(profile, desk.distortion.rows(inquiry.rows(desk, query)), query, jump=_jump(desk.distortion))
        if desk.distortion.has("inquiry_rows_missing"):
            shown = shown[: len(shown) // 2]
    except Refused as refusal:
        if not profile.list_errors_inside_200 or refusal.status != 500:
            raise
        inside = {"commonHeader": header, "resp": {"respCode": str(refusal.code), "respMsg": refusal.message}}
        return answer(inside, numbers=profile.numbers)
    block = {"queryParameter": query, "queryResult": result, inquiry.block: {inquiry.item: shown}}
    document = {"commonHeader": header, "resp": {"respCode": "200", "respMsg": "OK"}, inquiry.answer: block}
    return answer(desk.distortion.document(document), numbers=profile.numbers)


def _jump(distortion: Distortion) -> int:
    """How many pages the next key leads on: one, unless a fault says otherwise."""
    if distortion.has("inquiry_page_repeated"):
        return 0
    return 2 if distortion.has("inquiry_page_missing") else 1


def _check_window(now: datetime, inquiry: Inquiry) -> None:
    """balancelist and settlelist answer only before 08:30 and after 16:00."""
    if inquiry.windowed and is_trading_day(now.date()) and _CLOSED_FROM <= now.time() < _CLOSED_UNTIL:
        raise Refused(500, 7000, "잘못된 요청 [조회가능시간 08:30 이전, 16:00 이후]")


def _envelope(world: World, inquiry: Inquiry, document: object) -> tuple[str, Query]:
    if not isinstance(document, dict):
        raise Refused(400, 400, "Bad Request")
    partner, common = _block(document, "partner"), _block(document, "commonHeader")
    if _text(partner, "comId") != world.identity.com_id or _text(partner, "srvId") != world.identity.srv_id:
        raise Refused(403, 2100, "API 사용 권한 없음 [partner]", "op-auth")
    consumer = _text(common, "reqIdConsumer")
    if not consumer:
        raise Refused(400, 3003, "필수항목 누락 [reqIdConsumer]")
    name = next((block for block in inquiry.blocks if block in document), inquiry.blocks[0])
    return consumer, _block(_block(document, name), "queryParameter")


def _block(document: Query, name: str) -> Query:
    block = document.get(name)
    if not isinstance(block, dict):
        raise Refused(400, 3003, f"필수항목 누락 [{name}]")
    return block


def _text(query: Query, name: str) -> str:
    value = query.get(name)
    return "" if value in _ABSENT or isinstance(value, list | dict) else str(value).strip()
