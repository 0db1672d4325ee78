"""The endpoints for people: authorize, the two grants of the token endpoint, revoke, and end session.

A person chooses who to be; there is no password. Everything else is as strict as at a real provider. PKCE is required,
with S256 only. A code works once and for a minute. Redirect addresses are compared as they are. Refresh tokens rotate.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from crossdock_local.oauth import NO_STORE, OAuthError, credentials_of, fields_of, form_of
from crossdock_local.people import page
from crossdock_local.people.applications import Application, Applications
from crossdock_local.people.grants import PEOPLE, Grants, Lifetimes, Person, SignIn

ALGORITHM: Final = "RS256"
GRANTS: Final = ("authorization_code", "refresh_token")
PEOPLE_SCOPES: Final = tuple(dict.fromkeys(scope for person in PEOPLE for scope in person.scopes))
MAX_QUERY_BYTES: Final = 8 * 1024
MAX_TEXT: Final = 512
"""Characters of `state` and `nonce`."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class SignAccessToken(Protocol):
    def __call__(self, *, client: str, scopes: tuple[str, ...], subject: str, lifetime: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request of an application to sign a person in."""

    application: Application
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str
    state: str | None
    nonce: str | None


class _SentBack(Exception):
    """An error of the request that the application may see: the browser is sent back with it."""

    def __init__(self, location: str) -> None:
        self.location = location


class People:
    """The flow of one issuer process. `shown` is its address for browsers, if that is another one."""

    def __init__(
        self,
        home: Path,
        issuer: str,
        key: RSAKey,
        sign: SignAccessToken,
        lifetimes: Lifetimes | None = None,
        *,
        shown: str | None = None,
    ) -> None:
        self._issuer, self._key, self._sign, self._shown = issuer, key, sign, shown or issuer
        self._lifetimes = lifetimes or Lifetimes()
        self._applications, self._grants = Applications(home), Grants(self._lifetimes)

    @property
    def discovery(self) -> dict[str, object]:
        """Return the part of the discovery document that describes the flow."""
        return {
            "authorization_endpoint": f"{self._shown}/oauth/authorize",
            "end_session_endpoint": f"{self._shown}/oauth/logout",
            "revocation_endpoint": f"{self._issuer}/oauth/revoke",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/oauth/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/oauth/logout", self._logout, methods=["GET", "POST"]),
            Route("/oauth/revoke", self._revoke, methods=["POST"]),
        ]

    def token(self, request: Request, form: Mapping[str, str]) -> JSONResponse:
        """Answer one of `GRANTS` at the token endpoint. Raise OAuthError."""
        application = self._authenticated(request, form)
        if form["grant_type"] == "authorization_code":
            if not _VERIFIER.fullmatch(form.get("code_verifier", "")):
                raise OAuthError("invalid_grant", "send the code_verifier of 43 to 128 characters")
            sign_in = self._grants.redeem(
                form.get("code", ""),
                application.id,
                redirect_uri=form.get("redirect_uri", ""),
                verifier=form["code_verifier"],
            )
            return self._tokens(sign_in, sign_in.scopes, {"id_token": self._id_token(sign_in)})
        sign_in = self._grants.refreshed(form.get("refresh_token", ""), application.id)
        scopes = tuple(dict.fromkeys(form["scope"].split())) if form.get("scope") else sign_in.scopes
        if beyond := [scope for scope in scopes if scope not in sign_in.scopes]:
            raise OAuthError("invalid_scope", f"not granted to this sign-in: {' '.join(beyond)[:200]}")
        return self._tokens(sign_in, scopes, {})

    def _tokens(self, sign_in: SignIn, scopes: tuple[str, ...], more: Mapping[str, str]) -> JSONResponse:
        access = self._sign(
            client=sign_in.application,
            scopes=tuple(scope for scope in scopes if scope in PEOPLE_SCOPES),
            subject=sign_in.person.subject,
            lifetime=self._lifetimes.access,
        )
        answer: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self._lifetimes.access,
            "scope": " ".join(scopes),
            **more,
        }
        if "offline_access" in sign_in.scopes:
            answer["refresh_token"] = self._grants.new_refresh_token(sign_in)
        return JSONResponse(answer, headers=NO_STORE)

    def _id_token(self, sign_in: SignIn) -> str:
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": sign_in.person.subject,
            "aud": sign_in.application,
            "iat": now,
            "exp": now + self._lifetimes.access,
            "auth_time": sign_in.at,
            "sid": sign_in.id,
            "name": sign_in.person.name,
        }
        if sign_in.nonce is not None:
            claims["nonce"] = sign_in.nonce
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key, algorithms=[ALGORITHM])

    async def _authorize(self, request: Request) -> Response:
        try:
            asked = self._asked(_query(request))
            if request.method != "POST":
                origin = _origin(asked.redirect_uri)
                return page.choice(PEOPLE, f"?{request.url.query}", asked.application.id, origin)
            if request.headers.get("origin") != f"http://{request.headers.get('host')}":
                raise OAuthError("invalid_request", "the form was sent by a page of another origin", 403)
            chosen = (await form_of(request)).get("person")
            if not chosen:
                self._send_back(asked, error="access_denied", error_description="the person did not sign in")
            return self._with_code(asked, _person(chosen))
        except _SentBack as back:
            return _see_other(back.location)
        except OAuthError as error:
            return page.sentence("This sign-in is not possible", str(error), error.status)

    def _asked(self, query: Mapping[str, str]) -> Asked:
        """Check the request. Raise OAuthError for the page, or `_SentBack` once the redirect address is trusted."""
        application = self._applications.find(query.get("client_id", ""))
        if application is None:
            raise OAuthError("invalid_request", "client_id names no application of this issuer")
        if query.get("redirect_uri") not in application.redirect_uris:
            raise OAuthError("invalid_request", "redirect_uri is no address of the application")
        state, nonce = query.get("state"), query.get("nonce")
        scopes = tuple(dict.fromkeys(query.get("scope", "").split()))
        challenge = query.get("code_challenge", "")
        known = {"openid", "offline_access", *PEOPLE_SCOPES}
        asked = Asked(
            application,
            query["redirect_uri"],
            tuple(scope for scope in scopes if scope in known),
            challenge,
            state if state is None or len(state) <= MAX_TEXT else None,
            nonce,
        )
        fault = _fault(query, scopes, challenge)
        if fault is not None:
            self._send_back(asked, error=fault[0], error_description=fault[1])
        return asked

    def _with_code(self, asked: Asked, person: Person) -> Response:
        scopes = tuple(scope for scope in asked.scopes if scope not in PEOPLE_SCOPES or scope in person.scopes)
        code = self._grants.new_code(
            person,
            asked.application.id,
            scopes,
            redirect_uri=asked.redirect_uri,
            challenge=asked.challenge,
            nonce=asked.nonce,
        )
        return _see_other(self._location(asked, code=code))

    def _send_back(self, asked: Asked, **error: str) -> NoReturn:
        raise _SentBack(self._location(asked, **error))

    def _location(self, asked: Asked, **answer: str) -> str:
        if asked.state is not None:
            answer["state"] = asked.state
        return _with_query(asked.redirect_uri, {**answer, "iss": self._issuer})

    async def _revoke(self, request: Request) -> Response:
        form = await form_of(request)
        application = self._authenticated(request, form)
        self._grants.revoke(form.get("token", ""), application.id)
        return Response(headers=NO_STORE)  # also for an unknown token (RFC 7009)

    async def _logout(self, request: Request) -> Response:
        try:
            asked = await form_of(request) if request.method == "POST" else _query(request)
            application, sign_in = self._hinted(asked.get("id_token_hint", ""))
            if asked.get("client_id", application.id) != application.id:
                raise OAuthError("invalid_request", "id_token_hint was issued to another application")
            target = asked.get("post_logout_redirect_uri")
            if target is not None and target not in application.post_logout_redirect_uris:
                raise OAuthError(
                    "invalid_request", "post_logout_redirect_uri is not one of the application's addresses"
                )
            self._grants.end(sign_in)
            if target is None:
                return page.sentence("You are signed out", "You can close this page.")
            state = asked.get("state")
            return _see_other(_with_query(target, {"state": state} if state and len(state) <= MAX_TEXT else {}))
        except OAuthError as error:
            return page.sentence("This sign-out is not possible", str(error), error.status)

    def _hinted(self, hint: str) -> tuple[Application, str]:
        """Return the application and the sign-in of an ID token. It may have expired."""
        try:
            claims = jwt.decode(hint, self._key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError):
            raise OAuthError("invalid_request", "id_token_hint is not an ID token of this issuer") from None
        application = self._applications.find(str(claims.get("aud")))
        if application is None or "sid" not in claims:
            raise OAuthError("invalid_request", "id_token_hint is not an ID token of this issuer")
        return application, str(claims["sid"])

    def _authenticated(self, request: Request, form: Mapping[str, str]) -> Application:
        id, secret, basic = credentials_of(request, form)
        application = self._applications.find(id)
        if application is None or not application.has(secret):
            raise OAuthError("invalid_client", "unknown client or wrong secret", 401, basic=basic)
        return application


def _fault(query: Mapping[str, str], scopes: tuple[str, ...], challenge: str) -> tuple[str, str] | None:
    """Return the error and its description, if the request has a fault."""
    if query.get("response_type") != "code":
        return "unsupported_response_type", "only response_type=code"
    if query.get("response_mode", "query") != "query":
        return "invalid_request", "only response_mode=query"
    if "request" in query or "request_uri" in query:
        return "request_not_supported", "send the parameters in the query"
    if "openid" not in scopes:
        return "invalid_scope", "scope must have openid"
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        return "invalid_request", "PKCE is required: send code_challenge and code_challenge_method=S256"
    if any(len(query.get(name, "")) > MAX_TEXT for name in ("state", "nonce")):
        return "invalid_request", f"state and nonce have at most {MAX_TEXT} characters"
    if query.get("prompt") == "none":
        return "login_required", "this issuer asks the person each time"
    return None


def _query(request: Request) -> dict[str, str]:
    encoded: bytes = request.scope["query_string"]
    if len(encoded) > MAX_QUERY_BYTES:
        raise OAuthError("invalid_request", "the query is too long", 414)
    return fields_of(encoded)


def _person(subject: str) -> Person:
    for each in PEOPLE:
        if each.subject == subject:
            return each
    raise OAuthError("invalid_request", "there is no such person")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _with_query(url: str, more: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(more)}" if more else url


def _see_other(location: str) -> Response:
    return RedirectResponse(location, 303, NO_STORE)
