"""Refusals a caller can understand. Kinds live here, HTTP numbers in `infra/problems.py`.

ServiceError
├── BadRequest        the message itself is malformed
├── Unauthenticated   who are you?
├── Forbidden         known caller, role does not allow it
├── NotFound          not there, or not yours: the two look the same
├── Conflict          the state does not allow it now
├── Invalid           understood, and refused by rules: every violation is listed
├── TooLarge          more bytes than we read
├── Busy              a limit of ours or of the platform is used up
└── Unavailable       a part we need is not there; try again later
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Violation:
    """One failed check: which rule (`code`), which field, what a person reads, and the figures behind it."""

    code: str
    field: str
    message: str
    limit: str | None = None
    actual: str | None = None

    def as_dict(self) -> dict[str, str]:
        given = {"code": self.code, "field": self.field, "message": self.message}
        optional = {"limit": self.limit, "actual": self.actual}
        return given | {key: value for key, value in optional.items() if value is not None}


class ServiceError(Exception):
    """Base of every refusal. `slug` names the problem type `/problems/{slug}`."""

    def __init__(
        self, slug: str, detail: str, *, violations: tuple[Violation, ...] = (), extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail
        self.violations = violations
        self.extra = extra or {}


class BadRequest(ServiceError):
    pass


class Unauthenticated(ServiceError):
    pass


class Forbidden(ServiceError):
    pass


class NotFound(ServiceError):
    pass


class Conflict(ServiceError):
    pass


class Invalid(ServiceError):
    pass


class TooLarge(ServiceError):
    pass


class Busy(ServiceError):
    pass


class Unavailable(ServiceError):
    pass


def nothing_to_change() -> Invalid:
    """A change that names nothing would leave an entry in the ledger, and a new version, that mean nothing."""
    said = "No field to change is given: name at least one."
    return Invalid("validation-failed", said, violations=(Violation("nothing-to-change", "", said),))
