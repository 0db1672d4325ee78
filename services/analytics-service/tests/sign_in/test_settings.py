"""A console without its secrets must not start."""

import base64

import pytest
from consoles import KEY, SECRET

from analytics_service.settings import Settings
from crossdock_chassis.settings import load

NEEDED = {"POSTGRES": "postgresql://a:b@127.0.0.1/c", "KAFKA": "127.0.0.1:1", "ISSUER": "https://issuer.example"}
CONSOLE = {"CONSOLE_URL": "https://console.example", "SIGN_IN_SECRET": SECRET, "SIGN_IN_KEY": KEY}


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in (NEEDED | values).items():
        monkeypatch.setenv(f"CROSSDOCK_{name}", value)


def test_service_without_a_console_needs_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {})
    assert load(Settings).console_url is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SIGN_IN_KEY": ""}, "CROSSDOCK_SIGN_IN_KEY is not usable: must be set"),
        ({"SIGN_IN_SECRET": ""}, "CROSSDOCK_SIGN_IN_SECRET is not usable: must be set"),
        ({"SIGN_IN_KEY": "short"}, "CROSSDOCK_SIGN_IN_KEY is not usable: must be 32 random bytes"),
        ({"SIGN_IN_KEY": f"{KEY},x"}, "CROSSDOCK_SIGN_IN_KEY is not usable: must be 32 random bytes"),
        ({"CONSOLE_URL": "http://console.example"}, "CROSSDOCK_CONSOLE_URL is not usable: must be https"),
        ({"CONSOLE_URL": "https://console.example/path"}, "CROSSDOCK_CONSOLE_URL is not usable: must be an origin"),
        ({"CONSOLE_URL": "console.example"}, "CROSSDOCK_CONSOLE_URL is not usable: must be an origin"),
        ({"SERVICES": '{"order-service": "order-service:8410"}'}, "must be an http(s) URL"),
        ({"SERVICES": '{"../x": "http://x"}'}, "CROSSDOCK_SERVICES"),
    ],
)
def test_unusable_settings_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], sentence: str
) -> None:
    given(monkeypatch, CONSOLE | change)
    with pytest.raises(SystemExit) as refused:
        load(Settings)
    assert sentence in str(refused.value)
    assert SECRET not in str(refused.value) and KEY not in str(refused.value)


@pytest.mark.parametrize("missing", ["SIGN_IN_KEY", "SIGN_IN_SECRET"])
def test_a_console_without_a_secret_does_not_start(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    given(monkeypatch, {name: value for name, value in CONSOLE.items() if name != missing})
    with pytest.raises(SystemExit, match=f"CROSSDOCK_{missing} is not usable: must be set"):
        load(Settings)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    url_safe = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    given(monkeypatch, CONSOLE | {"SIGN_IN_KEY": url_safe})
    shown = repr(load(Settings))
    assert SECRET not in shown and url_safe not in shown
