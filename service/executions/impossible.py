"""What no broker can mean (P11): such a message is quarantined and alarmed, never clamped and never dropped."""

from service.gateway import CancelReject, ExecutionReport, Side
from service.orders.model import Order

LONGEST_TEXT = 4000  # characters; it stands in the order, in answers and in the ledger


def impossible(order: Order, account_number: str, report: ExecutionReport | CancelReject) -> str | None:
    """Why a report cannot be about this order, or None."""
    if isinstance(report, CancelReject):
        return "endless-text" if len(report.text or "") > LONGEST_TEXT else None
    if report.account is not None and report.account.reveal() != account_number:
        return "wrong-account"
    if report.side is not None and report.side is not Side(order.side):
        return "wrong-side"
    if report.isin is not None and report.isin != order.isin:
        return "wrong-instrument"
    return "endless-text" if _longest(report) > LONGEST_TEXT else _impossible_quantity(order, report)


def _longest(report: ExecutionReport) -> int:
    said = (report.text, report.cl_ord_id, report.orig_cl_ord_id, report.order_id, report.exec_id, report.exec_ref_id)
    return max(len(one) for one in said if one is not None) if any(said) else 0


def _impossible_quantity(order: Order, report: ExecutionReport) -> str | None:
    asked = max([order.quantity, report.order_quantity or 0, *[one.quantity for one in order.requests]])
    given = (report.last_quantity, report.leaves_quantity, report.cumulative_quantity, report.order_quantity)
    if any(one is not None and one < 0 for one in given):
        return "negative-quantity"
    if report.cumulative_quantity is not None and report.cumulative_quantity > asked:
        return "overfill"
    if report.last_price is not None and report.last_price < 0:
        return "negative-price"
    return None
