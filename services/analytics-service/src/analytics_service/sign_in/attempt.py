"""A sign-in between leaving for the issuer and coming back. It is in the `state` parameter, sealed, and in no table.

So nobody can fill a table without signing in. The state is bound to the browser by its cookie: an attacker who sends
somebody a link with an own code has no state that fits.
"""

import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import Final

from analytics_service.sign_in import cookie
from analytics_service.sign_in.seal import Seal, Unreadable

SECONDS: Final = 600
"""How long a person may take to sign in."""
MAX_RETURN_TO: Final = 1_024
MAX_STATE: Final = 4_096
PURPOSE: Final = b"sign-in"


@dataclass(frozen=True, slots=True)
class Attempt:
    browser: str
    """Digest of the cookie's value, in hexadecimal digits."""
    nonce: str
    verifier: str
    return_to: str
    until: float


def new_attempt(browser: str, return_to: str) -> Attempt:
    """Return an attempt of the browser whose cookie has this value."""
    return Attempt(
        cookie.digest(browser).hex(),
        secrets.token_urlsafe(24),
        secrets.token_urlsafe(48),
        return_to,
        time.time() + SECONDS,
    )


def state_of(attempt: Attempt, seal: Seal) -> str:
    return urlsafe_b64encode(seal.seal(json.dumps(asdict(attempt)), PURPOSE)).rstrip(b"=").decode()


def attempt_of(state: str, browser: str | None, seal: Seal) -> Attempt | None:
    """Return the attempt. Return None if it is no state of ours, is too old, or belongs to another browser."""
    if len(state) > MAX_STATE or browser is None:
        return None
    try:
        sealed = urlsafe_b64decode(state.encode("ascii") + b"=" * (-len(state) % 4))
        found = Attempt(**json.loads(seal.open(sealed, PURPOSE)))
    except (ValueError, Unreadable):
        return None
    fits = secrets.compare_digest(found.browser, cookie.digest(browser).hex())
    return found if fits and time.time() < found.until else None


def is_own_page(address: str) -> bool:
    """Return whether the browser may be sent there after the sign-in: a path of this origin, and no other origin."""
    return (
        len(address) <= MAX_RETURN_TO
        and address.startswith("/")
        and not address.startswith("//")
        and "\\" not in address
        and address.isprintable()
        and address.isascii()
        and not address.startswith(("/session/", "/api/"))
    )
