"""Authorisation: each route needs a scope, and a partner unless it is for operators. `tokens` verifies the token.

Partners have tokens that name them. Operators, people and programs of the company, have tokens without a partner.
"""

from typing import Annotated, Any, ClassVar, Final

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from crossdock_chassis.http.concurrency import TOO_MANY_AT_ONCE
from crossdock_chassis.http.dependencies import Dependency
from crossdock_chassis.http.request import REALM, Caller, RequestState, state_of
from crossdock_chassis.http.tokens import ISSUER_UNAVAILABLE
from crossdock_chassis.problems import FORBIDDEN, INVALID, UNAUTHENTICATED, Problem, Refusal, fault

OPS_READ: Final = "ops:read"
OPS_ACT: Final = "ops:act"
_DESCRIPTION: Final = (
    "An OAuth 2 access token. The scopes `ops:read` and `ops:act` are for operators, whose tokens need no partner. "
    "The scope `crm:staff` needs a token without a partner. Every other scope needs a token that names a partner."
)


class Guard(SecurityBase, Dependency):
    """A dependency of the request alone, which the OpenAPI shows as a bearer token with its scopes.

    `scope` is for tokens that name a partner. `operators` is the scope of a route for operators: with `scope`, for
    tokens without a partner; alone, for any token, or with `staff` only for tokens without a partner.
    """

    problems: ClassVar[tuple[Problem, ...]] = (UNAUTHENTICATED, FORBIDDEN, TOO_MANY_AT_ONCE, ISSUER_UNAVAILABLE)

    def __init__(self, scope: str | None, operators: str | None = None, *, staff: bool = False) -> None:
        self.scope, self.operators, self.staff = scope, operators, staff
        self.scheme_name = "bearer"
        self.model = HTTPBearerModel(bearerFormat="JWT", description=_DESCRIPTION)
        self.security = [{"bearer": [each]} for each in (scope, operators) if each is not None]

    async def __call__(self, request: Request) -> Caller:
        state = state_of(request)
        caller = state.caller or await authenticate(state)
        for_partner = self.scope is not None and (self.operators is None or caller.partner)
        scope = self.scope if for_partner else self.operators
        if scope not in caller.scopes:
            raise Refusal(
                FORBIDDEN,
                f"This needs the scope {scope}",
                extra={"scope": scope},
                headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
            )
        if for_partner and not caller.partner:
            raise Refusal(FORBIDDEN, "The token names no partner")
        if self.staff and caller.partner:
            raise Refusal(FORBIDDEN, "The token names a partner, and this is for the company's own staff")
        return caller


def requires(scope: str, *, operators: str | None = None) -> Any:
    """Return the dependency on a caller whose token carries `scope` and names a partner, else 401 or 403.

    With `operators`, a token without a partner may call the route too, if it carries that scope.

    Writer = Annotated[Caller, requires("orders:write")]
    Reader = Annotated[Caller, requires("orders:read", operators="ops:read")]
    """
    return Security(Guard(scope, operators), scopes=[scope])


def operates(scope: str) -> Any:
    """Return the dependency on a caller whose token carries `scope`, with or without a partner."""
    return Security(Guard(None, scope), scopes=[scope])


def staff(scope: str) -> Any:
    """Return the dependency on a caller of the company: the token carries `scope` and names no partner, else 403."""
    return Security(Guard(None, scope, staff=True), scopes=[scope])


OpsReader = Annotated[Caller, operates(OPS_READ)]
Operator = Annotated[Caller, operates(OPS_ACT)]
"""The callers of routes for operators: an `OpsReader` sees everything of all partners, an `Operator` changes it."""


def partner_of(caller: Caller, named: str | None) -> str:
    """Return the partner whose data a list shows: the caller's, or the one that an operator names.

    Raise Refusal 422 if an operator names none, 403 if a partner names another one.
    """
    if not caller.partner:
        if named is None:
            detail = "A token without a partner needs the name of the partner"
            raise Refusal(INVALID, errors=[fault("query", "partner", detail, "missing")])
        return named
    if named not in (None, caller.partner):
        raise Refusal(FORBIDDEN, f"The token is for the partner {caller.partner}")
    return caller.partner


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
