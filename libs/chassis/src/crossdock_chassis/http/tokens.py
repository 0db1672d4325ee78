"""Verify access tokens with the issuer's published keys: RS256 or ES256, type, issuer, audience and times.

    verifier = TokenVerifier(IssuerKeys(settings.issuer), issuer=settings.issuer, audience=settings.audience)
    verifier = TokenVerifier(StaticKeys(jwks), issuer="https://issuer.test", audience="crossdock")   # no network

A verified token is remembered by its bytes, so the hot path costs a dictionary lookup. It is remembered for at most
five minutes, so a key that the issuer withdraws stops working soon.
"""

import asyncio
import json
import logging
import math
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from joserfc.util import urlsafe_b64decode

from crossdock_chassis.deadlines import foreign_cancellation_is_an_error
from crossdock_chassis.http.request import REALM, Caller
from crossdock_chassis.problems import UNAUTHENTICATED, Problem, Refusal
from crossdock_chassis.settings import Settings

ISSUER_UNAVAILABLE: Final = Problem(
    503, "issuer-unavailable", "Access tokens cannot be verified now; wait Retry-After seconds, then retry"
)
LEEWAY: Final = 10.0  # seconds of clock difference that are tolerated
MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_DOCUMENT_BYTES: Final = 256 * 1024
Key = RSAKey | ECKey

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """The issuer's keys are not available. Retry after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Keys(Protocol):
    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """Return the key, or None if the issuer has no such key. Raise KeysUnavailable."""


class StaticKeys:
    """A fixed JWK set, for tests and for issuers whose keys are configured by hand."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = usable(jwks)

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        return pick(self._keys, kid, algorithm)


class IssuerKeys:
    """The keys that an OpenID issuer publishes, found by discovery. A background task renews them after `max_age` s.

    A token with an unknown key id fetches the keys again, at most once in `min_interval` seconds for all tokens. Known
    keys stay valid while the issuer is away, because its signatures are still good.
    """

    def __init__(
        self,
        issuer: str,
        *,
        max_age: float = 600,
        min_interval: float = 5,
        timeout: float = 3,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer.rstrip("/")
        self._max_age, self._min_interval, self._timeout = max_age, min_interval, timeout
        self._transport, self._clock = transport, clock
        self._keys: list[tuple[str | None, Key]] | None = None
        self._discovered: Mapping[str, Any] = {}
        self._had_at = self._tried_at = -math.inf
        self._failure = "never asked"
        self._refreshing: asyncio.Task[bool] | None = None

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        if self._keys is None:
            if not await self._refresh():
                raise KeysUnavailable(self._failure, self._min_interval)
        elif self._clock() - self._had_at > self._max_age:
            self._start_refresh()
        if (key := pick(self._keys or [], kid, algorithm)) is not None:
            return key
        asked = await self._refresh()
        if (key := pick(self._keys or [], kid, algorithm)) is None and not asked:
            raise KeysUnavailable(self._failure, self._min_interval)
        return key

    async def discovered(self) -> Mapping[str, Any]:
        """Return the discovery document that the keys were found by. Raise KeysUnavailable."""
        if self._keys is None and not await self._refresh():
            raise KeysUnavailable(self._failure, self._min_interval)
        if self._clock() - self._had_at > self._max_age:
            self._start_refresh()
        return self._discovered

    async def _refresh(self) -> bool:
        """Fetch the keys unless the last fetch is too recent. Return whether the last fetch succeeded."""
        if (task := self._start_refresh()) is not None:
            return await asyncio.shield(task)
        return self._had_at >= self._tried_at

    def _start_refresh(self) -> asyncio.Task[bool] | None:
        """Return the running refresh or a new one, None if the last one is too recent."""
        if self._refreshing is not None and not self._refreshing.done():
            return self._refreshing
        if self._clock() - self._tried_at < self._min_interval:
            return None
        self._tried_at = self._clock()
        self._refreshing = asyncio.create_task(self._fetch(self._tried_at))
        return self._refreshing

    async def _fetch(self, started: float) -> bool:
        try:
            with foreign_cancellation_is_an_error():
                async with asyncio.timeout(self._timeout):
                    self._keys = usable(await self._jwks())
        except Exception as error:  # the next request fetches again
            self._failure = f"{type(error).__name__}: {error}"
            log.warning("issuer keys unavailable: %s", self._failure, extra={"issuer": self._issuer})
            return False
        self._had_at = started
        return True

    async def _jwks(self) -> Mapping[str, Any]:
        # A proxy from the environment must not come between this process and an issuer on the same machine.
        remote = urlsplit(self._issuer).hostname not in ("127.0.0.1", "localhost", "::1")
        # In a thread, because reading the certificates of the system takes 20 to 80 ms.
        verify = await asyncio.to_thread(httpx.create_ssl_context, trust_env=remote)
        async with httpx.AsyncClient(
            transport=self._transport, verify=verify, trust_env=remote, timeout=self._timeout
        ) as client:
            discovered = await _document(client, f"{self._issuer}/.well-known/openid-configuration")
            if str(discovered.get("issuer")).rstrip("/") != self._issuer:
                raise ValueError("the discovery document names another issuer")
            location = str(discovered.get("jwks_uri"))
            if self._issuer.startswith("https:") and not location.startswith("https:"):
                raise ValueError("jwks_uri of an https issuer is not https")
            keys = await _document(client, location)
            self._discovered = discovered
            return keys


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = b""
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"more than {MAX_DOCUMENT_BYTES} bytes from {url}")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"not a JSON object from {url}")
    return document


