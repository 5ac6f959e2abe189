"""What no broker can mean (P11): such a message is quarantined and alarmed, never clamped and never dropped."""

from collections.abc import Iterable
from decimal import Decimal

from service.gateway import CancelReject, ExecType, ExecutionReport, OrderRow, RequestKind, Side
from service.orders.model import Order

LONGEST_TEXT = 4000  # characters; it stands in the order, in answers and in the ledger
FINEST_PRICE = Decimal("0.0001")  # won; the tables keep no finer one, and nothing is rounded unseen (P33)


class Impossible(ValueError):
    """Rows of an inquiry that cannot be about this order; the word says why."""


def impossible(order: Order, account_number: str, report: ExecutionReport | CancelReject) -> str | None:
    """Why a report cannot be about this order, or None."""
    if _longest(report) > LONGEST_TEXT:
        return "endless-text"
    if isinstance(report, CancelReject):
        return None
    if report.account is not None and report.account.reveal() != account_number:
        return "wrong-account"
    if report.side is not None and report.side is not Side(order.side):
        return "wrong-side"
    if report.isin is not None and report.isin != order.isin:
        return "wrong-instrument"
    return _impossible_quantity(order, report) or _impossible_price(report)


def _longest(report: ExecutionReport | CancelReject) -> int:
    said = [report.text, report.cl_ord_id, report.orig_cl_ord_id, report.order_id, report.sender]
    if isinstance(report, CancelReject):
        said += [report.reason]
    else:
        said += [report.exec_id, report.exec_ref_id, report.reject_reason, report.restatement_reason, report.short_code]
    return max(len(one or "") for one in said)


def _impossible_quantity(order: Order, report: ExecutionReport) -> str | None:
    given = (report.last_quantity, report.leaves_quantity, report.cumulative_quantity, report.order_quantity)
    if any(one is not None and one < 0 for one in given):
        return "negative-quantity"
    most = _most(order, report)
    if (report.cumulative_quantity or 0) > most:
        return "overfill"
    return "enlarged" if _tells_terms(order, report) and (report.order_quantity or 0) > most else None


def _most(order: Order, report: ExecutionReport) -> int:
    """As many shares the order may ever have had. A report is no excuse for itself: nobody enlarges an order of ours (P14) but
    a restatement. What we did not send may be larger than its first report said."""
    asked = ever_asked(order)
    believed = order.external or report.exec_type is ExecType.RESTATED
    return max(asked, report.order_quantity or 0) if believed else asked


def ever_asked(order: Order) -> int:
    """The largest quantity the order ever had, in shares."""
    return max([order.quantity, *[one.quantity for one in order.requests]])


def impossible_rows(order: Order, rows: Iterable[OrderRow]) -> str | None:
    """Why rows of an inquiry cannot be about this order, or None. Of what we did not send they tell the quantity themselves."""
    told = [one for one in rows if not one.is_cancel]
    if not order.external and sum(one.executed_quantity for one in told) > ever_asked(order):
        return "overfill"
    listed = [one for row in told for one in row.executions]
    if any(one < 0 for one in [*(row.executed_quantity for row in told), *(each.quantity for each in listed)]):
        return "negative-quantity"
    if any(one.price <= 0 for one in listed):
        return "no-price"
    return "price-too-fine" if any(_too_fine(one.price) for one in listed) else None


def _tells_terms(order: Order, report: ExecutionReport) -> bool:
    """Whether the quantity the report gives the order would become the order's."""
    amendments = {one.cl_ord_id for one in order.requests if one.kind is RequestKind.AMENDMENT}
    return report.exec_type is ExecType.REPLACED or report.cl_ord_id in amendments


def _impossible_price(report: ExecutionReport) -> str | None:
    given = [one for one in (report.last_price, report.price) if one is not None]
    if report.last_price is not None and report.last_price < 0:
        return "negative-price"
    return "price-too-fine" if any(_too_fine(one) for one in given) else None


def _too_fine(price: Decimal) -> bool:
    return price != price.quantize(FINEST_PRICE)
