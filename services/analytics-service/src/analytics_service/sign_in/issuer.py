"""The issuer as the console's client sees it: OpenID Connect's code flow with PKCE, refresh and revocation."""

import asyncio
import base64
import hashlib
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError

from analytics_service.settings import LOOPBACK, Settings
from crossdock_chassis import IssuerKeys, KeysUnavailable

ALGORITHMS: Final = ("RS256", "ES256")
SECONDS: Final = 10.0
"""The longest wait for an answer. A refresh holds its claim longer than that."""
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_TOKEN: Final = 8 * 1024
"""Characters. The services accept no longer token."""
LEEWAY: Final = 10
DEFAULT_LIFETIME: Final = 300
MAX_LIFETIME: Final = 86_400
MAX_NAME: Final = 200


class IssuerAway(Exception):
    """The issuer does not answer, or its answer makes no sense. Try again later."""


class Refused(Exception):
    """The issuer or a check of its answer refuses this sign-in for good."""


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str
    refresh: str | None
    seconds: int
    """How long the access token works, counted from its arrival."""
    scopes: tuple[str, ...] | None
    """None if they are the requested ones."""
    identity: str | None


@dataclass(frozen=True, slots=True)
class Person:
    subject: str
    name: str


class Issuer:
    """One issuer and one client at it. Every call raises IssuerAway if the issuer does not answer in time."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        assert settings.sign_in_secret is not None
        self._settings, self._clock = settings, clock
        self._issuer, self._id = settings.issuer.rstrip("/"), settings.sign_in_client
        pair = f"{quote(self._id, safe='')}:{quote(settings.sign_in_secret.get_secret_value(), safe='')}"
        self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        self._keys = IssuerKeys(settings.issuer)
        self._verify: ssl.SSLContext | None = None

    @property
    def callback(self) -> str:
        return f"{self._settings.console_url}/session/callback"

    async def sign_in_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return the address to which the browser goes."""
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "client_id": self._id,
            "redirect_uri": self.callback,
            "response_type": "code",
            "scope": self._settings.sign_in_scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return _with_query(await self._endpoint("authorization_endpoint"), query)

    async def check_sender(self, iss: str | None) -> None:
        """Raise Refused if another issuer sent the browser back (RFC 9207)."""
        required = (await self._document()).get("authorization_response_iss_parameter_supported") is True
        if (iss is None and required) or (iss is not None and iss.rstrip("/") != self._issuer):
            raise Refused("the answer comes from another issuer")

    async def redeem(self, code: str, *, verifier: str, nonce: str) -> tuple[Tokens, Person]:
        """Exchange the code. Raise Refused if the issuer refuses it, or if the ID token is not ours."""
        tokens = await self._tokens(
            grant_type="authorization_code", code=code, redirect_uri=self.callback, code_verifier=verifier
        )
        if tokens.identity is None:
            raise Refused("the issuer sent no ID token")
        return tokens, await self._person(tokens.identity, nonce)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens. Raise Refused if the sign-in has ended at the issuer."""
        return await self._tokens(grant_type="refresh_token", refresh_token=refresh_token)

    async def revoke(self, refresh_token: str) -> None:
        """End the sign-in at the issuer, if the issuer can do that."""
        endpoint = (await self._document()).get("revocation_endpoint")
        if endpoint is not None:
            await self._post(self._checked(endpoint), {"token": refresh_token, "token_type_hint": "refresh_token"})

    async def sign_out_url(self, identity: str) -> str | None:
        """Return the address at which the browser ends its session with the issuer, None if the issuer has none."""
        endpoint = (await self._document()).get("end_session_endpoint")
        if endpoint is None:
            return None
        after = f"{self._settings.console_url}/"
        query = {"id_token_hint": identity, "client_id": self._id, "post_logout_redirect_uri": after}
        return _with_query(self._checked(endpoint), query)

    async def _tokens(self, **form: str) -> Tokens:
        status, answer = await self._post(await self._endpoint("token_endpoint"), form)
        if status >= 500 or status == 429:
            raise IssuerAway(f"the issuer answered {status}")
        if status != 200:
            raise Refused(f"the issuer answered {status} {str(answer.get('error'))[:100]}")
        access, refresh, seconds = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
        if not _is_token(access) or str(answer.get("token_type")).lower() != "bearer":
            raise Refused("the issuer sent no usable bearer token")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_LIFETIME:
            seconds = DEFAULT_LIFETIME
        scope, identity = answer.get("scope"), answer.get("id_token")
        return Tokens(
            access,
            refresh if _is_token(refresh) else None,
            int(seconds),
            tuple(scope.split()) if isinstance(scope, str) else None,
            identity if _is_token(identity) else None,
        )

    async def _person(self, identity: str, nonce: str) -> Person:
        """Return the person of an ID token. Raise Refused unless it was made by this issuer for this sign-in."""
        try:
            header = jws.extract_compact(identity.encode()).headers()
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or not (kid is None or isinstance(kid, str)):
                raise Refused("the ID token is signed with an algorithm or key that is not accepted")
            key = await self._keys.find(kid, str(algorithm))
            if key is None:
                raise Refused("the ID token is signed with a key that the issuer does not publish")
            claims = jwt.decode(identity, key, algorithms=[str(algorithm)]).claims
            jwt.JWTClaimsRegistry(
                now=int(self._clock()),
                leeway=LEEWAY,
                sub={"essential": True},
                aud={"essential": True, "value": self._id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except KeysUnavailable as error:
            raise IssuerAway(str(error)) from error
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise Refused(f"the ID token is not valid: {type(error).__name__}") from None
        subject, audience = claims.get("sub"), claims.get("aud")
        if str(claims.get("iss")).rstrip("/") != self._issuer:
            raise Refused("the ID token comes from another issuer")
        if claims.get("azp", self._id) != self._id or (isinstance(audience, list) and len(audience) > 1):
            raise Refused("the ID token was issued to another application")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
            raise Refused("the ID token names no usable person")
        names = (claims.get("name"), claims.get("preferred_username"), subject)
        name = next(each for each in names if isinstance(each, str) and each.strip())
        return Person(subject, "".join(character for character in name if character.isprintable())[:MAX_NAME])

    async def _document(self) -> Mapping[str, Any]:
        try:
            return await self._keys.discovered()
        except KeysUnavailable as error:
            raise IssuerAway(str(error)) from error

    async def _endpoint(self, name: str) -> str:
        return self._checked((await self._document()).get(name))

    def _checked(self, endpoint: object) -> str:
        if not isinstance(endpoint, str) or urlsplit(endpoint).scheme not in ("http", "https"):
            raise IssuerAway("the discovery document lacks an endpoint")
        if self._issuer.startswith("https:") and not endpoint.startswith("https:"):
            raise IssuerAway("an endpoint of an https issuer is not https")
        return endpoint

    async def _post(self, url: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Return the status and the JSON object of the answer, {} if it is something else."""
        headers = {"Authorization": self._authorization, "Accept": "application/json"}
        body = b""
        try:
            async with (
                asyncio.timeout(SECONDS),
                await self._client() as http,
                http.stream("POST", url, data=dict(form), headers=headers) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise IssuerAway(f"more than {MAX_ANSWER_BYTES} bytes from the issuer")
        except (httpx.HTTPError, TimeoutError) as error:
            raise IssuerAway(f"{type(error).__name__}: {error}") from error
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        return answer.status_code, found if isinstance(found, dict) else {}

    async def _client(self) -> httpx.AsyncClient:
        """Return a client for one call: calls are rare, and no connection stays open between them."""
        remote = urlsplit(self._issuer).hostname not in LOOPBACK
        if self._verify is None:
            # In a thread, because reading the certificates of the system takes 20 to 80 ms.
            self._verify = await asyncio.to_thread(httpx.create_ssl_context, trust_env=remote)
        return httpx.AsyncClient(verify=self._verify, trust_env=remote, timeout=SECONDS)


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_TOKEN and value.isascii() and value.isprintable()


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