def usable(jwks: Mapping[str, Any]) -> list[tuple[str | None, Key]]:
    """Return the signing keys that are accepted. Skip keys of another type or with a mistake."""
    found: list[tuple[str | None, Key]] = []
    entries = jwks.get("keys")
    if not isinstance(entries, list):
        raise ValueError("a key set without keys")
    for entry in entries:
        try:
            key = JWKRegistry.import_key({name: entry[name] for name in _PUBLIC if name in entry})
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        algorithm = _algorithm_of(key)
        if (
            isinstance(key, (RSAKey, ECKey))
            and algorithm
            and (entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm)
        ):
            found.append((entry.get("kid"), key))
    return found


_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")


def _algorithm_of(key: object) -> str | None:
    if isinstance(key, RSAKey):
        return "RS256" if key.public_key.key_size >= 2048 else None
    return "ES256" if isinstance(key, ECKey) and key.curve_name == "P-256" else None


def pick(keys: Sequence[tuple[str | None, Key]], kid: str | None, algorithm: str) -> Key | None:
    fitting = [key for name, key in keys if _algorithm_of(key) == algorithm and (kid is None or name == kid)]
    return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None


class TokenVerifier:
    """A `Verifier` for JWTs of one issuer."""

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        partner_claim: str = "partner",
        token_type: str = "at+jwt",
        max_lifetime: float = 86_400,
        remembered: int = 10_000,
        remember_seconds: float = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._issuer = keys, issuer.rstrip("/")
        self._audience, self._partner_claim = audience, partner_claim
        self._type, self._max_lifetime = _media_type(token_type), max_lifetime
        self._remembered, self._remember_seconds, self._clock = remembered, remember_seconds, clock
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def known(self, authorization: bytes) -> Caller | None:
        entry = self._known.get(authorization)
        if entry is None:
            return None
        if self._clock() >= entry[1]:
            del self._known[authorization]
            return None
        self._known.move_to_end(authorization)
        return entry[0]

    async def verify(self, authorization: bytes) -> Caller:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token or b" " in token:
            raise Refusal(UNAUTHENTICATED, "Send Authorization: Bearer <token>", headers={"WWW-Authenticate": REALM})
        claims = await self._claims(token)
        expires = self._check(claims)
        caller = self._caller(claims)
        self._known[authorization] = caller, min(expires, self._clock() + self._remember_seconds)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return caller

    async def _claims(self, token: bytes) -> Mapping[str, Any]:
        """Return the claims of a token. Raise Refusal if its signature is not valid."""
        if len(token) > MAX_TOKEN_BYTES:
            raise refused("the token is too long")
        try:
            protected = json.loads(urlsafe_b64decode(token.split(b".", 1)[0]))
            algorithm, kid, kind = protected.get("alg"), protected.get("kid"), protected.get("typ")
        except _GARBAGE:
            raise refused("this is not a JWT") from None
        # The key decides the algorithm, never the token: a token with another algorithm finds no key.
        if algorithm not in ("RS256", "ES256") or not (kid is None or isinstance(kid, str)):
            raise refused("signed with an algorithm or key that is not accepted")
        if not isinstance(kind, str) or _media_type(kind) != self._type:
            raise refused(f"its type is not {self._type}")
        try:
            key = await self._keys.find(kid, algorithm)
        except KeysUnavailable as error:
            retry = {"Retry-After": str(math.ceil(error.retry_after))}
            raise Refusal(ISSUER_UNAVAILABLE, "The issuer of the tokens does not answer", headers=retry) from error
        if key is None:
            raise refused("signed with a key that the issuer does not publish")
        try:
            return jwt.decode(token, key, algorithms=[algorithm]).claims
        except _GARBAGE:
            raise refused("the signature is wrong") from None

    def _check(self, claims: Mapping[str, Any]) -> float:
        """Return when the token expires. Raise Refusal if a claim is not acceptable."""
        now = self._clock()
        audience = claims.get("aud")
        expires, not_before, issued = _time(claims, "exp"), _time(claims, "nbf"), _time(claims, "iat")
        if str(claims.get("iss")).rstrip("/") != self._issuer:
            raise refused("from another issuer")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise refused("meant for another audience")
        if expires is None:
            raise refused("it never expires")
        if now >= expires + LEEWAY:
            raise refused("expired")
        if not_before is not None and now < not_before - LEEWAY:
            raise refused("not valid yet")
        if issued is not None and now < issued - LEEWAY:
            raise refused("issued in the future")
        # Without `iat` the lifetime is counted from now, which is the shortest that it can be.
        if expires - (now if issued is None else issued) > self._max_lifetime + LEEWAY:
            raise refused(f"valid for more than {self._max_lifetime:g} s")
        if "cnf" in claims:
            raise refused("bound to a key of its sender, and only plain bearer tokens are accepted")
        return expires + LEEWAY

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        scopes = claims.get("scope", claims.get("scp"))
        scopes = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else []
        partner = claims.get(self._partner_claim)
        # A partner that is not usable must not become a caller without a partner: operators have such tokens.
        if partner is not None and not (isinstance(partner, str) and is_partner_name(partner)):
            raise refused(f"the claim {self._partner_claim} is not a usable name")
        subject = claims.get("sub")
        if subject is not None and not (isinstance(subject, str) and is_subject(subject)):
            raise refused("the claim sub is not a usable name")
        if not partner and not subject:
            raise refused("it names neither a partner nor a subject")
        client = claims.get("client_id") or claims.get("azp") or subject
        return Caller(
            partner=partner or "",
            scopes=frozenset(str(scope) for scope in scopes),
            client_id=str(client or ""),
            subject=subject or "",
        )


