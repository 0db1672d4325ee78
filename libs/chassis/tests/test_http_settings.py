"""A setting that is missing or wrong ends the process with one sentence that names it."""

from pathlib import Path

import pytest
from secured_kafka import certify

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
        ("CROSSDOCK_KAFKA_PROTOCOL", "TLS"),
        ("CROSSDOCK_KAFKA_MECHANISM", "GSSAPI"),
        ("CROSSDOCK_KAFKA_USER", "orders"),  # without SASL the password would not be used
        ("CROSSDOCK_KAFKA_PASSWORD", "hunter2"),
        ("CROSSDOCK_KAFKA_CA", "/etc/hostname"),
        ("CROSSDOCK_KAFKA_CERTIFICATE", "/etc/hostname"),
        ("CROSSDOCK_KAFKA_KEY", "hunter2"),
    ],
)
def test_a_bad_one_is_named_and_its_value_kept_quiet(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    sentence = str(ended.value.code)
    assert sentence.startswith(f"{name} is not usable: ") and "\n" not in sentence
    assert "hunter2" not in sentence


def test_value_in_a_file_loses_one_newline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CROSSDOCK_POSTGRES")
    file = tmp_path / "dsn"
    file.write_text(GOOD["CROSSDOCK_POSTGRES"] + "\n")
    monkeypatch.setenv("CROSSDOCK_POSTGRES_FILE", str(file))
    assert load(Settings).postgres == GOOD["CROSSDOCK_POSTGRES"]
    for text, secret in (("two\n\n", "two\n"), ("windows\r\n", "windows"), (" spaces ", " spaces ")):
        file.write_bytes(text.encode())
        monkeypatch.setenv("CROSSDOCK_AUDIENCE_FILE", str(file))
        monkeypatch.setenv("CROSSDOCK_POSTGRES", GOOD["CROSSDOCK_POSTGRES"])
        monkeypatch.delenv("CROSSDOCK_POSTGRES_FILE", raising=False)
        assert load(Settings).audience == secret


def test_numbers_and_json_may_be_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Listed(Settings):
        names: list[str]

    for name, text in (("names", '["a", "b"]'), ("pool_size", "7\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"CROSSDOCK_{name.upper()}_FILE", str(tmp_path / name))
    settings = load(Listed)
    assert (settings.names, settings.pool_size) == (["a", "b"], 7)


def test_files_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("missing", "large", "binary")}
    files["large"].write_bytes(b"x" * ((64 << 10) + 1))
    files["binary"].write_bytes(b"\xff\xfe")
    for name, file in (("KAFKA", "missing"), ("POSTGRES", "large"), ("AUDIENCE", "binary"), ("HOST", "")):
        monkeypatch.delenv(f"CROSSDOCK_{name}", raising=False)
        monkeypatch.setenv(f"CROSSDOCK_{name}_FILE", str(files.get(file, tmp_path)))
    monkeypatch.setenv("CROSSDOCK_ISSUER_FILE", str(tmp_path / "both"))
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert sorted(str(ended.value.code).splitlines()) == [
        f"CROSSDOCK_AUDIENCE_FILE is not usable: {files['binary']}: the file is not UTF-8.",
        f"CROSSDOCK_HOST_FILE is not usable: {tmp_path}: Is a directory.",
        "CROSSDOCK_ISSUER and CROSSDOCK_ISSUER_FILE are both set: unset one of them.",
        f"CROSSDOCK_KAFKA_FILE is not usable: {files['missing']}: No such file or directory.",
        f"CROSSDOCK_POSTGRES_FILE is not usable: {files['large']}: the file is larger than 64 KiB.",
    ]


def test_a_folder_may_hold_the_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CROSSDOCK_POSTGRES")
    monkeypatch.setenv("CROSSDOCK_SECRETS", str(tmp_path))
    (tmp_path / "CROSSDOCK_POSTGRES").write_text(GOOD["CROSSDOCK_POSTGRES"] + "\n")
    (tmp_path / "CROSSDOCK_POOL_SIZE").write_text("7")
    (tmp_path / "ca.pem").write_bytes(b"\xff")  # a file for another setting to name
    settings = load(Settings)
    assert (settings.postgres, settings.pool_size) == (GOOD["CROSSDOCK_POSTGRES"], 7)


def test_a_folder_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refusal() -> str:
        with pytest.raises(SystemExit) as ended:
            load(Settings)
        return str(ended.value.code)

    monkeypatch.setenv("CROSSDOCK_SECRETS", str(tmp_path / "missing"))
    assert refusal() == f"CROSSDOCK_SECRETS is not usable: {tmp_path / 'missing'} is not a folder."
    monkeypatch.setenv("CROSSDOCK_SECRETS", str(tmp_path))
    (tmp_path / "CROSSDOCK_POSTGRES").write_text("postgresql://db/order_service")
    assert (
        refusal() == "CROSSDOCK_POSTGRES and CROSSDOCK_POSTGRES in CROSSDOCK_SECRETS are both set: unset one of them."
    )


def test_login_of_kafka_needs_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_KAFKA_PROTOCOL", "SASL_PLAINTEXT")
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    reason = "is not usable: must be set, because CROSSDOCK_KAFKA_PROTOCOL is one with SASL."
    assert str(ended.value.code) == f"CROSSDOCK_KAFKA_USER {reason}\nCROSSDOCK_KAFKA_PASSWORD {reason}"
    monkeypatch.setenv("CROSSDOCK_KAFKA_USER", "orders")
    monkeypatch.setenv("CROSSDOCK_KAFKA_PASSWORD", "hunter2")
    options = load(Settings).broker.options
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("orders", "hunter2")


def test_certificate_and_key_belong_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certify(tmp_path, clients=["orders", "other"])
    monkeypatch.setenv("CROSSDOCK_KAFKA_PROTOCOL", "SSL")
    monkeypatch.setenv("CROSSDOCK_KAFKA_CERTIFICATE", str(tmp_path / "orders.crt"))
    monkeypatch.setenv("CROSSDOCK_KAFKA_KEY_FILE", str(tmp_path / "orders.key"))
    broker = load(Settings).broker
    assert broker.key and broker.key in (tmp_path / "orders.key").read_text()
    assert broker.certificate == (tmp_path / "orders.crt").read_text()
    monkeypatch.setenv("CROSSDOCK_KAFKA_KEY_FILE", str(tmp_path / "other.key"))
    with pytest.raises(SystemExit, match="CROSSDOCK_KAFKA_KEY is not usable: must be the key of CROSSDOCK_KAFKA_CERT"):
        load(Settings)
    monkeypatch.delenv("CROSSDOCK_KAFKA_KEY_FILE")
    with pytest.raises(SystemExit, match="CROSSDOCK_KAFKA_KEY is not usable: must be set together with"):
        load(Settings)
