"""The keys of an issuer: when they are fetched, how long they serve, and which of them are usable."""

import asyncio
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey
from tokens import ISSUER, STRANGER, URL, Clock, connected

from crossdock_chassis.http.tokens import IssuerKeys, KeysUnavailable, TokenVerifier, pick, usable


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