def verifier_for(settings: Settings) -> TokenVerifier:
    """Return the verifier of a service. It fetches keys at the first token, so a process starts without the issuer."""
    return TokenVerifier(
        IssuerKeys(settings.issuer),
        issuer=settings.issuer,
        audience=settings.audience,
        partner_claim=settings.partner_claim,
        token_type=settings.token_type,
        max_lifetime=settings.token_max_seconds,
    )


def is_partner_name(name: str) -> bool:
    """Return whether the text can name a partner: 1 to 64 printable characters in NFC, none of them blank.

    Two names that look the same must be the same partner.
    """
    return 0 < len(name) <= 64 and name.isprintable() and " " not in name and unicodedata.is_normalized("NFC", name)


def is_subject(name: str) -> bool:
    """Return whether the text can name the subject of a token: 1 to 255 printable characters."""
    return 0 < len(name) <= 255 and name.isprintable()


def _media_type(typ: str) -> str:
    """Return the type as RFC 9068 compares it: in lower case, without the optional `application/`."""
    return typ.lower().removeprefix("application/")


_GARBAGE: Final = (JoseError, ValueError, TypeError, AttributeError, KeyError, RecursionError)


def refused(reason: str) -> Refusal:
    return Refusal(
        UNAUTHENTICATED,
        f"The token is not valid: {reason}",
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token", error_description="{reason}"'},
    )


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -(2**53) < value < 2**53:
        raise refused(f"{name} is not a time")
    return float(value)
