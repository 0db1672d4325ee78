"""Access tokens: which are accepted, which are refused, and with which problem."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Response
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey
from pydantic import BaseModel

from crossdock_chassis.http.application import Api
from crossdock_chassis.http.auth import OpsReader, partner_of, requires
from crossdock_chassis.http.conventions import json_response
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.http.request import Caller
from crossdock_chassis.http.tokens import (
    IssuerKeys,
    KeysUnavailable,
    StaticKeys,
    TokenVerifier,
    pick,
    usable,
)
from crossdock_chassis.problems import Refusal
from crossdock_chassis.testing.signing import Signer

URL = "https://issuer.test"
ISSUER = Signer.generate()
RSA_ISSUER = Signer.generate("RS256")
Reader = Annotated[Caller, requires("orders:read")]
Both = Annotated[Caller, requires("orders:read", operators="ops:read")]


class Body(BaseModel):
    n: int


class Who(BaseModel):
    partner: str
    client_id: str


def application(verifier: TokenVerifier) -> Api:
    cold, hot = APIRouter(), APIRouter(route_class=HotRoute)

    @cold.get("/cold")
    async def get_cold(caller: Reader) -> Who:
        return Who(partner=caller.partner, client_id=caller.client_id)

    @cold.post("/cold")
    async def post_cold(body: Body, caller: Reader) -> Who:
        return Who(partner=caller.partner, client_id=caller.client_id)

    @cold.get("/operated")
    async def get_operated(caller: OpsReader) -> dict[str, str]:
        return {"who": caller.who}

    @cold.get("/both")
    async def get_both(caller: Both) -> dict[str, str]:
        return {"partner": caller.partner}

    @cold.get("/listed")
    async def get_listed(caller: Both, partner: str | None = None) -> str:
        return partner_of(caller, partner)

    @hot.post("/hot", response_model=Who)
    async def post_hot(body: Body, caller: Reader) -> Response:
        return json_response(Who(partner=caller.partner, client_id=caller.client_id))

    return Api("tests", [cold, hot], verifier=verifier)


def connected(verifier: TokenVerifier) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(verifier)), base_url="http://service")


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


STRANGER = Signer.generate()
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


# --- what is remembered


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


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


# --- the issuer's keys


class Issuer:
    """An issuer behind httpx, which can fall over and change its keys."""

    def __init__(self) -> None:
        self.signers = [ISSUER]
        self.fetched = 0
        self.trouble: Exception | httpx.Response | None = None
        self.configuration: dict[str, Any] = {"issuer": URL, "jwks_uri": f"{URL}/keys"}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.trouble, Exception):
            raise self.trouble
        if self.trouble is not None:
            return self.trouble
        if request.url.path == "/.well-known/openid-configuration":
            self.fetched += 1
            return httpx.Response(200, json=self.configuration)
        return httpx.Response(200, json={"keys": [key for each in self.signers for key in each.jwks()["keys"]]})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


async def test_refresh_that_fails_unexpectedly_is_tried_again(clock: Clock) -> None:
    """The refresh is a task of its own: an error that it does not expect must not reach requests as a 500."""
    failures: list[BaseException] = [RuntimeError("a library fails"), asyncio.CancelledError()]

    def answer(request: httpx.Request) -> httpx.Response:
        raise failures[0]

    keys = IssuerKeys(URL, transport=httpx.MockTransport(answer), clock=clock)
    for _ in failures:
        with pytest.raises(KeysUnavailable):
            await keys.find(None, "RS256")
        failures.reverse()
        clock.now += 3600


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> IssuerKeys:
    return IssuerKeys(URL, transport=httpx.MockTransport(issuer.answer), clock=clock)


async def test_keys_are_found_by_discovery_once_for_many(keys: IssuerKeys, issuer: Issuer) -> None:
    found = await asyncio.gather(*(keys.find(ISSUER.kid, "ES256") for _ in range(20)))
    assert all(found) and issuer.fetched == 1


async def test_unknown_key_refetches_keys_at_a_bounded_rate(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    assert await keys.find(ISSUER.kid, "ES256")
    for n in range(50):
        assert await keys.find(f"made-up-{n}", "ES256") is None
    assert issuer.fetched == 1
    issuer.signers.append(STRANGER)
    clock.now += 5
    assert await keys.find(STRANGER.kid, "ES256")
    assert issuer.fetched == 2


async def test_an_issuer_that_is_down_at_start_is_503_until_it_is_back(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.trouble = httpx.ConnectError("refused")
    token = {"Authorization": f"Bearer {ISSUER.token('acme', ['orders:read'])}"}
    async with connected(TokenVerifier(keys, issuer=URL, audience="crossdock")) as client:
        refused = await client.get("/cold", headers=token)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:crossdock:problem:issuer-unavailable")
        assert refused.headers["retry-after"] == "5"
        issuer.trouble = None
        assert (await client.get("/cold", headers=token)).status_code == 503, "asked again too soon"
        clock.now += 5
        assert (await client.get("/cold", headers=token)).status_code == 200


async def test_fetched_keys_outlive_the_issuer_and_are_renewed(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    assert await keys.find(ISSUER.kid, "ES256")
    issuer.trouble = httpx.ConnectError("refused")
    clock.now += 601
    assert await keys.find(ISSUER.kid, "ES256")
    with pytest.raises(KeysUnavailable):
        await keys.find("unknown", "ES256")
    issuer.trouble, issuer.signers = None, [STRANGER]
    clock.now += 6
    assert await keys.find(ISSUER.kid, "ES256"), "the old key serves while the new ones are fetched"
    assert await keys.find(STRANGER.kid, "ES256")
    assert await keys.find(ISSUER.kid, "ES256") is None, "a key withdrawn is a key refused"


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "https://evil.test"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, text="[]"),
        httpx.Response(200, text="[" * 100_000),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_an_issuer_that_talks_nonsense_is_an_issuer_that_is_down(
    keys: IssuerKeys, issuer: Issuer, trouble: httpx.Response | Exception
) -> None:
    issuer.trouble = trouble
    with pytest.raises(KeysUnavailable):
        await keys.find(ISSUER.kid, "ES256")


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://evil.test", "jwks_uri": f"{URL}/keys"},
        {"jwks_uri": f"{URL}/keys"},
        {"issuer": URL, "jwks_uri": "http://issuer.test/keys"},
        {"issuer": URL},
        {"issuer": URL, "jwks_uri": 5},
        {"issuer": URL, "jwks_uri": f"{URL}/keys", "pad": "x" * 300_000},
    ],
)
async def test_configuration_of_another_issuer_is_refused(
    keys: IssuerKeys, issuer: Issuer, configuration: dict[str, Any]
) -> None:
    issuer.configuration = configuration
    with pytest.raises(KeysUnavailable):
        await keys.find(ISSUER.kid, "ES256")


def test_keys_that_are_not_understood_are_passed_over() -> None:
    good = ISSUER.jwks()["keys"][0]
    weak_curve = ECKey.generate_key("P-521").as_dict(private=False)
    encryption = RSAKey.generate_key(2048).as_dict(private=False, use="enc")
    strange: list[Any] = [5, "key", None, {}, {"kty": "ML-DSA"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "RSA"}]
    strange += [weak_curve, encryption, {**good, "alg": "ES512"}]
    assert [kid for kid, _ in usable({"keys": [*strange, good]})] == [ISSUER.kid]


def test_a_token_without_a_key_id_only_fits_a_single_key() -> None:
    one, two = usable(ISSUER.jwks()), usable({"keys": ISSUER.jwks()["keys"] + STRANGER.jwks()["keys"]})
    assert pick(one, None, "ES256") is not None
    assert pick(two, None, "ES256") is None
    assert pick(one, ISSUER.kid, "RS256") is None
