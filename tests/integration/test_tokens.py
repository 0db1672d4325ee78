"""Send real tokens to the real API. It accepts only valid tokens of the issuer for its audience."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness import SCOPES, Harness
from joserfc import jwt
from joserfc.jwk import RSAKey

from crossdock_local import issuer

Claims = dict[str, Any]


def claims(harness: Harness, **other: Any) -> Claims:
    now = int(time.time())
    return {
        "iss": harness.stack.issuer_url,
        "aud": "crossdock",
        "sub": "acme-test",
        "partner": "acme",
        "scope": " ".join(SCOPES),
        "iat": now,
        "exp": now + 600,
        "jti": "1",
    } | other


def signed(harness: Harness, made: Claims, key: RSAKey | None = None, kid: str | None = None) -> str:
    own = issuer.signing_key(harness.stack.home.issuer)
    header = {"alg": "RS256", "kid": kid or own.kid}
    return jwt.encode(header, made, key or own, default_type="at+jwt")


def foreign_key(_: Harness) -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


REFUSED: dict[str, Callable[[Harness], str]] = {
    "expired": lambda harness: signed(harness, claims(harness, iat=1, exp=int(time.time()) - 300)),
    "not yet valid": lambda harness: signed(harness, claims(harness, nbf=int(time.time()) + 3600)),
    "for another audience": lambda harness: signed(harness, claims(harness, aud="elsewhere")),
    "of another issuer": lambda harness: signed(harness, claims(harness, iss="http://127.0.0.1:1")),
    "signed by a stranger under our key's name": lambda harness: signed(harness, claims(harness), foreign_key(harness)),
    "signed by a key nobody published": lambda harness: signed(
        harness, claims(harness), key := foreign_key(harness), key.kid
    ),
    "changed after it was signed": lambda harness: _with_partner(harness.token("acme"), harness.token("globex")),
    "unsigned": lambda harness: harness.token().rpartition(".")[0] + ".",
    "no token at all": lambda harness: "hello",
}


def _with_partner(token: str, other: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{other.split('.')[1]}.{signature}"


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_token_that_is_not_good_opens_nothing(harness: Harness, kind: str) -> None:
    async with httpx.AsyncClient(base_url=harness.stack.url("order-service"), timeout=60) as client:
        headers = {"Authorization": f"Bearer {REFUSED[kind](harness)}"}
        for answer in (
            await client.get("/v1/orders", headers=headers),
            await client.post("/v1/orders", json={}, headers=headers),
        ):
            assert answer.status_code == 401, answer.text
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["type"].startswith("urn:crossdock:problem:")


async def test_an_operator_needs_a_scope_for_operators(harness: Harness) -> None:
    made = claims(harness, scope="orders:read orders:write")
    token = signed(harness, {name: value for name, value in made.items() if name != "partner"})
    async with httpx.AsyncClient(base_url=harness.stack.url("order-service"), timeout=60) as client:
        answer = await client.get("/v1/orders", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403, answer.text


async def test_token_from_the_issuer_grants_exactly_its_scopes(harness: Harness) -> None:
    identifier, secret = issuer.add_partner(harness.stack.home.issuer, "initech", ["orders:read"])
    async with httpx.AsyncClient(timeout=60) as client:
        given = await client.post(
            f"{harness.stack.issuer_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(identifier, secret),
        )
        assert given.status_code == 200, given.text
        headers = {"Authorization": f"Bearer {given.json()['access_token']}"}
        base = harness.stack.url("order-service")
        assert (await client.get(f"{base}/v1/orders", headers=headers)).status_code == 200
        refused = await client.post(f"{base}/v1/orders", json={}, headers=headers)
        assert refused.status_code == 403, refused.text
        assert (await client.get(f"{base}/v1/dead-letters", headers=headers)).status_code == 403
        assert (await client.get(f"{base}/v1/orders")).status_code == 401
