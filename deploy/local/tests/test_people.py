"""People sign in at the development issuer: a real process, over HTTP, as a browser and an application do it."""

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from crossdock_local.people.applications import application, keep_applications

CALLBACK = "http://127.0.0.1:9/session/callback"
AFTER = "http://127.0.0.1:9/"
SECRET = "0123456789abcdef0123456789abcdef"
Change = dict[str, str | None]


@dataclass
class Browser:
    """A browser and the application behind it. `verifier` belongs to the newest request."""

    url: str
    client: httpx.Client
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def query(self, change: Change | None = None) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        fields: Change = {
            "client_id": "console",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid offline_access ops:read ops:act",
            "state": "st&te",
            "nonce": "n0nce",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **(change or {}),
        }
        return urlencode({name: value for name, value in fields.items() if value is not None})

    def authorize(self, change: Change | None = None) -> httpx.Response:
        return self.client.get(f"/oauth/authorize?{self.query(change)}")

    def choose(self, person: str, origin: str | None = None, change: Change | None = None) -> httpx.Response:
        """Send the form of the page, as a browser does."""
        shown = self.authorize(change)
        assert shown.status_code == 200
        action = html.unescape(re.findall(r'action="([^"]+)"', shown.text)[0])
        headers = {"Origin": self.url if origin is None else origin}
        return self.client.post(f"/oauth/authorize{action}", data={"person": person}, headers=headers)

    def code(self, person: str = "dev-operator", change: Change | None = None) -> str:
        return sent_back(self.choose(person, change=change))["code"]

    def token(self, **change: str | None) -> httpx.Response:
        fields: Change = {
            "client_id": "console",
            "client_secret": SECRET,
            "grant_type": "authorization_code",
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
            **change,
        }
        data = {name: value for name, value in fields.items() if value is not None}
        return self.client.post("/oauth/token", data=data)

    def refresh(self, token: str, **change: str | None) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=token, **change)

    def claims(self, token: str) -> dict[str, object]:
        published = KeySet.import_key_set(self.client.get("/jwks.json").json())
        return jwt.decode(token, published, algorithms=["RS256"]).claims


