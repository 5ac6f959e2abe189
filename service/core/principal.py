"""Who calls."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    MANAGER = "manager"  # 투자운용인력
    APPROVER = "approver"
    OPERATIONS = "operations"
    COMPLIANCE = "compliance"  # 준법감시: reads all, changes nothing in trading
    ADMINISTRATOR = "administrator"  # users and settings, no trading


@dataclass(frozen=True)
class Principal:
    """An authenticated caller."""

    user_id: UUID
    name: str
    roles: frozenset[Role]
    key_id: UUID | None = None

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)

    @property
    def sees_all_books(self) -> bool:
        """Managers see only accounts of mandates assigned to them; the other roles that read see all."""
        return self.has(Role.COMPLIANCE, Role.OPERATIONS, Role.APPROVER)
