"""Authorisation: each route needs a scope. `tokens` verifies the token."""

from typing import Any, ClassVar

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from crossdock_chassis.http.concurrency import TOO_MANY_AT_ONCE
from crossdock_chassis.http.dependencies import Dependency
from crossdock_chassis.http.request import REALM, Caller, RequestState, state_of
from crossdock_chassis.http.tokens import ISSUER_UNAVAILABLE
from crossdock_chassis.problems import FORBIDDEN, UNAUTHENTICATED, Problem, Refusal


class Guard(SecurityBase, Dependency):
    """A dependency of the request alone, which the OpenAPI shows as a bearer token with its scope."""

    problems: ClassVar[tuple[Problem, ...]] = (UNAUTHENTICATED, FORBIDDEN, TOO_MANY_AT_ONCE, ISSUER_UNAVAILABLE)

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
    """Return the dependency on a caller whose token carries `scope` and names a partner, else 401 or 403.

    Writer = Annotated[Caller, requires("orders:write")]
    """
    return Security(Guard(scope), scopes=[scope])


async def authenticate(state: RequestState) -> Caller:
    """Return the caller and count the request. Raise Refusal 401, 429, or 503 while keys are not available.

    Called once a request.
    """
    authorization = state.headers.get(b"authorization")
    if authorization is None:
        raise Refusal(UNAUTHENTICATED, "Send Authorization: Bearer <token>", headers={"WWW-Authenticate": REALM})
    caller = state.verifier.known(authorization) or await state.verifier.verify(authorization)
    state.caller = caller
    state.enter()
    return caller
