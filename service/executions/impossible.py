"""What no broker can mean (P11): such a message is quarantined and alarmed, never clamped and never dropped."""

from decimal import Decimal

from service.gateway import CancelReject, ExecType, ExecutionReport, RequestKind, Side
from service.orders.model import Order

LONGEST_TEXT = 4000  # characters; it stands in the order, in answers and in the ledger
FINEST_PRICE = Decimal("0.0001")  # won; the tables keep no finer one, and nothing is rounded unseen (P33)


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
    asked = max([order.quantity, *[one.quantity for one in order.requests]])
    believed = order.external or report.exec_type is ExecType.RESTATED
    return max(asked, report.order_quantity or 0) if believed else asked


def _tells_terms(order: Order, report: ExecutionReport) -> bool:
    """Whether the quantity the report gives the order would become the order's."""
    amendments = {one.cl_ord_id for one in order.requests if one.kind is RequestKind.AMENDMENT}
    return report.exec_type is ExecType.REPLACED or report.cl_ord_id in amendments


def _impossible_price(report: ExecutionReport) -> str | None:
    given = [one for one in (report.last_price, report.price) if one is not None]
    if report.last_price is not None and report.last_price < 0:
        return "negative-price"
    return "price-too-fine" if any(one != one.quantize(FINEST_PRICE) for one in given) else None
