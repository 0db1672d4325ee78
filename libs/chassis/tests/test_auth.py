"""Access tokens: which are accepted, which are refused, and with which problem."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey
from tokens import ISSUER, STRANGER, URL, Clock, application, connected

from crossdock_chassis.http.tokens import (
    StaticKeys,
    TokenVerifier,
    usable,
)
from crossdock_chassis.problems import Refusal
from crossdock_chassis.testing.signing import Signer

RSA_ISSUER = Signer.generate("RS256")


@pytest.fixture(params=["cold", "hot"])
async def call(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    async with connected(ISSUER.verifier()) as client:

        async def post(authorization: str | None, content: str = '{"n": 1}') -> httpx.Response:
            headers = {"Content-Type": "application/json"}
            if authorization is not None:
                headers["Authorization"] = authorization
            return await client.post(f"/{request.param}", content=content, headers=headers)

        yield post


async def test_a_good_token_is_its_partner(call: Callable[..., Any]) -> None:
    token = ISSUER.token("acme", ["orders:read", "stock:read"], client_id="acme-1")
    answered = await call(f"Bearer {token}")
    assert (answered.status_code, answered.json()) == (200, {"partner": "acme", "client_id": "acme-1"})
    assert (await call(f"bearer {token}")).status_code == 200


LATER = int(time.time()) + 2 * 3600
"""Tokens are made when the tests are collected. A slow run uses them many minutes later."""
BAD_TOKENS = {
    "expired": ISSUER.token("acme", ["orders:read"], lifetime=-11),
    "forged: signed with another key under the issuer's key id": STRANGER.token(
        "acme", ["orders:read"], kid=ISSUER.kid
    ),
    "foreign: another issuer's own key": STRANGER.token("acme", ["orders:read"]),
    "another issuer": ISSUER.token("acme", ["orders:read"], claims={"iss": "https://evil.test"}),
    "no issuer": ISSUER.token("acme", ["orders:read"], claims={"iss": None}),
    "another audience": ISSUER.token("acme", ["orders:read"], claims={"aud": "bank"}),
    "other audiences": ISSUER.token("acme", ["orders:read"], claims={"aud": ["bank", "shop"]}),
    "no audience": ISSUER.token("acme", ["orders:read"], claims={"aud": None}),
    "never expires": ISSUER.token("acme", ["orders:read"], claims={"exp": None}),
    "expires at a word": ISSUER.token("acme", ["orders:read"], claims={"exp": "tomorrow"}),
    "expires at true": ISSUER.token("acme", ["orders:read"], claims={"exp": True}),
    "expires beyond all numbers": ISSUER.token("acme", ["orders:read"], claims={"exp": 10**400}),
    "expires at infinity": ISSUER.token("acme", ["orders:read"], claims={"exp": float("inf")}),
    "expires at NaN": ISSUER.token("acme", ["orders:read"], claims={"exp": float("nan")}),
    "not valid yet": ISSUER.token("acme", ["orders:read"], claims={"nbf": LATER}),
    "issued in the future": ISSUER.token("acme", ["orders:read"], lifetime=3 * 3600, claims={"iat": LATER}),
    "issued at a word": ISSUER.token("acme", ["orders:read"], claims={"iat": "today"}),
    "valid for longer than a day": ISSUER.token("acme", ["orders:read"], lifetime=86_500),
    "valid for longer than a day, issued at no time": ISSUER.token(
        "acme", ["orders:read"], lifetime=2 * 86_400, claims={"iat": None}
    ),
    "an ID token": ISSUER.token("acme", ["orders:read"], typ="JWT"),
    "without a type": ISSUER.token("acme", ["orders:read"], typ=""),
    "bound to a certificate": ISSUER.token("acme", ["orders:read"], claims={"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5"}}),
    "bound to a key": ISSUER.token("acme", ["orders:read"], claims={"cnf": {"jkt": "0ZcOCORZNYy"}}),
    "alg none": ISSUER.unsigned("acme"),
    "RS256 under an EC key": RSA_ISSUER.token("acme", ["orders:read"], kid=ISSUER.kid),
    "too long": ISSUER.token("acme", ["orders:read"], claims={"pad": "x" * 9000}),
    "cut": ISSUER.token("acme", ["orders:read"])[:-4],
    "header of nested brackets": base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.x",
    "header a list": base64.urlsafe_b64encode(b"[]").decode() + ".e30.x",
    "key id a number": base64.urlsafe_b64encode(b'{"alg":"ES256","kid":5}').decode() + ".e30.x",
    "one dot": "a.b",
    "dots": "...",
    "letters": "abc",
    "umlauts": "ä.ö.ü",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_bad_token_is_401_and_says_why_without_repeating_it(call: Callable[..., Any], name: str) -> None:
    token = BAD_TOKENS[name]
    answered = await call(f"Bearer {token}".encode("latin-1"))
    assert answered.status_code == 401, name
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers["www-authenticate"].startswith('Bearer realm="crossdock", error="invalid_token"')
    assert answered.json()["type"] == "urn:crossdock:problem:unauthenticated"
    assert len(token) < 5 or token not in answered.text


def tampered(token: str) -> str:
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["partner"] = "victim"
    return ".".join([head, base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode(), signature])


async def test_another_partner_written_into_a_good_token(call: Callable[..., Any]) -> None:
    good = ISSUER.token("acme", ["orders:read"])
    assert (await call(f"Bearer {good}")).status_code == 200
    assert (await call(f"Bearer {tampered(good)}")).status_code == 401


def hmac_with_the_public_key() -> str:
    """The classic confusion: the published key taken for a shared secret."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": RSA_ISSUER.kid}).encode()).rstrip(b"=")
    signed = head + b"." + RSA_ISSUER.token("acme", ["orders:read"]).split(".")[1].encode()
    mac = hmac.digest(RSA_ISSUER.key.as_pem(private=False), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


async def test_a_public_key_is_no_shared_secret() -> None:
    verifier = RSA_ISSUER.verifier()
    assert (await verifier.verify(f"Bearer {RSA_ISSUER.token('acme')}".encode())).partner == "acme"
    with pytest.raises(Refusal, match="algorithm"):
        await verifier.verify(f"Bearer {hmac_with_the_public_key()}".encode())


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token abc", "Bearer\tabc"])
async def test_no_token_is_401_with_a_challenge(call: Callable[..., Any], header: str | None) -> None:
    answered = await call(header)
    assert answered.status_code == 401
    assert answered.headers["www-authenticate"].startswith('Bearer realm="crossdock"')


async def test_a_token_without_the_scope_is_403_and_names_it(call: Callable[..., Any]) -> None:
    answered = await call(f"Bearer {ISSUER.token('acme', ['orders:write'])}")
    assert (answered.status_code, answered.json()["scope"]) == (403, "orders:read")
    assert 'error="insufficient_scope", scope="orders:read"' in answered.headers["www-authenticate"]


async def test_a_token_without_a_partner_is_403(call: Callable[..., Any]) -> None:
    answered = await call(f"Bearer {ISSUER.token(None, ['orders:read'])}")
    assert (answered.status_code, answered.json()["detail"]) == (403, "The token names no partner")


@pytest.mark.parametrize(
    ("partner", "scopes", "status"),
    [
        (None, ["ops:read"], 200),
        ("acme", ["ops:read"], 200),
        (None, ["ops:act"], 403),
        (None, ["orders:read"], 403),
    ],
)
async def test_route_for_operators_needs_its_scope_and_no_partner(
    partner: str | None, scopes: list[str], status: int
) -> None:
    async with connected(ISSUER.verifier()) as client:
        token = ISSUER.token(partner, scopes, subject="ann", client_id="console")
        answered = await client.get("/operated", headers={"authorization": f"Bearer {token}"})
    assert answered.status_code == status
    if status == 200:
        assert answered.json()["who"] == ("console" if partner else "ann")
    else:
        assert answered.json()["scope"] == "ops:read"


@pytest.mark.parametrize(
    ("partner", "scopes", "status", "scope"),
    [
        (None, ["ops:read"], 200, None),
        ("acme", ["orders:read"], 200, None),
        (None, ["orders:read"], 403, "ops:read"),
        ("acme", ["ops:read"], 403, "orders:read"),
    ],
)
async def test_route_for_both_needs_the_scope_of_the_callers_kind(
    partner: str | None, scopes: list[str], status: int, scope: str | None
) -> None:
    async with connected(ISSUER.verifier()) as client:
        headers = {"authorization": f"Bearer {ISSUER.token(partner, scopes)}"}
        answered = await client.get("/both", headers=headers)
    assert (answered.status_code, answered.json().get("scope")) == (status, scope)


@pytest.mark.parametrize(
    ("partner", "named", "found"),
    [
        (None, "acme", "acme"),
        (None, None, 422),
        ("acme", None, "acme"),
        ("acme", "acme", "acme"),
        ("acme", "globex", 403),
    ],
)
async def test_list_is_of_the_caller_or_of_the_partner_named(
    partner: str | None, named: str | None, found: str | int
) -> None:
    async with connected(ISSUER.verifier()) as client:
        headers = {"authorization": f"Bearer {ISSUER.token(partner, ['orders:read', 'ops:read'])}"}
        answered = await client.get("/listed", headers=headers, params={} if named is None else {"partner": named})
    assert (answered.json() if answered.is_success else answered.status_code) == found


@pytest.mark.parametrize("subject", ["", 7, ["ann"], "x" * 256, "a\nb", "a\0b", "a\u202eb", None])
async def test_operator_without_a_usable_subject_is_401(call: Callable[..., Any], subject: object) -> None:
    answered = await call(f"Bearer {ISSUER.token(None, ['orders:read'], claims={'sub': subject})}")
    assert answered.status_code == 401
    assert "subject" in answered.json()["detail"] or "sub is not" in answered.json()["detail"]


async def test_openapi_shows_each_scope_that_is_enough() -> None:
    paths = application(ISSUER.verifier()).openapi()["paths"]
    assert paths["/both"]["get"]["security"] == [{"bearer": ["orders:read"]}, {"bearer": ["ops:read"]}]
    assert paths["/operated"]["get"]["security"] == [{"bearer": ["ops:read"]}]


@pytest.mark.parametrize(
    "partner",
    ["", 7, ["acme"], {"name": "acme"}, "x" * 65, "a\nb", " acme", "acme ", "ac me", "ac\u00a0me", "cafe\u0301"],
)
async def test_a_partner_that_is_not_usable_is_401(call: Callable[..., Any], partner: object) -> None:
    answered = await call(f"Bearer {ISSUER.token('acme', ['orders:read'], claims={'partner': partner})}")
    assert answered.status_code == 401
    assert answered.json()["detail"] == "The token is not valid: the claim partner is not a usable name"


@pytest.mark.parametrize("partner", ["acme", "café", "株式会社", "a/b", "x" * 64])
async def test_partner_name_of_any_script(partner: str) -> None:
    assert (await ISSUER.verifier().verify(f"Bearer {ISSUER.token(partner)}".encode())).partner == partner


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_token_type_as_issuers_write_it(typ: str) -> None:
    assert await ISSUER.verifier().verify(f"Bearer {ISSUER.token('acme', typ=typ)}".encode())


async def test_configured_token_type_replaces_the_default() -> None:
    keys = StaticKeys(ISSUER.jwks())
    verifier = TokenVerifier(keys, issuer=URL, audience="crossdock", token_type="JWT")
    assert await verifier.verify(f"Bearer {ISSUER.token('acme', typ='jwt')}".encode())
    with pytest.raises(Refusal, match="its type is not jwt"):
        await verifier.verify(f"Bearer {ISSUER.token('acme')}".encode())


def test_rsa_keys_below_2048_bits_are_not_used() -> None:
    with pytest.warns(SecurityWarning):
        weak = RSAKey.generate_key(1024).as_dict(private=False)
        assert usable({"keys": [weak]}) == []


@pytest.mark.parametrize("content", ['{"n":', '{"n": "x"}', "[" * 100])
async def test_who_is_nobody_is_told_nothing_about_the_body(call: Callable[..., Any], content: str) -> None:
    assert (await call(None, content)).status_code == 401
    assert (await call(f"Bearer {ISSUER.token('acme', [])}", content)).status_code == 403


async def test_two_tokens_are_one_too_many() -> None:
    async with connected(ISSUER.verifier()) as client:
        token = f"Bearer {ISSUER.token('acme', ['orders:read'])}"
        answered = await client.get("/cold", headers=[("Authorization", token), ("Authorization", "Bearer x")])
        assert (answered.status_code, answered.json()["type"]) == (400, "urn:crossdock:problem:malformed-request")


@pytest.mark.parametrize(
    "claims", [{"scope": "a orders:read b"}, {"scope": ["orders:read"]}, {"scope": None, "scp": ["orders:read"]}]
)
async def test_scopes_as_different_issuers_write_them(claims: dict[str, Any]) -> None:
    caller = await ISSUER.verifier().verify(f"Bearer {ISSUER.token('acme', claims=claims)}".encode())
    assert "orders:read" in caller.scopes


@pytest.mark.parametrize("claims", [{"scope": 5}, {"scope": {"orders:read": True}}, {"scope": None}])
async def test_scopes_that_are_none(claims: dict[str, Any]) -> None:
    assert not (await ISSUER.verifier().verify(f"Bearer {ISSUER.token('acme', claims=claims)}".encode())).scopes


async def test_a_clock_a_little_apart_is_forgiven() -> None:
    claims = {"nbf": int(time.time()) + 5}
    assert await ISSUER.verifier().verify(f"Bearer {ISSUER.token('acme', lifetime=-5, claims=claims)}".encode())


@given(st.binary(max_size=200))
def test_no_bytes_get_past_or_break_it(garbage: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        asyncio.run(ISSUER.verifier().verify(b"Bearer " + garbage))
    assert refusal.value.status_code == 401


async def test_verified_token_is_cached_until_expiry_or_five_minutes() -> None:
    clock = Clock(time.time())
    verifier = TokenVerifier(StaticKeys(ISSUER.jwks()), issuer=URL, audience="crossdock", clock=clock)
    short, long = (f"Bearer {ISSUER.token('acme', lifetime=seconds)}".encode() for seconds in (60, 3600))
    assert verifier.known(short) is None
    for each in (short, long):
        assert await verifier.verify(each) == verifier.known(each)
    clock.now += 75  # past its leeway too
    assert (verifier.known(short), verifier.known(long) is None) == (None, False)
    clock.now += 300
    assert verifier.known(long) is None
    assert verifier.known(b"Bearer never seen") is None


async def test_token_cache_drops_the_least_recently_used() -> None:
    verifier = TokenVerifier(StaticKeys(ISSUER.jwks()), issuer=URL, audience="crossdock", remembered=2)
    a, b, c = (f"Bearer {ISSUER.token(name)}".encode() for name in "abc")
    await verifier.verify(a)
    await verifier.verify(b)
    verifier.known(a)
    await verifier.verify(c)
    assert [verifier.known(each) is not None for each in (a, b, c)] == [True, False, True]
