"""Every code of the platform, and what each means for an order just sent (the manual's list of codes, P4).

The table is the whole knowledge. What is not in it is unknown: an undocumented number never proves that an order does
not exist, even where its neighbours do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from service.gateway import Accepted, Refused, SendOutcome, Unknown
from service.koscom.wire import Json, WireError, absent, parse_object, text

REFUSED = "refused"
UNKNOWN = "unknown"
REASON_LENGTH = 200
CODE_LENGTH = 20  # documented ones have three to five

CODES: dict[str, tuple[str, str]] = {
    "400": (REFUSED, "bad request"),
    "401": (REFUSED, "not authenticated"),
    "403": (REFUSED, "forbidden"),
    "404": (REFUSED, "not found"),
    "405": (REFUSED, "method not allowed"),
    "406": (REFUSED, "not acceptable"),
    "408": (UNKNOWN, "request timeout"),
    "415": (REFUSED, "unsupported media type"),
    "429": (REFUSED, "daily limit exceeded"),
    "500": (UNKNOWN, "internal error"),
    "502": (UNKNOWN, "bad gateway"),
    "503": (UNKNOWN, "service unavailable"),
    "504": (UNKNOWN, "gateway timeout"),
    "505": (UNKNOWN, "HTTP version not supported"),
    "2001": (REFUSED, "authentication failed"),
    "2002": (REFUSED, "OTP key invalid"),
    "2003": (REFUSED, "account locked"),
    "2100": (REFUSED, "not authorised for this API"),
    "3001": (UNKNOWN, "bad transaction code from the broker"),
    "3002": (REFUSED, "unknown API URL"),
    "3003": (REFUSED, "required field missing"),
    "3004": (UNKNOWN, "network error towards the broker"),
    "3005": (UNKNOWN, "network timeout towards the broker"),
    "3006": (REFUSED, "DN not found"),
    "3007": (REFUSED, "user not found"),
    "3008": (REFUSED, "company not found"),
    "3009": (REFUSED, "account not found"),
    "3010": (REFUSED, "account expired"),
    "3011": (REFUSED, "JSON could not be parsed"),
    "3012": (REFUSED, "account unknown at the broker"),
    "3013": (REFUSED, "account type unknown"),
    "3600": (UNKNOWN, "broker's service unavailable"),
    "3999": (UNKNOWN, "unknown platform error"),
    "4000": (REFUSED, "DN, CI or account mismatch"),
    "4001": (REFUSED, "DN, CI or account mismatch"),
    "4002": (REFUSED, "DN, CI or account mismatch"),
    "4003": (REFUSED, "DN, CI or account mismatch"),
    "4004": (REFUSED, "DN, CI or account mismatch"),
    "4005": (REFUSED, "DN, CI or account mismatch"),
    "4006": (REFUSED, "consent to provide financial information missing"),
    "5004": (UNKNOWN, "virtual account issue failed"),
    "5005": (UNKNOWN, "virtual account change failed"),
    "5006": (UNKNOWN, "virtual account discard failed"),
    "5007": (UNKNOWN, "virtual account failure"),
    "6001": (UNKNOWN, "asset type not supported"),
    "6002": (UNKNOWN, "response type not supported"),
    "6003": (UNKNOWN, "page key does not exist"),
    "6004": (UNKNOWN, "query type invalid"),
    "6005": (UNKNOWN, "result too many"),
    "6006": (UNKNOWN, "date range exceeded"),
    "6007": (REFUSED, "unknown ISIN"),
    "6008": (REFUSED, "bad side"),
    "7000": (REFUSED, "bad request at the broker"),
}

SUCCESS = "200"
TRANSIENT = frozenset({"408", "500", "502", "503", "504", "3001", "3004", "3005", "3600", "3999"})  # a read may try again
MESSAGE_NAMES = ("message", "error", "respMsg", "description")


@dataclass(frozen=True)
class Verdict:
    """What an answer says of itself: the codes it names, in any of the published shapes, and its words."""

    codes: frozenset[str]
    message: str
    echo: str | None


def read_verdict(body: Json) -> Verdict:
    """Old gateway, new gateway and discretionary answer, all at once. Raises WireError where a code is no code."""
    resp, header = _block(body, "resp"), _block(body, "commonHeader")
    codes = {code for code in (text(body, "code"), text(resp, "respCode")) if code is not None}
    if any(len(code) > CODE_LENGTH for code in codes):
        raise WireError("unreadable-code", "respCode")  # a word of any length would not fit what is written about it
    return Verdict(frozenset(codes), _message(body, resp), text(header, "reqIdConsumer"))


def outcome_of(http_status: int, body: bytes, echo: str, other_brokers: Collection[str] = ()) -> SendOutcome:
    """The one outcome of an answered order request. `echo` is the reqIdConsumer we sent, `other_brokers` the short names of
    those it did not go to, in lower case."""
    try:
        said = parse_object(body)
        verdict = read_verdict(said)
    except WireError as error:
        return Unknown(f"unreadable answer, HTTP {http_status}: {error.reason}", body)
    if http_status == 200 and verdict.codes == {SUCCESS}:
        return _accepted(said, verdict, body, echo)
    if verdict.echo not in {None, echo}:
        return Unknown("answer to another request", body)
    category = said.get("category")  # who says so: a part of the platform, or a broker
    if isinstance(category, str) and category.strip().lower() in other_brokers:
        return Unknown("answer of another broker", body)
    return _by_code(http_status, verdict, body)


def _accepted(said: Json, verdict: Verdict, body: bytes, echo: str) -> SendOutcome:
    if verdict.echo != echo:
        return Unknown("echo missing" if verdict.echo is None else "answer to another request", body)
    try:
        return Accepted(text(_block(said, "commonHeader"), "reqIdPlatform"), body)
    except WireError:
        return Accepted(None, body)


def _by_code(http_status: int, verdict: Verdict, body: bytes) -> SendOutcome:
    if len(verdict.codes) > 1:
        return Unknown(f"contradicting codes {sorted(verdict.codes)}", body)
    code = next(iter(verdict.codes), None)
    if code is None and http_status != 200:
        code = str(http_status)
    kind, meaning = CODES.get(code or "", (UNKNOWN, "not in the table"))
    words = verdict.message or meaning
    if kind == REFUSED and code is not None and _may_refuse(http_status):
        return Refused(code, words, body)
    return Unknown(f"HTTP {http_status} code {code}: {words}", body)


def _may_refuse(http_status: int) -> bool:
    """A refusal comes with 200, with 500 or with a status that is one itself. A time-out of a proxy that carries a
    refusal's code contradicts itself and proves nothing."""
    return http_status in {200, 500} or CODES.get(str(http_status), (UNKNOWN, ""))[0] == REFUSED


def _block(body: Json, name: str) -> Json:
    value = body.get(name)
    if absent(value):
        return {}
    if not isinstance(value, dict):
        raise WireError("unreadable-block", name)
    return value


def _message(body: Json, resp: Json) -> str:
    candidates: list[Any] = [block.get(name) for block in (body, resp) for name in MESSAGE_NAMES]
    words = next((word for word in candidates if isinstance(word, str) and not absent(word)), "")
    return "".join(letter if letter.isprintable() else " " for letter in words).strip()[:REASON_LENGTH]
