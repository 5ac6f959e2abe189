"""The port: what we ask of the platform, and every answer it can give.

Answers are values, never exceptions. A send ends as exactly one of `Accepted | Refused | NotSent | Unknown`; an inquiry
as `Complete | Incomplete`. An `Incomplete` proves no absence. Every answer names the raw copies it was read from.
"""

from service.gateway.inquiries import (
    AccountRow,
    BalanceRow,
    CallClass,
    CashRow,
    Complete,
    CostRow,
    ExecutionRow,
    Failure,
    HoldingRow,
    Incomplete,
    Inquiry,
    InstrumentRef,
    OrderRow,
    SettlementRow,
    TransactionRow,
)
from service.gateway.linkage import LinkedAccount, Membership
from service.gateway.market import InstrumentMaster, ListedInstrument
from service.gateway.orders import (
    Accepted,
    NotSent,
    OrderMessage,
    OrderType,
    Refused,
    RequestKind,
    SendOutcome,
    Session,
    Side,
    TimeInForce,
    Unknown,
)
from service.gateway.port import Gateway
from service.gateway.profile import CANCELLED_WORDS, BrokerProfile
from service.gateway.reports import CancelReject, ExecType, ExecutionReport, RawReport, Report, ReportStream, StoreRaw, Unreadable

__all__ = [
    "CANCELLED_WORDS",
    "Accepted",
    "AccountRow",
    "BalanceRow",
    "BrokerProfile",
    "CallClass",
    "CancelReject",
    "CashRow",
    "Complete",
    "CostRow",
    "ExecType",
    "ExecutionReport",
    "ExecutionRow",
    "Failure",
    "Gateway",
    "HoldingRow",
    "Incomplete",
    "Inquiry",
    "InstrumentMaster",
    "InstrumentRef",
    "LinkedAccount",
    "ListedInstrument",
    "Membership",
    "NotSent",
    "OrderMessage",
    "OrderRow",
    "OrderType",
    "RawReport",
    "Refused",
    "Report",
    "ReportStream",
    "RequestKind",
    "SendOutcome",
    "Session",
    "SettlementRow",
    "Side",
    "StoreRaw",
    "TimeInForce",
    "TransactionRow",
    "Unknown",
    "Unreadable",
]
