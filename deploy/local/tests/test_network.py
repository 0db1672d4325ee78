"""The network of containers, by its variables: a stack on this machine is not looked for."""

from pathlib import Path

import pytest
from joserfc import jwt

from crossdock_cli.errors import CommandError
from crossdock_local import issuer
from crossdock_local.network import Network, here, installation

ADDRESSES = """
kafka = "kafka:9092"
issuer = "http://issuer:8400"
[services.order-service]
url = "http://order-service:8410"
postgres = "postgresql://order_service:x@postgres/order_service"
"""


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "addresses.toml"
    file.write_text(ADDRESSES)
    for name, value in {
        "CROSSDOCK_NETWORK": str(file),
        "CROSSDOCK_HOME": str(tmp_path / "home"),
        "CROSSDOCK_ISSUER_SHOWN": "http://127.0.0.1:8400",
        "CROSSDOCK_POST_OFFICE": "post-office:8480",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("variables")
def test_tokens_are_those_of_its_issuer(tmp_path: Path) -> None:
    there = installation()
    assert isinstance(there, Network) and there.url("order-service") == "http://order-service:8410"
    token = there.tokens(["acme"], ["orders:write"])["acme"]
    claims = jwt.decode(token, issuer.signing_key(tmp_path / "home" / "issuer"), algorithms=["RS256"]).claims
    assert claims["iss"] == "http://issuer:8400" and claims["partner"] == "acme"
    with pytest.raises(CommandError, match="No such scope: nothing"):
        there.operator_token(["nothing"])


@pytest.mark.usefixtures("variables")
def test_commands_for_the_issuer_use_it() -> None:
    assert here().shown_issuer == "http://127.0.0.1:8400"
    assert here().post_office == ("post-office", 8480)


@pytest.mark.usefixtures("variables")
def test_a_missing_variable_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSDOCK_POST_OFFICE")
    with pytest.raises(CommandError, match=r"^CROSSDOCK_POST_OFFICE is not set"):
        here()
