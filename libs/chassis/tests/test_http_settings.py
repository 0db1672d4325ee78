"""A setting that is missing or wrong ends the process with one sentence that names it."""

import pytest

from crossdock_chassis.settings import Settings, load

GOOD = {
    "CROSSDOCK_POSTGRES": "postgresql://role:hunter2@127.0.0.1:5432/orders",
    "CROSSDOCK_KAFKA": "127.0.0.1:9092",
    "CROSSDOCK_ISSUER": "https://issuer.test/",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


class Own(Settings):
    http_port: int = 8410
    answer_within_seconds: float


def test_what_is_set_is_read_and_the_rest_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_ANSWER_WITHIN_SECONDS", "2.5")
    monkeypatch.setenv("CROSSDOCK_OF_SOMEBODY_ELSE", "x")
    settings = load(Own)
    assert (settings.issuer, settings.answer_within_seconds, settings.http_port) == ("https://issuer.test", 2.5, 8410)
    assert (settings.max_body_bytes, settings.queue_limit, settings.outbox_depth_limit) == (1 << 20, 2_000, 50_000)


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == f"{name} is not set."


def test_two_missing_ones_are_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSDOCK_KAFKA")
    with pytest.raises(SystemExit) as ended:
        load(Own)
    assert ended.value.code == "CROSSDOCK_KAFKA is not set.\nCROSSDOCK_ANSWER_WITHIN_SECONDS is not set."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CROSSDOCK_POSTGRES", "mysql://role:hunter2@host/db"),
        ("CROSSDOCK_POSTGRES", "postgresql://role:hunter2@host"),
        ("CROSSDOCK_POSTGRES", "postgresql://[role:hunter2@host/db"),
        ("CROSSDOCK_KAFKA", "broker"),
        ("CROSSDOCK_KAFKA", "broker:port"),
        ("CROSSDOCK_KAFKA", ""),
        ("CROSSDOCK_ISSUER", "issuer.test"),
        ("CROSSDOCK_ISSUER", "file:///etc/passwd"),
        ("CROSSDOCK_HTTP_PORT", "70000"),
        ("CROSSDOCK_OPS_PORT", "x"),
        ("CROSSDOCK_LOG_LEVEL", "loud"),
        ("CROSSDOCK_OTLP_ENDPOINT", "nowhere"),
        ("CROSSDOCK_QUEUE_LIMIT", "0"),
        ("CROSSDOCK_AUDIENCE", ""),
        ("CROSSDOCK_DRAIN_SECONDS", "nan"),
    ],
)
def test_a_bad_one_is_named_and_its_value_kept_quiet(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    sentence = str(ended.value.code)
    assert sentence.startswith(f"{name} is not usable: ") and "\n" not in sentence
    assert "hunter2" not in sentence
