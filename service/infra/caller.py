"""Who calls: the bearer of a key or token, as a Principal.

The application installs an `Authenticator` on `app.state.authenticate`; this module only reads the header.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.core.errors import Forbidden, Unauthenticated
from service.core.principal import Principal, Role

Authenticator = Callable[[str], Awaitable[Principal]]
"""From the bearer's text to who it is. Raises Unauthenticated."""

bearer = HTTPBearer(auto_error=False, description="API key issued by the service, or a JWT of the firm's provider")
MAX_TOKEN_CHARACTERS = 8192


async def caller(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]) -> Principal:
    """The authenticated caller. Raises Unauthenticated."""
    if credentials is None or not 0 < len(credentials.credentials) <= MAX_TOKEN_CHARACTERS:
        raise Unauthenticated("authentication-required", "Send `Authorization: Bearer` with an API key or a token.")
    authenticate: Authenticator = request.app.state.authenticate
    return await authenticate(credentials.credentials)


Caller = Annotated[Principal, Depends(caller)]


def require(*roles: Role) -> Any:
    """`Annotated[Principal, require(Role.MANAGER)]`: a caller with at least one of these roles, else Forbidden."""

    async def checked(principal: Caller) -> Principal:
        if not principal.has(*roles):
            wanted = " or ".join(sorted(roles))
            raise Forbidden("role-required", f"This call needs the role {wanted}.")
        return principal

    checked.__name__ = "require_" + "_".join(sorted(roles))
    checked.roles = frozenset(roles)  # type: ignore[attr-defined]  # read by the role matrix test
    return Depends(checked)
