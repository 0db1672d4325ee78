"""Find out who sends a request, and get that person's access token. Refuse requests that come from foreign pages."""

import asyncio
import logging
from typing import Final

from starlette.requests import Request

from analytics_service.sign_in import cookie
from analytics_service.sign_in.issuer import Issuer, IssuerAway, Refused
from analytics_service.sign_in.seal import Unreadable
from analytics_service.sign_in.store import CLAIM_SECONDS, Session, Sessions
from crossdock_chassis import Problem, Refusal

NOT_SIGNED_IN: Final = Problem(401, "not-signed-in", "Nobody is signed in; sign in, then send the request again")
FOREIGN_PAGE: Final = Problem(403, "foreign-page", "The request did not come from a page of the console")
ISSUER_AWAY: Final = Problem(
    503, "issuer-away", "The issuer does not answer; wait Retry-After seconds, then retry", headers={"Retry-After": "2"}
)
HEADER: Final = "Crossdock-Console"
"""Acting calls must have it. A form of a foreign page cannot set a header."""
READING: Final = ("GET", "HEAD")
EARLY_SECONDS: Final = 30.0
"""A token is refreshed so long before it expires, so that it does not expire on its way."""
LOOK_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


def check_page(request: Request, origin: str) -> None:
    """Raise Refusal 403 unless a page of the console sent the request.

    The cookie alone proves nothing: pages of other ports and sister hosts are the same site, so browsers send it along.
    """
    sent, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if sent is not None and sent != origin:
        raise Refusal(FOREIGN_PAGE, "Its Origin is another one")
    if site not in (None, "same-origin", "none"):
        raise Refusal(FOREIGN_PAGE, "Its Sec-Fetch-Site names another site")
    if request.method not in READING:
        if sent is None:
            raise Refusal(FOREIGN_PAGE, "A call that acts needs the header Origin")
        if HEADER.lower() not in request.headers:
            raise Refusal(FOREIGN_PAGE, f"A call that acts needs the header {HEADER}")


class People:
    """The people who are signed in."""

    def __init__(self, sessions: Sessions, issuer: Issuer) -> None:
        self._sessions, self._issuer = sessions, issuer
        self._refreshing: dict[bytes, asyncio.Task[Session]] = {}

    async def session(self, request: Request) -> Session:
        """Return the session of the cookie. Raise Refusal 401."""
        value = cookie.value_in(request.headers)
        return await self._session(cookie.digest(value)) if value is not None else _nobody("The request has no session")

    async def still_signed_in(self, session: Session) -> bool:
        """Return whether the session of an open stream still exists. While the database is away, it counts as so."""
        try:
            return await self._sessions.find(session.id) is not None
        except (ConnectionError, TimeoutError):
            return True
        except Unreadable:
            return False

    async def with_token(self, request: Request) -> Session:
        """Return the session with an access token that works. Raise Refusal 401, or 503 if the issuer is away.

        One refresh of a session is in flight at a time. In this process it is a task. Among processes it is a claim in
        the row of the session, because an issuer takes a second use of a refresh token for theft.
        """
        session = await self.session(request)
        if session.seconds_left > EARLY_SECONDS:
            return session
        if session.refresh is None:
            return session if session.seconds_left > 0 else await self._ended(session, "Its token has expired")
        task = self._refreshing.get(session.id)
        if task is None:
            task = asyncio.create_task(self._refresh(session))
            self._refreshing[session.id] = task
            task.add_done_callback(lambda _: self._refreshing.pop(session.id, None))
        return await asyncio.shield(task)

    async def _refresh(self, session: Session) -> Session:
        """Refresh the tokens, or wait until another process has done so."""
        deadline = asyncio.get_running_loop().time() + CLAIM_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if await self._sessions.claim(session):
                return await self._refresh_claimed(session)
            found = await self._session(session.id)
            if found.version != session.version:
                return found
            if found.seconds_left > 1:
                return found  # the old token works while another process fetches the new one
            await asyncio.sleep(LOOK_SECONDS)
        raise Refusal(ISSUER_AWAY)

    async def _refresh_claimed(self, session: Session) -> Session:
        assert session.refresh is not None
        try:
            tokens = await self._issuer.refresh(session.refresh)
        except Refused as error:
            return await self._ended(session, f"The issuer has ended the sign-in: {error}")
        except IssuerAway as error:
            await self._sessions.release(session)
            if session.seconds_left > 1:
                return session
            log.warning("issuer away", extra={"reason": str(error)})
            raise Refusal(ISSUER_AWAY) from error
        if not await self._sessions.renew(session, tokens) and tokens.refresh is not None:
            await self._revoke(tokens.refresh)  # the person has signed out meanwhile
        return await self._session(session.id)

    async def _revoke(self, refresh: str) -> None:
        try:
            await self._issuer.revoke(refresh)
        except IssuerAway as error:
            log.warning("a token was not revoked", extra={"reason": str(error)})

    async def _session(self, id: bytes) -> Session:
        try:
            found = await self._sessions.find(id)
        except Unreadable:
            log.warning("a session cannot be read with the present keys")
            found = None
        return _nobody("The session has ended") if found is None else found

    async def _ended(self, session: Session, reason: str) -> Session:
        await self._sessions.end(session.id)
        log.info("session ended", extra={"subject": session.person.subject, "reason": reason})
        return _nobody("The session has ended")


def _nobody(reason: str) -> Session:
    raise Refusal(NOT_SIGNED_IN, reason, headers={"Set-Cookie": cookie.CLEARING})
