"""Codes and refresh tokens of the development issuer. They are in memory: a new process knows none of them."""

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from crossdock_local.oauth import OAuthError

KEPT: Final = 1_000
"""Codes and sign-ins that are kept. The oldest ones are dropped beyond that."""


@dataclass(frozen=True, slots=True)
class Person:
    subject: str
    name: str
    scopes: tuple[str, ...]
    can: str
    """What the page shows beside the name."""


PEOPLE: Final = (
    Person("dev-reader", "Robin Reader", ("ops:read",), "can read everything and change nothing"),
    Person(
        "dev-operator",
        "Olive Operator",
        ("ops:read", "ops:act", "crm:staff", "pii:read", "pii:erase"),
        "can read everything and act",
    ),
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds. A code and an access token are short-lived; a sign-in ends after a working day."""

    code: float = 60
    access: int = 300
    sign_in: float = 12 * 3600


@dataclass(slots=True)
class SignIn:
    """A person signed in at an application. `refresh` is the digest of the only refresh token that is valid."""

    person: Person
    application: str
    scopes: tuple[str, ...]
    nonce: str | None
    at: int
    ends: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    refresh: bytes = b""


@dataclass(slots=True)
class Code:
    sign_in: SignIn
    redirect_uri: str
    challenge: str
    expires: float
    used: bool = False


class Grants:
    """The codes and sign-ins of one issuer process."""

    def __init__(self, lifetimes: Lifetimes, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetimes, self._clock = lifetimes, clock
        self._codes: OrderedDict[bytes, Code] = OrderedDict()
        self._sign_ins: OrderedDict[str, SignIn] = OrderedDict()

    def new_code(
        self,
        person: Person,
        application: str,
        scopes: tuple[str, ...],
        *,
        redirect_uri: str,
        challenge: str,
        nonce: str | None,
    ) -> str:
        ends = self._clock() + self._lifetimes.sign_in
        sign_in = SignIn(person, application, scopes, nonce, int(time.time()), ends)
        code = secrets.token_urlsafe(32)
        self._codes[_digest(code)] = Code(
            sign_in, redirect_uri, challenge, expires=self._clock() + self._lifetimes.code
        )
        _bound(self._codes)
        return code

    def redeem(self, code: str, application: str, *, redirect_uri: str, verifier: str) -> SignIn:
        """Return the sign-in of a code. Raise OAuthError unless everything fits.

        A code is used up by the first attempt, also by a failed one. A second attempt ends the sign-in, because then
        one of the two was a thief (RFC 6749, section 4.1.2).
        """
        found = self._codes.get(_digest(code))
        if found is None or found.sign_in.application != application:
            raise OAuthError("invalid_grant", "the code is unknown")
        if found.used:
            self.end(found.sign_in.id)
            raise OAuthError("invalid_grant", "the code was used before")
        found.used = True
        if self._clock() >= found.expires:
            raise OAuthError("invalid_grant", "the code has expired")
        if redirect_uri != found.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri is not the one that the code was sent to")
        if not hmac.compare_digest(_challenge(verifier), found.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit code_challenge")
        self._sign_ins[found.sign_in.id] = found.sign_in
        _bound(self._sign_ins)
        return found.sign_in

    def new_refresh_token(self, sign_in: SignIn) -> str:
        """Return a refresh token. It replaces the one before."""
        secret = secrets.token_urlsafe(32)
        sign_in.refresh = _digest(secret)
        return f"{sign_in.id}.{secret}"

    def refreshed(self, token: str, application: str) -> SignIn:
        """Return the sign-in of a refresh token. Raise OAuthError if it is not the newest: then the sign-in ends."""
        found = self._of(token, application)
        if found is None:
            raise OAuthError("invalid_grant", "the refresh token is unknown or its sign-in has ended")
        if not hmac.compare_digest(_digest(token.partition(".")[2]), found.refresh):
            self.end(found.id)
            raise OAuthError("invalid_grant", "the refresh token was used before")
        return found

    def revoke(self, token: str, application: str) -> None:
        """End the sign-in of a refresh token, if there is one."""
        if (found := self._of(token, application)) is not None:
            self.end(found.id)

    def end(self, sign_in: str) -> None:
        self._sign_ins.pop(sign_in, None)

    def _of(self, token: str, application: str) -> SignIn | None:
        found = self._sign_ins.get(token.partition(".")[0])
        if found is None or found.application != application:
            return None
        if self._clock() >= found.ends:
            self.end(found.id)
            return None
        return found


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(_digest(verifier)).rstrip(b"=").decode()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _bound(kept: OrderedDict[bytes, Code] | OrderedDict[str, SignIn]) -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)
