"""Who calls, and whether they may: a scope per route. How a token is checked is in `tokens`."""

from typing import Any

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from crossdock_chassis.http.request import REALM, Caller, RequestState, state_of
from crossdock_chassis.problems import FORBIDDEN, UNAUTHENTICATED, Refusal


class Guard(SecurityBase):
    """A dependency of the request alone, which the OpenAPI shows as a bearer token with its scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.scheme_name = "bearer"
        self.model = HTTPBearerModel(bearerFormat="JWT", description="OAuth 2 client credentials")

    async def __call__(self, request: Request) -> Caller:
        state = state_of(request)
        caller = state.caller or await authenticate(state)
        if self.scope not in caller.scopes:
            raise Refusal(
                FORBIDDEN,
                f"This needs the scope {self.scope}",
                extra={"scope": self.scope},
                headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{self.scope}"'},
            )
        if not caller.partner:
            raise Refusal(FORBIDDEN, "The token names no partner")
        return caller


def requires(scope: str) -> Any:
    """Dependency: a caller whose token carries `scope` and names a partner, else 401 or 403.

    Writer = Annotated[Caller, requires("orders:write")]
    """
    return Security(Guard(scope), scopes=[scope])


async def authenticate(state: RequestState) -> Caller:
    """Raises Refusal 401, or 503 while the issuer's keys cannot be had. Asked once per request."""
    authorization = state.headers.get(b"authorization")
    if authorization is None:
        raise Refusal(UNAUTHENTICATED, "Send Authorization: Bearer <token>", headers={"WWW-Authenticate": REALM})
    caller = state.verifier.known(authorization) or await state.verifier.verify(authorization)
    state.caller = caller
    return caller