def sent_back(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters that the browser brings back to the application."""
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?")
    assert answer.headers["cache-control"] == "no-store"
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query, strict_parsing=True))


def error(answer: httpx.Response) -> str:
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.text
    named: str = answer.json()["error"]
    return named


APPLICATIONS = [
    application("console", SECRET, [CALLBACK, f"{CALLBACK}?a=1"], [AFTER]),
    application("other", "f" * 32, ["http://127.0.0.1:9/other"], []),
]


@pytest.fixture
def browser(issuer_url: str, issuer_home: Path) -> Iterator[Browser]:
    keep_applications(issuer_home, APPLICATIONS)
    with httpx.Client(base_url=issuer_url, trust_env=False) as client:
        yield Browser(issuer_url, client)


def test_a_person_signs_in_refreshes_and_signs_out(browser: Browser) -> None:
    discovered = browser.client.get("/.well-known/openid-configuration").json()
    assert discovered["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization", "token", "end_session", "revocation"):
        assert discovered[f"{name}_endpoint"].startswith(f"{browser.url}/oauth/")

    shown = browser.authorize()
    assert "Never use it in production" in shown.text
    assert "unsafe" not in shown.headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:9;" in shown.headers["content-security-policy"]
    back = sent_back(browser.choose("dev-operator"))
    assert (back["state"], back["iss"]) == ("st&te", browser.url)

    answer = browser.token(code=back["code"])
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    tokens = answer.json()
    access, identity = browser.claims(tokens["access_token"]), browser.claims(tokens["id_token"])
    assert (access["sub"], access["client_id"], access["aud"]) == ("dev-operator", "console", "crossdock")
    assert access["scope"] == "ops:read ops:act"
    assert "partner" not in access
    assert (identity["sub"], identity["aud"], identity["nonce"]) == ("dev-operator", "console", "n0nce")
    assert int(str(access["exp"])) - int(str(access["iat"])) == tokens["expires_in"] == 300

    refreshed = browser.refresh(tokens["refresh_token"]).json()
    assert browser.claims(refreshed["access_token"])["sub"] == "dev-operator"

    leave = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER, "state": "bye"}
    gone = browser.client.get("/oauth/logout", params=leave)
    assert (gone.status_code, gone.headers["location"]) == (303, f"{AFTER}?state=bye")
    assert error(browser.refresh(refreshed["refresh_token"])) == "invalid_grant"


def test_a_reader_gets_no_right_to_act_though_it_was_asked_for(browser: Browser) -> None:
    tokens = browser.token(code=browser.code("dev-reader")).json()
    assert browser.claims(tokens["access_token"])["scope"] == "ops:read"
    assert tokens["scope"] == "openid offline_access ops:read"
    assert error(browser.refresh(tokens["refresh_token"], scope="ops:read ops:act")) == "invalid_scope"


def test_a_person_who_cancels_is_sent_back_without_a_code(browser: Browser) -> None:
    back = sent_back(browser.choose(""))
    assert (back["error"], back["state"]) == ("access_denied", "st&te")
    assert "code" not in back


def test_no_refresh_token_without_offline_access(browser: Browser) -> None:
    assert "refresh_token" not in browser.token(code=browser.code(change={"scope": "openid ops:read"})).json()


def test_a_replayed_code_is_refused_and_ends_the_sign_in(browser: Browser) -> None:
    code = browser.code()
    tokens = browser.token(code=code).json()
    assert error(browser.token(code=code)) == "invalid_grant"
    assert error(browser.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_a_failed_attempt_uses_the_code_up(browser: Browser) -> None:
    code = browser.code()
    assert error(browser.token(code=code, code_verifier="w" * 43)) == "invalid_grant"
    assert error(browser.token(code=code)) == "invalid_grant"


def test_an_expired_code_is_refused(hasty_issuer_url: str, issuer_home: Path) -> None:
    keep_applications(issuer_home, APPLICATIONS)
    with httpx.Client(base_url=hasty_issuer_url, trust_env=False) as client:
        browser = Browser(hasty_issuer_url, client)
        answer = browser.token(code=browser.code())
    assert error(answer) == "invalid_grant"
    assert "expired" in answer.json()["error_description"]


@pytest.mark.parametrize(
    "change",
    [
        {"code": None},
        {"code": "garbage"},
        {"code_verifier": None},
        {"code_verifier": "short"},
        {"code_verifier": "é" * 43},
        {"redirect_uri": f"{CALLBACK}?a=1"},
        {"redirect_uri": None},
        {"client_id": "other", "client_secret": "f" * 32},
    ],
)
def test_a_code_fits_its_request_only(browser: Browser, change: Change) -> None:
    assert error(browser.token(**({"code": browser.code()} | change))) == "invalid_grant"


@pytest.mark.parametrize("change", [{"client_secret": "wrong"}, {"client_secret": None}, {"client_id": "nobody"}])
def test_a_thief_without_the_secret_does_not_use_the_code_up(browser: Browser, change: Change) -> None:
    code = browser.code()
    assert error(browser.token(**({"code": code} | change))) == "invalid_client"
    assert browser.token(code=code).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": f"{CALLBACK}/"},
        {"redirect_uri": f"{CALLBACK}?a=2"},
        {"redirect_uri": CALLBACK.replace("127.0.0.1", "localhost")},
        {"redirect_uri": None},
        {"redirect_uri": "http://127.0.0.1:9/other"},
        {"client_id": "nobody"},
        {"client_id": None},
    ],
)
def test_a_foreign_redirect_is_a_page_and_no_redirect(browser: Browser, change: Change) -> None:
    for answer in (
        browser.authorize(change),
        browser.client.post(f"/oauth/authorize?{browser.query(change)}", headers={"Origin": browser.url}),
    ):
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "a" * 42}, "invalid_request"),
        ({"code_challenge": "é" * 43}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "ops:read"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"request_uri": "https://evil.example/"}, "request_not_supported"),
        ({"prompt": "none"}, "login_required"),
        ({"nonce": "n" * 513}, "invalid_request"),
    ],
)
def test_a_faulty_request_is_sent_back_with_its_error(browser: Browser, change: Change, named: str) -> None:
    back = sent_back(browser.authorize(change))
    assert (back["error"], back["state"], back["iss"]) == (named, "st&te", browser.url)
    assert "code" not in back


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/oauth/authorize", 400),
        ("/oauth/authorize?client_id=console&client_id=console", 400),
        ("/oauth/authorize?%ff=%ff", 400),
        ("/oauth/authorize?" + "a" * 9_000, 414),
        ("/oauth/logout", 400),
        ("/oauth/logout?id_token_hint=garbage", 400),
        ("/oauth/logout?id_token_hint=a.b.c", 400),
    ],
)
def test_garbage_is_a_page_with_a_clear_sentence(browser: Browser, path: str, status: int) -> None:
    answer = browser.client.get(path)
    assert (answer.status_code, answer.headers.get("location")) == (status, None)
    assert "This sign-" in answer.text


def test_garbage_is_escaped_on_the_page(browser: Browser) -> None:
    assert "<script" not in browser.authorize({"state": '"><script>alert(1)</script>'}).text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_a_form_from_another_page_signs_nobody_in(browser: Browser, origin: str) -> None:
    answer = browser.choose("dev-operator", origin=origin)
    assert (answer.status_code, answer.headers.get("location")) == (403, None)


def test_a_person_who_does_not_exist_is_refused(browser: Browser) -> None:
    assert browser.choose("root").status_code == 400


def test_an_old_refresh_token_ends_the_sign_in(browser: Browser) -> None:
    first = browser.token(code=browser.code()).json()["refresh_token"]
    second = browser.refresh(first).json()["refresh_token"]
    assert error(browser.refresh(first)) == "invalid_grant"
    assert error(browser.refresh(second)) == "invalid_grant"


@pytest.mark.parametrize("token", ["", ".", "garbage", "a.b", "é.é"])
def test_a_garbage_refresh_token_is_refused(browser: Browser, token: str) -> None:
    assert error(browser.refresh(token)) == "invalid_grant"


def test_another_application_can_neither_use_nor_revoke_a_token(browser: Browser) -> None:
    refresh = browser.token(code=browser.code()).json()["refresh_token"]
    assert error(browser.refresh(refresh, client_id="other", client_secret="f" * 32)) == "invalid_grant"
    foreign = {"client_id": "other", "client_secret": "f" * 32, "token": refresh}
    assert browser.client.post("/oauth/revoke", data=foreign).status_code == 200
    refreshed = browser.refresh(refresh)
    assert refreshed.status_code == 200

    own = {"client_id": "console", "client_secret": SECRET, "token": refreshed.json()["refresh_token"]}
    assert browser.client.post("/oauth/revoke", data=own | {"client_secret": "wrong"}).status_code == 401
    assert browser.client.post("/oauth/revoke", data=own).status_code == 200
    assert error(browser.refresh(own["token"])) == "invalid_grant"


@pytest.mark.parametrize(
    "change", [{"post_logout_redirect_uri": "https://evil.example/"}, {"client_id": "other"}, {"id_token_hint": "x"}]
)
def test_a_foreign_sign_out_is_refused_and_ends_nothing(browser: Browser, change: dict[str, str]) -> None:
    tokens = browser.token(code=browser.code()).json()
    leave = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER} | change
    for answer in (browser.client.get("/oauth/logout", params=leave), browser.client.post("/oauth/logout", data=leave)):
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert browser.refresh(tokens["refresh_token"]).status_code == 200


def test_an_address_with_a_query_keeps_it(browser: Browser) -> None:
    location = browser.choose("dev-reader", change={"redirect_uri": f"{CALLBACK}?a=1"}).headers["location"]
    assert parse_qs(urlsplit(location).query).keys() == {"a", "code", "state", "iss"}


def test_an_application_added_meanwhile_is_known(browser: Browser, issuer_home: Path) -> None:
    assert browser.authorize({"client_id": "late"}).status_code == 400
    keep_applications(issuer_home, [*APPLICATIONS, application("late", SECRET, [CALLBACK], [])])
    assert browser.authorize({"client_id": "late"}).status_code == 200
    assert SECRET not in (issuer_home / "applications.json").read_text()
