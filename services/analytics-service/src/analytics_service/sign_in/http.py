"""Routes of the session: sign in, come back from the issuer, ask who is signed in, sign out."""

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from analytics_service.settings import Settings
from analytics_service.sign_in import cookie, page
from analytics_service.sign_in.attempt import attempt_of, is_own_page, new_attempt, state_of
from analytics_service.sign_in.issuer import Issuer, IssuerAway, Refused
from analytics_service.sign_in.person import People, check_page
from analytics_service.sign_in.seal import Seal, Unreadable
from analytics_service.sign_in.store import Sessions

MAX_QUERY_BYTES: Final = 16 * 1024
NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
OPENID: Final = frozenset({"openid", "offline_access", "profile", "email"})
"""Scopes that are no rights at a service."""
ERRORS: Final[Mapping[str, page.Why]] = {"access_denied": "denied", "login_required": "not_asked"}

log = logging.getLogger(__name__)


def _failed(request: Request, why: page.Why, status: int = 400, return_to: str = "/") -> Response:
    return page.failed(why, status, request.headers.get("accept-language", ""), return_to)


class SessionRoutes:
    def __init__(self, settings: Settings, sessions: Sessions, issuer: Issuer, people: People, seal: Seal) -> None:
        assert settings.console_url is not None
        self._origin, self._scope = settings.console_url, settings.sign_in_scope
        self._sessions, self._issuer, self._people, self._seal = sessions, issuer, people, seal

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/session", self._show),
            Route("/session/sign-in", self._sign_in),
            Route("/session/callback", self._callback),
            Route("/session/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        """Show who is signed in, and with which scopes."""
        check_page(request, self._origin)
        session = await self._people.session(request)
        shown = {
            "person": {"subject": session.person.subject, "name": session.person.name},
            "scopes": [scope for scope in session.scopes if scope not in OPENID],
            "started_at": session.started_at.isoformat(),
            "ends_at": session.ends_at.isoformat(),
        }
        return JSONResponse(shown, headers=NO_STORE)

    async def _sign_in(self, request: Request) -> Response:
        """Send the browser to the issuer."""
        query = _query(request)
        return_to = query.get("return_to", "/") if query is not None else ""
        if not is_own_page(return_to):
            return _failed(request, "foreign_place")
        value = cookie.value_in(request.headers)
        headers = dict(NO_STORE)
        if value is None:
            value = cookie.new_value()
            headers["Set-Cookie"] = cookie.setting(value)
        attempt = new_attempt(value, return_to)
        try:
            target = await self._issuer.sign_in_url(
                state=state_of(attempt, self._seal), nonce=attempt.nonce, verifier=attempt.verifier
            )
        except IssuerAway as error:
            log.warning("issuer away", extra={"reason": str(error)})
            return _failed(request, "away", 503, return_to)
        return RedirectResponse(target, 303, headers)

    async def _callback(self, request: Request) -> Response:
        """Take the browser back from the issuer, and give it a new cookie."""
        query, old = _query(request), cookie.value_in(request.headers)
        attempt = None if query is None else attempt_of(query.get("state", ""), old, self._seal)
        if query is None or attempt is None or old is None:
            return _failed(request, "not_started")
        try:
            await self._issuer.check_sender(query.get("iss"))
            if "error" in query:
                raise Refused(f"the issuer answered {query['error'][:100]}")
            tokens, person = await self._issuer.redeem(
                query.get("code", ""), verifier=attempt.verifier, nonce=attempt.nonce
            )
        except IssuerAway as error:
            log.warning("issuer away", extra={"reason": str(error)})
            return _failed(request, "away", 503, attempt.return_to)
        except Refused as error:
            log.warning("sign-in refused", extra={"reason": str(error)})
            why = ERRORS.get(query.get("error", ""), "not_confirmed")
            return _failed(request, why, 400, attempt.return_to)
        # A new value, because somebody may know the old one: whoever set a cookie before must not be signed in by it.
        value = cookie.new_value()
        scopes = self._scope.split() if tokens.scopes is None else tokens.scopes
        await self._sessions.start(cookie.digest(value), person, tokens, scopes)
        await self._end(cookie.digest(old))
        log.info("signed in", extra={"subject": person.subject})
        return RedirectResponse(attempt.return_to, 303, {**NO_STORE, "Set-Cookie": cookie.setting(value)})

    async def _sign_out(self, request: Request) -> Response:
        """End the session here and at the issuer. The page goes to `next`, where the issuer ends its own session."""
        check_page(request, self._origin)
        value = cookie.value_in(request.headers)
        identity = None if value is None else await self._end(cookie.digest(value))
        target = None
        if identity is not None:
            try:
                target = await self._issuer.sign_out_url(identity)
            except IssuerAway as error:
                log.warning("issuer away", extra={"reason": str(error)})
        headers = {**NO_STORE, "Set-Cookie": cookie.CLEARING}
        return JSONResponse({"next": target or f"{self._origin}/"}, headers=headers)

    async def _end(self, id: bytes) -> str | None:
        """End a session, also at the issuer. Return its ID token, None if there was no session."""
        try:
            ended = await self._sessions.end(id)
        except Unreadable:
            return None
        if ended is None:
            return None
        refresh, identity = ended
        if refresh is not None:
            try:
                await self._issuer.revoke(refresh)
            except IssuerAway as error:
                log.warning("a token was not revoked", extra={"reason": str(error)})
        return identity


def _query(request: Request) -> Mapping[str, str] | None:
    """Return the parameters, None if they cannot be read or if one is repeated."""
    encoded: bytes = request.scope["query_string"]
    if len(encoded) > MAX_QUERY_BYTES:
        return None
    try:
        fields = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        return None
    found = dict(fields)
    return found if len(found) == len(fields) else None
