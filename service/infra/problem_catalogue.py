"""Every problem type we answer with, as data: what it means and what a caller does now. A page shows each.

A slice that raises a slug of its own adds its row here; a test finds slugs without one.
"""

from dataclasses import dataclass

from service.infra.problem_catalogue_trading import ROWS


@dataclass(frozen=True)
class ProblemType:
    slug: str
    status: int
    title: str
    meaning: str
    what_now: str


_ROWS = (
    # --- the message itself
    ("malformed-json", 400, "Malformed JSON", "The body is not JSON that can be read.", "Correct the body and send it."),
    ("bad-request", 400, "Bad request", "The request cannot be read.", "Correct what `detail` names and send it again."),
    ("idempotency-key-required", 400, "Idempotency-Key required",
     "A call that creates an intent carries a key, so that sending it again does nothing twice.",
     "Send a new random key for every new intent, and the same key when you repeat one."),
    ("body-too-large", 413, "Body too large", "The body has more bytes than we read.", "Send less in one request."),
    ("method-not-allowed", 405, "Method not allowed", "This address does not know this method.",
     "Use one of the methods in the Allow header."),
    ("not-acceptable", 406, "Not acceptable", "We cannot answer in a format that you accept.", "Accept application/json."),
    ("unsupported-media-type", 415, "Unsupported media type", "The body is of a type we do not read.",
     "Send application/json."),
    ("validation-failed", 422, "Validation failed", "The body was read, and fields of it are not as they must be.",
     "Correct every field listed in `violations`; all of them are listed."),
    ("object-expected", 422, "One object expected", "Something else came where one object is due.",
     "Send one object a request."),
    ("list-orders-not-supported", 422, "List orders are not supported",
     "The platform takes one order a message, and so do we.", "Send one request per order."),
    ("idempotency-key-reused", 422, "Idempotency-Key used with another body",
     "This key was used before with another body. Nothing was done now.", "Use a new key for a new intent."),
    # --- who calls
    ("authentication-required", 401, "Authentication required", "The call does not say who makes it, or we cannot tell.",
     "Send `Authorization: Bearer` with a valid API key or token."),
    ("role-required", 403, "Role required", "You are known, and your roles do not allow this call.",
     "Ask an administrator for the role that `detail` names, or have a colleague who has it call."),
    ("not-found", 404, "Not found", "It does not exist, or it is not yours to see: the two look the same.",
     "Check the address and the id; ask who assigns mandates if it should be yours."),
    # --- the state of things
    ("conflict", 409, "Conflict", "The present state does not allow this.", "Read the present state, then decide again."),
    ("idempotency-in-progress", 409, "The first call is still running",
     "A call with this Idempotency-Key has not ended.", "Repeat it with the same key in a second."),
    ("licence-required", 403, "Licence required",
     "No valid discretionary-investment licence is set, and orders and discretionary inquiries need one.",
     "Set ILIM_LICENCE_NUMBER and ILIM_LICENCE_VALID_UNTIL and start again."),
    # --- limits and outages
    ("too-many-requests", 429, "Too many requests", "A limit on calls is used up for now.",
     "Wait as many seconds as Retry-After says."),
    ("budget-exhausted", 429, "Call budget used up",
     "The platform's calls of the day are spent, except those kept for cancellations.",
     "Cancellations still pass. The budget turns at 00:00 UTC (09:00 KST)."),
    ("budget-unavailable", 503, "Call budget cannot be counted",
     "The platform's calls are counted in the database, and it did not answer; nothing is called uncounted.",
     "Repeat with the same Idempotency-Key after Retry-After seconds."),
    ("tick-unknown", 503, "Tick table missing", "No tick table holds for this product on this day.",
     "An operator adds the table of that day; the service does not guess a tick."),
    ("internal-error", 500, "Internal error", "Something of ours failed. It is in the log under this request id.",
     "Repeat with the same Idempotency-Key: if the first call took effect, you get its answer. Else give us `instance`."),
    ("unavailable", 503, "Temporarily unavailable", "A part that we need is not there at the moment.",
     "Repeat with the same Idempotency-Key after Retry-After seconds."),
    ("database-full", 503, "No room to store anything",
     "The database's disk is full. What cannot be stored is not taken, and nothing of it is sent. The books can still be read.",
     "Repeat with the same Idempotency-Key: it takes effect once, when there is room. Tell whoever runs the service."),
)  # fmt: skip

CATALOGUE: dict[str, ProblemType] = {row[0]: ProblemType(*row) for row in (*_ROWS, *ROWS)}


def problem_type(slug: str, status: int) -> ProblemType:
    """The row of a slug; a stand-in with a title made of the slug where nobody wrote one yet."""
    if slug in CATALOGUE:
        return CATALOGUE[slug]
    return ProblemType(slug, status, slug.replace("-", " ").capitalize(), "See `detail`.", "See `detail`.")
