"""The development issuer, used like any OpenID provider."""

import socket
import stat
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from crossdock_local import issuer

URL = "http://127.0.0.1:8400"
Credentials = tuple[str, str]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(issuer.app(tmp_path, URL))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@pytest.fixture
def acme(tmp_path: Path) -> Credentials:
    return issuer.add_partner(tmp_path, "acme", ["orders:read", "orders:write"])


def form(credentials: Credentials, **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": credentials[0],
        "client_secret": credentials[1],
    } | more


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()}


async def test_a_token_is_signed_by_a_published_key_and_says_who_calls(
    client: httpx.AsyncClient, acme: Credentials
) -> None:
    discovered = (await client.get("/.well-known/openid-configuration")).json()
    assert discovered["issuer"] == URL
    answer = await client.post(discovered["token_endpoint"], data=form(acme))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "orders:read orders:write")

    published = (await client.get(discovered["jwks_uri"])).json()
    assert all("d" not in key and "p" not in key for key in published["keys"])
    claims = jwt.decode(body["access_token"], KeySet.import_key_set(published), algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["sub"], claims["partner"]) == (URL, "crossdock", acme[0], "acme")
    assert claims["exp"] - claims["iat"] == 3600


async def test_basic_authentication_and_fewer_scopes(client: httpx.AsyncClient, acme: Credentials) -> None:
    answer = await client.post(
        "/oauth/token", data={"grant_type": "client_credentials", "scope": "orders:read"}, headers=basic(*acme)
    )
    assert answer.json()["scope"] == "orders:read"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"scope": "orders:read ops:act"}, 400, "invalid_scope"),
        ({"scope": "x" * 20_000}, 413, "invalid_request"),
    ],
)
async def test_refusals_speak_rfc_6749(
    client: httpx.AsyncClient, acme: Credentials, change: dict[str, str | None], status: int, error: str
) -> None:
    data = {name: value for name, value in (form(acme) | change).items() if value is not None}
    answer = await client.post("/oauth/token", data=data)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert "access_token" not in answer.text


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + b64encode(b"no colon").decode(), "Bearer abc"])
async def test_a_header_that_is_not_basic(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_parameter_sent_twice_json_and_nonsense(client: httpx.AsyncClient, acme: Credentials) -> None:
    urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = "grant_type=client_credentials&grant_type=client_credentials"
    assert (await client.post("/oauth/token", content=twice, headers=urlencoded)).json()["error"] == "invalid_request"
    assert (await client.post("/oauth/token", content=b"\xff=\xff", headers=urlencoded)).status_code == 400
    assert (await client.post("/oauth/token", json=form(acme))).json()["error"] == "invalid_request"
    assert (await client.get("/oauth/token")).status_code == 405


async def test_a_partner_added_meanwhile_is_known_and_an_old_one_stays(
    client: httpx.AsyncClient, acme: Credentials, tmp_path: Path
) -> None:
    assert (await client.post("/oauth/token", data=form(acme))).status_code == 200
    late = issuer.add_partner(tmp_path, "late")
    assert (await client.post("/oauth/token", data=form(late))).json()["scope"] == " ".join(issuer.SCOPES)
    assert (await client.post("/oauth/token", data=form(acme))).status_code == 200


async def test_verified_secret_is_not_hashed_again_and_wrong_one_fails(
    client: httpx.AsyncClient, acme: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.post("/oauth/token", data=form(acme))).status_code == 200
    slow: list[str] = []

    def has(client: issuer.Client, secret: str) -> bool:
        slow.append(secret)
        return False

    monkeypatch.setattr(issuer.Client, "has", has)
    assert (await client.post("/oauth/token", data=form(acme))).status_code == 200
    assert slow == []
    assert (await client.post("/oauth/token", data=form((acme[0], "guess")))).status_code == 401
    assert slow == ["guess"]


async def test_a_browser_cannot_reach_it_under_another_name(client: httpx.AsyncClient) -> None:
    assert (await client.get("/jwks.json", headers={"Host": "evil.example"})).status_code == 400


@pytest.mark.parametrize("name", ["", "Acme", "a b", "../acme", "a" * 65, "-a", 'a"b'])
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a partner"):
        issuer.add_partner(tmp_path, name)
    assert issuer.partners(tmp_path) == []


def test_an_unknown_scope(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such scope: everything"):
        issuer.add_partner(tmp_path, "acme", ["everything"])


def test_key_and_clients_are_the_owners_alone_and_hold_no_secret(tmp_path: Path, acme: Credentials) -> None:
    issuer.signing_key(tmp_path)
    for name in ("key.json", "clients.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert acme[1] not in (tmp_path / "clients.json").read_text()


def test_the_key_is_made_once(tmp_path: Path) -> None:
    assert issuer.signing_key(tmp_path).kid == issuer.signing_key(tmp_path).kid


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.com", ""])
def test_it_refuses_to_serve_beyond_loopback(host: str) -> None:
    with pytest.raises(SystemExit, match="serves loopback only"):
        issuer.listen(host, 0)


async def test_in_a_network_browsers_are_sent_to_the_shown_address(tmp_path: Path) -> None:
    served = issuer.app(tmp_path, "http://issuer:8400", shown="http://127.0.0.1:8400")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served)) as client:
        for host in ("issuer:8400", "127.0.0.1:8400"):
            found = (await client.get(f"http://{host}/.well-known/openid-configuration")).json()
            assert found["authorization_endpoint"].startswith("http://127.0.0.1:8400/")
            assert found["issuer"] == "http://issuer:8400" and found["token_endpoint"].startswith("http://issuer:8400/")
        assert (await client.get("http://evil.example/jwks.json")).status_code == 400


def test_a_taken_port_is_one_sentence() -> None:
    with issuer.listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(SystemExit, match="CROSSDOCK_ISSUER_PORT: cannot listen"):
            issuer.listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "CROSSDOCK_ISSUER_HOME is not set: "),
        ({"CROSSDOCK_ISSUER_HOME": "x", "CROSSDOCK_ISSUER_PORT": "many"}, "CROSSDOCK_ISSUER_PORT is not usable"),
        ({"CROSSDOCK_ISSUER_HOME": "x", "CROSSDOCK_ISSUER_CODE_SECONDS": "-1"}, "CROSSDOCK_ISSUER_CODE_SECONDS is not"),
    ],
)
def test_settings_that_are_missing_or_wrong(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        issuer.main(environment)


def test_the_process_serves_and_stops(issuer_url: str) -> None:
    assert httpx.get(f"{issuer_url}/.well-known/openid-configuration", trust_env=False).json()["issuer"] == issuer_url


def test_issuer_holds_the_connection_rules_of_the_services(issuer_url: str) -> None:
    port = int(issuer_url.rpartition(":")[2])
    host = b"host: 127.0.0.1\r\n"
    for sent in (b"GET /livez HTTP/1.1\r\n" + host * 2 + b"\r\n", b"GET /livez\r\n\r\n"):
        assert said(port, sent).startswith(b"HTTP/1.1 400 ")
    early = said(port, b"POST /nope HTTP/1.1\r\n" + host + b"content-length: 9\r\n\r\n")
    assert early.startswith(b"HTTP/1.1 404 ") and b"connection: close" in early
    with ExitStack() as open_ones:
        for _ in range(issuer.CONNECTIONS):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert said(port, b"").startswith(b"HTTP/1.1 503 ")


def said(port: int, sent: bytes) -> bytes:
    """Return all bytes that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(iter(partial(connection.recv, 1 << 16), b""))
