"""The only cookie. Its value is random: the database has a digest of it, so a copy of the database signs nobody in."""

import hashlib
import re
import secrets
from typing import Final

from starlette.datastructures import Headers

NAME: Final = "__Host-crossdock"
"""With this prefix, a browser takes the cookie over TLS or from loopback only, and from this host only."""
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


def new_value() -> str:
    return secrets.token_urlsafe(32)


def value_in(headers: Headers) -> str | None:
    """Return the value that the browser sent. Return None if there is none, several, or one that we did not make."""
    found = []
    for pair in ";".join(headers.getlist("cookie")).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == NAME:
            found.append(value)
    return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else None


def digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def setting(value: str) -> str:
    """Return the Set-Cookie header. The cookie ends with the browser; the session may end before."""
    return f"{NAME}={value}; {_ATTRIBUTES}"


CLEARING: Final = f"{NAME}=; Max-Age=0; {_ATTRIBUTES}"
